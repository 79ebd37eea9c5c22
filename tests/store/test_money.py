"""Money: exact in both directions, and nothing that is no money."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store.money import COST_MAX_USD, USD_QUANTUM, to_picodollars, to_usd


@given(st.integers(0, 10**17))
def test_every_picodollar_comes_back(picodollars: int) -> None:
    assert to_picodollars(to_usd(picodollars)) == picodollars


@given(st.decimals(0, COST_MAX_USD, places=12))
def test_every_cost_comes_back(cost: Decimal) -> None:
    assert to_usd(to_picodollars(cost)) == cost


@pytest.mark.parametrize("cost", ["-0.01", "NaN", "Infinity", "100000.000000000001", "0.0000000000001", "1e-300"])
def test_what_is_no_cost_is_refused(cost: str) -> None:
    with pytest.raises(ValueError, match="cost"):
        to_picodollars(Decimal(cost))


def test_a_sum_is_plain_to_read() -> None:
    assert str(to_usd(66_316_000_000)) == "0.066316"
    assert str(to_usd(10 * 10**12)) == "10"
    assert to_usd(1) == USD_QUANTUM
