"""How rows are erased: sessions, all of a person, what is too old. Costs remain in the sums of their days."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from server.store.base import ERASED, Erasure
from server.store.sql_applying import add_daily_costs, insert_into
from server.store.sql_tables import (
    SESSION_TABLES,
    daily_costs,
    erased_sessions,
    journal_positions,
    recordings,
    sessions,
)

__all__ = ["erase_before", "erase_person", "erase_sessions"]

# Ids in one statement.
_IDS: Final = 500
# A journal that was not applied for so long is nobody's any more.
_MARKS_KEPT: Final = dt.timedelta(days=90)


def erase_sessions(
    connection: Connection, session_ids: Sequence[str], now: dt.datetime, *, hide_principal: bool
) -> Erasure:
    """See ``RecordStore.erase_sessions``."""
    ids = sorted({session_id.replace("\0", "\ufffd") for session_id in session_ids})
    for some in _some(ids):
        statement = insert_into(connection.dialect.name, erased_sessions)
        changed = {"at": statement.excluded.at} | ({"hide_principal": True} if hide_principal else {})
        connection.execute(
            statement.on_conflict_do_update(index_elements=["session_id"], set_=changed),
            [{"session_id": session_id, "at": now, "hide_principal": hide_principal} for session_id in some],
        )
    return _delete(connection, ids)


def erase_person(connection: Connection, person: str, session_ids: Sequence[str], now: dt.datetime) -> Erasure:
    """See ``RecordStore.erase_person``."""
    person = person.replace("\0", "\ufffd")
    theirs = connection.execute(select(sessions.c.session_id).where(sessions.c.person == person)).scalars()
    erasure = erase_sessions(connection, [*theirs, *session_ids], now, hide_principal=True)
    # A client's user id is no principal; then there is nothing here.
    rows = [
        row._asdict() for row in connection.execute(select(daily_costs).where(daily_costs.c.principal_id == person))
    ]
    connection.execute(delete(daily_costs).where(daily_costs.c.principal_id == person))
    add_daily_costs(connection, [row | {"principal_id": ERASED} for row in rows])
    return erasure


def erase_before(connection: Connection, before: dt.datetime, limit: int, now: dt.datetime) -> Erasure:
    """See ``RecordStore.erase_before``; forgets what was noted of journals that are long gone, too."""
    old = select(sessions.c.session_id).where(sessions.c.began_at < before, sessions.c.end_reason.is_not(None))
    ids = connection.execute(old.order_by(sessions.c.began_at, sessions.c.session_id).limit(limit)).scalars().all()
    connection.execute(delete(erased_sessions).where(erased_sessions.c.at < now - _MARKS_KEPT))
    connection.execute(delete(journal_positions).where(journal_positions.c.at < now - _MARKS_KEPT))
    return _delete(connection, list(ids))


def _delete(connection: Connection, ids: list[str]) -> Erasure:
    files: list[str] = []
    gone: list[str] = []
    for some in _some(ids):
        gone += connection.execute(select(sessions.c.session_id).where(sessions.c.session_id.in_(some))).scalars()
        files += connection.execute(select(recordings.c.file).where(recordings.c.session_id.in_(some))).scalars()
        for table in SESSION_TABLES:
            connection.execute(delete(table).where(table.c.session_id.in_(some)))
    return Erasure(session_ids=tuple(gone), recordings=tuple(files))


def _some(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + _IDS] for start in range(0, len(ids), _IDS))
