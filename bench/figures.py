"""What a row of measured values says: its percentiles, and how two rows compare. Measures nothing itself."""

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec

# Digits kept behind the point: values are milliseconds, and the clock is good to a microsecond.
_DIGITS = 3


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles by nearest rank. One that the sample is too small for (p99 of 50 values) is None, not a guess."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p999: float | None = None
    highest: float | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of these values, in their unit; of none of them, only the count is known."""
        ordered = sorted(values)
        if not ordered:
            return cls(count=0)
        return cls(
            count=len(ordered),
            p50=round(statistics.median(ordered), _DIGITS),
            p90=_percentile(ordered, 0.9),
            p99=_percentile(ordered, 0.99),
            p999=_percentile(ordered, 0.999),
            highest=round(ordered[-1], _DIGITS),
        )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value that ``share`` of all do not exceed; None where fewer than one value lies above it."""
    beyond = round(len(ordered) * (1 - share), 6)
    return round(ordered[math.ceil(len(ordered) - beyond) - 1], _DIGITS) if beyond >= 1 else None


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that was measured once per round: the median, and between which values it lay."""

    median: float
    lowest: float
    highest: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float | None], digits: int = _DIGITS) -> "Repeated | None":
        """None if it was not measured in every round, or not at all."""
        measured = list(values)
        known = [value for value in measured if value is not None]
        if not known or len(known) != len(measured):
            return None
        return cls(
            median=round(statistics.median(known), digits),
            lowest=round(min(known), digits),
            highest=round(max(known), digits),
            rounds=len(known),
        )


def ratio(value: float | None, floor: float | None) -> float | None:
    """How many times the floor; None where one of them was not measured."""
    return value / floor if value is not None and floor else None


def difference(value: float | None, floor: float | None) -> float | None:
    """What came on top of the floor; None where one of them was not measured."""
    return round(value - floor, _DIGITS) if value is not None and floor is not None else None
