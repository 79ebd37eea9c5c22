"""Cancellation at every step: whatever the moment, nothing of a session remains, and it is closed at most once.

Each scenario is run once to count the steps the scheduler takes for it, and then again for every one of them with a
cancel there. The virtual clock makes the runs alike; the order of tasks within one step of the scheduler is trio's
own and varies, which only adds to what is seen.
"""

import re
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.abc
import trio.testing

from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from protocol.endings import EndReason
from server.session.session import Session
from server.transport.errors import ConnectFailed, HandshakeRefused
from server.upstream.base import UpstreamRefused
from tests.session.house import House, house, tool
from tests.session.service import Json, Line, Script, converse, sound
from tests.session.test_session_reconnect import expiring
from tests.session.test_session_resume import back

BUSY = UpstreamRefused("Busy.", code="upstream_http_503", retryable=True)


class StepCounter(trio.abc.Instrument):
    """Counts the scheduler's task steps and calls ``strike`` before the one numbered ``at``."""

    def __init__(self, at: int | None) -> None:
        self.steps = 0
        self.at = at
        self.strike: Callable[[], None] | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.strike is None:
            return
        self.steps += 1
        if self.steps == self.at:
            strike, self.strike = self.strike, lambda: None
            strike()


async def searches(line: Line, _: Json) -> None:
    line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"x"}'), ("call_2", "nap", "{}"))


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_2", "At ten.", ms=300, gap_s=0.05)


async def answers_anew(line: Line, _: Json) -> None:
    await line.speak("resp_3", "As I said, at ten.")


async def nap() -> ToolResult:
    await trio.sleep(0.5)
    return ToolResult("{}")


async def a_question(home: House) -> None:
    """Opening, a question, two tools, an answer, and the client's leave."""
    caller = await home.caller()
    await caller.until("session.created")
    caller.ask("When?")
    await caller.until("response.done")
    caller.leave()
    await caller.gone.wait()


async def a_barge_in(home: House) -> None:
    """Speech both ways; the person interrupts and is answered anew."""
    caller = await home.caller()
    await caller.until("session.created")
    caller.send("response.create")
    await caller.until("response.output_audio.delta")
    caller.send("input_audio_buffer.append", audio=sound(100))
    home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
    await caller.until("input_audio_buffer.speech_started")
    caller.send("response.cancel")
    await caller.until("response.done")
    caller.leave()
    await caller.gone.wait()


async def a_hard_opening(home: House) -> None:
    """Two refusals before the service lets us in, and what the client says meanwhile."""
    caller = await home.caller(path="/v1/realtime")
    caller.send("input_audio_buffer.append", audio=sound(20))
    await caller.until("session.created")
    caller.wire.reset()
    await caller.gone.wait()


async def a_lost_service(home: House) -> None:
    """The service breaks off within an answer; another connection goes on with it."""
    caller = await home.caller()
    await caller.until("session.created")
    caller.ask("When?")
    await caller.until("response.output_audio.delta")
    home.line.wire.reset()
    await caller.until("response.done")
    await caller.until("response.done")
    caller.leave()
    await caller.gone.wait()


async def a_service_lost_for_good(home: House) -> None:
    """The service breaks off, and no other connection is to be had."""
    caller = await home.caller()
    await caller.until("session.created")
    home.line.wire.reset()
    await caller.gone.wait()


async def a_client_that_comes_back(home: House) -> None:
    """A client is cut off within an answer, comes back, and gets the rest."""
    caller = await home.caller()
    await caller.until("session.created")
    caller.ask("When?")
    await caller.until("response.output_audio.delta")
    caller.wire.reset()
    await caller.gone.wait()
    again = await back(home, caller)
    await again.until("response.done")
    again.leave()
    await again.gone.wait()


