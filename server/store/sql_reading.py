"""How rows are read: pages of sessions and of usage by key, one session with everything, costs. It writes nothing."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, Table, func, literal, select, tuple_
from sqlalchemy.engine import Connection

from protocol.avatar.events import Source
from server.store.base import UnknownPageKey
from server.store.money import to_usd
from server.store.records import Tokens
from server.store.sql_tables import (
    TOKEN_COLUMNS,
    daily_costs,
    instant,
    micros,
    recordings,
    sessions,
    tool_calls,
    turns,
    usage_lines,
)
from server.store.views import (
    CallView,
    CostLine,
    Dimension,
    RecordingView,
    SessionDetail,
    SessionFilter,
    SessionPage,
    SessionSummary,
    TurnView,
    UsagePage,
    UsageView,
)

__all__ = ["PAGE_MAX", "read_costs", "read_end_reasons", "read_session", "read_sessions", "read_usage"]

# Of a page: what a person scrolls through, or a script takes in one go.
PAGE_MAX: Final = 1000
_DIMENSIONS: Final = ("day", "principal_id", "kb_id", "model", "deployment")
_SUMMARY: Final = tuple(
    sessions.c[name]
    for name in (
        "session_id",
        "began_at",
        "ended_at",
        "end_reason",
        "kb_id",
        "principal_id",
        "principal_name",
        "person",
        "endpoint",
        "model",
    )
)


def read_sessions(connection: Connection, which: SessionFilter, limit: int, key: str | None) -> SessionPage:
    """See ``RecordReader.sessions``."""
    limit = _page_size(limit)
    query = select(*_SUMMARY).where(*_meant(which))
    order = (sessions.c.began_at, sessions.c.session_id)
    if key is not None:
        query = query.where(tuple_(*order) < _place(order, key))
    query = query.order_by(*(column.desc() for column in order)).limit(limit + 1)
    rows = connection.execute(query).all()
    next_key = _key(rows[limit - 1], "began_at", "session_id") if len(rows) > limit else None
    return SessionPage(sessions=_summaries(connection, rows[:limit]), next_key=next_key)


def _meant(which: SessionFilter) -> list[ColumnElement[bool]]:
    meant: list[ColumnElement[bool]] = []
    if which.since is not None:
        meant.append(sessions.c.began_at >= which.since)
    if which.until is not None:
        meant.append(sessions.c.began_at < which.until)
    if which.is_live is not None:
        meant.append(sessions.c.end_reason.is_(None) if which.is_live else sessions.c.end_reason.is_not(None))
    for name in ("kb_id", "principal_id", "person", "end_reason"):
        wanted = getattr(which, name)
        if wanted is not None:
            meant.append(sessions.c[name] == wanted.replace("\0", "\ufffd"))
    if which.min_cost_usd is not None and which.min_cost_usd > 0:
        # Under a name of its own: lines of usage are filtered by it, too.
        spent = usage_lines.alias("spent")
        cost = select(func.coalesce(func.sum(spent.c.cost), 0)).where(spent.c.session_id == sessions.c.session_id)
        meant.append(cost.correlate(sessions).scalar_subquery() >= _at_least(which.min_cost_usd))
    return meant


def _at_least(cost_usd: Decimal) -> int:
    # No sum of 64 bits reaches more.
    return min(math.ceil(cost_usd.scaleb(12)), 2**63 - 1)


def _summaries(connection: Connection, rows: Sequence[Row[Any]]) -> list[SessionSummary]:
    ids = [row.session_id for row in rows]
    counts = _by_session(connection, turns, func.count(), ids)
    costs = _by_session(connection, usage_lines, func.sum(usage_lines.c.cost), ids)
    return [
        SessionSummary(
            **row._asdict(), turns=counts.get(row.session_id, 0), cost_usd=to_usd(costs.get(row.session_id, 0))
        )
        for row in rows
    ]


def _by_session(connection: Connection, table: Table, what: Any, ids: list[str]) -> dict[str, Any]:
    column = table.c.session_id
    found = connection.execute(select(column, what).where(column.in_(ids)).group_by(column))
    return {session_id: value for session_id, value in found}  # noqa: C416 - rows, not pairs, to the type checker


def read_session(connection: Connection, session_id: str) -> SessionDetail | None:
    """See ``RecordReader.session``."""
    session_id = session_id.replace("\0", "\ufffd")
    row = connection.execute(select(*_SUMMARY, sessions.c.detail).where(sessions.c.session_id == session_id)).first()
    if row is None:
        return None
    summary = row._asdict()
    detail = summary.pop("detail")
    usage = [_usage(line) for line in _of(connection, usage_lines, session_id, "at", "id")]
    said = [TurnView(**_without_session(turn)) for turn in _of(connection, turns, session_id, "at", "item_id")]
    cost_usd = sum((line.cost_usd for line in usage), start=to_usd(0))
    return SessionDetail(
        session=SessionSummary(**summary, turns=len(said), cost_usd=cost_usd),
        detail=detail,
        turns=said,
        tool_calls=[_call(call) for call in _of(connection, tool_calls, session_id, "at", "call_id")],
        usage=usage,
        recordings=[
            RecordingView(**_without_session(side)) for side in _of(connection, recordings, session_id, "side")
        ],
    )


def _of(connection: Connection, table: Table, session_id: str, *order: str) -> Sequence[Row[Any]]:
    query = select(table).where(table.c.session_id == session_id).order_by(*(table.c[name] for name in order))
    return connection.execute(query).all()


def _without_session(row: Row[Any]) -> dict[str, Any]:
    fields = row._asdict()
    del fields["session_id"]
    return fields


def _call(row: Row[Any]) -> CallView:
    fields = _without_session(row)
    sources = fields.pop("sources")
    found = msgspec.json.decode(sources, type=list[Source]) if sources else []
    return CallView(sources=found, **fields)


def _usage(row: Row[Any]) -> UsageView:
    fields = row._asdict()
    return UsageView(tokens=_tokens(fields), cost_usd=to_usd(fields.pop("cost")), **fields)


def _tokens(fields: dict[str, Any]) -> Tokens:
    return Tokens(**{name: int(fields.pop(name)) for name in TOKEN_COLUMNS})


def read_usage(
    connection: Connection, which: SessionFilter, limit: int, session_id: str | None, key: str | None
) -> UsagePage:
    """See ``RecordReader.usage``."""
    limit = _page_size(limit)
    query = select(usage_lines)
    meant = _meant(which)
    if meant:
        query = query.join(sessions, sessions.c.session_id == usage_lines.c.session_id).where(*meant)
    if session_id is not None:
        query = query.where(usage_lines.c.session_id == session_id.replace("\0", "\ufffd"))
    order = (usage_lines.c.at, usage_lines.c.session_id, usage_lines.c.id)
    if key is not None:
        query = query.where(tuple_(*order) > _place(order, key))
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    next_key = _key(rows[limit - 1], "at", "session_id", "id") if len(rows) > limit else None
    return UsagePage(lines=[_usage(row) for row in rows[:limit]], next_key=next_key)


def read_costs(
    connection: Connection, by: Sequence[Dimension], since_day: str | None, until_day: str | None
) -> list[CostLine]:
    """See ``RecordReader.costs``. Raises ValueError for a dimension that there is not."""
    wanted = list(dict.fromkeys(by))
    if unknown := set(wanted) - set(_DIMENSIONS):
        raise ValueError(f"costs are not added up by {', '.join(sorted(unknown))}")
    columns = [daily_costs.c[name] for name in wanted]
    sums = [func.sum(daily_costs.c[name]).label(name) for name in ("lines", *TOKEN_COLUMNS, "audio_ms", "cost")]
    query = select(*columns, *sums).group_by(*columns)
    if since_day is not None:
        query = query.where(daily_costs.c.day >= since_day)
    if until_day is not None:
        query = query.where(daily_costs.c.day <= until_day)
    rows = [row._asdict() for row in connection.execute(query) if row.lines is not None]
    # Ordered here: databases differ in how they order letters.
    rows.sort(key=lambda row: [row[name] for name in wanted])
    return [
        CostLine(
            tokens=_tokens(row),
            cost_usd=to_usd(row.pop("cost")),
            lines=int(row.pop("lines")),
            audio_ms=int(row.pop("audio_ms")),
            **row,
        )
        for row in rows
    ]


def read_end_reasons(connection: Connection, which: SessionFilter) -> dict[str, int]:
    """See ``RecordReader.end_reasons``."""
    query = select(sessions.c.end_reason, func.count()).where(*_meant(which)).group_by(sessions.c.end_reason)
    counts = {reason or "": int(count) for reason, count in connection.execute(query)}
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _page_size(limit: int) -> int:
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"a page has 1 to {PAGE_MAX} lines")
    return limit


def _key(row: Row[Any], time: str, *names: str) -> str:
    fields = row._asdict()
    return msgspec.json.encode([micros(fields[time]), *(fields[name] for name in names)]).hex()


def _place(order: Sequence[ColumnElement[Any]], key: str) -> ColumnElement[Any]:
    """Where a page's key stands in an order that begins with a time."""
    try:
        time, *names = msgspec.json.decode(bytes.fromhex(key), type=list[int | str])
        if (
            len(names) + 1 != len(order)
            or not isinstance(time, int)
            or not all(isinstance(name, str) for name in names)
        ):
            raise UnknownPageKey("this is no key of a page")
        values = [instant(time), *names]
    except (ValueError, OverflowError):
        # msgspec's own are ValueErrors.
        raise UnknownPageKey("this is no key of a page") from None
    return tuple_(*(literal(value, column.type) for value, column in zip(values, order, strict=True)))
