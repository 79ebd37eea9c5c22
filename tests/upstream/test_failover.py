"""The link over several deployments: which is asked, in what order, how soon again, and what is told in the end."""

from collections.abc import Callable, Iterator

import pytest
import structlog
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from server.breaker import BreakerState
from server.upstream.base import Connector, NoCredential, UpstreamConnection, UpstreamRefused, UpstreamResting
from server.upstream.deployment import Deployment, deployment
from server.upstream.link import UpstreamLink
from tests.upstream.outages import DOWN, FOREVER, NO, Connection, Place, always, busy, fine, first


def link(*services: Connector | Deployment, attempts: int = 4, timeout_s: float = 10.0) -> UpstreamLink:
    return UpstreamLink(*services, attempts=attempts, timeout_s=timeout_s)


def place_of(connection: UpstreamConnection) -> Place:
    assert isinstance(connection, Connection)
    return connection.place


def opened(place: Place, *, for_s: float) -> Deployment:
    """A deployment whose breaker was opened by its own word."""
    made = deployment(place)
    permit = made.breaker.admit()
    assert permit is not None
    permit.failed(retry_after_s=for_s)
    return made


async def test_the_first_is_taken_where_it_works(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Place(fine, name="a"), Place(fine, name="b")
    over = link(a, b)
    assert over.name == "a, else b"
    assert place_of(await over.connect()) is a
    assert b.tries == []


def test_a_link_needs_somebody() -> None:
    with pytest.raises(ValueError, match="service"):
        link()


@pytest.mark.parametrize("fault", [DOWN, busy(None), busy(30), NO])
async def test_the_next_is_asked_at_once(fault: UpstreamFault, autojump_clock: trio.testing.MockClock) -> None:
    a, b = Place(always(fault)), Place(fine)
    began = trio.current_time()
    assert place_of(await link(a, b).connect()) is b
    assert b.tries[0] - began == pytest.approx(0.1), "as long as the first try took"


async def test_back_off_comes_when_all_were_asked(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Place(always(DOWN)), Place(first(DOWN))
    assert place_of(await link(a, b).connect()) is b
    assert 0.1 <= a.tries[1] - (b.tries[0] + 0.1) <= 0.2
    assert b.tries[1] - a.tries[1] == pytest.approx(0.1)


async def test_one_that_refuses_for_good_is_not_asked_again(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Place(always(NO)), Place(first(DOWN, DOWN))
    assert place_of(await link(a, b).connect()) is b
    assert (len(a.tries), len(b.tries)) == (1, 3)


async def test_when_all_refuse_for_good_that_is_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    other = UpstreamRefused("No such model.", code="upstream_http_404")
    began = trio.current_time()
    with pytest.raises(UpstreamRefused) as refusal:
        await link(Place(always(NO)), Place(always(other))).connect()
    assert refusal.value is other
    assert trio.current_time() - began == pytest.approx(0.2)


async def test_a_refusal_for_good_is_not_told_while_there_is_hope_elsewhere(
    autojump_clock: trio.testing.MockClock,
) -> None:
    b = Place(fine)
    with pytest.raises(UpstreamResting) as resting:
        await link(Place(always(NO)), opened(b, for_s=60)).connect()
    assert resting.value.retryable
    assert resting.value.retry_after_s == pytest.approx(59.9, abs=0.01)


async def test_a_deployment_that_rests_is_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Place(fine), Place(fine)
    assert place_of(await link(opened(a, for_s=3), b).connect()) is b
    assert a.tries == []


@pytest.mark.parametrize("patient", [False, True])
async def test_when_all_rest_it_fails_fast_and_says_until_when(
    patient: bool, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    over = link(opened(Place(fine), for_s=60), opened(Place(fine), for_s=45))
    with pytest.raises(UpstreamResting) as resting:
        await over.connect(patient=patient)
    assert trio.current_time() == began
    assert resting.value.reason is EndReason.UPSTREAM_UNAVAILABLE
    assert resting.value.retryable
    assert resting.value.retry_after_s == pytest.approx(45)


async def test_a_newcomer_does_not_wait_even_where_there_is_time(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(UpstreamResting) as resting:
        await link(opened(Place(fine), for_s=3)).connect()
    assert trio.current_time() == began
    assert resting.value.retry_after_s == 3


async def test_not_even_a_patient_one_comes_early(autojump_clock: trio.testing.MockClock) -> None:
    a = Place(fine)
    began = trio.current_time()
    assert place_of(await link(opened(a, for_s=6)).connect(patient=True)) is a
    assert 6 <= a.tries[0] - began <= 6.2


async def test_each_deployments_own_wait_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Place(first(busy(3.0))), Place(always(busy(6.0)))
    began = trio.current_time()
    assert place_of(await link(a, b).connect()) is a
    assert 3.1 <= a.tries[1] - began <= 3.3
    assert len(b.tries) == 1


async def test_the_wait_is_kept_by_all_sessions(autojump_clock: trio.testing.MockClock) -> None:
    shared = deployment(Place(first(busy(3.0))))
    assert isinstance(shared.connector, Place)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(lambda: link(shared).connect(patient=True))
            await trio.sleep(0.15)
    early, *later = shared.connector.tries
    assert len(later) == 10
    assert min(later) >= early + 3.1


async def test_a_patient_one_goes_on_until_the_time_is_used_up(autojump_clock: trio.testing.MockClock) -> None:
    a = Place(always(DOWN))
    began = trio.current_time()
    with pytest.raises(UpstreamFault) as fault:
        await link(a, attempts=2).connect(timeout_s=60, patient=True)
    assert fault.value.message == DOWN.message
    assert 58 <= trio.current_time() - began <= 60
    assert 60 / 1.3 <= len(a.tries) <= 60 / 1.0


async def test_and_is_there_when_the_service_is(autojump_clock: trio.testing.MockClock) -> None:
    a = Place(lambda _, now: DOWN if now < back_at else None)
    back_at = trio.current_time() + 40
    assert place_of(await link(a, attempts=1).connect(timeout_s=60, patient=True)) is a
    assert trio.current_time() - back_at <= 2


async def test_another_time_may_be_given(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(UpstreamFault) as fault:
        await link(Place(fine, takes_s=lambda _: FOREVER)).connect(timeout_s=2)
    assert trio.current_time() - began == pytest.approx(2)
    assert fault.value.reason is EndReason.UPSTREAM_TOO_SLOW
    assert "2 seconds" in fault.value.message


async def test_a_service_that_never_answers_is_too_slow_even_where_another_refused_for_good(
    autojump_clock: trio.testing.MockClock,
) -> None:
    silent = Place(fine, takes_s=lambda _: FOREVER, attempt_timeout_s=FOREVER)
    with pytest.raises(UpstreamFault) as fault:
        await link(Place(always(NO)), silent).connect()
    assert fault.value.reason is EndReason.UPSTREAM_TOO_SLOW


async def test_silence_counts_as_a_failure_unless_it_had_no_time(autojump_clock: trio.testing.MockClock) -> None:
    silent = deployment(Place(fine, takes_s=lambda _: FOREVER, attempt_timeout_s=FOREVER))
    for timeout_s in (0.5, 0.9, 1.0, 5.0):
        with pytest.raises(UpstreamFault):
            await link(silent).connect(timeout_s=timeout_s)
    assert silent.breaker.failures == 2


async def test_a_client_that_leaves_says_nothing_about_the_service(autojump_clock: trio.testing.MockClock) -> None:
    silent = deployment(Place(fine, takes_s=lambda _: FOREVER))
    with trio.move_on_after(3):
        await link(silent).connect()
    assert silent.breaker.failures == 0


async def test_giving_up_comes_with_a_hint_when_to_come_back(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(UpstreamFault) as fault:
        await link(Place(always(DOWN)), attempts=5).connect()
    assert fault.value.message == DOWN.message
    assert fault.value.retry_after_s == 0.5
    assert DOWN.retry_after_s is None


async def test_a_key_that_is_wrong_opens_nothing(autojump_clock: trio.testing.MockClock) -> None:
    a = deployment(Place(always(NO)))
    for _ in range(10):
        with pytest.raises(UpstreamRefused):
            await link(a).connect()
    assert a.breaker.state is BreakerState.CLOSED


async def test_what_fails_is_logged_with_its_name(autojump_clock: trio.testing.MockClock) -> None:
    with structlog.testing.capture_logs() as log:
        await link(Place(always(NO), name="a"), Place(fine, name="b")).connect()
    assert [(entry["event"], entry["upstream"], entry["attempt"]) for entry in log] == [
        ("upstream connect failed", "a", 1)
    ]


class CutAt(trio.abc.Instrument):
    """Cancels a scope before the n-th step of any task."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.steps = 0
        self._scope = scope
        self._step = step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps == self._step:
            self._scope.cancel()


async def _cut(step: int, patient: bool) -> tuple[bool, int]:
    """Cancels a connect through failures, a wait and a half-open question; whether it was cut, and the steps it had."""
    slow = Place(lambda number, _: None if number else busy(0.4), name="slow")
    a, b = deployment(Place(first(*[DOWN] * 5, NO)), failures=2), deployment(slow)
    tasks = trio.lowlevel.current_statistics().tasks_living
    connection: UpstreamConnection | None = None
    with trio.CancelScope() as scope:
        cut = CutAt(scope, step)
        trio.lowlevel.add_instrument(cut)
        try:
            connection = await link(a, b).connect(patient=patient)
        finally:
            trio.lowlevel.remove_instrument(cut)
    places = [one.connector for one in (a, b)]
    assert all(isinstance(place, Place) and place.trying == 0 for place in places)
    assert slow.open == (connection is not None)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    for one in (a, b):
        await trio.sleep(one.breaker.retry_in_s() + 0.001)
        permit = one.breaker.admit()
        assert permit is not None, "the place of a question was not given back"
        permit.give_back()
    return connection is None, cut.steps


@pytest.mark.parametrize("patient", [False, True])
async def test_cancelled_at_any_step_nothing_is_left(patient: bool, autojump_clock: trio.testing.MockClock) -> None:
    was_cut, steps = await _cut(10**9, patient)
    assert not was_cut
    assert steps > 5
    outcomes = [(await _cut(step, patient))[0] for step in range(1, steps + 1)]
    assert outcomes[0]
    assert outcomes.count(True) >= steps - 2


def _faults() -> st.SearchStrategy[UpstreamFault | None]:
    waits = st.floats(0.01, 8)
    return st.one_of(st.none(), st.just(DOWN), st.builds(busy, waits), st.builds(busy, waits), st.just(busy(None)))


def _said(faults: list[UpstreamFault | None]) -> Callable[[int, float], UpstreamFault | None]:
    return lambda number, _: faults[number % len(faults)]


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(st.lists(_faults(), min_size=1, max_size=6), min_size=1, max_size=3),
    gaps=st.lists(st.floats(0, 1), min_size=1, max_size=25),
    patient=st.booleans(),
)
def test_nobody_ever_comes_before_the_service_said(
    places: list[list[UpstreamFault | None]], gaps: list[float], patient: bool
) -> None:
    made = [Place(_said(faults)) for faults in places]
    shared = [deployment(place) for place in made]

    async def session() -> None:
        with trio.move_on_after(30) as late:
            try:
                await link(*shared).connect(patient=patient)
            except UpstreamFault as fault:
                assert fault.retryable  # noqa: PT017 - both ends are fine
        assert not late.cancelled_caught

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for gap in gaps:
                nursery.start_soon(session)
                await trio.sleep(gap)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    for place in made:
        for told_at, wait_s in place.told:
            early = [at for at in place.tries if told_at < at < told_at + wait_s]
            assert early == []


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


async def test_who_has_nothing_to_show_learns_nothing_of_the_service(autojump_clock: trio.testing.MockClock) -> None:
    hanging = NoCredential("No token came.", code="azure_identity_unreachable", retryable=True)
    nameless = NoCredential("There is no identity here.", code="azure_no_identity")
    a, b = deployment(Place(always(hanging)), failures=1), deployment(Place(always(nameless)), priority=2)
    with pytest.raises(NoCredential):
        await link(a, b, attempts=2).connect()
    assert a.breaker.state is b.breaker.state is BreakerState.CLOSED
    assert a.breaker.failures == 0
