"""How records become rows: entries of a journal are written in one transaction, each once. It reads nothing back."""

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from server.store.base import ERASED, UNFINISHED, Entry
from server.store.money import to_picodollars
from server.store.records import (
    AudioRecording,
    HeardText,
    Record,
    SaidText,
    SessionBegun,
    SessionEnded,
    StoppedText,
    ToolCall,
    TurnTimes,
    UsageLine,
)
from server.store.sql_tables import (
    TOKEN_COLUMNS,
    daily_costs,
    erased_sessions,
    journal_positions,
    recordings,
    sessions,
    tool_calls,
    turns,
    usage_lines,
)

__all__ = ["add_daily_costs", "apply", "finish_lost", "finish_stale", "insert_into"]

_Row: TypeAlias = dict[str, Any]
_Key: TypeAlias = tuple[str, ...]

_CHANGING: Final = (sessions, turns, tool_calls, recordings)
_COST_KEY: Final = ("day", "principal_id", "kb_id", "model", "deployment")
COST_SUMS: Final = ("lines", *TOKEN_COLUMNS, "audio_ms", "cost")


def apply(connection: Connection, journal: str, epoch: str, entries: Sequence[Entry], now: dt.datetime) -> None:
    """Writes those entries of an epoch that it does not have, and how far that is."""
    position = select(journal_positions.c.number).where(journal_positions.c.epoch == epoch).with_for_update()
    done = connection.execute(position).scalar() or 0
    fresh = [entry for entry in entries if entry.number > done]
    if not fresh:
        return
    erased = _erased(connection, {entry.record.session_id for entry in fresh})
    rows = _Rows(journal)
    late: list[UsageLine] = []
    for entry in fresh:
        record = entry.record
        if record.session_id not in erased:
            rows.add(record)
        elif isinstance(record, UsageLine):
            late.append(_hidden(record) if erased[record.session_id] else record)
    rows.write(connection)
    counted = [*_insert_usage(connection, rows.usage), *late]
    add_daily_costs(connection, [_cost_row(line) for line in counted])
    reached = {"epoch": epoch, "number": fresh[-1].number, "at": now}
    _upsert(connection, journal_positions, [reached], ("at", "number"))


def _erased(connection: Connection, session_ids: set[str]) -> dict[str, bool]:
    """Those of these sessions that were erased, and whether their principal is hidden."""
    query = select(erased_sessions.c.session_id, erased_sessions.c.hide_principal)
    found = connection.execute(query.where(erased_sessions.c.session_id.in_(map(_clean, session_ids))))
    return {session_id: bool(hidden) for session_id, hidden in found}


def _hidden(line: UsageLine) -> UsageLine:
    return msgspec.structs.replace(line, principal_id=ERASED)


class _Rows:
    """Rows put together from records; of one row, what a later record says counts."""

    def __init__(self, journal: str) -> None:
        self._journal = journal
        self._rows: dict[Table, dict[_Key, _Row]] = {table: {} for table in _CHANGING}
        self._placeholders: dict[Table, dict[_Key, _Row]] = {table: {} for table in _CHANGING}
        self.usage: dict[_Key, UsageLine] = {}

    def add(self, record: Record) -> None:
        """Takes what a record says."""
        if isinstance(record, UsageLine):
            self.usage.setdefault((_clean(record.session_id), _clean(record.id)), record)
            return
        table, key, said, otherwise = self._row(record)
        place = tuple(_clean(part) for part in key)
        self._rows[table].setdefault(place, {}).update({name: _clean(value) for name, value in said.items()})
        self._placeholders[table].setdefault(place, otherwise)

    def _row(self, record: Record) -> tuple[Table, _Key, _Row, _Row]:
        """Table and key, what the record says, and what stands there until another says it."""
        match record:
            case SessionBegun():
                said = _fields(record, "kb_id", "principal_id", "principal_name", "person", "endpoint", "model")
                return sessions, (record.session_id,), said | {"began_at": record.at, "journal": self._journal}, {}
            case SessionEnded():
                said = {"ended_at": record.at, "end_reason": record.reason, "detail": record.detail}
                return sessions, (record.session_id,), said, {"began_at": record.at}
            case ToolCall():
                said = _fields(record, "name", "status", "arguments", "duration_ms", "response_id")
                if record.sources is not None:
                    said["sources"] = msgspec.json.encode(record.sources).decode()
                known = {name: value for name, value in said.items() if value is not None}
                # A later record of the same call tells its end; when it began, the first one has told.
                return tool_calls, (record.session_id, record.id), known, {"at": record.at}
            case AudioRecording():
                said = _fields(record, "at", "file", "duration_ms", "size_bytes", "dropped_ms", "note")
                return recordings, (record.session_id, record.id), said, {}
            case SaidText() | HeardText() | StoppedText() | TurnTimes():
                return turns, (record.session_id, record.id), _turn(record), {"at": record.at}
            case UsageLine():
                raise AssertionError("lines of usage are not rows that change")

    def write(self, connection: Connection) -> None:
        """Writes them: a row that is there gets what was said, and keeps the rest."""
        for table, by_key in self._rows.items():
            keys = tuple(column.name for column in table.primary_key)
            alike: dict[_Key, list[_Row]] = {}
            for key, said in by_key.items():
                row = self._placeholders[table][key] | said | dict(zip(keys, key, strict=True))
                alike.setdefault(tuple(sorted(said)), []).append(row)
            for names, rows in alike.items():
                _upsert(connection, table, rows, names)


