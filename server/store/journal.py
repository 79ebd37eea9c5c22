"""The write-behind journal: takes records without waiting, has them on disk moments later, and in the database after.

Acknowledged is what is on disk: it survives a kill at any point, and is in the database exactly once in the end. What
it knows of a session is how much of it waits.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar, TypeVarTuple

import msgspec
import structlog
import trio

from server.store.base import (
    JournalFault,
    RecordingState,
    RecordStore,
    SchemaFault,
    SessionJournal,
    StoreFault,
    StoreHealth,
)
from server.store.journal_applier import Applier
from server.store.journal_intake import Bounds, Intake, SessionIntake, Waiting
from server.store.journal_segments import Segments
from server.store.records import Record

__all__ = ["Journal"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_log = structlog.get_logger("liveavatar.store")

# Records come in groups; what comes within this time is written and synced together.
_GROUP_COMMIT_S: Final = 0.05
# A full disk is looked at again so often.
_RETRY_S: Final = 0.5
# At the end, for what is still in memory, and for a database that is there.
_CLOSE_S: Final = 5.0
# From here on no new session is let in: what is left is for those that are there.
_BEHIND: Final = 0.5
# Above every number.
_ALL: Final = 2**63


class _Whose(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at of a record to find out whose it is."""

    session_id: str
    kind: str
    person: str = ""


_WHOSE: Final = msgspec.msgpack.Decoder(_Whose)


