"""The tables, once for SQLite and PostgreSQL. The migrations make them; a test holds the two together.

Times are whole microseconds since 1970 in UTC, money is whole picodollars: both are exact, add up and sort the same on
both databases. There are no foreign keys: a record that came without its session is kept.
"""

import datetime as dt
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, MetaData, String, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

__all__ = [
    "SESSION_TABLES",
    "TOKEN_COLUMNS",
    "daily_costs",
    "erased_sessions",
    "journal_positions",
    "metadata",
    "recordings",
    "sessions",
    "tool_calls",
    "turns",
    "usage_lines",
]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)

TOKEN_COLUMNS: Final = (
    "input_text",
    "input_audio",
    "input_image",
    "cached_text",
    "cached_audio",
    "cached_image",
    "output_text",
    "output_audio",
)
"""As the fields of `server.store.records.Tokens`."""


class Instant(TypeDecorator[dt.datetime]):
    """A time with a zone, as microseconds since 1970 in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """To the database."""
        return None if value is None else micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else instant(value)


def micros(value: dt.datetime) -> int:
    """Microseconds since 1970. Raises TypeError for a time without a zone."""
    return (value - _EPOCH) // _MICROSECOND


def instant(value: int) -> dt.datetime:
    """What `micros` made a number of, in UTC."""
    return _EPOCH + dt.timedelta(microseconds=value)


metadata = MetaData()


def _key(name: str) -> Column[str]:
    return Column(name, String, primary_key=True)


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _tokens() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in (*TOKEN_COLUMNS, "audio_ms")]


sessions = Table(
    "sessions",
    metadata,
    _key("session_id"),
    Column("began_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("end_reason", Text),
    _text("detail"),
    _text("kb_id"),
    _text("principal_id"),
    _text("principal_name"),
    _text("person"),
    _text("endpoint"),
    _text("model"),
    # Of the server that it belongs to, which ends what a crash left without an end.
    _text("journal"),
    # Pages go by these two; each with what is filtered by in front of them.
    Index("ix_sessions_began", "began_at", "session_id"),
    Index("ix_sessions_kb", "kb_id", "began_at", "session_id"),
    Index("ix_sessions_principal", "principal_id", "began_at", "session_id"),
    Index("ix_sessions_person", "person", "began_at", "session_id"),
    Index("ix_sessions_end", "end_reason", "began_at", "session_id"),
)

turns = Table(
    "turns",
    metadata,
    _key("session_id"),
    _key("item_id"),
    Column("at", Instant, nullable=False),
    _text("role"),
    _text("text"),
    Column("heard_text", Text),
    Column("heard_ms", BigInteger),
    Column("sent_ms", BigInteger),
    Column("stopped_by", Text),
    Column("response_id", Text),
    Column("status", Text),
    Column("asked_at", Instant),
    Column("search_began_ms", Float),
    Column("search_ended_ms", Float),
    Column("first_token_ms", Float),
    Column("first_audio_ms", Float),
    Column("ended_ms", Float),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    _key("session_id"),
    _key("call_id"),
    Column("at", Instant, nullable=False),
    _text("name"),
    Column("arguments", Text),
    # JSON: they are shown, never searched.
    Column("sources", Text),
    _text("status"),
    Column("duration_ms", Float),
    Column("response_id", Text),
)

usage_lines = Table(
    "usage_lines",
    metadata,
    _key("session_id"),
    _key("id"),
    Column("at", Instant, nullable=False),
    _text("day"),
    _text("what"),
    _text("status"),
    _text("principal_id"),
    _text("kb_id"),
    _text("model"),
    _text("deployment"),
    *_tokens(),
    Column("cost", BigInteger, nullable=False),
    _text("prices"),
    Column("is_estimate", Boolean, nullable=False),
    Index("ix_usage_lines_at", "at", "session_id", "id"),
)

# Added to in the transaction that a line of usage comes in by, so that costs are summed up without reading all lines,
# and remain when a session is erased or too old.
daily_costs = Table(
    "daily_costs",
    metadata,
    _key("day"),
    _key("principal_id"),
    _key("kb_id"),
    _key("model"),
    _key("deployment"),
    Column("lines", BigInteger, nullable=False),
    *_tokens(),
    Column("cost", BigInteger, nullable=False),
)

recordings = Table(
    "recordings",
    metadata,
    _key("session_id"),
    _key("side"),
    Column("at", Instant, nullable=False),
    _text("file"),
    Column("duration_ms", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dropped_ms", BigInteger, nullable=False),
    _text("note"),
)

# What still comes of them, from a journal that was slow, is not kept. An id says nothing about anybody.
erased_sessions = Table(
    "erased_sessions",
    metadata,
    _key("session_id"),
    Column("at", Instant, nullable=False),
    Column("hide_principal", Boolean, nullable=False),
)

# How far each epoch of a journal was applied, written in the same transaction: what is applied again is passed over.
journal_positions = Table(
    "journal_positions",
    metadata,
    _key("epoch"),
    Column("number", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)

SESSION_TABLES: Final = (turns, tool_calls, usage_lines, recordings, sessions)
"""Tables with a ``session_id``, from which a session is erased."""
