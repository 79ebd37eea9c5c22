"""In which order deployments are asked, and what leaving one alone means."""

from collections import Counter
from random import Random

import pytest
import trio.testing

from server.breaker import BreakerState
from server.upstream.base import UpstreamResting
from server.upstream.deployment import Deployment, deployment, in_order
from server.upstream.link import UpstreamLink
from tests.upstream.outages import DOWN, Place, always, fine


def made(name: str, *, priority: int = 1, weight: float = 1.0) -> Deployment:
    return deployment(Place(fine, name=name), name=name, priority=priority, weight=weight)


def test_priorities_come_before_weights() -> None:
    chance = Random(1).random
    ours = [made("last", priority=3, weight=100), made("first"), made("second", priority=2, weight=0.01)]
    for _ in range(100):
        assert [one.name for one in in_order(ours, chance)] == ["first", "second", "last"]


def test_of_one_priority_each_is_asked_first_as_often_as_its_weight_says() -> None:
    chance = Random(2).random
    ours = [made("heavy", weight=3), made("light")]
    firsts = Counter(in_order(ours, chance)[0].name for _ in range(4000))
    assert firsts["heavy"] == pytest.approx(3000, rel=0.05)


def test_nobody_is_left_out_whatever_chance_says() -> None:
    ours = [made("a", weight=1e-9), made("b", weight=1e9), made("c")]
    for always_the_same in (0.0, 0.5, 1.0):
        assert {one.name for one in in_order(ours, lambda: always_the_same)} == {"a", "b", "c"}  # noqa: B023


async def test_the_next_priority_is_asked_when_none_of_the_first_can_be_had(
    autojump_clock: trio.testing.MockClock,
) -> None:
    down, spare = Place(always(DOWN), name="down"), Place(fine, name="spare")
    link = UpstreamLink(
        deployment(spare, name="spare", priority=2, region="westeurope", transcription_model="whisper-west"),
        deployment(down, name="down"),
        attempts=1,
        timeout_s=10,
    )
    assert link.name == "down, else spare"
    connection = await link.connect()
    assert len(down.tries) == len(spare.tries) == 1
    origin = connection.origin
    assert origin is not None
    assert (origin.name, origin.region, origin.transcription_model) == ("spare", "westeurope", "whisper-west")


async def test_one_that_is_left_alone_is_not_asked_and_the_others_are(autojump_clock: trio.testing.MockClock) -> None:
    ours = [made("a"), made("b", priority=2)]
    link = UpstreamLink(*ours, attempts=1, timeout_s=10)
    first = await link.connect()
    assert first.origin is ours[0]
    first.origin.leave_alone(60, "It has no quota left.")
    assert ours[0].breaker.state is BreakerState.OPEN
    assert (await link.connect()).origin is ours[1]
    await trio.sleep(61)
    assert (await link.connect()).origin is ours[0]


async def test_where_all_are_left_alone_that_is_told_with_a_time(autojump_clock: trio.testing.MockClock) -> None:
    only = made("only")
    only.leave_alone(60, "It has no quota left.")
    with pytest.raises(UpstreamResting) as resting:
        await UpstreamLink(only, attempts=1, timeout_s=10).connect()
    assert resting.value.retry_after_s == 60
    assert resting.value.message.endswith("It has no quota left.")
