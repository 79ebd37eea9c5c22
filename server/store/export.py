"""Records for other programs: a session as JSON, lines of usage as CSV. It reads nothing and writes no file."""

import csv
import io
from collections.abc import Iterable
from typing import Final

import msgspec

from server.store.records import Tokens
from server.store.views import SessionDetail, UsageView

__all__ = ["CSV_COLUMNS", "csv_cell", "session_json", "usage_csv"]

CSV_COLUMNS: Final = (
    "at",
    "day",
    "session_id",
    "id",
    "what",
    "status",
    "principal_id",
    "kb_id",
    "model",
    "deployment",
    *(f"{name}_tokens" for name in Tokens.__struct_fields__),
    "audio_ms",
    "cost_usd",
    "prices",
    "is_estimate",
)
# Spreadsheets take a cell that begins so for a formula, and see no tab or return before it (OWASP, "CSV injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def session_json(session: SessionDetail) -> bytes:
    """A whole session as JSON, indented for people; money as decimal text, so that no reader rounds it."""
    return msgspec.json.format(msgspec.json.encode(session), indent=2) + b"\n"


def usage_csv(lines: Iterable[UsageView], *, header: bool) -> str:
    """Lines of usage as CSV (RFC 4180), under the columns' names if ``header``. Pages put together make one file."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(CSV_COLUMNS)
    writer.writerows(map(_row, lines))
    return text.getvalue()


def _row(line: UsageView) -> list[str | int]:
    texts = (
        line.session_id,
        line.id,
        line.what,
        line.status,
        line.principal_id,
        line.kb_id,
        line.model,
        line.deployment,
    )
    return [
        line.at.isoformat(timespec="microseconds"),
        line.day,
        *map(csv_cell, texts),
        *(getattr(line.tokens, name) for name in Tokens.__struct_fields__),
        line.audio_ms,
        f"{line.cost_usd:.12f}",
        csv_cell(line.prices),
        int(line.is_estimate),
    ]


def csv_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: a quote is put before one."""
    return f"'{text}" if text.startswith(_FORMULA) else text
