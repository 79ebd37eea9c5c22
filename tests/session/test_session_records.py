"""A session from its beginning to its end in the records, whatever it ends of; and its sound, where that is wanted."""

import base64
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing

from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from protocol.conversation.machine import Conversation
from protocol.endings import EndReason
from server.session.session import TOOL_CALLS_WAITING
from server.store.records import (
    HeardText,
    SaidText,
    SessionBegun,
    SessionEnded,
    ToolCall,
    TurnTimes,
    UsageLine,
)
from server.tools.registry import ToolFailed, ToolUnavailable
from tests.session.house import WALL, Caller, House, house, tool
from tests.session.records import Records
from tests.session.service import Json, Line, converse, sound
from tests.session.test_session_failures import DOWN
from tests.session.test_session_reconnect import answers
from tests.session.test_session_resume import back, cut
from tests.session.test_session_tools import asks_for_it, sleeps


async def searches(line: Line, _: Json) -> None:
    line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"opening hours"}'))


def ends(home: House) -> list[tuple[str, str]]:
    """How the first session ended, and each later one: reason and detail."""
    kept = [home.records.of(session_id) for session_id in home.records.journals]
    return [
        (record.reason, record.detail) for records in kept for record in records if isinstance(record, SessionEnded)
    ]


def calls(home: House) -> list[tuple[str, str]]:
    return [(record.id, record.status) for record in home.records.first if isinstance(record, ToolCall)]


async def test_a_whole_conversation_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(searches, answers), records=True) as home:
        caller = await home.opened()
        await trio.sleep(3)
        caller.ask("When do you open?")
        await caller.until("avatar.usage")
        caller.leave()
        await home.ended()
        begun, question, asking, call, answer, answering, times, end = home.records.first
        assert isinstance(begun, SessionBegun)
        assert (begun.kb_id, begun.endpoint, begun.person) == ("museum", "/ws", begun.principal_id)
        assert begun.at.timestamp() == WALL
        assert isinstance(question, SaidText)
        assert (question.role, question.text, question.at.timestamp()) == ("user", "When do you open?", WALL + 3)
        assert isinstance(call, ToolCall)
        assert (call.status, call.arguments) == ("answered", '{"query":"opening hours"}')
        assert [source.title for source in call.sources or ()] == ["Doc"]
        assert isinstance(answer, SaidText)
        assert (answer.role, answer.text) == ("assistant", "We open at ten.")
        assert isinstance(times, TurnTimes)
        assert (times.id, times.status, times.search_began_ms) == (answer.id, "completed", 0.0)
        lines = [line for line in (asking, answering) if isinstance(line, UsageLine)]
        assert len({line.id for line in lines}) == 2
        told = caller.of("avatar.usage")[-1]
        assert sum(line.cost_usd for line in lines) == Decimal(told["session_cost_usd"])
        assert isinstance(end, SessionEnded)
        assert end.reason == "completed"


async def test_what_was_heard_of_it_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    async def speaks(line: Line, _: Json) -> None:
        await line.speak("resp_1", "We open at nine in the morning.", ms=3000)

    async with house(converse(speaks), records=True) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        await trio.sleep(1)
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(1)
        (heard,) = [record for record in home.records.first if isinstance(record, HeardText)]
        assert (heard.id, heard.heard_ms, heard.sent_ms) == ("item_resp_1", 1000, 3000)


# Tools


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ToolFailed("The archive is closed."), "failed"),
        (ToolUnavailable("no route to host"), "failed"),
        (ValueError("password=hunter2"), "failed"),
        (None, "failed"),
    ],
)
async def test_a_tool_that_fails_is_kept_as_such(
    autojump_clock: trio.testing.MockClock, failure: Exception | None, status: str
) -> None:
    async def fails() -> ToolResult:
        if failure is not None:
            raise failure
        await trio.sleep(100)
        raise AssertionError("it is given up")

    tools = [tool("nap", fails)]
    async with house(converse(asks_for_it, answers), tools=tools, tool_timeout_s=5, records=True) as home:
        caller = await home.opened()
        caller.ask("Go.")
        await caller.until("response.done")
        assert calls(home) == [("call_1", status)]
        assert b"hunter2" not in b"".join(*(journal.payloads for journal in home.records.journals.values()))


async def test_a_search_that_is_down_is_kept_as_unavailable(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(searches, answers), tool_timeout_s=5, records=True) as home:

        async def hangs(query: str, *, limit: int = 5) -> list[Any]:
            await trio.sleep(1000)
            return []

        home.shelves["museum"].search = hangs  # type: ignore[method-assign]
        caller = await home.opened()
        caller.ask("Go.")
        await caller.until("response.done")
        assert calls(home) == [("call_1", "unavailable")]


