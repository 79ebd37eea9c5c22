import contextlib

import pytest
import trio
from trio.testing import MockClock

from server.cluster.base import Rate
from server.cluster.in_process import InProcessLimits
from server.security.limits import CHARGED_AHEAD_S, Quota, SessionLimits
from server.security.pace import STEADY_S, PaceBounds
from server.security.refusals import RateLimited, Refusals

PACE = PaceBounds(events=Rate(10, 20), audio=Rate(2, 5))
NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200.0


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture
def limits(refusals: Refusals) -> SessionLimits:
    return SessionLimits(
        InProcessLimits(), PACE, refusals, most_sessions=10, wall=lambda: NOON + trio.current_time() % 1e5
    )


async def test_an_account_has_so_many_sessions_at_once(
    limits: SessionLimits, autojump_clock: MockClock, refusals: Refusals
) -> None:
    quotas = [Quota("anna", sessions=2)]
    first = await limits.take_place(quotas, "1.2.3.4")
    await limits.take_place(quotas, "1.2.3.4")
    with pytest.raises(RateLimited) as caught:
        await limits.take_place(quotas, "1.2.3.4")
    assert caught.value.code == "session_limit"
    assert caught.value.retry_after_s
    await limits.take_place([Quota("berta", sessions=1)], "1.2.3.4")
    first.release()
    first.release()
    await limits.take_place(quotas, "1.2.3.4")
    assert refusals.counts == {"session_limit": 1}


async def test_every_quota_must_have_room_else_nothing_is_taken(
    limits: SessionLimits, autojump_clock: MockClock
) -> None:
    ticket, minter = Quota("ticket", sessions=1), Quota("minter", sessions=2)
    await limits.take_place([ticket, minter], "")
    with pytest.raises(RateLimited):
        await limits.take_place([minter, ticket], "")
    await limits.take_place([minter], "")
    with pytest.raises(RateLimited):
        await limits.take_place([minter], "")


async def test_without_a_quota_nothing_is_counted(limits: SessionLimits, autojump_clock: MockClock) -> None:
    for _ in range(1000):
        await limits.take_place([Quota("anna")], "")
    async with limits.metered([Quota("anna")], "", end=_never):
        await trio.sleep(1e4)


def _never(fault: RateLimited) -> None:
    raise AssertionError(fault)


async def test_a_session_ends_when_the_days_minutes_are_used_up(
    limits: SessionLimits, autojump_clock: MockClock
) -> None:
    quota = Quota("anna", minutes_per_day=10)
    began = trio.current_time()
    faults: list[RateLimited] = []
    with trio.CancelScope() as connection:

        def end(fault: RateLimited) -> None:
            faults.append(fault)
            connection.cancel()

        async with limits.metered([quota], "", end=end):
            await trio.sleep_forever()
    assert 600 - CHARGED_AHEAD_S <= trio.current_time() - began <= 600
    assert faults[0].code == "daily_minutes_limit"
    assert faults[0].retry_after_s == pytest.approx(86_400 - 43_200 - 600, abs=CHARGED_AHEAD_S + 2)
    with pytest.raises(RateLimited):
        async with limits.metered([quota], "", end=_never):
            pass
    await trio.sleep(43_200)
    async with limits.metered([quota], "", end=_never):
        pass  # another day


@pytest.mark.parametrize("sessions", [1, 5, 20])
async def test_many_short_sessions_use_no_more_and_hardly_less_than_allowed(
    limits: SessionLimits, autojump_clock: MockClock, sessions: int
) -> None:
    quota = Quota("anna", minutes_per_day=60)
    used_s = 0.0

    async def visit() -> None:
        nonlocal used_s
        while True:
            began = trio.current_time()
            with trio.CancelScope() as connection:
                try:
                    async with limits.metered([quota], "", end=lambda _fault: connection.cancel()):
                        await trio.sleep(45)
                except RateLimited:
                    return
                finally:
                    used_s += trio.current_time() - began

    async with trio.open_nursery() as nursery:
        for _ in range(sessions):
            nursery.start_soon(visit)
    assert 0.95 * 3600 - CHARGED_AHEAD_S <= used_s <= 3600 + 1


async def test_what_was_charged_ahead_and_not_used_is_given_back(
    limits: SessionLimits, autojump_clock: MockClock
) -> None:
    quota = Quota("anna", minutes_per_day=1)
    for _ in range(50):
        async with limits.metered([quota], "", end=_never):
            await trio.sleep(0.5)


async def test_paces_of_two_sessions_are_their_own(limits: SessionLimits, autojump_clock: MockClock) -> None:
    quota = [Quota("anna")]
    one, other = limits.pace(quota), limits.pace(quota)
    for _ in range(20):
        one.check(b"{}")
    with pytest.raises(RateLimited):
        one.check(b"{}")
    other.check(b"{}")


@pytest.mark.parametrize("sessions", [1, 3])
async def test_bursts_of_an_accounts_sessions_are_those_that_it_may_have_at_once(
    limits: SessionLimits, autojump_clock: MockClock, sessions: int
) -> None:
    quota = [Quota("anna", sessions=sessions)]
    admitted = 0
    for _ in range(20):
        pace = limits.pace(quota)
        with contextlib.suppress(RateLimited):
            for _ in range(21):
                pace.check(b"{}")
                admitted += 1
    rate = PACE.events
    assert admitted <= sessions * rate.burst + 20 * STEADY_S * rate.per_s
    limits.pace([Quota("bert", sessions=sessions)]).check(b"{}")


@pytest.mark.parametrize("minutes", [0.05, 0.2, 1.25])
async def test_a_days_minutes_can_be_used_to_the_last_second(
    limits: SessionLimits, autojump_clock: MockClock, minutes: float
) -> None:
    began = trio.current_time()
    with trio.CancelScope() as connection:
        async with limits.metered([Quota("anna", minutes_per_day=minutes)], "", end=lambda _fault: connection.cancel()):
            await trio.sleep_forever()
    assert trio.current_time() - began == pytest.approx(minutes * 60, abs=1)
