"""The server goes away: clients are told, who speaks may finish, within the grace, and nobody holds it up."""

import pytest
import trio
import trio.testing

from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from protocol.endings import EndReason
from tests.session.house import Caller, House, house, tool
from tests.session.service import Answer, Json, Line, converse, sound
from tests.session.test_session_reconnect import answers, second_line
from tests.session.test_session_resume import claim

RESTART = EndReason.RESTARTING
GRACE_S = 5.0


def drain(home: House, within_s: float = GRACE_S) -> float:
    """The server shall stop; when that was."""
    home.registry.drain(RESTART, RESTART.text, within_s)
    return trio.current_time()


async def asked(caller: Caller) -> None:
    caller.ask("When do you open?")
    await caller.until("response.output_audio.delta")


def speaks(ms: float, gap_s: float = 0.0) -> Answer:
    async def answer(line: Line, _: Json) -> None:
        await line.speak(f"resp_{len(line.received)}", "We open at ten.", ms=ms, gap_s=gap_s)

    return answer


async def test_who_only_listens_is_told_and_sent_away_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        began = drain(home)
        going = await caller.until("avatar.going_away")
        assert going["reason"] == RESTART.text
        assert going["reconnect_within_s"] > 0
        assert await caller.closed() == 1012
        assert trio.current_time() - began < 1
        assert caller.states()[-1] == "ending"
        assert caller.of("error")[-1]["error"]["code"] == "restarting"
    assert home.endings == ["restarting"]


async def test_what_is_being_said_is_finished_and_heard_out(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(3000, 0.05))) as home:
        caller = await home.opened()
        await asked(caller)
        began = drain(home)
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"
        assert await caller.closed() == 1012
        assert 2.5 <= trio.current_time() - began <= 3.5, "it was heard to its end"
        assert len(caller.of("response.output_audio.delta")) == 30


async def test_but_not_for_longer_than_the_grace(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(60_000, 0.1))) as home:
        caller = await home.opened()
        await asked(caller)
        began = drain(home)
        assert await caller.closed() == 1012
        assert GRACE_S - 0.1 <= trio.current_time() - began <= GRACE_S + 0.5


async def test_a_client_that_acknowledges_leaves_when_it_has_heard_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks(3000))) as home:
        caller = await home.opened()
        await asked(caller)
        done = await caller.until("response.done")
        item_id = done["response"]["output"][0]["id"]
        began = drain(home)
        await trio.sleep(1)
        caller.send("avatar.playback", item_id=item_id, played_ms=3000)  # faster than the clock
        assert await caller.closed() == 1012
        assert trio.current_time() - began < 1.5


async def test_who_is_away_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(60_000, 0.1)), limits=Limits(resume_s=120)) as home:
        caller = await home.opened()
        await asked(caller)
        caller.wire.reset()
        await trio.sleep(1)
        assert home.endings == []
        began = drain(home)
        await home.ended()
        assert trio.current_time() - began < 1
        late = await home.caller(claim(caller))
        assert await late.closed() in (1012, 4410)
    assert home.endings == ["restarting"]


async def test_who_goes_meanwhile_is_not_waited_for_either(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(60_000, 0.1)), limits=Limits(resume_s=120)) as home:
        caller = await home.opened()
        await asked(caller)
        began = drain(home)
        await trio.sleep(1)
        caller.wire.reset()
        await home.ended()
        assert trio.current_time() - began < 2


async def test_an_answer_that_waits_for_a_tool_is_spoken_if_there_is_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "nap", "{}"))

    async def nap() -> ToolResult:
        await trio.sleep(2)
        return ToolResult('{"slept":true}')

    async with house(converse(calls, answers), tools=[tool("nap", nap)]) as home:
        caller = await home.opened()
        caller.ask("Sleep.")
        await caller.until("avatar.state", state="searching")
        began = drain(home)
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"
        assert await caller.closed() == 1012
        assert 2 <= trio.current_time() - began <= 3


