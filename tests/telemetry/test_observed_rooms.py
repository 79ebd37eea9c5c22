"""Tools, searches and the link tell how their errands came out."""

import msgspec
import pytest
import trio
from trio.testing import MockClock

from protocol.conversation.actions import ToolResult
from protocol.errors import UpstreamFault
from server.knowledge.base import KnowledgeUnavailable, Passage
from server.telemetry.metrics import Metrics
from server.telemetry.watching import Watcher
from server.tools.registry import Tool, ToolFailed, ToolRegistry, ToolUnavailable
from server.tools.search import NAME, search_tool
from server.upstream.base import NoCredential
from server.upstream.deployment import deployment
from server.upstream.link import UpstreamLink
from tests.session.house import Shelf
from tests.upstream.outages import DOWN, NO, Place


class Nothing(msgspec.Struct):
    """No arguments."""


def lamp(error: Exception | None = None) -> Tool[Nothing]:
    async def switch(_: Nothing) -> ToolResult:
        await trio.lowlevel.checkpoint()
        if error is not None:
            raise error
        return ToolResult("{}")

    return Tool("lamp", "Switches a lamp.", Nothing, switch)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "answered"),
        (ToolFailed("It is broken."), "failed"),
        (ToolUnavailable("It is down."), "unavailable"),
        (ValueError("It is wrong."), "crashed"),
    ],
)
async def test_a_tools_outcome(error: Exception | None, outcome: str) -> None:
    watcher = Watcher(Metrics())
    await ToolRegistry([lamp(error)], timeout_s=5, observer=watcher).run("lamp", "{}")
    assert watcher.metrics.value("liveavatar_tool_calls_total", "lamp", outcome) == 1


async def test_a_tool_that_is_not_there_has_no_name_of_the_models_making() -> None:
    watcher = Watcher(Metrics())
    tools = ToolRegistry([lamp()], timeout_s=5, observer=watcher)
    await tools.run("made up", "{}")
    await tools.run("lamp", "no JSON")
    assert watcher.metrics.value("liveavatar_tool_calls_total", "unknown", "refused") == 1
    assert watcher.metrics.value("liveavatar_tool_calls_total", "lamp", "refused") == 1


async def test_a_tool_that_takes_too_long(autojump_clock: MockClock) -> None:
    async def sleeps(_: Nothing) -> ToolResult:
        await trio.sleep_forever()
        raise AssertionError

    watcher = Watcher(Metrics())
    tools = ToolRegistry([Tool("nap", "Sleeps.", Nothing, sleeps)], timeout_s=5, observer=watcher)
    await tools.run("nap", "{}")
    assert watcher.metrics.value("liveavatar_tool_calls_total", "nap", "timeout") == 1
    assert watcher.metrics.distribution("liveavatar_tool_seconds", "nap").total == pytest.approx(5)


class Gone(Shelf):
    """A shelf that nobody finds."""

    async def search(self, query: str, *, limit: int = 5) -> list[Passage]:
        await trio.lowlevel.checkpoint()
        raise KnowledgeUnavailable("down")


@pytest.mark.parametrize(
    ("shelf", "outcome"),
    [(Shelf("museum", "It opens at ten."), "found"), (Shelf("museum"), "empty"), (Gone("museum"), "unavailable")],
)
async def test_a_searchs_outcome(shelf: Shelf, outcome: str) -> None:
    watcher = Watcher(Metrics())
    search = search_tool(shelf, passages=3, observer=watcher)
    await ToolRegistry([search], timeout_s=5, observer=watcher).run(NAME, '{"query":"open?"}')
    assert watcher.metrics.value("liveavatar_searches_total", outcome) == 1
    assert watcher.metrics.distribution("liveavatar_search_seconds").count == 1
    told = "unavailable" if outcome == "unavailable" else "answered"
    assert watcher.metrics.value("liveavatar_tool_calls_total", NAME, told) == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (None, "connected"),
        (DOWN, "unreachable"),
        (NO, "refused"),
        (NoCredential("None to be had.", code="upstream_no_credential"), "no_credential"),
    ],
)
async def test_a_connects_outcome(fault: UpstreamFault | None, outcome: str, autojump_clock: MockClock) -> None:
    watcher = Watcher(Metrics())
    place = deployment(Place(lambda _number, _now: fault), name="west")
    link = UpstreamLink(place, attempts=1, timeout_s=10, observer=watcher)
    try:
        await (await link.connect()).aclose()
    except UpstreamFault:
        assert fault is not None
    assert watcher.metrics.value("liveavatar_upstream_connects_total", "west", outcome) == 1
    timed = watcher.metrics.distribution("liveavatar_upstream_connect_seconds", "west")
    assert timed.total == pytest.approx(0.1 if fault is None else 0)
