"""The records in SQLite or PostgreSQL: implements `RecordStore`. What it writes comes from a journal."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.engine import URL, Connection

from server.store.base import Entry, Erasure
from server.store.sql_applying import apply, finish_lost, finish_stale
from server.store.sql_engine import MIGRATION_DEADLINE_S, Database
from server.store.sql_erasing import erase_before, erase_person, erase_sessions
from server.store.sql_reading import read_costs, read_end_reasons, read_session, read_sessions, read_usage
from server.store.sql_schema import migrate
from server.store.views import CostLine, Dimension, SessionDetail, SessionFilter, SessionPage, UsagePage

__all__ = ["SqlRecords", "utc_now"]

# Erasing goes through all tables, and is not repeated by a journal.
_ERASE_DEADLINE_S: Final = 60.0


def utc_now() -> dt.datetime:
    """The time of day."""
    return dt.datetime.now(dt.UTC)


class SqlRecords:
    """See ``RecordStore`` for what the methods do and raise.

    Args:
        now: the time of day.
    """

    def __init__(self, address: URL, *, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._now = now
        self.database = Database(address)

    async def prepare(self) -> None:
        """See ``RecordStore``."""
        await self.database.write(migrate, self.database.name, deadline_s=MIGRATION_DEADLINE_S)

    async def apply(self, journal: str, epoch: str, entries: Sequence[Entry]) -> None:
        """See ``RecordStore``."""
        await self.database.write(apply, journal, epoch, entries, self._now())

    async def finish_lost(self, journal: str, *, living: frozenset[str]) -> int:
        """See ``RecordStore``."""
        return await self.database.write(finish_lost, journal, living)

    async def finish_stale(self, before: dt.datetime) -> int:
        """See ``RecordStore``."""
        return await self.database.write(finish_stale, before)

    async def sessions(self, which: SessionFilter, *, limit: int, key: str | None = None) -> SessionPage:
        """See ``RecordReader``. Raises ValueError for a limit out of range."""
        return await self.database.read(read_sessions, which, limit, key)

    async def session(self, session_id: str) -> SessionDetail | None:
        """See ``RecordReader``."""
        return await self.database.read(read_session, session_id)

    async def costs(
        self, by: Sequence[Dimension], *, since_day: str | None = None, until_day: str | None = None
    ) -> list[CostLine]:
        """See ``RecordReader``. Raises ValueError for a dimension that there is not."""
        return await self.database.read(read_costs, by, since_day, until_day)

    async def end_reasons(self, which: SessionFilter) -> dict[str, int]:
        """See ``RecordReader``."""
        return await self.database.read(read_end_reasons, which)

    async def usage(
        self, which: SessionFilter, *, limit: int, session_id: str | None = None, key: str | None = None
    ) -> UsagePage:
        """See ``RecordReader``. Raises ValueError for a limit out of range."""
        return await self.database.read(read_usage, which, limit, session_id, key)

    async def erase_sessions(self, session_ids: Sequence[str], *, hide_principal: bool = False) -> Erasure:
        """See ``RecordStore``."""

        def erase(connection: Connection) -> Erasure:
            return erase_sessions(connection, session_ids, self._now(), hide_principal=hide_principal)

        return await self._erased(await self.database.write(erase, deadline_s=_ERASE_DEADLINE_S))

    async def erase_person(self, person: str, session_ids: Sequence[str]) -> Erasure:
        """See ``RecordStore``."""
        found = await self.database.write(erase_person, person, session_ids, self._now(), deadline_s=_ERASE_DEADLINE_S)
        return await self._erased(found)

    async def erase_before(self, before: dt.datetime, *, limit: int) -> Erasure:
        """See ``RecordStore``."""
        found = await self.database.write(erase_before, before, limit, self._now(), deadline_s=_ERASE_DEADLINE_S)
        return await self._erased(found)

    async def _erased(self, erasure: Erasure) -> Erasure:
        if erasure.sessions:
            await self.database.overwrite_erased()
        return erasure

    async def aclose(self) -> None:
        """See ``RecordStore``. Takes seconds at most."""
        await self.database.aclose()
