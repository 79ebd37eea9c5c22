"""Two hundred sessions and a service that fails them all: no storm while it is down, and soon back when it is."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import structlog
import trio
import trio.testing

from protocol.errors import UpstreamFault
from server.upstream.base import UpstreamRefused, UpstreamResting
from server.upstream.deployment import Deployment, deployment
from server.upstream.link import UpstreamLink
from tests.upstream.outages import DOWN, FOREVER, Place, busy

SESSIONS = 200
# A fifth of the requests, and the reserve.
MOST_RETRIES = SESSIONS // 5 + 10
ERROR = UpstreamRefused("Failed.", code="upstream_http_500", retryable=True)
SILENT = "silent"


@dataclass
class Outage:
    """What was seen of sessions that lose their service at second 0 and get it back at ``length_s``."""

    place: Place
    shared: Deployment
    length_s: float
    waited_s: list[float] = field(default_factory=list)
    """Seconds that each session had to wait although the service was there."""
    failed: list[UpstreamFault] = field(default_factory=list)

    @property
    def tries_while_down(self) -> int:
        return sum(at < self.length_s for at in self.place.tries)

    def questions_while_down(self, since_s: float) -> list[tuple[float, float]]:
        """Begin and end of the tries after the breaker opened."""
        return sorted(span for span in self.place.spans if since_s < span[0] < self.length_s)

    def p95_s(self) -> float:
        return sorted(self.waited_s)[int(0.95 * len(self.waited_s))]


def outage(
    kind: UpstreamFault | str,
    length_s: float,
    *,
    seed: int = 0,
    patient: bool = True,
    spread_s: float = 0.0,
    timeout_s: float = 120.0,
) -> Outage:
    """Runs it in virtual time. ``spread_s``: sessions come one after the other over so many seconds."""
    chance = random.Random(seed)
    random.seed(seed)  # stamina's jitter

    def says(_number: int, now: float) -> UpstreamFault | None:
        return kind if isinstance(kind, UpstreamFault) and now < length_s else None

    def takes_s(now: float) -> float:
        return FOREVER if kind is SILENT and now < length_s else chance.uniform(0.05, 0.15)

    place = Place(says, takes_s=takes_s)
    shared = deployment(place)
    seen = Outage(place, shared, length_s)

    async def session() -> None:
        over = UpstreamLink(shared, attempts=4, timeout_s=timeout_s, chance=chance.random)
        wants_since = trio.current_time()
        try:
            await over.connect(patient=patient)
        except UpstreamFault as fault:
            seen.failed.append(fault)
        else:
            seen.waited_s.append(trio.current_time() - max(length_s, wants_since))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(SESSIONS):
                nursery.start_soon(session)
                if spread_s:
                    await trio.sleep(spread_s / SESSIONS)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return seen


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def asked_one_at_a_time(questions: list[tuple[float, float]]) -> bool:
    return all(end <= begin for (_, end), (begin, _) in itertools.pairwise(questions))


@pytest.mark.parametrize(("kind", "seed"), [(DOWN, 1), (ERROR, 2), (busy(1.0), 3)], ids=["unreachable", "500", "429"])
@pytest.mark.slow
def test_sessions_that_are_cut_off_together_do_not_storm_and_are_soon_back(kind: UpstreamFault, seed: int) -> None:
    length_s = random.Random(seed).uniform(5, 40)
    seen = outage(kind, length_s, seed=seed)
    assert seen.failed == []
    assert len(seen.waited_s) == SESSIONS
    assert seen.tries_while_down - SESSIONS <= MOST_RETRIES
    questions = seen.questions_while_down(since_s=0.2)
    assert len(questions) >= length_s / 1.5
    assert asked_one_at_a_time(questions)
    assert seen.p95_s() <= 2
    assert seen.shared.breaker.recoveries == 1
    assert len(seen.place.tries) - seen.tries_while_down <= SESSIONS + 1, "nobody needs a second try then"


@pytest.mark.slow
def test_sessions_that_come_during_an_outage_are_let_in_when_it_is_over() -> None:
    seen = outage(DOWN, 15, spread_s=20)
    assert seen.failed == []
    assert seen.tries_while_down <= 25
    assert asked_one_at_a_time(seen.questions_while_down(since_s=1))
    assert seen.p95_s() <= 2


def test_newcomers_are_told_at_once_and_when_to_come_again() -> None:
    seen = outage(DOWN, 60, spread_s=59, patient=False, timeout_s=10)
    told = [fault for fault in seen.failed if isinstance(fault, UpstreamResting)]
    assert len(told) >= SESSIONS / 2
    assert all(fault.retryable and fault.retry_after_s is not None for fault in seen.failed)
    assert max(fault.retry_after_s or 0 for fault in told) <= 1
    assert seen.tries_while_down <= 5 + 60 / 0.9


@pytest.mark.slow
def test_after_a_silent_outage_the_last_silent_question_is_waited_for() -> None:
    seen = outage(SILENT, 20)
    assert seen.failed == []
    assert seen.tries_while_down - SESSIONS <= MOST_RETRIES
    assert seen.p95_s() <= 5 + 2, "a try is given up after five seconds"


def test_a_service_that_fails_every_other_time_is_not_asked_much_more_often() -> None:
    place = Place(lambda number, _: ERROR if number % 2 else None)
    shared = deployment(place, failures=1000)

    async def session() -> None:
        try:
            await UpstreamLink(shared, attempts=4, timeout_s=10).connect()
        except UpstreamFault as fault:
            assert fault is ERROR  # noqa: PT017 - both ends are fine

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(SESSIONS):
                nursery.start_soon(session)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    # Ten seconds later a sixth of what is missing in the reserve has come back.
    assert SESSIONS < len(place.tries) <= SESSIONS + MOST_RETRIES + 2
