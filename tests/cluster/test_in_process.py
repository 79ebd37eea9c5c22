import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.cluster.base import Rate
from server.cluster.in_process import InProcessLimits
from tests.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def limits(clock: Clock) -> InProcessLimits:
    return InProcessLimits(clock=clock)


async def test_a_burst_is_granted_at_once_and_then_only_the_rate(limits: InProcessLimits, clock: Clock) -> None:
    rate = Rate(per_s=10, burst=5)
    assert [await limits.take("a", rate) for _ in range(5)] == [0.0] * 5
    assert await limits.take("a", rate) == pytest.approx(0.1)
    clock.now += 0.1
    assert await limits.take("a", rate) == 0.0
    assert await limits.take("a", rate) > 0


async def test_what_was_refused_costs_nothing(limits: InProcessLimits, clock: Clock) -> None:
    rate = Rate(per_s=1, burst=1)
    assert await limits.take("a", rate) == 0.0
    waits = {await limits.take("a", rate) for _ in range(1000)}
    assert list(waits) == [pytest.approx(1.0)]
    clock.now += 1.0
    assert await limits.take("a", rate) == 0.0


async def test_keys_do_not_draw_on_each_other(limits: InProcessLimits) -> None:
    rate = Rate(per_s=1, burst=1)
    assert await limits.take("a", rate) == 0.0
    assert await limits.take("b", rate) == 0.0


async def test_what_costs_more_than_the_burst_is_never_granted(limits: InProcessLimits, clock: Clock) -> None:
    assert await limits.take("a", Rate(per_s=1, burst=5), cost=6) > 0
    clock.now += 10**6
    assert await limits.take("a", Rate(per_s=1, burst=5), cost=6) > 0


@settings(max_examples=200, deadline=None)
@given(
    per_s=st.floats(0.1, 1000),
    burst=st.floats(1, 500),
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=400),
)
async def test_never_more_than_rate_and_burst_and_never_less_to_who_keeps_to_them(
    per_s: float, burst: float, gaps: list[float]
) -> None:
    clock = Clock()
    limits, rate = InProcessLimits(clock=clock), Rate(per_s, burst)
    began, granted = clock.now, 0
    for gap in gaps:
        clock.now += gap
        wait_s = await limits.take("a", rate)
        granted += not wait_s
        assert granted <= per_s * (clock.now - began) + burst + 1e-6
        if wait_s:
            # Refused with reason: one more would have been too much.
            assert granted + 1 > per_s * (clock.now - began) + burst - 1e-6 or wait_s <= 1 / per_s + 1e-6
            clock.now += wait_s
            assert await limits.take("a", rate) == 0.0, "who waits as long as he was told is let in"
            granted += 1


async def test_a_flood_gets_the_rate_within_five_per_cent(limits: InProcessLimits, clock: Clock) -> None:
    rate, seconds = Rate(per_s=20, burst=40), 60
    granted = 0
    for _ in range(seconds * 1000):
        clock.now += 0.001
        granted += not await limits.take("a", rate)
    allowed = rate.per_s * seconds
    assert 0.95 * allowed <= granted <= 1.05 * allowed + rate.burst


async def test_somebody_just_below_the_rate_is_never_refused(limits: InProcessLimits, clock: Clock) -> None:
    rate = Rate(per_s=20, burst=1)
    for _ in range(2000):
        assert await limits.take("a", rate) == 0.0
        clock.now += 1 / 20


async def test_a_million_addresses_do_not_fill_it(clock: Clock) -> None:
    limits = InProcessLimits(clock=clock, max_keys=1000)
    rate = Rate(per_s=0.001, burst=1)
    for number in range(100_000):
        await limits.take(f"address:{number}", rate)
        if number % 2:
            await limits.add(f"total:{number}", 1.0, lasts_s=1e6)
    assert len(limits) <= 2000


async def test_what_is_over_is_forgotten(limits: InProcessLimits, clock: Clock) -> None:
    rate = Rate(per_s=1, burst=10)
    for number in range(1000):
        await limits.take(str(number), rate)
        await limits.add(str(number), 1.0, lasts_s=5)
    clock.now += 100
    for _ in range(1000):
        await limits.take("only", rate)
        await limits.add("only", 1.0, lasts_s=5)
        clock.now += 1
    assert len(limits) <= 2


async def test_a_place_is_taken_until_it_is_released(limits: InProcessLimits) -> None:
    first = await limits.acquire("a", limit=2)
    second = await limits.acquire("a", limit=2)
    assert first is not None
    assert second is not None
    assert await limits.acquire("a", limit=2) is None
    assert await limits.acquire("b", limit=1) is not None
    first.release()
    first.release()
    third = await limits.acquire("a", limit=2)
    assert third is not None
    assert await limits.acquire("a", limit=2) is None, "released twice, given back once"
    second.release()
    third.release()
    assert len(limits) == 1


async def test_a_total_grows_shrinks_and_is_forgotten_in_time(limits: InProcessLimits, clock: Clock) -> None:
    assert await limits.add("a", 30, lasts_s=60) == 30
    assert await limits.add("a", 30, lasts_s=60) == 60
    assert await limits.add("a", -10, lasts_s=60) == 50
    clock.now += 59
    assert await limits.add("a", 0, lasts_s=60) == 50
    clock.now += 2
    assert await limits.add("a", 5, lasts_s=60) == 5
    assert await limits.add("a", -50, lasts_s=60) == 0, "never below nothing"


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_rate_that_allows_nothing_is_none(per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Rate(per_s, burst)
