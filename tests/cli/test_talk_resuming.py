"""A connection that is lost while somebody talks: the conversation goes on, or it is said plainly that it cannot."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.cli.avatar_server import Script, Visitor, avatar_server
from tests.cli.talking import talk

Capture = pytest.CaptureFixture[str]
Part = Callable[[Visitor], Awaitable[None]]

WINDOW_S = 60.0


def in_turn(*parts: Part) -> Script:
    """A server that does something else for each connection."""
    left = list(parts)

    async def script(visitor: Visitor) -> None:
        await left.pop(0)(visitor)

    return script


async def send_words(visitor: Visitor, response_id: str, words: str, event_id: str) -> None:
    place = {"response_id": response_id, "item_id": "item_1", "output_index": 0, "content_index": 0}
    await visitor.send("response.output_audio_transcript.delta", event_id=event_id, delta=words, **place)


async def half(visitor: Visitor) -> None:
    """Half of an answer, and the connection is gone."""
    await visitor.welcome(window_s=WINDOW_S)
    await visitor.receive("response.create")
    await visitor.send("response.created", response={"id": "resp_1", "status": "in_progress"})
    await send_words(visitor, "resp_1", "It opens ", "event_half")
    await visitor.drop()


async def test_an_answer_that_is_cut_in_the_middle_is_printed_whole(capsys: Capture) -> None:
    inits: list[dict[str, Any]] = []

    async def rest(visitor: Visitor) -> None:
        inits.append(await visitor.greet(window_s=WINDOW_S, recovered=True))
        await send_words(visitor, "resp_1", "It opens ", "event_half")  # a repetition must not show
        await send_words(visitor, "resp_1", "at ten.", "event_rest")
        await visitor.end("resp_1")

    async with avatar_server(in_turn(half, rest)) as url:
        assert await talk("When?", "--url", url) == 0
    (init,) = inits
    assert init["resume"] == {"session_id": "sess_la_1", "token": "resume-secret", "last_event_id": "event_half"}
    shown = capsys.readouterr()
    assert shown.out.startswith("It opens at ten.\n")
    broke, again = shown.err.splitlines()
    assert "broke" in broke
    assert broke.endswith("Connecting again.")
    assert again == "liveavatar: Connected again; the conversation goes on."
    assert "resume-secret" not in shown.err


async def test_json_prints_the_events_of_both_connections(capsys: Capture) -> None:
    async def rest(visitor: Visitor) -> None:
        await visitor.greet(window_s=WINDOW_S, recovered=True)
        await visitor.end("resp_1")

    async with avatar_server(in_turn(half, rest)) as url:
        assert await talk("When?", "--url", url, "--json") == 0
    shown = capsys.readouterr()
    types = [json.loads(line)["type"] for line in shown.out.splitlines()]
    assert types == [
        "avatar.session",
        "session.created",
        "response.created",
        "response.output_audio_transcript.delta",
        "avatar.session",
        "response.done",
    ]
    assert "resume-secret" not in shown.out
    assert "Connecting again." in shown.err


async def test_several_losses_and_connections_that_break_at_once(capsys: Capture) -> None:
    async def nothing(visitor: Visitor) -> None:
        await visitor.drop()

    async def more(visitor: Visitor) -> None:
        await visitor.greet(window_s=WINDOW_S, recovered=True)
        await send_words(visitor, "resp_1", "at ", "event_more")
        await visitor.drop()

    async def rest(visitor: Visitor) -> None:
        init = await visitor.greet(window_s=WINDOW_S, recovered=True)
        assert init["resume"]["last_event_id"] == "event_more"
        await send_words(visitor, "resp_1", "ten.", "event_rest")
        await visitor.end("resp_1")

    async with avatar_server(in_turn(half, nothing, more, nothing, rest)) as url:
        assert await talk("When?", "--url", url) == 0
    assert capsys.readouterr().out.startswith("It opens at ten.\n")


async def test_what_cannot_be_said_again_comes_from_the_snapshot(capsys: Capture) -> None:
    async def rest(visitor: Visitor) -> None:
        question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "When?"}]}
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": WHOLE}]}
        items = [{"id": seen[0], **question}, {"id": "item_1", **said}]
        snapshot: dict[str, Any] = {"items": items, "session": {}, "response_id": None, "state": "listening"}
        await visitor.greet(window_s=WINDOW_S, recovered=False, snapshot=snapshot)

    seen: list[str] = []

    async def begin(visitor: Visitor) -> None:
        await visitor.welcome(window_s=WINDOW_S)
        seen.append((await visitor.receive("conversation.item.create"))["item"]["id"])
        await visitor.send("response.created", response={"id": "resp_1", "status": "in_progress"})
        await send_words(visitor, "resp_1", "It opens ", "event_half")
        await visitor.drop()

    async with avatar_server(in_turn(begin, rest)) as url:
        assert await talk("When?", "--url", url) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{WHOLE}\n")
    assert "sound and sources of the answer are missing" in shown.err


WHOLE = "It opens at ten."


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_question_that_may_not_have_arrived_is_looked_up(capsys: Capture, arrived: bool) -> None:
    async def deaf(visitor: Visitor) -> None:
        await visitor.welcome(window_s=WINDOW_S)
        await visitor.receive("response.create")
        await visitor.drop()

    async def rest(visitor: Visitor) -> None:
        await visitor.greet(window_s=WINDOW_S, recovered=True)
        looking = await visitor.receive("conversation.item.retrieve")
        if arrived:
            await visitor.send("avatar.state", state="thinking")
            await visitor.send("conversation.item.retrieved", item={"id": looking["item_id"], "type": "message"})
            response_id = await visitor.speak_up()
        else:
            error = {"type": "invalid_request_error", "message": "Not found.", "event_id": looking["event_id"]}
            await visitor.send("error", error=error)
            item = await visitor.receive("conversation.item.create")
            assert item["item"]["id"] == looking["item_id"]
            response_id = await visitor.begin()
        await visitor.say(response_id, "Ten.")
        await visitor.end(response_id)

    async with avatar_server(in_turn(deaf, rest)) as url:
        assert await talk("When?", "--url", url) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Ten.\n")
    assert "Not found" not in shown.err


async def refuse(visitor: Visitor) -> None:
    init = await visitor.receive()
    assert "resume" in init
    await visitor.send("error", error={"type": "invalid_request_error", "code": "resume_refused", "message": "No."})
    await visitor.close(4410, "The session is over, or can no longer be resumed.")


async def test_a_session_that_is_over_is_told_and_an_answer_in_the_middle_is_lost(capsys: Capture) -> None:
    async def anew(visitor: Visitor) -> None:
        assert "resume" not in await visitor.welcome(window_s=WINDOW_S)

    async with avatar_server(in_turn(half, refuse, anew)) as url:
        assert await talk("When?", "--url", url) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("It opens \n")
    assert "This is a new conversation: the avatar does not remember" in shown.err
    assert "The answer was lost in the middle" in shown.err


async def test_a_question_whose_answer_had_not_begun_is_asked_in_the_new_session(capsys: Capture) -> None:
    async def restarts(visitor: Visitor) -> None:
        await visitor.welcome(window_s=WINDOW_S)
        await visitor.receive("response.create")
        await visitor.send("avatar.going_away", reason="The server is restarting.", reconnect_within_s=0.1)
        await visitor.send("error", error={"type": "server_error", "code": "restarting", "message": "Restarting."})
        await visitor.close(1012, "The server is restarting.")

    async def anew(visitor: Visitor) -> None:
        await visitor.welcome(window_s=WINDOW_S)
        await visitor.answer("Ten.")

    async with avatar_server(in_turn(restarts, refuse, anew)) as url:
        assert await talk("When?", "--url", url) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Ten.\n")
    assert "The server is going away" in shown.err
    assert "(1012)" in shown.err
    assert "new conversation" in shown.err


async def test_it_does_not_try_for_longer_than_told(capsys: Capture) -> None:
    async def nothing(visitor: Visitor) -> None:
        await visitor.drop()

    async with avatar_server(in_turn(half, *[nothing] * 50)) as url:
        assert await talk("When?", "--url", url, "--timeout", "1") == 1
    assert "could not be resumed within 1 s" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "said"), [(4409, "took the session over"), (4401, "LIVEAVATAR_API_KEY")])
async def test_where_trying_again_cannot_help_it_does_not_try(code: int, said: str, capsys: Capture) -> None:
    async def refused(visitor: Visitor) -> None:
        await visitor.receive()
        await visitor.close(code)

    async with avatar_server(in_turn(half, refused)) as url:
        assert await talk("When?", "--url", url) == 1
    assert said in capsys.readouterr().err


async def test_without_a_window_a_lost_connection_is_the_end(capsys: Capture) -> None:
    async def ends(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.receive("response.create")
        await visitor.drop()

    async with avatar_server(ends) as url:
        assert await talk("When?", "--url", url) == 1
    assert "broke" in capsys.readouterr().err


# The server's own service is lost


async def broken(visitor: Visitor) -> None:
    await visitor.welcome(window_s=WINDOW_S)
    first = await visitor.begin()
    await visitor.say(first, "It opens at ten in the")
    await visitor.end(first, "incomplete", {"type": "incomplete"})


async def test_an_answer_that_the_server_finishes_later_is_printed_whole(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await broken(visitor)
        for state in ("listening", "thinking", "reconnecting", "thinking"):
            await visitor.send("avatar.state", state=state)
        second = await visitor.speak_up()
        await visitor.cite(second)
        await visitor.say(second, "ten in ", "the morning.")
        await visitor.end(second)

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("It opens at ten in the morning.\nSources:\n")
    assert "200 tokens in" in shown.out
    assert shown.err == "liveavatar: The server has lost its speech service and is connecting again\n"


@pytest.mark.parametrize("states", [[], ["listening"], ["reconnecting", "listening"]])
async def test_an_answer_that_nobody_finishes_is_cut_short(states: list[str], capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await broken(visitor)
        for state in states:
            await visitor.send("avatar.state", state=state)

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url, "--timeout", "0.3") == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("It opens at ten in the\n")
    assert "cut short: the server lost its speech service" in shown.err


async def test_a_rest_that_never_comes_is_not_waited_for_longer_than_told(capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await broken(visitor)
        await visitor.send("avatar.state", state="reconnecting")

    async with avatar_server(script) as url:
        assert await talk("When?", "--url", url, "--timeout", "0.3") == 1
    assert "nothing for 0.3 s" in capsys.readouterr().err
