import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Repeated, Spread, difference, ratio


def test_percentiles_are_values_of_the_sample_by_nearest_rank() -> None:
    spread = Spread.of(range(1, 1001))
    assert (spread.p90, spread.p99, spread.p999, spread.highest) == (900, 990, 999, 1000)
    assert spread.p50 == 500.5


def test_a_percentile_that_the_sample_is_too_small_for_is_not_given() -> None:
    spread = Spread.of(range(50))
    assert spread.p90 == 44
    assert spread.p99 is None
    assert spread.p999 is None


def test_no_values_give_no_figures() -> None:
    assert Spread.of([]) == Spread(count=0)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=3000), st.sampled_from([("p90", 0.9), ("p99", 0.99)]))
def test_at_least_the_stated_share_lies_at_or_below_a_percentile(values: list[int], which: tuple[str, float]) -> None:
    name, share = which
    found = getattr(Spread.of(values), name)
    if found is None:
        assert len(values) * (1 - share) < 1 + 1e-6
    else:
        assert sum(value <= found for value in values) >= math.floor(len(values) * share)
        assert any(value > found or value == max(values) for value in values)


def test_a_figure_that_failed_in_one_round_is_no_figure() -> None:
    assert Repeated.of([1.0, None, 3.0]) is None
    assert Repeated.of([]) is None
    assert Repeated.of([1.0, 5.0, 3.0]) == Repeated(median=3.0, lowest=1.0, highest=5.0, rounds=3)


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    assert ratio(1.0, None) is None
    assert ratio(None, 1.0) is None
    assert ratio(1.0, 0.0) is None
    assert ratio(3.0, 2.0) == pytest.approx(1.5)
    assert difference(None, 1.0) is None
    assert difference(3.0, 1.0) == pytest.approx(2.0)
