"""A retry budget: how many tries beyond the first a deployment is asked to bear. It counts, and waits for nothing."""

import math
from collections.abc import Callable

import trio

# Each request earns a fifth of a retry, so that an outage is met with at most a fifth more than the usual load.
SHARE = 0.2
# What may be tried again without having been earned: a server with a few sessions would else have none.
RESERVE = 10.0
# Seconds in which most of a spent reserve comes back, and most of what was earned is forgotten: a quiet day must not
# save up for a storm.
_MEMORY_S = 60.0


class RetryBudget:
    """Shared by all sessions of a deployment. Retries do not exceed ``share`` of the requests and the reserve.

    Args:
        share: retries for each request.
        reserve: retries that are there without requests; spent, a sixtieth of what is missing comes back each second.
        now: the clock, in seconds.
    """

    def __init__(
        self, *, share: float = SHARE, reserve: float = RESERVE, now: Callable[[], float] = trio.current_time
    ) -> None:
        self._share = share
        self._reserve = reserve
        self._now = now
        self._left = reserve
        self._looked_at: float | None = None

    def earn(self) -> None:
        """A first try was made."""
        self._settle()
        self._left += self._share

    def spend(self) -> bool:
        """Whether another try may be made; it is then counted."""
        self._settle()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _settle(self) -> None:
        now = self._now()
        if self._looked_at is not None:
            fading = math.exp((self._looked_at - now) / _MEMORY_S)
            self._left = self._reserve + (self._left - self._reserve) * fading
        self._looked_at = now
