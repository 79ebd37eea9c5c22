"""Random fault schedules: a sample here, a thousand where the build server runs, and any number by hand."""

import os
from collections import Counter

import pytest

from tests.simulation.faults import CELLS
from tests.simulation.plan import make
from tests.simulation.tally import Tally, report, run_range

SEEDS = 1000 if os.environ.get("TESTS_REQUIRE_SERVICES") else 200
AT_ONCE = 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_promises_hold_whatever_breaks(first: int) -> None:
    tally = run_range(range(first, first + AT_ONCE))
    assert not tally.failed, "\n".join(report(seed, violations) for seed, violations in tally.failed.items())
    assert tally.runs == AT_ONCE


def test_ten_thousand_seeds_plan_each_cell_of_the_fault_matrix_a_hundred_times() -> None:
    planned = Counter((fault.name, fault.phase) for seed in range(10_000) for fault in make(seed).faults)
    rare = {cell: planned[cell] for cell in CELLS if planned[cell] < 130}
    assert not rare


def test_a_failing_seed_tells_how_it_is_replayed() -> None:
    assert "python -m tests.simulation --seed 12 -v" in report(12, ["something was lost"])


def test_sums_of_sums_are_sums() -> None:
    one, other = Tally(runs=1, failed={3: ["x"]}), Tally(runs=2, struck=Counter({CELLS[0]: 2}))
    one.merge(other)
    assert (one.runs, one.failed, one.struck[CELLS[0]]) == (3, {3: ["x"]}, 2)
    assert len(one.never()) == len(CELLS) - 1
    assert one.kinds() == {"x": [3]}
    assert Tally(failed={1: ["session 0: no item twice: a", "b"], 2: ["session 4: no item twice: c"]}).kinds() == {
        "no item twice": [1, 2]
    }
    assert "SIGKILL" in one.table()
