"""A client that is cut off comes back: what it missed, whose session it is, and when it is too late."""

from typing import Any

import pytest
import trio
import trio.testing

from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from tests.session.house import Caller, House, house, tool
from tests.session.service import Json, Line, converse, sound
from tests.session.test_session_reconnect import expiring

LIMITS = Limits(resume_s=120)


async def speaks(line: Line, _: Json) -> None:
    await line.speak(f"resp_{len(line.received)}", "We open at ten.", ms=5000, gap_s=0.1)


async def answers(line: Line, _: Json) -> None:
    await line.speak(f"resp_{len(line.received)}", "We open at ten.")


def hello(caller: Caller) -> Json:
    return caller.of("avatar.session")[-1]


def claim(caller: Caller, **other: Any) -> Json:
    """The first frame of a client that comes back, after what ``caller`` has received."""
    told = hello(caller)
    last = caller.events[-1][1]["event_id"]
    return {"resume": {"session_id": told["session_id"], "token": told["resume_token"], "last_event_id": last, **other}}


async def back(home: House, *before: Caller, **other: Any) -> Caller:
    """Comes back after the last of ``before``; its events are joined to those before it."""
    caller = await home.caller(claim(before[-1], **other))
    await caller.until("avatar.session")
    return caller


def heard(*callers: Caller) -> list[Json]:
    """All that one client got by its connections, greetings of later ones apart."""
    events = [event for _, event in callers[0].events]
    for caller in callers[1:]:
        events += [event for _, event in caller.events if event["type"] != "avatar.session"]
    return events


async def cut(caller: Caller) -> None:
    caller.wire.reset()
    await caller.gone.wait()


async def test_what_was_missed_comes_in_order_and_once(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks), limits=LIMITS) as home:
        first = await home.opened()
        assert hello(first)["resume_window_s"] == 120
        first.ask("When?")
        await first.until("response.output_audio.delta")
        await cut(first)
        await trio.sleep(1)
        second = await back(home, first)
        assert hello(second)["recovered"] is True
        assert "snapshot" not in hello(second)
        assert hello(second)["session_id"] == hello(first)["session_id"]
        await second.until("response.output_audio.delta")
        await cut(second)
        await trio.sleep(10)
        third = await back(home, first, second)
        await third.until("avatar.state", state="listening")
        events = heard(first, second, third)
        ids = [event["event_id"] for event in events]
        assert len(ids) == len(set(ids))
        assert [event["type"] for event in events].count("response.output_audio.delta") == 50
        assert [event["type"] for event in events].count("response.done") == 1
        assert [entry["event"] for entry in home.log].count("session started") == 1
    assert home.endings == ["completed"]


async def test_a_greeting_that_was_the_last_event_is_a_place_too(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks), limits=LIMITS) as home:
        first = await home.opened()
        first.ask("When?")
        await first.until("response.created")
        await cut(first)
        await trio.sleep(10)
        second = await home.caller(claim(first))
        greeting = await second.until("avatar.session")
        await cut(second)
        again = {"session_id": greeting["session_id"], "token": greeting["resume_token"]}
        third = await home.caller({"resume": {**again, "last_event_id": greeting["event_id"]}})
        await third.until("response.done")
        events = heard(first, third)
        assert len(events) == len({event["event_id"] for event in events})
        assert len([event for event in events if event["type"] == "response.output_audio.delta"]) == 50


