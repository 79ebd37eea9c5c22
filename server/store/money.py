"""Money as the records keep it: whole picodollars (1e-12 USD), which add up exactly everywhere. Knows no prices."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

# A price of 0.000001 USD per million tokens is one of these a token; 64 bits hold nine million dollars of them.
USD_QUANTUM: Final = Decimal("1e-12")
# Of one line. More is a mistake, and ninety such lines would not fit into 64 bits any more.
COST_MAX_USD: Final = Decimal(100_000)
_PER_USD: Final = 10**12


def to_picodollars(cost_usd: Decimal) -> int:
    """The same amount in whole picodollars.

    Raises:
        ValueError: it is not finite, negative, above `COST_MAX_USD`, or has more than 12 decimals.
    """
    if not cost_usd.is_finite() or not 0 <= cost_usd <= COST_MAX_USD:
        raise ValueError(f"a cost is between 0 and {COST_MAX_USD} USD")
    picodollars = cost_usd.scaleb(12)
    if picodollars != picodollars.to_integral_value(ROUND_HALF_EVEN):
        raise ValueError("a cost has at most 12 decimals")
    return int(picodollars)


def to_usd(picodollars: int | Decimal) -> Decimal:
    """Picodollars as US dollars, exactly; a database's sum of them may come as a `Decimal`."""
    whole, rest = divmod(int(picodollars), _PER_USD)
    return (Decimal(whole) + Decimal(rest).scaleb(-12)).normalize() + Decimal(0)