async def test_calls_that_are_too_many_are_kept_as_refused(autojump_clock: trio.testing.MockClock) -> None:
    async def far_too_many(line: Line, _: Json) -> None:
        line.call("resp_1", *((f"call_{number}", "nap", "{}") for number in range(200)))

    tools = [tool("nap", sleeps(1))]
    async with house(converse(far_too_many, answers), tools=tools, tools_at_once=2, records=True) as home:
        caller = await home.opened()
        caller.ask("Go.")
        await caller.until("response.done")
        statuses = [status for _, status in calls(home)]
        assert len(statuses) == len({call_id for call_id, _ in calls(home)}) == 200
        assert set(statuses) == {"answered", "refused"}
        assert statuses.count("answered") <= TOOL_CALLS_WAITING + 2


async def test_a_call_that_still_runs_at_the_end_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(asks_for_it), tools=[tool("nap", sleeps(1000))], records=True) as home:
        caller = await home.opened()
        caller.ask("Sleep.")
        await trio.sleep(2)
        caller.leave()
        await home.ended()
        assert calls(home) == [("call_1", "lost")]
        (call,) = [record for record in home.records.first if isinstance(record, ToolCall)]
        assert (call.arguments, call.duration_ms) == ("{}", 2000.0)


# No room


@pytest.mark.parametrize("room", [0, 1, 2, 3, 5])
async def test_a_session_that_cannot_be_recorded_any_more_ends(
    autojump_clock: trio.testing.MockClock, room: int
) -> None:
    async with house(converse(searches, answers), records=Records(room=room)) as home:
        caller = await home.caller()
        caller.ask("When?")
        assert await caller.closed() == EndReason.OVERLOADED.close_code(openai=False)
        error = caller.of("error")[-1]["error"]
        assert error["code"] == "overloaded"
        assert "recorded" in error["message"]
        await home.ended()
        assert home.endings == ["overloaded"]
        assert len(home.records.first) == room


async def test_where_nothing_can_be_recorded_no_session_begins(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=True) as home:
        home.records.accepts_sessions = False
        caller = await home.caller()
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["retry_after"]) == ("records_unavailable", 10)
        assert await caller.closed() == 1013
        home.records.accepts_sessions = True
        await home.opened()


# Endings


async def _cut(home: House, caller: Caller) -> None:
    await cut(caller)


async def _goes(home: House, caller: Caller) -> None:
    caller.leave()


async def _drains(home: House, caller: Caller) -> None:
    home.registry.drain(EndReason.GOING_AWAY, "The server restarts.", 5)


async def _stops(home: House, caller: Caller) -> None:
    home.registry.stop(EndReason.RESTARTING, "Soon back.")


async def _is_cancelled(home: House, caller: Caller) -> None:
    home.sessions.cancel_scope.cancel()


async def _is_silent(home: House, caller: Caller) -> None:
    await trio.sleep(100)


async def _breaks(home: House, caller: Caller) -> None:
    caller.send("session.update", session={"type": "realtime", "instructions": "Break."})


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (_goes, "completed"),
        (_cut, "client_lost"),
        (_drains, "going_away"),
        (_stops, "restarting"),
        (_is_cancelled, "client_lost"),  # whoever cancels without a word takes the connection first
        (_is_silent, "idle_timeout"),
        (_breaks, "internal"),
    ],
)
async def test_each_end_is_kept_once_with_its_reason(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, end: Any, reason: str
) -> None:
    on_client = Conversation.on_client

    def breaks(conversation: Conversation, frame: bytes, now: float, *, is_text: bool = True) -> Any:
        if b"Break." in frame:
            raise RuntimeError("a fault of ours")
        return on_client(conversation, frame, now, is_text=is_text)

    monkeypatch.setattr(Conversation, "on_client", breaks)
    async with house(converse(answers), records=True, limits=Limits(idle_prompt_s=20, idle_end_s=20)) as home:
        caller = await home.opened()
        await end(home, caller)
        await home.ended()
        assert [said for said, _ in ends(home)] == [reason] == home.endings
        assert isinstance(home.records.first[-1], SessionEnded)