class Journal:
    """Journal of one server, in a folder of its own.

    Args:
        segments: the files; `run` opens them.
        store: where it all goes.
        redact: what a record becomes before it is kept anywhere; called in a thread.
        bounds: how much may wait.
    """

    def __init__(
        self,
        segments: Segments,
        store: RecordStore,
        *,
        redact: Callable[[Record], Record] | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._segments = segments
        self._redact = redact
        self._intake = Intake(bounds or Bounds())
        self._fault: JournalFault | None = None
        self._disk = trio.Lock()
        self._thread = trio.CapacityLimiter(1)
        self._progress = trio.lowlevel.ParkingLot()
        self._opened: set[str] = set()
        self._applier = Applier(
            segments,
            store,
            on_disk=self._on_disk,
            on_applied=self._applied,
            opened=lambda: frozenset(self._opened),
        )

    # For sessions

    def session(self, session_id: str) -> SessionJournal:
        """A session's way in; asked for once for each session."""
        if not self._applier.has_finished_lost:
            self._opened.add(session_id)
        return SessionIntake(session_id, self._intake)

    # For whoever runs it

    @property
    def health(self) -> StoreHealth:
        """How it stands."""
        state, detail = self._state()
        return StoreHealth(
            state=state,
            detail=detail,
            recorded=self._intake.taken,
            memory_bytes=self._intake.memory_bytes,
            journal_bytes=self._segments.size_bytes,
            waiting_s=round(self._applier.waiting_s, 1),
            lost=self._intake.lost,
            set_aside=self._applier.set_aside,
        )

    def _state(self) -> tuple[RecordingState, str]:
        fault = self._applier.fault
        if isinstance(fault, SchemaFault):
            return "failed", str(fault)
        if self._fault is not None:
            return "behind", str(self._fault)
        bounds = self._intake.bounds
        if self._segments.waiting_bytes > bounds.disk * _BEHIND or self._intake.memory_bytes > bounds.memory * _BEHIND:
            return "behind", f"The journal has little room left. {fault or ''}".strip()
        return ("ok", "") if fault is None else ("waiting", str(fault))

    @property
    def accepts_sessions(self) -> bool:
        """Whether a new session would be recorded; where not, `health` says why."""
        return self._state()[0] in ("ok", "waiting")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Writes and applies what sessions record, until cancelled. Started, it has looked at the database once.

        Cancelled, it writes what it has to disk, and to the database where that is there, within seconds.

        Raises:
            JournalFault: its folder cannot be used. Later such faults are in `health`, and go by.
            SchemaFault: the database's schema cannot be used. A database that cannot be reached is waited for instead.
        """
        await self._on_disk(self._segments.open)
        await self._look_at_store()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._applier.run)
                nursery.start_soon(self._scribe)
                task_status.started()
        finally:
            with trio.move_on_after(_CLOSE_S, shield=True):
                await self._finish()

    async def _look_at_store(self) -> None:
        try:
            await self._applier.prepare()
        except SchemaFault:
            raise
        except StoreFault as fault:
            _log.error("the database of records cannot be used yet; the journal holds on", error=str(fault))

    async def _finish(self) -> None:
        try:
            while len(self._intake):
                await self._write()
            await self._applier.apply_all()
            await self._on_disk(self._segments.clear)
        except (StoreFault, JournalFault) as fault:
            _log.warning("records stay in the journal until the next start", error=str(fault), lost=len(self._intake))
        finally:
            self._segments.close()

    async def flush(self) -> None:
        """Returns when everything that was recorded so far is on disk; as long as the disk is full, it waits."""
        target = self._intake.taken
        while self._intake.written < target:
            await self._progress.park()

    async def drain(self) -> None:
        """Returns when everything that was recorded so far is in the database; as long as that is away, it waits."""
        await self.flush()
        while not self._applier.is_done:
            self._applier.hurry()
            await self._progress.park()

    # Its tasks

    async def _scribe(self) -> None:
        """From memory to disk."""
        while True:
            await self._intake.wait_arrival()
            await trio.sleep(_GROUP_COMMIT_S)
            try:
                if not await self._has_disk():
                    # The applier makes room.
                    with trio.move_on_after(_RETRY_S):
                        await self._progress.park()
                    continue
                await self._write()
            except JournalFault as fault:
                if self._fault is None or self._fault.kind != fault.kind:
                    _log.error("records cannot be written to the journal; they wait in memory", error=str(fault))
                self._fault = fault
                await trio.sleep(_RETRY_S)
                continue
            if self._fault is not None:
                _log.info("records are written to the journal again")
                self._fault = None

    async def _has_disk(self) -> bool:
        """Whether the journal may grow; the file that is written counts, and goes when all of it was applied."""
        if self._segments.size_bytes >= self._intake.bounds.disk:
            await self._on_disk(self._segments.clear)
        return self._segments.size_bytes < self._intake.bounds.disk

    async def _write(self) -> None:
        async with self._disk:
            some = self._intake.first()
            if not some:
                return
            last = await trio.to_thread.run_sync(self._put, some, limiter=self._thread)
            # No checkpoint since: what is on disk is not in memory any more.
            self._intake.wrote(some, last)
        self._applier.wake()
        self._progress.unpark_all()

    def _put(self, some: list[Waiting]) -> int:
        """In the journal's thread."""
        redact = self._redact
        if redact is None:
            return self._segments.append([waiting.payload for waiting in some])
        return self._segments.append([_payload(waiting, redact) for waiting in some])

    def _applied(self, number: int) -> None:
        if self._applier.has_finished_lost:
            self._opened.clear()
        # Where all is done, the last numbers may be of what was forgotten or set aside.
        self._intake.applied(_ALL if self._applier.is_done else number)
        self._progress.unpark_all()

    async def _on_disk(self, work: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Calls what blocks on the journal's disk in its thread, one at a time; not broken off by a cancellation."""
        async with self._disk:
            return await trio.to_thread.run_sync(work, *args, limiter=self._thread)

    # Erasing

    async def begun_by(self, person: str) -> set[str]:
        """The sessions of a person that are in the journal, in the database or not."""
        waiting = self._intake.begun_by(person)
        return waiting | await self._on_disk(lambda: _begun_by(person, self._segments.payloads()))

    async def forget(self, session_ids: frozenset[str]) -> int:
        """Takes everything of these sessions out of memory and off the disk, but for what is owed; returns how much.

        They must have been erased in the store before: what the applier has in hand is stopped there.

        Raises:
            JournalFault: some of it may still be there; the same call again does the rest.
        """

        def keep(payload: bytes) -> bool:
            whose = _whose(payload)
            return whose is None or whose.kind == "usage" or whose.session_id not in session_ids

        async with self._disk:
            forgotten = self._intake.forget(session_ids)
            forgotten += await trio.to_thread.run_sync(self._segments.forget, keep, limiter=self._thread)
        self._progress.unpark_all()
        return forgotten


def _payload(waiting: Waiting, redact: Callable[[Record], Record]) -> bytes:
    redacted = redact(waiting.record)
    return waiting.payload if redacted is waiting.record else msgspec.msgpack.encode(redacted)


def _whose(payload: bytes) -> _Whose | None:
    try:
        return _WHOSE.decode(payload)
    except msgspec.DecodeError:
        return None


def _begun_by(person: str, payloads: Iterable[bytes]) -> set[str]:
    found = (_whose(payload) for payload in payloads)
    return {
        whose.session_id
        for whose in found
        if whose is not None and whose.kind == "session_begun" and whose.person == person
    }
