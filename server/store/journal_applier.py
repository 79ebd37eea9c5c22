"""From the journal to the database: reads what is on disk, in order, and writes it there until it is there.

It holds nothing back and gives nothing up: while the database is away it tries again, and the journal holds on.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar, TypeVarTuple

import msgspec
import structlog
import trio

from server.store.base import Entry, JournalFault, RecordRefused, RecordStore, SchemaFault, StoreFault
from server.store.journal_segments import Segments
from server.store.records import Record

__all__ = ["Applier"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_log = structlog.get_logger("liveavatar.store")

_DECODER: Final = msgspec.msgpack.Decoder(Record)
# A database that restarts is back within seconds; one that is away for long is not asked often.
_RETRY_S: Final = 0.25
_RETRY_MAX_S: Final = 5.0
# A transaction costs as much as thirty records, whoever comes within this time goes with it: they are safe on disk.
_GATHER_S: Final = 0.2
# A schema is put right by a person.
_SCHEMA_RETRY_S: Final = 30.0
# What was applied is gone from the disk so much later, when nothing else comes.
CLEAR_AFTER_S: Final = 30.0


class _OnDisk(Protocol):
    """Calls a function of the journal's segments in its thread."""

    async def __call__(self, work: Callable[[*_Ts], _T], *args: *_Ts) -> _T: ...


class Applier:
    """Applies a journal to a store.

    Args:
        on_disk: calls what blocks on the journal's disk.
        on_applied: told, for this process's own epoch, up to which number everything is in the database; told 0 when
            it has done all there is.
        opened: gives the sessions that this process has begun.
    """

    def __init__(
        self,
        segments: Segments,
        store: RecordStore,
        *,
        on_disk: _OnDisk,
        on_applied: Callable[[int], None],
        opened: Callable[[], frozenset[str]],
    ) -> None:
        self._segments = segments
        self._store = store
        self._on_disk = on_disk
        self._on_applied = on_applied
        self._opened = opened
        self._is_prepared = False
        self.has_finished_lost = False
        """Whether what earlier processes left was applied, and their sessions have an end."""
        self._has_more = False
        self._more = trio.lowlevel.ParkingLot()
        self._is_urgent = False
        self._urgent = trio.lowlevel.ParkingLot()
        self._since: float | None = None
        # Of the batch in hand.
        self._numbers_aside: set[int] = set()
        self.fault: StoreFault | JournalFault | None = None
        """Why it does not get on; None while it does."""
        self.set_aside = 0
        """Records that the database would not take."""
        self.is_done = False
        """Whether all that was on disk when it looked last is in the database."""

    @property
    def waiting_s(self) -> float:
        """For how long it has not got on, in seconds."""
        return 0.0 if self._since is None else trio.current_time() - self._since

    def wake(self) -> None:
        """There is more on disk."""
        self._has_more = True
        self.is_done = False
        self._more.unpark_all()

    def hurry(self) -> None:
        """Somebody waits for what is on disk to be in the database."""
        self._is_urgent = not self.is_done
        self._urgent.unpark_all()

    async def prepare(self) -> None:
        """Bring the database's schema up to date, if that was not done. Raises as ``RecordStore.prepare``."""
        if not self._is_prepared:
            await self._store.prepare()
            self._is_prepared = True

    async def run(self) -> None:
        """Applies what is there and what comes. Runs until cancelled."""
        retry_s = _RETRY_S
        while True:
            self._has_more = False
            try:
                await self.apply_all()
            except SchemaFault as fault:
                self._failed(fault)
                await trio.sleep(_SCHEMA_RETRY_S)
                continue
            except (StoreFault, JournalFault) as fault:
                self._failed(fault)
                await trio.sleep(retry_s)
                retry_s = min(retry_s * 2, _RETRY_MAX_S)
                continue
            retry_s = _RETRY_S
            if self._has_more:
                continue
            self.is_done = True
            self._is_urgent = False
            self._on_applied(0)
            with trio.move_on_after(CLEAR_AFTER_S) as quiet:
                await self._more.park()
            if quiet.cancelled_caught:
                await self._clear()
            elif not self._is_urgent:
                with trio.move_on_after(_GATHER_S):
                    await self._urgent.park()

    async def _clear(self) -> None:
        try:
            await self._on_disk(self._segments.clear)
        except JournalFault as fault:
            self._failed(fault)

    async def apply_all(self) -> None:
        """Applies everything that is on disk now.

        Raises:
            StoreUnavailable, SchemaFault, JournalFault: the rest stays on disk; again goes on where it stood.
        """
        await self.prepare()
        while (batch := await self._on_disk(self._take)) is not None:
            epoch, entries = batch
            await self._apply(epoch, entries)
            await self._on_disk(self._release)
            if epoch == self._segments.epoch and entries:
                self._on_applied(entries[-1].number)
            self._recovered()
        if not self.has_finished_lost:
            lost = await self._store.finish_lost(self._segments.identity, living=self._opened())
            self.has_finished_lost = True
            if lost:
                _log.warning("sessions of a server that was killed were ended", sessions=lost)
        self._recovered()

    def _take(self) -> tuple[str, list[Entry]] | None:
        """In the journal's thread: the next entries. What cannot be read is set aside."""
        while (batch := self._segments.take()) is not None:
            entries: list[Entry] = []
            unreadable: list[tuple[int, bytes]] = []
            for frame in batch.frames:
                try:
                    entries.append(Entry(frame.number, _DECODER.decode(frame.payload)))
                except (msgspec.DecodeError, ValueError):
                    # ValueError: what a record's own checks raise.
                    unreadable.append((frame.number, frame.payload))
            if unreadable and self._put_aside(unreadable):
                _log.error("records of another version in the journal set aside", records=len(unreadable))
            if entries:
                return batch.epoch, entries
            self._release()
        return None

    async def _apply(self, epoch: str, entries: list[Entry]) -> None:
        """Writes entries. One that the database refuses is found by halving, and set aside: it must not stop others."""
        try:
            await self._store.apply(self._segments.identity, epoch, entries)
        except RecordRefused as refused:
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._apply(epoch, entries[:middle])
                await self._apply(epoch, entries[middle:])
                return
            record = entries[0].record
            refusal = [(entries[0].number, msgspec.msgpack.encode(record))]
            if await self._on_disk(self._put_aside, refusal):
                _log.error(
                    "record refused by the database; set aside",
                    session_id=record.session_id,
                    kind=type(record).__name__,
                    error=str(refused),
                )

    def _put_aside(self, numbered: list[tuple[int, bytes]]) -> bool:
        """Sets payloads aside, once: a batch comes again after an outage. Whether there was something new."""
        fresh = [(number, payload) for number, payload in numbered if number not in self._numbers_aside]
        if fresh:
            self._segments.set_aside([payload for _, payload in fresh])
            self._numbers_aside.update(number for number, _ in fresh)
            self.set_aside += len(fresh)
        return bool(fresh)

    def _release(self) -> None:
        """The batch in hand is done."""
        self._segments.release()
        self._numbers_aside.clear()

    def _failed(self, fault: StoreFault | JournalFault) -> None:
        if self._since is None:
            self._since = trio.current_time()
        # Once for each kind of fault, not for each try.
        if self.fault is None or str(self.fault) != str(fault):
            _log.error("records wait in the journal", error=str(fault))
        self.fault = fault

    def _recovered(self) -> None:
        if self.fault is not None:
            _log.info("records are written to the database again", after_s=round(self.waiting_s, 1))
        self.fault = self._since = None
