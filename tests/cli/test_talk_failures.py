"""When asking goes wrong: every failure is a sentence that says what to do, and exit code 1."""

import pytest
import trio

from server.cli.entry import main
from tests.cli.avatar_server import Visitor, avatar_server, refusing_server
from tests.cli.talking import one_answer, talk

Capture = pytest.CaptureFixture[str]


async def test_a_wav_file_that_cannot_be_written_is_named_before_anything_is_asked(capsys: Capture) -> None:
    async with avatar_server(one_answer) as url:
        assert await talk("When?", "--url", url, "--wav", "no/such/folder.wav") == 1
    assert capsys.readouterr().err == "liveavatar: no/such/folder.wav cannot be written: No such file or directory.\n"


async def test_wav_refuses_sound_of_another_kind(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome(audio_format="audio/pcmu")

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url, "--wav", "answer.wav") == 1
    assert "audio/pcmu" in capsys.readouterr().err


async def test_an_answer_that_failed_is_told_and_the_command_fails(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        response_id = await visitor.begin()
        error = {"type": "server_error", "code": "server_error", "message": "The model is ill."}
        await visitor.end(response_id, "failed", {"type": "failed", "error": error})

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 1
    assert "liveavatar: The answer failed: The model is ill.\n" in capsys.readouterr().err


async def test_an_answer_cut_short_is_shown_as_far_as_it_goes(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        response_id = await visitor.begin()
        await visitor.say(response_id, "It")
        await visitor.end(response_id, "incomplete", {"type": "incomplete", "reason": "content_filter"})

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("It\n")
    assert shown.err == "liveavatar: The answer was cut short: content_filter\n"


async def test_an_error_about_the_question_ends_the_wait_for_its_answer(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        create = await visitor.receive("response.create")
        error = {"type": "invalid_request_error", "message": "Not now.", "event_id": create["event_id"]}
        await visitor.send("error", error=error)

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 1
    assert capsys.readouterr().err == "liveavatar: Not now.\n"


async def test_another_error_is_told_and_the_answer_waited_for(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.send("error", error={"type": "server_error", "message": "A hiccup."})
        await visitor.answer("Ten.")

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Ten.")
    assert shown.err == "liveavatar: A hiccup.\n"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (4401, "LIVEAVATAR_API_KEY"),
        (4404, "--kb"),
        (4429, "Try again"),
        (4502, "liveavatar check"),
        (1001, "when it is back"),
        (1013, "Try again"),
        (4999, "It did not say why"),
    ],
)
async def test_a_close_code_is_told_in_words_with_what_to_do(code: int, advice: str, capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.receive()
        await visitor.send("error", error={"type": "invalid_request_error", "message": "This is why."})
        await visitor.close(code)

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 1
    why, what = capsys.readouterr().err.splitlines()
    assert why == "liveavatar: This is why."
    assert f"({code})" in what
    assert advice in what


async def test_a_connection_that_breaks_is_told(capsys: Capture) -> None:
    async def drop(stream: trio.SocketStream) -> None:
        request = await stream.receive_some(4096)
        assert request.startswith(b"GET /ws")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, drop, 0)
        port = listeners[0].socket.getsockname()[1]
        assert await talk("When?", "--url", f"ws://localhost:{port}/ws") == 1
        nursery.cancel_scope.cancel()
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "LIVEAVATAR_API_KEY"), (404, "/ws"), (429, "in 7 s"), (503, "in 7 s")]
)
async def test_a_refused_handshake_is_told_with_the_servers_words(status: int, advice: str, capsys: Capture) -> None:
    body = b'{"error": {"message": "Not today."}}'
    async with refusing_server(status, body, *([(b"Retry-After", b"7")] if status in (429, 503) else [])) as url:
        assert await talk("When?", "--url", url) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"HTTP {status}): Not today. " in err
    assert advice in err


async def test_where_nothing_listens_it_says_how_to_start_a_server(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    monkeypatch.setenv("PORT", str(port))
    assert await talk("When?") == 1
    assert capsys.readouterr().err == (
        f"liveavatar: Nothing listens at ws://127.0.0.1:{port}/ws: start it with `make run` or `liveavatar serve`.\n"
    )


async def test_a_silent_server_is_not_waited_for_longer_than_told(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.begin()

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url, "--timeout", "0.2") == 1
    assert "nothing for 0.2 s" in capsys.readouterr().err


async def test_a_server_that_opens_no_session_is_not_waited_for_either(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.receive()

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url, "--timeout", "0.2") == 1
    assert "nothing for 0.2 s" in capsys.readouterr().err


@pytest.mark.parametrize("frame", ["no json", "[]", '{"no":"type"}', '{"type":"response.done","response":1}'])
async def test_a_server_that_speaks_something_else_is_told(frame: str, capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.send_text(frame)

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 1
    assert "no event of this protocol" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[""], ["  "]])
def test_an_empty_question_is_not_asked(arguments: list[str], capsys: Capture) -> None:
    assert main(["talk", *arguments]) == 1
    assert capsys.readouterr().err == "liveavatar: The question is empty.\n"


def test_a_port_that_is_none_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    assert main(["talk", "Hm?"]) == 1
    assert "PORT is 'http'" in capsys.readouterr().err
