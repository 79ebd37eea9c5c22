"""The link: tries again with back-off, not longer than allowed, and not where it makes no sense."""

import itertools

import pytest
import trio
import trio.testing

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from server.upstream.base import UpstreamRefused, UpstreamUnreachable
from server.upstream.link import UpstreamLink
from tests.session.service import HANGS, Script, ScriptedService, converse

DOWN = UpstreamUnreachable("Nobody is there.", code="upstream_unreachable", retryable=True)
NO = UpstreamRefused("The key is wrong.", code="upstream_http_401")


def busy(retry_after_s: float | None) -> UpstreamRefused:
    return UpstreamRefused("Busy.", code="upstream_http_429", retryable=True, retry_after_s=retry_after_s)


async def tried(*scripts: Script | UpstreamFault | str, attempts: int = 4, timeout_s: float = 10) -> list[float]:
    """Seconds at which connects began; raises what the link raises."""
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        service = ScriptedService(nursery, *scripts)
        link = UpstreamLink(service, attempts=attempts, timeout_s=timeout_s)
        assert link.name == service.name
        try:
            connection = await link.connect()
        except UpstreamFault as fault:
            fault.add_note(str([round(at - began, 3) for at in service.attempts]))
            nursery.cancel_scope.cancel()
            failure = fault
        else:
            nursery.start_soon(connection.run)
            await connection.aclose()
            nursery.cancel_scope.cancel()
            return [at - began for at in service.attempts]
    raise failure


async def failed(*scripts: Script | UpstreamFault | str, attempts: int = 4, timeout_s: float = 10) -> UpstreamFault:
    began = trio.current_time()
    with pytest.raises(UpstreamFault) as failure:
        await tried(*scripts, attempts=attempts, timeout_s=timeout_s)
    assert trio.current_time() - began <= timeout_s + 0.01
    return failure.value


def count(fault: UpstreamFault) -> int:
    return len(fault.__notes__[0].split(","))


async def test_at_once_where_it_works(autojump_clock: trio.testing.MockClock) -> None:
    assert await tried(converse()) == [0]


async def test_again_and_later_each_time(autojump_clock: trio.testing.MockClock) -> None:
    times = await tried(DOWN, DOWN, DOWN, converse())
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 0.1 <= waits[0] <= 0.21
    assert 0.2 <= waits[1] <= 0.31
    assert 0.4 <= waits[2] <= 0.51


async def test_the_last_failure_is_told(autojump_clock: trio.testing.MockClock) -> None:
    fault = await failed(busy(None), DOWN)
    assert fault.message == "Nobody is there."
    assert count(fault) == 4


async def test_a_refusal_for_good_is_not_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    fault = await failed(NO, converse())
    assert fault is NO or fault.message == "The key is wrong."
    assert count(fault) == 1


async def test_one_attempt_is_one(autojump_clock: trio.testing.MockClock) -> None:
    assert count(await failed(busy(None), attempts=1)) == 1


async def test_the_services_own_wait_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    _, second = await tried(busy(2.0), converse())
    assert 2.0 <= second <= 2.2


async def test_never_longer_than_allowed(autojump_clock: trio.testing.MockClock) -> None:
    assert (await failed(busy(60.0), timeout_s=3)).message == "Busy."
    fault = await failed(HANGS, timeout_s=3)
    assert fault.reason is EndReason.UPSTREAM_TOO_SLOW
    assert "3 seconds" in fault.message
    assert (await failed(DOWN, HANGS, timeout_s=3)).message == "Nobody is there."


async def test_cancelling_leaves_nothing(autojump_clock: trio.testing.MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(1) as scope:
        await tried(HANGS)
    assert scope.cancelled_caught
    assert trio.lowlevel.current_statistics().tasks_living == before
