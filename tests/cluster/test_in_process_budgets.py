"""Money of many sessions: all of a reservation or nothing, booked once, given back, and a new day's each midnight."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cluster.budgets import Budget, Tab
from server.cluster.in_process_budgets import InProcessBudgets
from tests.clocks import Clock

DAY_S = 24 * 3600
ANNA = Budget("principal", "principal:anna", Decimal(10))
ALL = Budget("day", "all", Decimal(15))


def usd(amount: str | int) -> Decimal:
    return Decimal(amount)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def money(clock: Clock) -> InProcessBudgets:
    return InProcessBudgets(wall=clock)


async def test_what_is_set_aside_cannot_be_had_twice(money: InProcessBudgets) -> None:
    one, other = money.open([ANNA]), money.open([ANNA])
    assert (await one.renew(usd(0), usd(6))).refused_by == ""
    refused = await other.renew(usd(0), usd(6))
    assert (refused.refused_by, refused.held) == ("principal", usd(0))
    assert (await other.renew(usd(0), usd(4))).held == 4


async def test_all_budgets_have_room_or_none_is_touched(money: InProcessBudgets) -> None:
    bob = Budget("principal", "principal:bob", usd(10))
    assert (await money.open([ANNA, ALL]).renew(usd(0), usd(9))).refused_by == ""
    refused = await money.open([bob, ALL]).renew(usd(0), usd(7))
    assert refused.refused_by == "day"
    assert money.standing()["principal:bob"] == (usd(0), usd(0))


async def test_what_it_cost_takes_the_place_of_what_was_set_aside(money: InProcessBudgets) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(0), usd(6))
    found = await tab.renew(usd(2), usd(6))
    assert (found.refused_by, found.held, found.left, found.share) == ("", usd(6), usd(8), usd("0.2"))
    assert money.standing()[ANNA.key] == (usd(2), usd(6))


async def test_who_is_refused_keeps_what_is_left_of_before(money: InProcessBudgets) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(0), usd(6))
    found = await tab.renew(usd(5), usd(6))
    assert (found.refused_by, found.held) == ("principal", usd(1))


async def test_the_same_is_never_booked_twice(money: InProcessBudgets) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(3), usd(1))
    await tab.renew(usd(3), usd(1))
    tab.close(usd(3))
    tab.close(usd(3))
    assert money.standing()[ANNA.key] == (usd(3), usd(0))


async def test_the_end_books_the_rest_and_gives_back_what_is_set_aside(money: InProcessBudgets) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(1), usd(5))
    tab.close(usd(2))
    assert money.standing()[ANNA.key] == (usd(2), usd(0))


async def test_more_than_was_set_aside_is_booked_all_the_same(money: InProcessBudgets) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(0), usd(9))
    found = await tab.renew(usd(12), usd(1))
    assert (found.refused_by, found.held, found.left) == ("principal", usd(0), usd(-2))
    assert money.spent(ANNA.key) == 12


async def test_a_new_day_has_new_money_and_the_old_one_pays_for_what_was_begun_on_it(
    money: InProcessBudgets, clock: Clock
) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(0), usd(9))
    clock.now += DAY_S
    found = await tab.renew(usd(8), usd(9))
    assert (found.refused_by, found.left) == ("", usd(10))
    assert money.spent(ANNA.key) == 0


async def test_who_holds_over_midnight_holds_up_to_a_day_no_longer(money: InProcessBudgets, clock: Clock) -> None:
    tab = money.open([ANNA])
    await tab.renew(usd(0), usd(9))
    for _ in range(3):
        clock.now += DAY_S
        await money.open([ALL]).renew(usd(0), usd(1))
    tab.close(usd(4))
    clock.now += DAY_S
    await money.open([ALL]).renew(usd(0), usd(1))
    assert ANNA.key not in money.standing()


async def test_a_session_has_a_budget_of_its_own_on_all_its_days(money: InProcessBudgets, clock: Clock) -> None:
    own = Budget("session", "", usd(5))
    one, other = money.open([own]), money.open([own])
    await one.renew(usd(4), usd(1))
    clock.now += DAY_S
    assert (await one.renew(usd(4), usd(2))).refused_by == "session"
    assert (await other.renew(usd(0), usd(5))).refused_by == ""


async def test_what_records_say_counts_once_and_only_before_anybody_does(money: InProcessBudgets) -> None:
    await money.recall(ANNA.key, usd(7))
    await money.recall(ANNA.key, usd(7))
    assert (await money.open([ANNA]).renew(usd(0), usd(4))).refused_by == "principal"


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_a_budget_is_an_amount(amount: str) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Budget("day", "all", usd(amount))


_CENTS = st.integers(0, 400).map(lambda cents: Decimal(cents).scaleb(-2))


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(("renew", "close", "midnight")), _CENTS, _CENTS)))
async def test_whatever_happens_nobody_gets_more_than_there_is(
    steps: list[tuple[int, str, Decimal, Decimal]],
) -> None:
    clock = Clock(1_800_000_000.0)
    money = InProcessBudgets(wall=clock)
    make: Callable[[], Tab] = lambda: money.open([ANNA, ALL])  # noqa: E731
    tabs = [make() for _ in range(6)]
    spent, held = [Decimal(0)] * 6, [Decimal(0)] * 6
    for who, what, cost, hold in steps:
        if what == "midnight":
            clock.now += DAY_S
        elif what == "close":
            tabs[who].close(spent[who])
            tabs[who], spent[who], held[who] = make(), Decimal(0), Decimal(0)
        else:
            # A response costs no more than what was set aside for it.
            spent[who] += min(cost, held[who])
            found = await tabs[who].renew(spent[who], hold)
            assert found.held == (hold if not found.refused_by else min(found.held, hold))
            held[who] = found.held
        for budget in (ANNA, ALL):
            total = money.total(budget.key, money.today)
            assert total.held >= 0
            assert total.spent + total.held <= budget.usd
    for tab, all_of_it in zip(tabs, spent, strict=True):
        tab.close(all_of_it)
    assert all(not left for _, left in money.standing().values())
