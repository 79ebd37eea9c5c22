"""The breaker: when it opens, when it may be asked again, and that only one asks at a time."""

from dataclasses import dataclass, field

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from server.breaker import BreakerState, CircuitBreaker, Permit

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A breaker with short numbers on a clock that is set by hand."""

    clock: Clock = field(default_factory=Clock)
    breaker: CircuitBreaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker("service", failures=3, cool_down_s=1, max_cool_down_s=4, now=self.clock)

    def permit(self) -> Permit:
        permit = self.breaker.admit()
        assert permit is not None
        return permit

    def opened(self) -> "Bench":
        for _ in range(3):
            self.permit().failed()
        assert self.breaker.state is OPEN
        return self


def test_so_many_failures_in_a_row_open_it() -> None:
    bench = Bench()
    for _ in range(2):
        bench.permit().failed()
    bench.permit().succeeded()
    for failures in (1, 2):
        bench.permit().failed()
        assert (bench.breaker.state, bench.breaker.failures) == (CLOSED, failures)
    bench.permit().failed()
    assert bench.breaker.state is OPEN
    assert bench.breaker.admit() is None
    assert (bench.breaker.opened_at, bench.breaker.retry_at, bench.breaker.retry_in_s()) == (1000, 1001, 1)


def test_by_default_it_is_five() -> None:
    breaker = CircuitBreaker("service", now=Clock())
    states = []
    for _ in range(5):
        permit = breaker.admit()
        assert permit is not None
        permit.failed()
        states.append(breaker.state)
    assert states == [CLOSED] * 4 + [OPEN]


def test_after_the_cool_down_one_asks_and_success_closes_it() -> None:
    bench = Bench().opened()
    bench.clock.now += 0.999
    assert bench.breaker.admit() is None
    bench.clock.now += 0.001
    probe = bench.permit()
    assert probe.is_probe
    assert bench.breaker.state is HALF_OPEN
    assert bench.breaker.admit() is None
    probe.succeeded()
    assert (bench.breaker.state, bench.breaker.failures) == (CLOSED, 0)
    assert bench.breaker.opened_at is bench.breaker.retry_at is None
    assert not bench.permit().is_probe


def admitted(breaker: CircuitBreaker) -> list[Permit]:
    """As many as are let in at once, up to a thousand."""
    found: list[Permit] = []
    while len(found) < 1000 and (permit := breaker.admit()) is not None:
        found.append(permit)
    return found


def test_closed_again_it_lets_in_few_at_first_and_soon_everybody() -> None:
    bench = Bench()
    assert len(admitted(bench.breaker)) == 1000, "who was never in trouble has no bound"
    bench.opened().clock.now += 1
    bench.permit().succeeded()
    turns: list[int] = []
    while len(turns) < 10:
        together = admitted(bench.breaker)
        turns.append(len(together))
        for permit in together:
            permit.succeeded()
    assert turns[:4] == [4, 12, 36, 1000]


def test_those_who_fail_or_leave_make_room_and_no_more() -> None:
    bench = Bench().opened()
    bench.clock.now += 1
    bench.permit().succeeded()
    a, b, c, d = admitted(bench.breaker)
    a.give_back()
    b.failed()
    assert len(admitted(bench.breaker)) == 2
    c.failed()
    d.failed()
    assert bench.breaker.state is OPEN


def test_each_failed_question_doubles_the_cool_down_up_to_a_limit_and_success_resets_it() -> None:
    bench = Bench().opened()
    waits = []
    for _ in range(4):
        bench.clock.now += bench.breaker.retry_in_s()
        bench.permit().failed()
        waits.append(bench.breaker.retry_in_s())
    assert waits == [2, 4, 4, 4]
    assert bench.breaker.opened_at == 1000
    bench.clock.now += 4
    bench.permit().succeeded()
    assert bench.opened().breaker.retry_in_s() == 1


def test_a_question_that_is_cancelled_gives_its_place_to_the_next() -> None:
    bench = Bench().opened()
    bench.clock.now += 1
    for _ in range(3):
        with bench.permit():
            assert bench.breaker.admit() is None
        assert bench.breaker.state is HALF_OPEN
    with pytest.raises(KeyError), bench.permit():
        raise KeyError
    bench.permit().succeeded()
    assert bench.breaker.state is CLOSED


def test_the_first_verdict_counts() -> None:
    bench = Bench()
    with bench.permit() as permit:
        permit.failed()
        permit.failed()
        permit.succeeded()
    assert bench.breaker.failures == 1


def test_a_service_that_says_when_to_come_back_is_left_alone_from_then_on() -> None:
    bench = Bench()
    bench.permit().failed(retry_after_s=60)
    assert (bench.breaker.state, bench.breaker.retry_in_s()) == (OPEN, 60)
    bench.clock.now += 59.9
    assert bench.breaker.admit() is None
    bench.clock.now += 0.1
    bench.permit().failed(retry_after_s=0.1)
    assert bench.breaker.retry_in_s() == 1, "but a cool-down is a cool-down"


@pytest.mark.parametrize("retry_after_s", [None, 0.0, -5.0])
def test_no_wait_is_none(retry_after_s: float | None) -> None:
    bench = Bench()
    bench.permit().failed(retry_after_s)
    assert bench.breaker.state is CLOSED


def test_what_was_asked_before_it_opened_is_no_news() -> None:
    bench = Bench()
    late = [bench.permit() for _ in range(4)]
    bench.opened()
    late[0].failed()
    late[1].succeeded()
    assert (bench.breaker.state, bench.breaker.failures, bench.breaker.retry_in_s()) == (OPEN, 3, 1)
    bench.clock.now += 1
    probe = bench.permit()
    late[2].succeeded()
    late[3].give_back()
    assert bench.breaker.state is HALF_OPEN
    assert bench.breaker.admit() is None
    probe.succeeded()
    assert bench.breaker.state is CLOSED


def test_but_its_retry_after_is_obeyed() -> None:
    bench = Bench()
    late = [bench.permit() for _ in range(3)]
    bench.opened()
    late[0].failed(retry_after_s=10)
    late[1].failed(retry_after_s=5)
    assert bench.breaker.retry_in_s() == 10
    bench.clock.now += 10
    probe = bench.permit()
    late[2].failed(retry_after_s=7)
    assert bench.breaker.admit() is None, "the question under way is still the only one"
    probe.succeeded()
    assert (bench.breaker.state, bench.breaker.retry_in_s()) == (OPEN, 7)
    bench.clock.now += 7
    bench.permit().succeeded()
    assert bench.breaker.state is CLOSED


def test_each_change_is_logged_once() -> None:
    with structlog.testing.capture_logs() as log:
        bench = Bench()
        late = bench.permit()
        bench.opened()
        late.failed(retry_after_s=2)
        bench.clock.now += 2
        bench.permit().succeeded()
    assert [(entry["event"], entry["log_level"]) for entry in log] == [
        ("breaker opened", "warning"),
        ("breaker half-open", "info"),
        ("breaker closed", "info"),
    ]
    assert all(entry["breaker"] == "service" for entry in log)
    assert (log[0]["failures"], log[0]["retry_in_s"], log[2]["was_open_s"]) == (3, 1, 2)


STEPS = st.one_of(
    st.just(("ask", 0.0)),
    st.tuples(st.just("pass"), st.floats(0, 5)),
    st.tuples(st.sampled_from(["succeed", "give back"]), st.floats(0, 1)),
    st.tuples(st.just("fail"), st.floats(0, 1)),
    st.tuples(st.just("fail later"), st.floats(0, 1)),
)


@given(st.lists(STEPS, max_size=60), st.floats(0.01, 10))
def test_whatever_happens_it_is_asked_by_its_rules(steps: list[tuple[str, float]], retry_after_s: float) -> None:
    bench = Bench()
    breaker, clock = bench.breaker, bench.clock
    out: list[Permit] = []
    not_before = 0.0
    for what, number in steps:
        match what:
            case "ask":
                was = breaker.state
                permit = breaker.admit()
                if permit is not None:
                    assert clock.now >= not_before
                    assert was is CLOSED or permit.is_probe
                    out.append(permit)
                else:
                    assert breaker.retry_in_s() > 0 or any(one.is_probe for one in out)
                assert sum(one.is_probe for one in out) <= 1
            case "pass":
                clock.now += number
            case _ if out:
                permit = out.pop(int(number * (len(out) - 1)))
                match what:
                    case "succeed":
                        permit.succeeded()
                    case "give back":
                        permit.give_back()
                    case "fail":
                        permit.failed()
                    case "fail later":
                        permit.failed(retry_after_s)
                        not_before = max(not_before, clock.now + retry_after_s)
        assert (breaker.state is CLOSED) == (breaker.opened_at is None)
        assert breaker.state is not CLOSED or breaker.failures < 3
    for permit in out:
        permit.give_back()
    # Whatever happened, it can be asked again, and a good answer closes it.
    clock.now += max(breaker.retry_in_s(), 0) + 1e-6
    bench.permit().succeeded()
    assert breaker.state is CLOSED
