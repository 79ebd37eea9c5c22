"""The port of the cluster room: rates, places and totals that several replicas count together.

Its methods are async although the implementation in memory never waits: one behind a network will. Who calls them for
every connection must therefore be on that connection's own task, never on the accept loop.
"""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Lease", "Rate", "SharedLimits"]


@dataclass(frozen=True, slots=True)
class Rate:
    """How much may be taken: `per_s` steadily, `burst` at once by somebody who took nothing for long."""

    per_s: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.per_s > 0 and self.burst > 0):
            raise ValueError("a rate and its burst are above zero")


class Lease(Protocol):
    """One of a limited number of places. It lasts until it is released, or the process that holds it has died."""

    def release(self) -> None:
        """Give the place back. Never waits, never raises, may be repeated."""


class SharedLimits(Protocol):
    """Counts what was used under a key. Keys of different kinds begin differently (`address:`, `account:`).

    An implementation that cannot reach what it shares decides by itself, more strictly, and raises nothing.
    """

    async def take(self, key: str, rate: Rate, cost: float = 1.0) -> float:
        """Take `cost` if the rate allows it now.

        Returns 0 if it was taken, else the seconds after which it could be; then nothing was taken. A cost above the
        burst is never allowed. Over any time `t` no more than `rate.per_s * t + rate.burst` is taken.
        """

    async def acquire(self, key: str, *, limit: int) -> Lease | None:
        """Take one of `limit` places, or None if all are taken."""

    async def add(self, key: str, amount: float, *, lasts_s: float) -> float:
        """Add to a total (a negative amount takes back) and return it; it is forgotten `lasts_s` after its first."""
