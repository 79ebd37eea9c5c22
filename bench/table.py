"""Tables of plain text, for people. What stands in them is the scenarios' matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.figures import Repeated, Spread

NOT_MEASURED = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, column heads, and rows whose first cell names them; ``notes`` are sentences below."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.heads, *self.rows, strict=True)]
        lines = [self.title, _line(self.heads, widths), *(_line(row, widths) for row in self.rows)]
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = cells
    return "  ".join(
        ["", name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))]
    )


def number(value: float | None, digits: int = 2) -> str:
    """A figure as it is shown."""
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


SPREAD_HEADS = ("p50", "p90", "p99", "p99.9", "max", "n")


def spread_cells(spread: Spread, digits: int = 2) -> tuple[str, ...]:
    """The cells below ``SPREAD_HEADS``."""
    values = (spread.p50, spread.p90, spread.p99, spread.p999, spread.highest)
    return (*(number(value, digits) for value in values), str(spread.count))


def repeated(value: Repeated | None, unit: str = "", digits: int = 2) -> str:
    """A figure of several rounds: the median, and the range in brackets."""
    if value is None:
        return NOT_MEASURED
    shown = f"{value.median:.{digits}f}{unit}"
    if value.rounds == 1:
        return shown
    return f"{shown} [{value.lowest:.{digits}f}..{value.highest:.{digits}f}]"
