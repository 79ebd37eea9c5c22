"""The records of one server as a whole: the journal in front, the database behind, recordings of sound beside.

It is what sessions are given and what is run; it decides only in which order things are erased.
"""

import datetime as dt
from collections.abc import Callable
from typing import Final

import structlog
import trio

from server.store.base import Erasure, RecordReader, RecordStore, SessionJournal, SessionSound, StoreHealth
from server.store.journal import Journal
from server.store.recording import Recordings
from server.store.records import AudioRecording, Record
from server.store.retention import Retention

__all__ = ["Archive"]

_log = structlog.get_logger("liveavatar.store")

# As `server.store.journal`: what cannot be closed by then is left to the next start.
_CLOSE_S: Final = 10.0


class Archive:
    """Takes what sessions record, and answers those who read and erase. Implements ``SessionRecords``.

    Args:
        recordings: None where no sound is recorded.
        keep: the age at which sessions are erased; None keeps them for ever.
        session_max: what no session lasts longer than; None where there is no such time.
        now: the time of day.
        unrecorded: sessions begin and go on also where they cannot be recorded.
    """

    def __init__(
        self,
        store: RecordStore,
        journal: Journal,
        *,
        recordings: Recordings | None = None,
        keep: dt.timedelta | None = None,
        session_max: dt.timedelta | None = None,
        now: Callable[[], dt.datetime],
        unrecorded: bool = False,
    ) -> None:
        self._store = store
        self._journal = journal
        self._recordings = recordings
        self._retention = Retention(self.erase_before, store.finish_stale, keep=keep, session_max=session_max, now=now)
        self._unrecorded = unrecorded

    @property
    def reader(self) -> RecordReader:
        """What was recorded, to be read."""
        return self._store

    @property
    def health(self) -> StoreHealth:
        """How the records are kept."""
        return self._journal.health

    @property
    def accepts_sessions(self) -> bool:
        """See ``SessionRecords``."""
        return self._unrecorded or self._journal.accepts_sessions

    def session(self, session_id: str) -> SessionJournal:
        """See ``SessionRecords``."""
        journal = self._journal.session(session_id)
        return _Unrecorded(journal) if self._unrecorded else journal

    def sound(self, session_id: str, journal: SessionJournal) -> SessionSound | None:
        """See ``SessionRecords``."""
        return None if self._recordings is None else self._recordings.open(session_id, journal.record)

    async def drain(self) -> None:
        """Returns when all that was recorded so far is in the database, what a former server left in the journal too.

        As long as the database is away, it waits.
        """
        await self._journal.drain()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps records until cancelled; then it puts on disk what there is. See ``Journal.run`` for what it raises.

        Cancel it only when all sessions have ended.
        """
        try:
            # The recordings end first, for how they ended is to be recorded.
            async with trio.open_nursery() as outer:
                journal = await outer.start(self._keep_journal)
                try:
                    async with trio.open_nursery() as inner:
                        if self._recordings is not None:
                            await inner.start(self._recordings.run, self._repaired)
                        inner.start_soon(self._retention.run)
                        task_status.started()
                        await trio.sleep_forever()
                finally:
                    journal.cancel()
        finally:
            with trio.move_on_after(_CLOSE_S, shield=True):
                await self._store.aclose()

    async def _keep_journal(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        """Runs the journal; started, it is cancelled by its own scope alone."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._journal.run)
            # Not before: a start may be cancelled by whoever asked for it. The end has a deadline of its own.
            nursery.cancel_scope.shield = True
            task_status.started(nursery.cancel_scope)

    def _repaired(self, recording: AudioRecording) -> None:
        self._journal.session(recording.session_id).record(recording)

    # Erasing

    async def erase_before(self, before: dt.datetime, limit: int) -> Erasure:
        """Erase at most so many sessions that are over and began before. Raises as `erase_session`."""
        erasure = await self._store.erase_before(before, limit=limit)
        if self._recordings is not None:
            await self._recordings.remove(erasure.recordings)
        return erasure

    async def erase_session(self, session_id: str) -> Erasure:
        """Erase a session from the database, the journal and the recordings; it must be over, or end.

        Raises:
            StoreUnavailable: nothing was erased.
            JournalFault, OSError: it is erased from the database; the same call again does the rest.
        """
        erasure = await self._store.erase_sessions([session_id])
        await self._erase_files(frozenset({session_id}), erasure)
        return erasure

    async def erase_person(self, person: str) -> Erasure:
        """Erase all sessions of a person. Raises as `erase_session`."""
        pending = await self._journal.begun_by(person)
        erasure = await self._store.erase_person(person, sorted(pending))
        await self._erase_files(frozenset({*pending, *erasure.session_ids}), erasure)
        return erasure

    async def _erase_files(self, session_ids: frozenset[str], erasure: Erasure) -> None:
        forgotten = await self._journal.forget(session_ids)
        if self._recordings is not None:
            for session_id in session_ids:
                await self._recordings.discard(session_id)
            await self._recordings.remove(erasure.recordings)
        # Not whose: that would be a record of them again.
        _log.info("records erased", sessions=erasure.sessions, forgotten=forgotten)


class _Unrecorded:
    """The way into the records of a session that goes on also where it cannot be recorded. Implements

    ``SessionJournal``: what there is no room for is lost, and counted and logged where it is.
    """

    is_behind = False

    def __init__(self, journal: SessionJournal) -> None:
        self._journal = journal

    def record(self, record: Record) -> bool:
        """See ``SessionJournal``."""
        self._journal.record(record)
        return True

    async def wait_room(self) -> None:
        """See ``SessionJournal``."""
        await trio.lowlevel.checkpoint()
