"""Budgets of a single process, in memory. Nothing in it waits, so each call is atomic by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from protocol.conversation.actions import Reservation
from server.cluster.budgets import Budget

__all__ = ["InProcessBudgets"]

_DAY_S = 24 * 3600
_ZERO = Decimal(0)


@dataclass(slots=True)
class _Total:
    """US dollars under one key on one day: spent, and set aside."""

    spent: Decimal = _ZERO
    held: Decimal = _ZERO


class InProcessBudgets:
    """Implements `SharedBudgets`. It keeps a total for each key that spent today, and those of former days that are

    still set aside.

    Args:
        wall: the time of day in Unix seconds.
    """

    def __init__(self, *, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._totals: dict[tuple[str, int], _Total] = {}
        self._swept_on = self.today

    def __len__(self) -> int:
        """How many totals are kept."""
        return len(self._totals)

    @property
    def today(self) -> int:
        """The day (UTC), by its number."""
        return int(self._wall() // _DAY_S)

    def standing(self) -> dict[str, tuple[Decimal, Decimal]]:
        """By key, what was spent and what is set aside, on all the days that are kept."""
        found: dict[str, tuple[Decimal, Decimal]] = {}
        for (key, _), total in self._totals.items():
            spent, held = found.get(key, (_ZERO, _ZERO))
            found[key] = spent + total.spent, held + total.held
        return found

    def open(self, budgets: Sequence[Budget]) -> "InProcessTab":
        """See `SharedBudgets`."""
        return InProcessTab(self, tuple(budgets))

    async def recall(self, key: str, usd: Decimal) -> None:
        """See `SharedBudgets`. Contains no checkpoint."""
        self._totals.setdefault((key, self.today), _Total(usd))

    def spent(self, key: str) -> Decimal:
        """See `SharedBudgets`."""
        total = self._totals.get((key, self.today))
        return total.spent if total is not None else _ZERO

    def total(self, key: str, day: int) -> _Total:
        """What is counted under a key on a day, to be changed."""
        if (today := self.today) != self._swept_on:
            self._swept_on = today
            self._totals = {of: total for of, total in self._totals.items() if of[1] >= today or total.held}
        return self._totals.setdefault((key, day), _Total())


class InProcessTab:
    """Implements `Tab`."""

    __slots__ = ("_booked", "_budgets", "_day", "_held", "_own", "_shared")

    def __init__(self, shared: InProcessBudgets, budgets: tuple[Budget, ...]) -> None:
        self._shared = shared
        self._budgets = budgets
        self._own = _Total()
        self._day = shared.today
        self._booked = _ZERO
        self._held = _ZERO

    async def renew(self, spent: Decimal, hold: Decimal) -> Reservation:
        """See `Tab`. Contains no checkpoint."""
        before = self._held
        cost = self._book(spent)
        day, kept = self._shared.today, max(_ZERO, before - cost)
        rooms = [(budget, budget.usd - total.spent - total.held) for budget, total in self._totals(day)]
        refused_by = next((budget.name for budget, room in rooms if room < hold), "")
        if not refused_by:
            kept = hold
        elif day != self._day:
            # Another day's money is asked for anew.
            kept = min(kept, hold, max(_ZERO, min(room for _, room in rooms)))
        else:
            kept = min(kept, hold)
        self._day, self._held = day, kept
        standing = []
        for budget, total in self._totals(day):
            total.held += kept
            standing.append((budget.usd - total.spent, total.spent / budget.usd))
        return Reservation(
            spent=spent,
            held=kept,
            refused_by=refused_by,
            left=min(left for left, _ in standing),
            share=max(share for _, share in standing),
        )

    def close(self, spent: Decimal) -> None:
        """See `Tab`."""
        self._book(spent)

    def _book(self, spent: Decimal) -> Decimal:
        """Books what is new of ``spent``, in the place of what is set aside; returns it."""
        cost, self._booked = max(_ZERO, spent - self._booked), max(spent, self._booked)
        for _, total in self._totals(self._day):
            total.spent += cost
            total.held -= self._held
        self._held = _ZERO
        return cost

    def _totals(self, day: int) -> list[tuple[Budget, _Total]]:
        return [
            (budget, self._own if not budget.key else self._shared.total(budget.key, day)) for budget in self._budgets
        ]
