"""A scheduler that is late is noticed."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.telemetry.loop_lag import EVERY_S, watch_loop_lag
from server.telemetry.metrics import Metrics


async def test_lag_is_how_much_later_than_asked_for_it_woke(mock_clock: MockClock) -> None:
    metrics = Metrics()
    lag = metrics.distribution("liveavatar_event_loop_lag_seconds")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_loop_lag, metrics)
        for late_s in (0.0, 0.3, 0.0):
            await wait_all_tasks_blocked()
            mock_clock.jump(EVERY_S + late_s)
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert lag.count == 3
    assert abs(lag.total - 0.3) < 1e-6
