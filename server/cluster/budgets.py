"""The port for money that several sessions, and several replicas, spend together. It prices nothing and ends nobody.

Each session has a tab under all budgets that it is counted on. What its next response can cost is set aside there
before the response begins; what it did cost takes that place afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from protocol.conversation.actions import Reservation

__all__ = ["Budget", "SharedBudgets", "Tab"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent under a key.

    Attributes:
        name: which budget it is, to operators: `session`, `principal`, `day`.
        key: whose; sessions with the same key spend together. "" is the session's alone.
        usd: US dollars, above zero; from one midnight UTC to the next, but for the session's own.
    """

    name: str
    key: str
    usd: Decimal

    def __post_init__(self) -> None:
        if not (self.usd.is_finite() and self.usd > 0):
            raise ValueError("a budget is above zero")


class Tab(Protocol):
    """What one session has spent and set aside, under all its budgets at once."""

    async def renew(self, spent: Decimal, hold: Decimal) -> Reservation:
        """Book what the session has spent by now, and set `hold` aside in the place of what was.

        Atomic over all budgets and all sessions: all have room for `hold`, or none of them is asked for more than was
        set aside before; then what is left of that stays, and the answer names the budget that has no room. What was
        spent is booked in any case, on the day on which the money for it was set aside.

        Args:
            spent: all that the session has cost since its beginning, so that nothing is booked twice.

        Never raises. Whoever cannot reach what is shared decides by itself, more strictly, within a second.
        """
        ...

    def close(self, spent: Decimal) -> None:
        """Book what was not booked, and give back what is set aside. Never waits, never raises, may be repeated."""
        ...


class SharedBudgets(Protocol):
    """The totals of all budgets, by key and day (UTC)."""

    def open(self, budgets: Sequence[Budget]) -> Tab:
        """A new session's tab. Nothing is set aside yet."""
        ...

    async def recall(self, key: str, usd: Decimal) -> None:
        """This was spent under a key today, before anybody counted; nothing, where somebody does count already."""
        ...

    def spent(self, key: str) -> Decimal:
        """US dollars spent under a key today, as far as is known here."""
        ...
