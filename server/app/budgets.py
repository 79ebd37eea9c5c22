"""Puts the budgets of a server together: whose they are, how much they have, and what of today's is spent already."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import structlog
import trio

from protocol.endings import EndReason
from protocol.errors import ClientFault
from protocol.prices.rates import dollars
from server.cluster.budgets import Budget, SharedBudgets, Tab
from server.security.principal import Allowance, Principal
from server.settings import Settings
from server.store.archive import Archive
from server.store.base import StoreUnavailable
from server.telemetry.metrics import Metrics

__all__ = ["BudgetSpent", "Budgets", "recall_today", "show_budgets"]

_log = structlog.get_logger("liveavatar.app")

# Under which everybody spends.
ALL = "all"
_DAY_S = 24 * 3600
# A start takes some seconds anyway, and what a server leaves behind when it is killed is applied in less.
_RECALL_S = 5.0


class BudgetSpent(ClientFault):
    """There is no money for another session today. Clients of the services know the type."""

    default_reason = EndReason.BUDGET_SPENT
    error_type = "insufficient_quota"


class Budgets:
    """Whom a session's money is counted on.

    Args:
        of: everything that a principal's session is counted on, by account.
        wall: the time of day in Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        shared: SharedBudgets,
        *,
        of: Callable[[Principal], Mapping[str, Allowance]],
        wall: Callable[[], float],
    ) -> None:
        self._session = settings.budget_session
        self._principal = settings.budget_principal_day
        self._day = settings.budget_day
        self._shared = shared
        self._of = of
        self._wall = wall

    def of(self, principal: Principal) -> list[Budget]:
        """All budgets of a principal's session; none where nobody has one."""
        found = [Budget("session", "", self._session)] if self._session else []
        for account, allowance in self._of(principal).items():
            limits = [usd for usd in (self._principal, allowance.usd_per_day) if usd]
            if limits:
                found.append(Budget("principal", account_key(account), min(limits)))
        if self._day:
            found.append(Budget("day", ALL, self._day))
        return found

    async def open(self, principal: Principal) -> Tab | None:
        """The tab of a new session; None where it has no budget.

        Raises:
            BudgetSpent: one is; the next day has more, and `retry_after_s` says when that begins.
        """
        budgets = self.of(principal)
        if not budgets:
            return None
        for budget in budgets:
            if budget.key and self._shared.spent(budget.key) >= budget.usd:
                _log.info("session refused: a budget is spent", budget=budget.name, principal=principal.id)
                raise BudgetSpent(
                    EndReason.BUDGET_SPENT.text,
                    code=EndReason.BUDGET_SPENT.label,
                    retry_after_s=float(_DAY_S - int(self._wall()) % _DAY_S),
                )
        return self._shared.open(budgets)


def account_key(account: str) -> str:
    """The key under which an account spends."""
    return f"principal:{account}"


def show_budgets(metrics: Metrics, settings: Settings, shared: SharedBudgets) -> None:
    """Lets the gauge of the day's budget ask."""
    if limit := settings.budget_day:
        metrics.ask("liveavatar_budget_left_usd", lambda: float(max(Decimal(0), limit - shared.spent(ALL))))


async def recall_today(shared: SharedBudgets, archive: Archive, *, wall: Callable[[], float]) -> None:
    """Counts what today's records say was spent, so that a restart does not give the day's money again.

    What a former server left in its journal is waited for, `_RECALL_S` at most. Where the records cannot be read the
    day begins at nothing, which is logged as an error: nobody is turned away for a database that is slow to come.
    """
    with trio.move_on_after(_RECALL_S) as patience:
        await archive.drain()
    if patience.cancelled_caught:
        _log.error("the journal is not in the database yet: what it says was spent today is not counted")
    day = dt.datetime.fromtimestamp(wall(), dt.UTC).date().isoformat()
    try:
        lines: Sequence[tuple[str, Decimal]] = [
            (line.principal_id or "", line.cost_usd)
            for line in await archive.reader.costs(["principal_id"], since_day=day, until_day=day)
        ]
    except StoreUnavailable as fault:
        _log.error(
            "today's spending is not known: budgets of this day count from now on, as if nothing had been spent before",
            error=str(fault),
            day=day,
        )
        return
    total = sum((usd for _, usd in lines), Decimal(0))
    await shared.recall(ALL, total)
    for account, usd in lines:
        await shared.recall(account_key(account), usd)
    if lines:
        _log.info("budgets", spent_today_usd=dollars(total), principals=len(lines))
