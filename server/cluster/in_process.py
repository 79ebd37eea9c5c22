"""Shared limits of a single process, in memory. Nothing in it grows with the number of strangers."""

from collections import OrderedDict
from collections.abc import Callable

import trio

from server.cluster.base import Lease, Rate

__all__ = ["InProcessLimits", "LocalRates"]

# Keys of each kind that are remembered: some 10 MB. Beyond, the one that was not looked at for longest is forgotten,
# and with it at most one burst: who can send from so many addresses has as many bursts anyway.
MAX_KEYS = 65_536

# Of what is over, so much is dropped at each call: more than a call can add.
SWEPT_AT_ONCE = 2

# Sums of floats: less than any cost that is ever asked for.
_HAIR_S = 1e-9


class LocalRates:
    """Rates under keys, of this process alone: for what is too frequent to be asked of anybody else.

    A rate is kept as one number (the generic cell rate algorithm): when what was taken will have been paid back.
    """

    def __init__(self, *, clock: Callable[[], float] = trio.current_time, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._paid_back_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._paid_back_at)

    def take(self, key: str, rate: Rate, cost: float = 1.0) -> float:
        """As `SharedLimits.take`, and at once."""
        now = self._clock()
        self._sweep(now)
        since = max(self._paid_back_at.get(key, now), now)
        paid_back_at = since + cost / rate.per_s
        wait_s = paid_back_at - now - rate.burst / rate.per_s
        if wait_s > _HAIR_S:
            return wait_s
        self._paid_back_at[key] = paid_back_at
        if len(self._paid_back_at) > self._max_keys:
            self._paid_back_at.popitem(last=False)
        return 0.0

    def _sweep(self, now: float) -> None:
        for _ in range(min(SWEPT_AT_ONCE, len(self._paid_back_at))):
            key, paid_back_at = self._paid_back_at.popitem(last=False)
            if paid_back_at > now:
                self._paid_back_at[key] = paid_back_at  # its turn comes again


class InProcessLimits:
    """Implements `SharedLimits`."""

    def __init__(self, *, clock: Callable[[], float] = trio.current_time, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._rates = LocalRates(clock=clock, max_keys=max_keys)
        self._totals: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._rates) + len(self._totals) + len(self._places)

    async def take(self, key: str, rate: Rate, cost: float = 1.0) -> float:
        """See `SharedLimits`. Contains no checkpoint."""
        return self._rates.take(key, rate, cost)

    async def acquire(self, key: str, *, limit: int) -> Lease | None:
        """See `SharedLimits`. Contains no checkpoint."""
        taken = self._places.get(key, 0)
        if taken >= limit:
            return None
        self._places[key] = taken + 1
        return _Place(self._places, key)

    async def add(self, key: str, amount: float, *, lasts_s: float) -> float:
        """See `SharedLimits`. Contains no checkpoint."""
        now = self._clock()
        self._sweep_totals(now)
        total, until = self._totals.get(key, (0.0, now + lasts_s))
        if until <= now:
            total, until = 0.0, now + lasts_s
        total = max(0.0, total + amount)
        self._totals[key] = (total, until)
        if len(self._totals) > self._max_keys:
            self._totals.popitem(last=False)
        return total

    def _sweep_totals(self, now: float) -> None:
        for _ in range(min(SWEPT_AT_ONCE, len(self._totals))):
            key, (total, until) = self._totals.popitem(last=False)
            if until > now:
                self._totals[key] = (total, until)


class _Place:
    """One place that was taken."""

    __slots__ = ("_held", "_key", "_places")

    def __init__(self, places: dict[str, int], key: str) -> None:
        self._places = places
        self._key = key
        self._held = True

    def release(self) -> None:
        """See `Lease`."""
        if not self._held:
            return
        self._held = False
        left = self._places[self._key] - 1
        if left:
            self._places[self._key] = left
        else:
            del self._places[self._key]
