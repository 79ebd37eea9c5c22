"""Asking a scripted server over loopback: what is sent, what is printed, and where it connects to."""

import json
import wave
from pathlib import Path

import pytest

from server.cli.entry import main
from tests.cli.avatar_server import PCM, Visitor, avatar_server
from tests.cli.talking import one_answer, talk

Capture = pytest.CaptureFixture[str]
KEY = "sesame-opens-the-door-1234"


async def test_the_answer_is_printed_with_its_sources_its_latency_and_its_tokens(capsys: Capture) -> None:
    async with avatar_server(one_answer) as url:
        assert await talk("When does it open?", "--url", url) == 0
    answer, heading, source, measured = capsys.readouterr().out.splitlines()
    assert answer == "It opens at ten."
    assert heading == "Sources:"
    assert source == "  1. Opening hours  hours.md"
    assert measured.startswith("first audio after ")
    assert measured.endswith(" ms; 100 tokens in (64 cached), 40 tokens out")


async def test_the_first_frame_names_the_knowledge_base_and_the_question_is_a_typed_item(capsys: Capture) -> None:
    seen: list[Visitor] = []

    async def script(visitor: Visitor) -> None:
        seen.append(visitor)
        await one_answer(visitor)

    async with avatar_server(script) as url:
        assert await talk("  When does it open?\n", "--kb", "museum", "--url", url, "--key", KEY) == 0
    init, item, create = seen[0].received
    assert init == {"type": "session.init", "kb_id": "museum", "token": KEY}
    assert item["item"]["content"] == [{"type": "input_text", "text": "  When does it open?\n".strip()}]
    assert item["item"]["role"] == "user"
    assert create["type"] == "response.create"
    assert KEY not in "".join(capsys.readouterr())


async def test_without_knowledge_base_and_key_the_server_decides(capsys: Capture) -> None:
    inits: list[dict[str, object]] = []

    async def script(visitor: Visitor) -> None:
        inits.append(await visitor.welcome())
        await visitor.answer("Yes.")

    async with avatar_server(script) as url:
        assert await talk("Hm?", "--url", url) == 0
    assert inits == [{"type": "session.init"}]


async def test_the_key_comes_from_the_environment_and_that_of_env_file_goes_to_this_machine_only(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.cli.server_address import key_for

    (place / ".env").write_text(f"LIVEAVATAR_API_KEY={KEY}\n")
    values = {"LIVEAVATAR_API_KEY": KEY}
    assert key_for(None, "wss://elsewhere.example/ws", values) is None
    for url in (None, "ws://localhost:1/ws", "ws://[::1]:1/ws"):
        found = key_for(None, url, values)
        assert found is not None
        assert found.reveal() == KEY
    monkeypatch.setenv("LIVEAVATAR_API_KEY", "from-the-environment")
    found = key_for(None, "wss://elsewhere.example/ws", values)
    assert found is not None
    assert found.reveal() == "from-the-environment"


async def test_a_written_answer_is_printed_too(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        response_id = await visitor.begin()
        await visitor.send("response.output_text.delta", delta="Ten.", response_id=response_id)
        await visitor.end(response_id)

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 0
    out = capsys.readouterr().out
    assert out.startswith("Ten.\nfirst words after ")
    assert "no audio" in out


async def test_what_the_server_says_cannot_command_the_terminal(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.answer("Ten\x1b]0;owned\x07 o'clock\x9b2J.")

    async with avatar_server(script) as url:
        await talk("When?", "--url", url)
    out = capsys.readouterr().out
    assert "Ten�]0;owned� o'clock�2J." in out


async def test_wav_gets_the_sound_of_the_answer(place: Path, capsys: Capture) -> None:
    async with avatar_server(one_answer) as url:
        assert await talk("When?", "--url", url, "--wav", "answer.wav") == 0
    with wave.open(str(place / "answer.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24000)
        assert file.readframes(file.getnframes()) == PCM + PCM


async def test_json_prints_every_event_as_a_line_with_the_sound_as_its_length(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.send("brand.new", surprise=[1])
        await visitor.answer("Ten.")

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url, "--json") == 0
    out = capsys.readouterr().out
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in events] == [
        "avatar.session",
        "session.created",
        "brand.new",
        "response.created",
        "avatar.citations",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.done",
    ]
    assert events[6]["delta"] == f"<{len(PCM)} bytes>"
    assert "resume-secret" not in out


async def test_json_audio_prints_the_sound_in_full(capsys: Capture) -> None:
    async with avatar_server(one_answer) as url:
        assert await talk("When?", "--url", url, "--json-audio") == 0
    assert len(capsys.readouterr().out) > 2 * len(PCM)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("ws://host:1/ws", "ws://host:1/ws"),
        ("http://host:1", "ws://host:1/ws"),
        ("https://host/", "wss://host/ws"),
        ("wss://host/other?x=1", "wss://host/other?x=1"),
    ],
)
def test_a_server_may_be_named_by_its_page(given: str, used: str) -> None:
    from server.cli.server_address import websocket_url

    assert websocket_url(given) == used


@pytest.mark.parametrize("url", ["ftp://host", "host:8000", "ws://", "ws://host:port/", "ws://[::1/"])
def test_what_is_no_url_is_wrong_usage(url: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["talk", "Hm?", "--url", url])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "ws://127.0.0.1:8000/ws"),
        ({"PORT": "9000"}, "ws://127.0.0.1:9000/ws"),
        ({"LIVEAVATAR_HOST": "0.0.0.0"}, "ws://127.0.0.1:8000/ws"),
        ({"LIVEAVATAR_HOST": "::1"}, "ws://[::1]:8000/ws"),
    ],
)
def test_the_default_server_is_the_one_that_the_settings_would_start(
    environment: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.cli.server_address import default_url

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_url({}) == url
    if not environment:
        assert default_url({"PORT": "7"}) == "ws://127.0.0.1:7/ws"


async def test_a_key_that_would_travel_in_the_clear_is_warned_of(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.cli.talk.run_async", lambda _talk: 0)
    assert main(["talk", "Hm?", "--url", "ws://avatar.example/ws", "--key", KEY]) == 0
    err = capsys.readouterr().err
    assert "in the clear" in err
    assert KEY not in err