async def test_a_machine_that_cannot_even_end_is_kept_as_a_fault_of_ours(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    async with house(converse(answers), records=True) as home:
        caller = await home.opened()
        for name in ("on_client", "on_end", "on_detached"):
            monkeypatch.setattr(Conversation, name, breaks)
        caller.send("response.create")
        await home.ended()
        assert [said for said, _ in ends(home)] == ["internal"]


async def test_one_whose_service_is_not_to_be_had_says_so(autojump_clock: trio.testing.MockClock) -> None:
    async with house(DOWN, records=True, limits=Limits(reconnect_s=5)) as home:
        caller = await home.caller()
        await caller.closed()
        await home.ended()
        ((reason, detail),) = ends(home)
        assert reason == "upstream_unavailable"
        assert detail


async def test_a_session_that_nobody_came_to_is_none(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=True, furnish_s=5) as home:
        caller = await home.caller()
        await trio.sleep(1)
        caller.wire.reset()
        await trio.sleep(10)
        kept = [home.records.of(session_id) for session_id in home.records.journals]
        # It may have begun before the loss was seen; then it has an end, too.
        assert all(not records or isinstance(records[-1], SessionEnded) for records in kept)


async def test_a_clock_on_the_wall_that_jumps_changes_no_order(autojump_clock: trio.testing.MockClock) -> None:
    offset_s = 0.0

    def wall() -> float:
        return WALL + trio.current_time() + offset_s

    async with house(converse(answers, answers), records=True, wall=wall) as home:
        caller = await home.opened()
        for jump_s in (-86_400.0, 7200.0):
            await trio.sleep(2)
            offset_s = jump_s
            caller.ask("When?")
            await caller.until("response.done")
        caller.leave()
        await home.ended()
        times = [record.at.timestamp() for record in home.records.first]
        assert times == sorted(times)
        assert times[-1] - times[0] == pytest.approx(4)


# Sound


def taken(home: House) -> list[tuple[object, ...]]:
    """What the first session's sound was told."""
    return next(iter(home.records.sounds.values())).told


def frames(told: list[tuple[object, ...]], side: str) -> list[object]:
    return [entry[2] for entry in told if entry[:2] == ("take", side)]


async def speaks_a_second(line: Line, _: Json) -> None:
    await line.speak(f"resp_{len(line.received)}", "We open at ten.", ms=1000)


async def test_both_sides_are_recorded_as_they_passed(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_a_second), records=Records(records_sound=True)) as home:
        caller = await home.opened()
        for number in range(5):
            caller.send("input_audio_buffer.append", audio=sound(50, number))
        caller.ask("When?")
        await caller.until("response.done")
        caller.leave()
        await home.ended()
        told = taken(home)
        assert frames(told, "client") == [sound(50, number).encode() for number in range(5)]
        spoken = [event["delta"].encode() for event in caller.of("response.output_audio.delta")]
        assert frames(told, "avatar") == spoken
        assert len(spoken) == 10
        assert told[-1] == ("finish",)


async def test_slashes_may_be_written_as_json_allows(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=Records(records_sound=True)) as home:
        caller = await home.opened()
        text = base64.b64encode(b"\xff" * 96)
        caller.say(b'{"audio":"%s","type":"input_audio_buffer.append"}' % text.replace(b"/", b"\\/"))
        await trio.sleep(1)
        assert frames(taken(home), "client") == [text]


async def test_what_is_not_heard_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_a_second), records=Records(records_sound=True)) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        await trio.sleep(0.5)
        assert ("cut", "avatar") not in taken(home)
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(0.1)
        assert taken(home)[-1] == ("cut", "avatar")


async def test_what_is_sent_again_to_who_comes_back_is_not_recorded_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    records = Records(records_sound=True)
    async with house(converse(speaks_a_second), limits=Limits(resume_s=60), records=records) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        await cut(caller)
        await trio.sleep(0.1)
        before = len(frames(taken(home), "avatar"))
        assert taken(home)[-1] == ("cut", "avatar")
        again = await back(home, caller)
        await trio.sleep(1)
        replayed = len(again.of("response.output_audio.delta"))
        assert len(frames(taken(home), "avatar")) == before + replayed


@pytest.mark.parametrize("audio_format", ["audio/pcmu", "audio/pcma"])
async def test_other_formats_are_missing_and_the_recording_and_the_log_say_so(
    autojump_clock: trio.testing.MockClock, audio_format: str
) -> None:
    async with house(converse(answers), records=Records(records_sound=True)) as home:
        caller = await home.opened()
        sides = {side: {"format": {"type": audio_format}} for side in ("input", "output")}
        caller.send("session.update", session={"type": "realtime", "audio": sides})
        await caller.until("session.updated")
        for _ in range(3):
            caller.send("input_audio_buffer.append", audio=base64.b64encode(bytes(800)).decode())
        caller.ask("When?")
        await caller.until("response.done")
        told = [entry for entry in taken(home) if entry[0] != "cut"]
        assert told[:3] == [("miss", "client", 100, "it is not PCM16")] * 3
        assert {entry[:2] for entry in told[3:]} == {("miss", "avatar")}
        lines = [entry for entry in home.log if entry["event"] == "sound is not recorded"]
        assert sorted(line["side"] for line in lines) == ["avatar", "client"]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"input_audio_buffer.append"}',
        b'{"type":"input_audio_buffer.append","audio":null}',
        b'{"type":"input_audio_buffer.append","audio":7}',
        b'{"type":"input_audio_buffer.append","audio":{"a":"b"}}',
        b'{"type":"input_audio_buffer.append","audio":',
        b'{"type":"response.create","response":{"instructions":"input_audio_buffer.append"}}',
    ],
)
async def test_what_is_no_sound_is_not_recorded(autojump_clock: trio.testing.MockClock, frame: bytes) -> None:
    async with house(converse(answers), records=Records(records_sound=True)) as home:
        caller = await home.opened()
        caller.say(frame)
        await trio.sleep(1)
        assert frames(taken(home), "client") == []
        assert len(home.registry) == 1


async def test_where_no_sound_is_wanted_none_is_looked_at(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_a_second), records=True) as home:
        caller = await home.opened()
        caller.send("input_audio_buffer.append", audio=sound(50, 1))
        caller.ask("When?")
        await caller.until("response.done")
        assert home.records.sounds == {}
