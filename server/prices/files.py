"""Price files: the list that comes along, and the operator's own, which goes before it. Prices nothing."""

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from protocol.prices.book import PriceBook, PriceRow, Use
from server.prices.tables import PriceTable, as_table, rates_of

LIST = Path(__file__).with_name("list.toml")
# An operator's row without a day has always been so.
_ALWAYS = date.min


class _Row(PriceTable, forbid_unknown_fields=True, kw_only=True):
    """A ``[[price]]`` of a file."""

    models: list[str]
    use: Use = "conversation"
    valid_from: date = _ALWAYS


def open_book(own: tuple[PriceRow, ...] = (), own_name: str = "") -> PriceBook:
    """The price book: the list that comes along, and the operator's rows before it. ``own_name`` is of their file."""
    problems: list[str] = []
    listed = _decoded(LIST)
    rows = _all_rows(listed, problems)
    if problems:
        raise AssertionError(f"the price list that comes along cannot be used: {problems}")
    version = str(listed["version"])
    return PriceBook(rows, own, version=f"{version} and {own_name}" if own_name else version)


def read_prices(path: Path, problems: list[str]) -> tuple[PriceRow, ...]:
    """The rows of a price file; ``problems`` gets a sentence for all that cannot be, with the table and the field."""
    found: list[str] = []
    rows: list[PriceRow] = []
    try:
        rows = _all_rows(_decoded(path), found)
    except OSError as error:
        found.append(f"cannot be read: {error.strerror}.")
    except ValueError as error:
        found.append(f"is not TOML: {error}.")
    problems += [f"{path}: {text}" for text in found]
    return () if found else tuple(rows)


def _decoded(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)


def _all_rows(file: dict[str, Any], found: list[str]) -> list[PriceRow]:
    tables = file.get("price")
    found += [
        f"unknown field `{name}`; it may say version and [[price]]." for name in file.keys() - {"version", "price"}
    ]
    if not isinstance(file.get("version", ""), str):
        found.append("version must be a text.")
    if not isinstance(tables, list) or not tables:
        found.append("it lists no [[price]].")
        tables = []
    rows: list[PriceRow] = []
    for number, table in enumerate(tables, start=1):
        rows += _rows(table, number, found)
    seen: set[tuple[str, str, date]] = set()
    for row in rows:
        key = row.use, row.model.strip().lower(), row.valid_from
        if key in seen:
            day = "" if row.valid_from == _ALWAYS else f" from {row.valid_from} on"
            found.append(f"{row.model} has two prices{day}.")
        seen.add(key)
    return rows


def _rows(table: Any, number: int, found: list[str]) -> list[PriceRow]:
    problems: list[str] = []
    row = as_table(table, _Row, problems)
    rows = []
    if isinstance(row, _Row):
        rates = rates_of(row, problems)
        if not row.models or not all(model.strip() for model in row.models):
            problems.append("models is empty, or names none.")
        rows = [PriceRow(model=model, use=row.use, valid_from=row.valid_from, rates=rates) for model in row.models]
    models = table.get("models") if isinstance(table, dict) else None
    named = f" ({', '.join(map(str, models))})" if isinstance(models, list) and models else ""
    found += [f"[[price]] {number}{named}: {problem}" for problem in problems]
    return rows
