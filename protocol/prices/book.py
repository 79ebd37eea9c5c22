"""The price book: what each model costs from which day on, and the dearest of all for a model that is not in it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, TypeAlias

from protocol.prices.rates import KINDS, MODALITIES, Kind, Modality, Rates, dearest_of

Use: TypeAlias = Literal["conversation", "transcription"]

# The embedded simulator. It is in the book like any other model, and costs nothing.
EMBEDDED_MODEL = "liveavatar-simulator"

# Models are released by date; a family's price holds for each that has none of its own.
_DATE_SUFFIX = re.compile(r"-\d{4}-\d{2}-\d{2}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """What a model costs for one use, from a day (UTC) on until another row's day."""

    model: str
    use: Use
    valid_from: date
    rates: Rates


class PriceBook:
    """All that is known of prices.

    Args:
        rows: the list that comes along.
        own: the operator's. From the first day of its own rows on, nothing of ``rows`` holds for a model.
        version: names both, for records: a price can be looked up later.

    Raises:
        ValueError: no model has a price by the token, or none by the minute: nothing could be said of unknown ones.
    """

    def __init__(self, rows: Iterable[PriceRow], own: Iterable[PriceRow] = (), *, version: str) -> None:
        self.version = version
        self._rows: dict[tuple[Use, str], list[PriceRow]] = {}
        given: dict[tuple[Use, str], list[PriceRow]] = {}
        for row in own:
            given.setdefault((row.use, _named(row.model)), []).append(row)
        first = {key: min(row.valid_from for row in of_model) for key, of_model in given.items()}
        for row in rows:
            key = row.use, _named(row.model)
            if row.valid_from < first.get(key, date.max):
                self._rows.setdefault(key, []).append(row)
        for key, of_model in given.items():
            self._rows.setdefault(key, []).extend(of_model)
        for of_model in self._rows.values():
            of_model.sort(key=lambda row: row.valid_from)
        known = [row.rates for of_model in self._rows.values() for row in of_model]
        if not any(rates.tokens for rates in known) or all(rates.minute is None for rates in known):
            raise ValueError("a price book needs a price by the token and one by the minute")
        self._dearest: dict[tuple[Use, date], Rates] = {}

    def row(self, model: str, use: Use, day: date) -> PriceRow | None:
        """What holds for a model on a day; None if it is not in the book.

        A name with a date at its end is its family's, unless it is in the book itself. Before its first day a model
        costs what it costs on that day.
        """
        name = _named(model)
        of_model = self._rows.get((use, name)) or self._rows.get((use, _DATE_SUFFIX.sub("", name)))
        if not of_model:
            return None
        return next((row for row in reversed(of_model) if row.valid_from <= day), of_model[0])

    def knows(self, model: str, use: Use) -> bool:
        """Whether a model is in the book."""
        return self.row(model, use, date.max) is not None

    def dearest(self, use: Use, day: date) -> Rates:
        """The highest rate of each kind on a day, for what has no price: of models for this use, else of any.

        No kind is left without one.
        """
        known = self._dearest.get((use, day))
        if known is None:
            known = self._dearest[use, day] = self._find_dearest(use, day)
        return known

    def _find_dearest(self, use: Use, day: date) -> Rates:
        of_use: list[Rates] = []
        of_any: list[Rates] = []
        for row_use, model in self._rows:
            row = self.row(model, row_use, day)
            if row is not None:
                of_any.append(row.rates)
                if row_use == use:
                    of_use.append(row.rates)
        anything = dearest_of(of_any)
        most: dict[Kind, Decimal] = {}
        for (_, kind), rate in anything.tokens.items():
            most[kind] = max(rate, most.get(kind, rate))
        highest = max(most.values())
        whole: dict[tuple[Modality, Kind], Decimal] = {
            (modality, kind): most.get(kind, highest) for modality in MODALITIES for kind in KINDS
        }
        return dearest_of(of_use).over(anything).over(Rates(whole))


def _named(model: str) -> str:
    return model.strip().lower()