async def a_rollover(home: House) -> None:
    """A connection nears its end while the client is silent, and its successor takes over."""
    caller = await home.caller()
    await caller.until("session.created")
    await trio.sleep(25)
    caller.ask("When?")
    await caller.until("response.done")
    caller.leave()
    await caller.gone.wait()


# Virtual seconds; an avatar that waits for good would else be pinged for good.
_LONGEST_S = 200.0
# What a scenario's client says when it is broken off.
BROKEN_OFF = re.compile(r" before |within the handshake")

Scenario = Callable[[House], Awaitable[None]]
SCENARIOS: dict[str, tuple[Scenario, tuple[Script | UpstreamRefused, ...]]] = {
    "a question": (a_question, (converse(searches, answers),)),
    "a barge-in": (a_barge_in, (converse(answers, answers),)),
    "a hard opening": (a_hard_opening, (BUSY, BUSY, converse())),
    "a lost service": (a_lost_service, (converse(answers), converse(answers_anew))),
    "a service lost for good": (a_service_lost_for_good, (converse(), BUSY)),
    "a client that comes back": (a_client_that_comes_back, (converse(answers),)),
    "a rollover": (a_rollover, (expiring(40, answers), expiring(400, answers))),
}


def end_sessions(home: House) -> None:
    home.registry.stop(EndReason.GOING_AWAY, "The server is shutting down.")


def cancel_registry(home: House) -> None:
    home.excused.add("Nursery is closed to new arrivals")  # what trio says to a session that would still open there
    home.sessions.cancel_scope.cancel()


def cancel_connection(home: House) -> None:
    for scope in home.connections:
        scope.cancel()


CANCELS: dict[str, Callable[[House], None]] = {
    "the registry is stopped": end_sessions,
    "the registry's nursery is cancelled": cancel_registry,
    "the client's connection is cancelled": cancel_connection,
}


def run(scenario: str, cancel: Callable[[House], None], at: int | None) -> tuple[int, list[str]]:
    """One run; returns its steps and how often each session was closed."""
    counter = StepCounter(at)
    play, scripts = SCENARIOS[scenario]
    closes: list[str] = []
    close = Session._close

    def noted(self: Session, reason: EndReason, message: str) -> None:
        closes.append(self.session_id)
        close(self, reason, message)

    async def main() -> None:
        limits = Limits(resume_s=20, rollover_s=20, reconnect_s=5)
        async with house(*scripts, tools=[tool("nap", nap)], limits=limits) as home:
            counter.strike = lambda: cancel(home)
            async with trio.open_nursery() as playing:

                async def to_its_end() -> None:
                    try:
                        with trio.fail_after(_LONGEST_S):
                            await play(home)
                    except (AssertionError, ConnectFailed) as broken_off:
                        # The scenario's client waits for what does not come any more; that is what was asked for.
                        if at is None or not BROKEN_OFF.search(str(broken_off)):
                            raise
                    except HandshakeRefused as refusal:
                        # On a Realtime path whoever comes when there is no server any more is told so by HTTP.
                        if at is None or refusal.status != 503:
                            raise
                    playing.cancel_scope.cancel()

                playing.start_soon(to_its_end)
                if at is not None:
                    playing.start_soon(_leave_after, playing, 30)
            counter.strike = None

    Session._close = noted  # type: ignore[method-assign]
    try:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[counter])
    finally:
        Session._close = close  # type: ignore[method-assign]
    return counter.steps, closes


async def _leave_after(playing: trio.Nursery, seconds: float) -> None:
    await trio.sleep(seconds)
    playing.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("cancel", CANCELS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_cancel_at_any_step_leaves_nothing(scenario: str, cancel: str) -> None:
    steps, closes = run(scenario, CANCELS[cancel], None)
    assert len(closes) == 1
    assert steps > 30
    for at in range(1, steps + 1):
        _, closes = run(scenario, CANCELS[cancel], at)  # `house` itself checks that nothing remains
        assert len(closes) <= 1, f"closed {len(closes)} times when cancelled at step {at} of {steps}"
