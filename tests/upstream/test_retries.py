"""The retry budget: never more than its share of the requests and the reserve, whatever comes when."""

from hypothesis import given
from hypothesis import strategies as st

from server.upstream.retries import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spent(budget: RetryBudget) -> int:
    count = 0
    while budget.spend():
        count += 1
    return count


def test_a_reserve_and_a_fifth() -> None:
    budget = RetryBudget(now=Clock())
    assert spent(budget) == 10
    for _ in range(50):
        budget.earn()
    assert spent(budget) in (9, 10)  # fifths do not add up to the last digit


def test_the_reserve_comes_back_and_not_more() -> None:
    clock = Clock()
    budget = RetryBudget(now=clock)
    spent(budget)
    clock.now += 7
    assert spent(budget) == 1
    clock.now += 3600
    assert spent(budget) in (9, 10)  # all but the last digit


def test_quiet_days_do_not_save_up_for_a_storm() -> None:
    clock = Clock()
    budget = RetryBudget(now=clock)
    for _ in range(24 * 60):
        budget.earn()
        clock.now += 60
    assert spent(budget) == 10


@given(st.lists(st.sampled_from(["request", "retry", "retry", "second"]), max_size=300))
def test_never_more_than_that(steps: list[str]) -> None:
    clock = Clock()
    budget = RetryBudget(now=clock)
    requests = retries = 0
    for step in steps:
        match step:
            case "request":
                budget.earn()
                requests += 1
            case "retry":
                retries += budget.spend()
            case "second":
                clock.now += 1
        assert retries <= 0.2 * requests + 10 + 10 * clock.now / 60 + 1e-6