async def test_the_older_connection_is_closed_and_not_listened_to(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        first = await home.opened()
        first.wire.stall()  # it hears nothing more, and does not know it
        second = await back(home, first)
        first.wire.resume()
        assert await first.closed() == 4409
        assert first.of("error")[-1]["error"]["code"] == "superseded"
        assert second.lost is None
        second.ask("When?")
        await second.until("response.done")


async def test_a_token_is_good_until_the_client_speaks_under_the_next(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        first = await home.opened()
        await cut(first)
        second = await back(home, first)
        await cut(second)  # before it said anything: it may not have learnt the new token
        third = await back(home, first)
        assert hello(third)["recovered"] is True
        third.send("avatar.playback", item_id="item_nobody", played_ms=0)
        await third.until("error")
        await cut(third)
        replayed = await home.caller(claim(first))
        assert (await replayed.until("error"))["error"]["code"] == "resume_refused"
        assert await replayed.closed() == 4410
        fourth = await back(home, third)
        assert hello(fourth)["recovered"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "f" * 48},
        {"token": ""},
        {"session_id": "sess_la_" + "0" * 24},
        {"token": "é"},
    ],
)
async def test_a_wrong_token_gets_nothing_and_harms_nothing(
    autojump_clock: trio.testing.MockClock, wrong: Json
) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        first = await home.opened()
        thief = await home.caller(claim(first, **wrong))
        error = await thief.until("error")
        assert error["error"]["code"] == "resume_refused"
        assert await thief.closed() == 4410
        assert first.lost is None
        first.ask("When?")
        await first.until("response.done")
        assert "resume refused" in [entry["event"] for entry in home.log]