async def test_a_tool_that_takes_too_long_ends_with_its_session(autojump_clock: trio.testing.MockClock) -> None:
    ended: list[str] = []

    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "nap", "{}"))

    async def nap() -> ToolResult:
        try:
            await trio.sleep(100)
        finally:
            ended.append("nap")
        return ToolResult("{}")

    async with house(converse(calls), tools=[tool("nap", nap)]) as home:
        caller = await home.opened()
        caller.ask("Sleep.")
        await caller.until("avatar.state", state="searching")
        began = drain(home)
        assert await caller.closed() == 1012
        assert trio.current_time() - began <= GRACE_S + 0.5
        assert ended == ["nap"]
        lost = [entry["entry"] for entry in home.log if entry["event"] == "record" and "lost" in str(entry["entry"])]
        assert len(lost) == 1


async def test_a_client_that_reads_nothing_holds_up_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(60_000))) as home:
        deaf = await home.opened(capacity_bytes=4096)
        other = await home.opened()
        await asked(deaf)
        deaf.wire.stall()
        began = drain(home)
        assert await other.closed() == 1012
        assert trio.current_time() - began < 1
        await home.ended(2)
        assert trio.current_time() - began <= GRACE_S + 0.5
        deaf.wire.resume()
    assert sorted(home.endings) == ["restarting", "restarting"]


async def test_other_clients_may_finish_too_and_see_no_event_that_they_do_not_know(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks(2000, 0.05))) as home:
        caller = await home.opened(path="/v1/realtime")
        await asked(caller)
        drain(home)
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert await caller.closed() == 1012
        assert [kind for kind in caller.types() if kind.startswith("avatar.")] == []


async def test_nobody_new_is_let_in(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(4000, 0.1))) as home:
        caller = await home.opened()
        await asked(caller)
        drain(home)
        late = await home.caller()
        assert await late.closed() == 1012
        assert (await caller.until("response.done"))["response"]["status"] == "completed"


async def test_asked_a_second_time_it_is_sooner_and_stop_is_now(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(60_000, 0.1), speaks(60_000, 0.1))) as home:
        one = await home.opened()
        await asked(one)
        began = drain(home, 30)
        await trio.sleep(1)
        drain(home, 1)
        assert await one.closed() == 1012
        assert 1.9 <= trio.current_time() - began <= 2.5


async def test_stop_waits_for_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks(60_000, 0.1))) as home:
        caller = await home.opened()
        await asked(caller)
        drain(home, 30)
        await trio.sleep(1)
        began = trio.current_time()
        home.registry.stop(RESTART, RESTART.text)
        assert await caller.closed() == 1012
        assert trio.current_time() - began < 1


async def test_an_answer_that_breaks_off_is_finished_by_another_connection_within_the_grace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks(60_000, 0.1)), converse(answers)) as home:
        caller = await home.opened()
        await asked(caller)
        began = drain(home, 70)
        await trio.sleep(1)
        home.line.wire.reset()
        assert (await caller.until("response.done"))["response"]["status"] == "incomplete"
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert await caller.closed() == 1012
        assert trio.current_time() - began < 10
        await second_line(home)


async def test_who_answers_the_goodbye_does_not_keep_the_server(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(idle_prompt_s=20, idle_end_s=10, goodbye_s=15)
    async with house(converse(answers, speaks(60_000, 0.1), speaks(60_000, 0.1)), limits=limits) as home:
        caller = await home.opened()
        while len(home.line.of("response.create")) < 2:  # noqa: ASYNC110 - the goodbye has begun
            await trio.sleep(0.5)
        await trio.sleep(1)
        began = drain(home)
        caller.send("response.cancel")
        caller.ask("Wait!")
        assert await caller.closed() == 1012
        assert trio.current_time() - began <= GRACE_S + 0.5
    assert home.endings == ["restarting"]


@pytest.mark.parametrize("speaking", [False, True])
async def test_who_is_speaking_is_not_answered_any_more_but_told(
    autojump_clock: trio.testing.MockClock, speaking: bool
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        caller.send("input_audio_buffer.append", audio=sound(500))
        if speaking:
            home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(0.1)
        drain(home)
        await caller.until("avatar.going_away")
        assert await caller.closed() == 1012