def _turn(record: SaidText | HeardText | StoppedText | TurnTimes) -> _Row:
    match record:
        case SaidText():
            return _fields(record, "at", "role", "text")
        case HeardText():
            return {"heard_text": record.text, "heard_ms": record.heard_ms, "sent_ms": record.sent_ms}
        case StoppedText():
            return {"stopped_by": record.rule} | ({"role": "user", "text": record.text} if record.text else {})
        case TurnTimes():
            times = ("search_began_ms", "search_ended_ms", "first_token_ms", "first_audio_ms", "ended_ms")
            return {"asked_at": record.at} | _fields(record, "response_id", "status", *times)


def _fields(record: Record, *names: str) -> _Row:
    return {name: getattr(record, name) for name in names}


def _clean(value: Any) -> Any:
    """PostgreSQL's text has no NUL; on both databases it becomes the sign for what cannot be shown."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def insert_into(dialect: str, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in a dialect."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


# To build a statement costs as much as to write a row by it, and there are few.
@lru_cache(maxsize=256)
def _upsert_statement(dialect: str, table: Table, names: _Key) -> Any:
    statement = insert_into(dialect, table)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_={name: statement.excluded[name] for name in names})


@lru_cache(maxsize=4)
def _usage_statement(dialect: str) -> Any:
    statement = insert_into(dialect, usage_lines).on_conflict_do_nothing()
    return statement.returning(usage_lines.c.session_id, usage_lines.c.id)


@lru_cache(maxsize=4)
def _cost_statement(dialect: str) -> Any:
    statement = insert_into(dialect, daily_costs)
    added = {name: daily_costs.c[name] + statement.excluded[name] for name in COST_SUMS}
    return statement.on_conflict_do_update(index_elements=list(_COST_KEY), set_=added)


def _upsert(connection: Connection, table: Table, rows: list[_Row], names: _Key) -> None:
    keys = [column.name for column in table.primary_key]
    # In order of their keys: two servers that write the same rows then cannot wait for each other in a circle.
    rows.sort(key=lambda row: [row[key] for key in keys])
    connection.execute(_upsert_statement(connection.dialect.name, table, names), rows)


def _insert_usage(connection: Connection, lines: dict[_Key, UsageLine]) -> list[UsageLine]:
    """Inserts lines; returns those that were not there already."""
    if not lines:
        return []
    rows = [_usage_row(place, lines[place]) for place in sorted(lines)]
    inserted = connection.execute(_usage_statement(connection.dialect.name), rows)
    return [lines[session_id, line_id] for session_id, line_id in inserted]


def _usage_row(place: _Key, line: UsageLine) -> _Row:
    names = ("at", "what", "status", "prices", "is_estimate")
    row = _fields(line, *names) | _cost_row(line) | {"session_id": place[0], "id": place[1]}
    del row["lines"]
    return {name: _clean(value) for name, value in row.items()}


def _cost_row(line: UsageLine) -> _Row:
    row = _fields(line, *_COST_KEY, "audio_ms") | msgspec.structs.asdict(line.tokens)
    row |= {"lines": 1, "cost": to_picodollars(line.cost_usd)}
    return {name: _clean(value) for name, value in row.items()}


def add_daily_costs(connection: Connection, rows: Iterable[_Row]) -> None:
    """Adds to the sums of each day."""
    sums: dict[_Key, _Row] = {}
    for row in rows:
        key = tuple(row[name] for name in _COST_KEY)
        present = sums.get(key)
        if present is None:
            sums[key] = dict(row)
        else:
            for name in COST_SUMS:
                present[name] += row[name]
    if not sums:
        return
    connection.execute(_cost_statement(connection.dialect.name), [sums[key] for key in sorted(sums)])


def finish_lost(connection: Connection, journal: str, living: frozenset[str]) -> int:
    """Ends the sessions of a journal that have no end, at the last that is known of them."""
    open_ones = select(sessions.c.session_id, sessions.c.began_at).where(
        sessions.c.journal == journal, sessions.c.end_reason.is_(None)
    )
    return _finish(connection, [(one, at) for one, at in connection.execute(open_ones) if one not in living])


def finish_stale(connection: Connection, before: dt.datetime) -> int:
    """Ends the sessions that began before and have no end."""
    open_ones = select(sessions.c.session_id, sessions.c.began_at).where(
        sessions.c.began_at < before, sessions.c.end_reason.is_(None)
    )
    return _finish(connection, [(one, at) for one, at in connection.execute(open_ones)])


def _finish(connection: Connection, lost: list[tuple[str, dt.datetime]]) -> int:
    for session_id, began_at in lost:
        last = [began_at, *_last_times(connection, session_id)]
        statement = sessions.update().where(sessions.c.session_id == session_id, sessions.c.end_reason.is_(None))
        connection.execute(statement.values(ended_at=max(last), end_reason=UNFINISHED))
    return len(lost)


def _last_times(connection: Connection, session_id: str) -> list[dt.datetime]:
    found: list[dt.datetime] = []
    for table in (turns, tool_calls, usage_lines):
        newest = select(func.max(table.c.at)).where(table.c.session_id == session_id)
        last = connection.execute(newest).scalar()
        if last is not None:
            found.append(last)
    return found
