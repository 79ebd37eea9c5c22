"""A table of prices in TOML, checked and turned into rates. It opens no file, and knows no model.

Numbers arrive as ``Decimal`` (``tomllib`` with ``parse_float=Decimal``), so that 0.40 is 0.40.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from protocol.prices.rates import Kind, Modality, Rates

# US dollars. A hundred times the dearest that was ever asked: what is beyond it is a slip of the unit.
TOKENS_RATE_MAX = 10_000
MINUTE_RATE_MAX = 10
# Digits behind the point. With these, whatever is used comes out exactly: a decimal number has 28 digits in all, of
# which a million tokens take seven.
DECIMALS_MAX = 9

Unit = Literal["1M tokens", "minute"]


class ModalityPrices(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What one modality costs, in the unit of the table."""

    input: Decimal | None = None
    cached: Decimal | None = None
    output: Decimal | None = None


class PriceTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every table of prices says. ``unit``: US dollars for what the numbers are."""

    unit: Unit
    text: ModalityPrices | None = None
    audio: ModalityPrices | None = None
    image: ModalityPrices | None = None


def rates_of(table: PriceTable, problems: list[str]) -> Rates:
    """The rates that a table says; ``problems`` gets a sentence for each field that cannot be."""
    tokens: dict[tuple[Modality, Kind], Decimal] = {}
    modalities: tuple[tuple[Modality, ModalityPrices | None], ...] = (
        ("text", table.text),
        ("audio", table.audio),
        ("image", table.image),
    )
    most = TOKENS_RATE_MAX if table.unit == "1M tokens" else MINUTE_RATE_MAX
    for modality, prices in modalities:
        kinds: tuple[tuple[Kind, Decimal | None], ...] = (
            ("input", prices.input if prices else None),
            ("cached", prices.cached if prices else None),
            ("output", prices.output if prices else None),
        )
        for kind, rate in kinds:
            if rate is None:
                continue
            tokens[modality, kind] = rate
            if problem := problem_with(rate, most):
                problems.append(f"{modality}.{kind} {problem} (US dollars per {table.unit}).")
    if not tokens:
        problems.append("it says no price: text, audio or image is needed.")
    if table.unit == "1M tokens":
        return Rates(tokens)
    for modality, kind in tokens:
        if (modality, kind) != ("audio", "input"):
            problems.append(f"{modality}.{kind} cannot be priced by the minute: only audio.input can.")
    return Rates(minute=tokens.get(("audio", "input"), Decimal(0)))


def problem_with(number: Decimal, most: int, decimals: int = DECIMALS_MAX) -> str | None:
    """What is wrong with a number, in words that go behind its name; None if it will do."""
    if not number.is_finite():
        return f"must be a number, not {number}"
    if not 0 <= number <= most:
        return f"must be from 0 to {most:,}, not {number}"
    if number != round(number, decimals):
        return f"must have at most {decimals} decimals, not be {number}"
    return None


def reworded(error: msgspec.ValidationError) -> str:
    """What msgspec complains of, with the field's place as TOML writes it."""
    return f"{error}.".replace("`$.", "`").replace("Expected `decimal | null`", "Expected a number")


def as_table(value: Any, type_: type[PriceTable], problems: list[str]) -> PriceTable | None:
    """A decoded TOML table as one of prices; None, and a problem, if it is none."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        problems.append(reworded(error))
        return None
