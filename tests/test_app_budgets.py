"""Budgets of a running server: what was spent today is still spent after a restart, also after one that was killed."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from server.app.budgets import ALL, Budgets, BudgetSpent, account_key, recall_today
from server.cluster.in_process_budgets import InProcessBudgets
from server.security.principal import Allowance, Principal
from server.settings import Settings
from server.store.base import StoreUnavailable
from server.store.records import Tokens
from server.store.views import CostLine, Dimension
from tests.clocks import Clock
from tests.running import PATIENCE_S, serving_process

NOON = 1_800_014_400.0
ANNA = Principal(id="key:anna", name="anna", kind="key", scopes=frozenset({"talk"}))
TICKET = Principal(id="ticket:1", name="ticket", kind="ticket", scopes=frozenset({"talk"}), minted_by="key:anna")


def usd(amount: str | int) -> Decimal:
    return Decimal(amount)


class Ledgers:
    """Records of what was spent; stands in for the archive's reading side."""

    def __init__(self, lines: dict[str, Decimal] | None) -> None:
        self._lines = lines
        self.asked: list[tuple[str | None, str | None]] = []

    @property
    def reader(self) -> "Ledgers":
        return self

    async def drain(self) -> None:
        await trio.lowlevel.checkpoint()

    async def costs(
        self, by: list[Dimension], *, since_day: str | None = None, until_day: str | None = None
    ) -> list[CostLine]:
        await trio.lowlevel.checkpoint()
        self.asked.append((since_day, until_day))
        if self._lines is None:
            raise StoreUnavailable("unreachable", "the database is away")
        return [
            CostLine(principal_id=name, lines=1, tokens=Tokens(), audio_ms=0, cost_usd=cost)
            for name, cost in self._lines.items()
        ]


def budgets(
    settings: Settings, money: InProcessBudgets, *, own: Decimal | None = None, clock: Clock | None = None
) -> Budgets:
    def of(principal: Principal) -> dict[str, Allowance]:
        return {name: Allowance(usd_per_day=own) for name in dict.fromkeys((principal.id, principal.account))}

    return Budgets(settings, money, of=of, wall=clock or Clock(NOON))


@pytest.fixture
def money() -> InProcessBudgets:
    return InProcessBudgets(wall=Clock(NOON))


async def test_without_a_setting_there_is_no_budget(money: InProcessBudgets) -> None:
    assert await budgets(Settings(), money).open(ANNA) is None


async def test_what_was_minted_spends_its_minters_money_too(money: InProcessBudgets) -> None:
    of = budgets(Settings(budget_principal_day=usd(5), budget_session=usd(1), budget_day=usd(9)), money).of(TICKET)
    assert [(one.name, one.key, one.usd) for one in of] == [
        ("session", "", usd(1)),
        ("principal", "principal:ticket:1", usd(5)),
        ("principal", "principal:key:anna", usd(5)),
        ("day", ALL, usd(9)),
    ]


async def test_of_two_limits_the_narrower_holds(money: InProcessBudgets) -> None:
    (one,) = budgets(Settings(budget_principal_day=usd(5)), money, own=usd(2)).of(ANNA)
    assert one.usd == 2
    (one,) = budgets(Settings(), money, own=usd(2)).of(ANNA)
    assert one.usd == 2


async def test_a_session_after_the_days_money_is_refused_until_midnight(money: InProcessBudgets) -> None:
    await money.recall(ALL, usd(9))
    with pytest.raises(BudgetSpent) as refused:
        await budgets(Settings(budget_day=usd(9)), money).open(ANNA)
    assert refused.value.reason.label == "budget_spent"
    assert refused.value.error_type == "insufficient_quota"
    assert refused.value.retry_after_s == 86_400 - NOON % 86_400


async def test_a_restart_does_not_give_the_days_money_again(money: InProcessBudgets) -> None:
    ledgers = Ledgers({"key:anna": usd(4), "key:bob": usd("1.5")})
    await recall_today(money, ledgers, wall=Clock(NOON))  # type: ignore[arg-type]
    assert money.spent(ALL) == usd("5.5")
    assert money.spent(account_key("key:anna")) == 4
    today = dt.datetime.fromtimestamp(NOON, dt.UTC).date().isoformat()
    assert ledgers.asked == [(today, today)]


async def test_records_that_cannot_be_read_are_an_error_in_the_log(
    money: InProcessBudgets, capsys: pytest.CaptureFixture[str]
) -> None:
    await recall_today(money, Ledgers(None), wall=Clock(NOON))  # type: ignore[arg-type]
    assert money.spent(ALL) == 0


PRICES = """
[[price]]
models = ["liveavatar-simulator"]
unit = "1M tokens"
text = { input = 4, cached = 0.4, output = 16 }
audio = { input = 32, cached = 0.4, output = 64 }
image = { input = 5, cached = 0.5 }
"""


@pytest.mark.slow
async def test_money_that_is_spent_is_still_spent_after_a_kill(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    environment = {"LIVEAVATAR_PRICES": str(tmp_path / "prices.toml"), "LIVEAVATAR_BUDGET_SESSION": "100"}
    async with serving_process(data_dir, **environment) as server:
        async with server.opened() as client:
            await client.type("Who founded the museum?")
            await client.send("response.create")
            told = await client.until("avatar.usage", PATIENCE_S)
            spent = Decimal(told["session_cost_usd"])
            assert Decimal(told["budget_left_usd"]) == 100 - spent
            assert spent > 0
        with trio.fail_after(PATIENCE_S):
            while not [line for line in server.log if line["event"] == "session ended"]:  # noqa: ASYNC110 - a log line
                await trio.sleep(0.02)
        # Within its group commit a record is on disk; then nothing is said goodbye to.
        await trio.sleep(0.5)
        server.process.kill()
    environment["LIVEAVATAR_BUDGET_DAY"] = str(spent)
    async with serving_process(data_dir, **environment) as server:
        assert [line["spent_today_usd"] for line in server.log if line["event"] == "budgets"] == [str(spent)]
        async with server.client() as client:
            refused = await client.until("error", PATIENCE_S)
            assert refused["error"]["code"] == "budget_spent"
            assert refused["error"]["type"] == "insufficient_quota"
