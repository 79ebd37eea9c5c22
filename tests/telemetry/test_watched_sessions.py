"""Whole sessions in memory, watched: what they tell is what happened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
import trio
from trio.testing import MockClock

from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from server.telemetry.metrics import Metrics
from server.telemetry.watching import Watcher
from server.upstream.base import UpstreamRefused
from tests.session.house import House, house, tool
from tests.session.service import Json, Line, converse
from tests.telemetry.spans import Tracer

WRONG_KEY = UpstreamRefused("The key is wrong.", code="upstream_http_401")


async def answers(line: Line, _: Json) -> None:
    await line.speak(f"resp_{len(line.received)}", "We open at ten.")


@asynccontextmanager
async def watched(*args: Any, **kwargs: Any) -> AsyncIterator[tuple[House, Metrics, Tracer]]:
    """A house whose sessions are watched."""
    tracer = Tracer()
    watcher = Watcher(Metrics(), tracer)
    async with house(*args, **kwargs) as home:
        home.registry._watch = watcher.session
        yield home, watcher.metrics, tracer


async def test_a_spoken_answer(autojump_clock: MockClock) -> None:
    async with watched(converse(answers)) as (home, metrics, tracer):
        trace = "0af7651916cd43dd8448eb211c80319c"
        caller = await home.opened(headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        caller.ask("When do you open?")
        await caller.until("response.done")
        census = home.registry.census()
        assert (census.attached, census.awaited, census.connections) == (1, 0, {"place 1": 1})
        caller.leave()
        await home.ended()
        assert metrics.distribution("liveavatar_first_audio_seconds", "question").count == 1
        assert metrics.value("liveavatar_responses_total", "completed") == 1
        assert metrics.value("liveavatar_sessions_started_total", "/ws") == 1
        assert metrics.value("liveavatar_sessions_ended_total", "completed") == 1
        assert metrics.value("liveavatar_tokens_total", "output", "text") > 0
        for side, way in (("client", "in"), ("client", "out"), ("upstream", "in"), ("upstream", "out")):
            assert metrics.value("liveavatar_bytes_total", side, way) > 0
        session, turn = tracer.spans
        assert (session.name, turn.name, session.trace_id) == ("session", "turn", trace)
        assert session.ended is not None
        assert turn.ended is not None


async def test_whatever_works_for_a_session_says_so_in_the_log(autojump_clock: MockClock) -> None:
    found: list[dict[str, Any]] = []

    async def look() -> ToolResult:
        await trio.lowlevel.checkpoint()
        found.append(structlog.contextvars.get_contextvars())
        return ToolResult("{}")

    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "look", "{}"))

    async with watched(converse(calls, answers), tools=[tool("look", look)]) as (home, _, _):
        caller = await home.opened()
        caller.ask("Look.")
        await caller.until("response.done")
        (hello,) = caller.of("avatar.session")
        assert found == [{"session_id": hello["session_id"], "trace_id": f"{1:032x}"}]
        assert "session_id" not in structlog.contextvars.get_contextvars()


async def test_a_client_that_is_awaited_and_comes_back(autojump_clock: MockClock) -> None:
    async with watched(converse(answers), limits=Limits(resume_s=30)) as (home, metrics, _):
        caller = await home.opened()
        (hello,) = caller.of("avatar.session")
        caller.wire.reset()
        await trio.sleep(1)
        census = home.registry.census()
        assert (census.attached, census.awaited) == (0, 1)
        resume = {"session_id": hello["session_id"], "token": hello["resume_token"]}
        again = await home.caller({"type": "session.init", "kb_id": "museum", "resume": resume})
        await again.until("avatar.session")
        assert home.registry.census().attached == 1
        assert metrics.value("liveavatar_resumes_total") == 1
        again.wire.reset()
        await home.ended()
        assert metrics.value("liveavatar_sessions_ended_total", "client_lost") == 1


async def test_a_connection_that_is_lost_and_made_again(autojump_clock: MockClock) -> None:
    async with watched(converse(answers), converse(answers)) as (home, metrics, _):
        await home.opened()
        home.line.wire.reset()
        await trio.sleep(5)
        assert metrics.value("liveavatar_upstream_reconnects_total") == 1
        assert metrics.value("liveavatar_upstream_rollovers_total") == 0
        assert metrics.value("liveavatar_errors_total", "upstream", "upstream_lost") == 1


async def test_a_service_that_refuses(autojump_clock: MockClock) -> None:
    async with watched(WRONG_KEY) as (home, metrics, tracer):
        caller = await home.caller()
        await caller.closed()
        await home.ended()
        assert metrics.value("liveavatar_errors_total", "upstream", "upstream_http_401") == 1
        assert metrics.value("liveavatar_sessions_ended_total", "upstream_unavailable") == 1
        assert [span.name for span in tracer.spans] == ["session"]


async def test_a_fault_of_ours(autojump_clock: MockClock) -> None:
    async with watched(converse(answers)) as (home, metrics, tracer):
        caller = await home.opened()
        (session,) = home.registry._sessions.values()
        session._conversation.on_client = None  # type: ignore[method-assign, assignment]
        caller.ask("When do you open?")
        await home.ended()
        assert metrics.value("liveavatar_errors_total", "internal", "session_failed") == 1
        assert metrics.value("liveavatar_sessions_ended_total", "internal") == 1
        assert tracer.spans[0].failed
