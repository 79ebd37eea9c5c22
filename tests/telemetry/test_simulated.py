"""Simulated sessions with faults are watched: what was counted adds up, and watching changes nothing."""

from functools import partial

import pytest
import trio

from protocol.endings import EndReason
from server.session.registry import SessionRegistry
from server.telemetry.catalogue import BY_NAME
from server.telemetry.metrics import Labels, Metrics
from server.telemetry.watching import Watcher
from server.tools.registry import ToolRegistry
from server.tools.search import search_tool
from server.upstream.link import UpstreamLink
from tests.simulation import world
from tests.simulation.run import run_seed
from tests.telemetry.spans import KeptSpan, Tracer

SEEDS = range(100, 120)


def watched(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Metrics, Tracer]:
    """What became of a seed: its digest, and what was counted and traced."""
    tracer = Tracer()
    watcher = Watcher(Metrics(), tracer, clock=trio.current_time)
    with monkeypatch.context() as patched:
        patched.setattr(world, "SessionRegistry", partial(SessionRegistry, watch=watcher.session))
        patched.setattr(world, "UpstreamLink", partial(UpstreamLink, observer=watcher))
        patched.setattr(world, "ToolRegistry", partial(ToolRegistry, observer=watcher))
        patched.setattr(world, "search_tool", partial(search_tool, observer=watcher))
        verdict = run_seed(seed, keep_journal=True)
    assert verdict.violations == []
    return verdict.digest, watcher.metrics, tracer


def counted(metrics: Metrics, name: str) -> dict[Labels, float]:
    return next((dict(family.values) for family in metrics.snapshot() if family.spec.name == name), {})


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_counted_adds_up_and_nothing_is_changed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, metrics, tracer = watched(seed, monkeypatch)
    assert digest == run_seed(seed, keep_journal=True).digest

    started = sum(counted(metrics, "liveavatar_sessions_started_total").values())
    ended = counted(metrics, "liveavatar_sessions_ended_total")
    assert started == sum(ended.values()) == metrics.distribution("liveavatar_session_seconds").count > 0
    assert ended.keys() == {(reason.label,) for reason in EndReason}, "every reason is one of these"

    errands = {
        "liveavatar_tool_calls_total": "tool",
        "liveavatar_searches_total": "search",
        "liveavatar_upstream_connects_total": "connect",
    }
    for name, kind in errands.items():
        total = counted(metrics, name)
        assert sum(total.values()) == len(tracer.of(kind))
        outcomes = BY_NAME[name].values_of("outcome")
        assert outcomes is not None
        assert {labels[-1] for labels in total} <= set(outcomes)
    assert sum(counted(metrics, "liveavatar_upstream_connects_total").values()) >= started

    sessions = tracer.of("session")
    assert len(sessions) == started
    assert [span for span in tracer.spans if span.ended is None] == []
    assert all(root(span) in sessions for span in tracer.spans)
    heard = sum(metrics.distribution("liveavatar_first_audio_seconds", after).count for after in ("speech", "question"))
    waited = [turn for turn in tracer.of("turn") if turn.ended and "liveavatar.first_audio_s" in turn.ended]
    assert heard == len(waited)


def root(span: KeptSpan) -> KeptSpan:
    while span.parent is not None:
        span = span.parent
    return span