async def test_a_token_of_another_session_is_foreign(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        one, other = await home.opened(), await home.opened()
        thief = await home.caller(claim(one, token=hello(other)["resume_token"]))
        assert await thief.closed() == 4410


async def test_another_knowledge_base_is_not_this_session(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        one = await home.opened()
        stranger = await home.caller({"kb_id": "zoo", **claim(one)})
        assert await stranger.closed() == 4410


async def test_who_comes_back_shows_its_key_again(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS, key="k" * 20) as home:
        one = await home.opened({"kb_id": "museum", "token": "k" * 20})
        await cut(one)
        keyless = await home.caller(claim(one))
        assert await keyless.closed() == 4401
        second = await home.caller({"token": "k" * 20, **claim(one)})
        assert (await second.until("avatar.session"))["recovered"] is True


@pytest.mark.parametrize("last", ["event_that_never_was", None])
async def test_a_place_that_is_not_known_gets_a_snapshot(
    autojump_clock: trio.testing.MockClock, last: str | None
) -> None:
    async with house(converse(answers, speaks), limits=LIMITS) as home:
        first = await home.opened()
        first.ask("When?")
        await first.until("response.done")
        await trio.sleep(1)
        first.ask("And then?")
        await first.until("response.output_audio.delta")
        await cut(first)
        second = await back(home, first, last_event_id=last)
        told = hello(second)
        assert told["recovered"] is False
        parts = [item["content"][0] for item in told["snapshot"]["items"]]
        texts = [part.get("text") or part["transcript"] for part in parts]
        assert texts == ["When?", "We open at ten.", "And then?"]
        assert told["snapshot"]["session"]["type"] == "realtime"
        assert told["snapshot"]["response_id"] == first.of("response.created")[-1]["response"]["id"]
        assert told["snapshot"]["state"] == "speaking"
        await second.until("response.done")


async def test_what_is_kept_is_bounded_and_a_hole_is_never_silent(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(resume_s=120, replay_audio_bytes=100_000)
    async with house(converse(speaks), limits=limits) as home:
        first = await home.opened()
        first.ask("When?")
        await first.until("response.output_audio.delta")
        await cut(first)
        await trio.sleep(10)
        second = await back(home, first)
        assert hello(second)["recovered"] is False
        assert second.of("response.output_audio.delta") == []


async def test_after_the_window_the_session_is_over(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=Limits(resume_s=30)) as home:
        first = await home.opened()
        await cut(first)
        await trio.sleep(29)
        second = await back(home, first)
        await cut(second)
        await trio.sleep(31)
        late = await home.caller(claim(second))
        assert await late.closed() == 4410
    assert home.endings == ["client_lost"]


async def test_who_says_goodbye_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        first = await home.opened()
        first.leave()
        await first.gone.wait()
        await home.ended()
    assert home.endings == ["completed"]


async def test_other_clients_cannot_come_back(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        first = await home.opened(path="/v1/realtime?extensions=avatar")
        assert hello(first)["resume_token"] is None
        assert hello(first)["resume_window_s"] == 0
        await cut(first)
        await home.ended()
    assert home.endings == ["client_lost"]


async def test_a_tool_that_ends_meanwhile_is_answered_and_spoken(autojump_clock: trio.testing.MockClock) -> None:
    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "nap", "{}"))

    async def nap() -> ToolResult:
        await trio.sleep(3)
        return ToolResult('{"slept":true}')

    async with house(converse(calls, answers), limits=LIMITS, tools=[tool("nap", nap)]) as home:
        first = await home.opened()
        first.ask("Sleep.")
        await first.until("avatar.state", state="searching")
        await cut(first)
        await trio.sleep(5)
        second = await back(home, first)
        done = await second.until("response.done")
        assert done["response"]["status"] == "completed"


async def test_coming_back_while_the_service_is_being_replaced(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(resume_s=120, rollover_s=30)
    async with house(expiring(100, answers), expiring(1000, answers), limits=limits) as home:
        first = await home.opened()
        first.ask("When?")
        await first.until("response.done")
        await trio.sleep(69)
        await cut(first)
        await trio.sleep(30)
        second = await back(home, first)
        assert hello(second)["recovered"] is True
        second.ask("And then?")
        await second.until("response.done")
        assert len(home.service.lines) == 2


async def test_sound_that_was_played_is_not_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks), limits=LIMITS) as home:
        first = await home.opened()
        first.ask("When?")
        place = (await first.until("response.created"))["event_id"]
        delta = await first.until("response.output_audio.delta")
        await trio.sleep(2)
        first.send("avatar.playback", item_id=delta["item_id"], played_ms=1000)
        await trio.sleep(0.1)
        await cut(first)
        second = await back(home, first, last_event_id=place)
        assert hello(second)["recovered"] is True
        await second.until("response.done")
        assert len(second.of("response.output_audio.delta")) == 40


async def test_a_client_that_takes_nothing_may_come_back(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(*[speaks] * 2), limits=LIMITS) as home:
        first = await home.opened(capacity_bytes=4096)
        first.ask("When?")
        await first.until("response.created")
        first.wire.stall()
        await trio.sleep(30)
        assert home.endings == []
        second = await back(home, first)
        assert hello(second)["recovered"] is True
        await second.until("response.done")
        assert len(heard(first, second)) == len({event["event_id"] for event in heard(first, second)})
        first.wire.resume()


async def test_two_that_come_back_at_once_leave_one(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        first = await home.opened()
        await cut(first)
        one, other = await home.caller(claim(first)), await home.caller(claim(first))
        await trio.sleep(1)
        codes = {caller.lost.code if caller.lost else None for caller in (one, other)}
        assert codes == {None, 4409}


@pytest.mark.parametrize("resume", [1, "x", [], {}, {"session_id": 1, "token": "x"}, {"session_id": "x"}])
async def test_a_malformed_claim_is_named(autojump_clock: trio.testing.MockClock, resume: Any) -> None:
    async with house(converse(answers), limits=LIMITS) as home:
        caller = await home.caller({"kb_id": "museum", "resume": resume})
        error = await caller.until("error")
        assert "resume" in error["error"]["message"]
        assert await caller.closed() == 4000


async def test_speech_while_the_client_was_away_does_not_count_as_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks), limits=LIMITS) as home:
        first = await home.opened()
        first.ask("When?")
        await first.until("response.output_audio.delta")
        await trio.sleep(1)
        await cut(first)
        await trio.sleep(60)
        second = await back(home, first)
        await second.until("response.done")
        await trio.sleep(1)
        second.send("input_audio_buffer.append", audio=sound(100))
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(0.1)
        (cut_off,) = home.line.of("conversation.item.truncate")
        assert 1900 <= cut_off["audio_end_ms"] <= 2300
