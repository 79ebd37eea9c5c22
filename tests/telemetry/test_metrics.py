"""Metrics count what they are told, in bounded memory, each server its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.telemetry.catalogue import BY_NAME
from server.telemetry.metrics import MAX_SERIES, OTHER, Distribution, Family, Metrics


def family(metrics: Metrics, name: str) -> Family | None:
    return next((found for found in metrics.snapshot() if found.spec.name == name), None)


def test_a_counter_counts_by_its_labels() -> None:
    metrics = Metrics()
    metrics.add("liveavatar_searches_total", "found")
    metrics.add("liveavatar_searches_total", "found", by=2)
    metrics.add("liveavatar_searches_total", "empty")
    assert metrics.value("liveavatar_searches_total", "found") == 3
    assert metrics.value("liveavatar_searches_total", "empty") == 1
    assert Metrics().value("liveavatar_searches_total", "found") == 0, "another server's are its own"


def test_what_can_be_foreseen_is_there_with_a_zero_before_it_happens() -> None:
    """A counter that appears with a 1 has no increase, and an alert on its first event would never fire."""
    ended = family(Metrics(), "liveavatar_sessions_ended_total")
    assert ended is not None
    assert ended.values["internal",] == 0
    assert family(Metrics(), "liveavatar_resumes_total") is not None
    assert family(Metrics(), "liveavatar_refusals_total") is None


def test_a_name_or_labels_that_are_not_in_the_catalogue_are_a_mistake() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.add("liveavatar_nothing_total")
    with pytest.raises(KeyError):
        metrics.add("liveavatar_search_seconds")
    with pytest.raises(KeyError):
        metrics.ask("liveavatar_nothing", lambda: 1)
    with pytest.raises(ValueError, match="has the labels"):
        metrics.add("liveavatar_searches_total")
    with pytest.raises(ValueError, match="has the labels"):
        metrics.observe("liveavatar_search_seconds", 0.1, "found")


def test_label_values_without_end_are_counted_together() -> None:
    metrics = Metrics()
    for number in range(MAX_SERIES + 50):
        metrics.add("liveavatar_tool_calls_total", f"tool {number}", "answered")
        metrics.observe("liveavatar_tool_seconds", 0.1, f"tool {number}")
    calls, seconds = family(metrics, "liveavatar_tool_calls_total"), family(metrics, "liveavatar_tool_seconds")
    assert calls is not None
    assert seconds is not None
    assert len(calls.values) == len(seconds.distributions) == MAX_SERIES + 1
    assert metrics.value("liveavatar_tool_calls_total", OTHER, OTHER) == 50
    assert seconds.distributions[OTHER,].count == 50
    metrics.add("liveavatar_tool_calls_total", "tool 0", "answered")
    assert metrics.value("liveavatar_tool_calls_total", "tool 0", "answered") == 2


def test_a_gauge_is_asked_when_somebody_looks() -> None:
    metrics = Metrics()
    now = {"up": None}
    metrics.ask("liveavatar_store_up", lambda: now["up"])
    metrics.ask("liveavatar_refusals_total", lambda: {(f"code {number}",): 1.0 for number in range(MAX_SERIES + 3)})
    assert family(metrics, "liveavatar_store_up") is None, "what nobody knows is not shown"
    now["up"] = 1  # type: ignore[assignment]
    assert metrics.value("liveavatar_store_up") == 1
    refusals = family(metrics, "liveavatar_refusals_total")
    assert refusals is not None
    assert refusals.values[OTHER,] == 3


def test_what_is_counted_here_and_there_is_shown_together() -> None:
    metrics = Metrics()
    metrics.add("liveavatar_errors_total", "upstream", "upstream_lost")
    metrics.ask("liveavatar_errors_total", lambda: {("internal", "connection_failed"): 2.0})
    errors = family(metrics, "liveavatar_errors_total")
    assert errors is not None
    assert errors.values == {("upstream", "upstream_lost"): 1, ("internal", "connection_failed"): 2}
    assert metrics.value("liveavatar_errors_total", "internal", "connection_failed") == 2


def test_a_snapshot_does_not_change_any_more() -> None:
    metrics = Metrics()
    metrics.observe("liveavatar_search_seconds", 0.3)
    before = family(metrics, "liveavatar_search_seconds")
    metrics.observe("liveavatar_search_seconds", 0.3)
    assert before is not None
    assert before.distributions[()].count == 1


@given(values=st.lists(st.floats(min_value=0, max_value=100)))
def test_a_histogram_has_each_value_in_the_bucket_whose_end_it_does_not_exceed(values: list[float]) -> None:
    bounds = BY_NAME["liveavatar_search_seconds"].bounds
    held = Distribution([0] * (len(bounds) + 1))
    for value in values:
        held.add(bounds, value)
    assert held.count == len(values)
    assert held.total == pytest.approx(sum(values))
    for place, bound in enumerate(bounds):
        assert sum(held.counts[: place + 1]) == sum(value <= bound for value in values)
