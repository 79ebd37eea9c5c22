"""Measures how late the scheduler wakes a task that asked to be woken: the lag that every sound on its way has, too."""

from typing import Final

import trio

from server.telemetry.catalogue import BY_NAME
from server.telemetry.metrics import Metrics

__all__ = ["EVERY_S", "watch_loop_lag"]

# Often enough that a stall of a tenth of a second is met within minutes, and seldom enough to cost nothing.
EVERY_S: Final = 0.5
_NAME: Final = "liveavatar_event_loop_lag_seconds"


async def watch_loop_lag(metrics: Metrics) -> None:
    """Looks until it is cancelled."""
    lag, bounds = metrics.distribution(_NAME), BY_NAME[_NAME].bounds
    while True:
        due = trio.current_time() + EVERY_S
        await trio.sleep_until(due)
        lag.add(bounds, max(0.0, trio.current_time() - due))
