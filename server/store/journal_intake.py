"""What sessions recorded and the journal has not written, and how much of it each may have. Writes nothing itself."""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec
import structlog
import trio

from server.store.journal_frames import FRAME_HEAD_BYTES, PAYLOAD_MAX_BYTES
from server.store.records import Record, SessionBegun, SessionEnded, UsageLine

__all__ = ["Bounds", "Intake", "SessionIntake", "Waiting"]

_log = structlog.get_logger("liveavatar.store")

_ENCODER: Final = msgspec.msgpack.Encoder()
# What the encoder raises for half a surrogate pair (a ValueError), a number above 64 bits, a value of a wrong type.
_UNENCODABLE: Final = (ValueError, OverflowError, TypeError)
# Redaction may make a text a little longer.
_PAYLOAD_MAX_BYTES: Final = PAYLOAD_MAX_BYTES // 2
# In one write.
_WRITE_BYTES: Final = 1024 * 1024
_WRITE_RECORDS: Final = 500
# Of batches whose sizes are remembered; more are taken together.
_BATCHES_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait. In bytes.

    Attributes:
        session: of one session, in memory and on disk: above it, the session is behind; at twice as much its words are
            refused, at three times its money, too.
        memory: of all, before it is on disk.
        disk: the journal's files; above it, records wait in memory.
    """

    session: int = 1024 * 1024
    memory: int = 32 * 1024 * 1024
    disk: int = 512 * 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """A record that waits to be written; ``size`` is what it takes of the bounds."""

    record: Record
    payload: bytes
    size: int
    session: "SessionIntake"


class SessionIntake:
    """One session's share. Implements ``SessionJournal``."""

    __slots__ = ("_intake", "_room", "bytes", "has_lost", "session_id")

    def __init__(self, session_id: str, intake: "Intake") -> None:
        self.session_id = session_id
        self.bytes = 0
        self.has_lost = False
        self._intake = intake
        self._room = trio.lowlevel.ParkingLot()

    def record(self, record: Record) -> bool:
        """See ``SessionJournal``."""
        return self._intake.put(self, record)

    @property
    def is_behind(self) -> bool:
        """See ``SessionJournal``."""
        return self.bytes > self._intake.bounds.session

    async def wait_room(self) -> None:
        """See ``SessionJournal``."""
        await trio.lowlevel.checkpoint()
        while self.is_behind:
            await self._room.park()

    def free(self, size: int) -> None:
        """So much does not wait any more."""
        self.bytes -= size
        if self._room and not self.is_behind:
            self._room.unpark_all()


class Intake:
    """Everything that waits to be written, oldest first, and what was written and waits to be applied, by session."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.taken = 0
        """Records so far."""
        self.written = 0
        """Those of them that are on disk, or were forgotten."""
        self.lost = 0
        self.memory_bytes = 0
        self._waiting: deque[Waiting] = deque()
        self._unapplied: deque[tuple[int, dict[SessionIntake, int]]] = deque()
        self._arrived = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, session: SessionIntake, record: Record) -> bool:
        """See ``SessionJournal.record``."""
        try:
            payload = _ENCODER.encode(record)
        except _UNENCODABLE:
            record, payload = _encoded_anyhow(record)
        size = len(payload) + FRAME_HEAD_BYTES
        # What is owed and that a session is over is little, and the last that should go missing.
        times = 3 if isinstance(record, UsageLine | SessionBegun | SessionEnded) else 2
        if (
            not payload
            or len(payload) > _PAYLOAD_MAX_BYTES
            or session.bytes + size > self.bounds.session * times
            or self.memory_bytes + size > self.bounds.memory * times / 2
        ):
            self._lose(session, record)
            return False
        session.bytes += size
        self.memory_bytes += size
        self.taken += 1
        self._waiting.append(Waiting(record, payload, size, session))
        if self._arrived:
            self._arrived.unpark_all()
        return True

    def _lose(self, session: SessionIntake, record: Record) -> None:
        self.lost += 1
        # Once for each session: a flood of records must not become a flood of lines.
        if not session.has_lost:
            session.has_lost = True
            _log.error(
                "record lost: no room for it",
                session_id=session.session_id,
                kind=type(record).__name__,
                session_bytes=session.bytes,
                memory_bytes=self.memory_bytes,
            )

    async def wait_arrival(self) -> None:
        """Returns when something waits to be written."""
        while not self._waiting:
            await self._arrived.park()

    def first(self) -> list[Waiting]:
        """What is to be written next, at once. It stays until `wrote`."""
        size = 0
        some: list[Waiting] = []
        for waiting in islice(self._waiting, _WRITE_RECORDS):
            size += waiting.size
            if some and size > _WRITE_BYTES:
                break
            some.append(waiting)
        return some

    def wrote(self, some: list[Waiting], last_number: int) -> None:
        """The first ones are on disk, the last of them under this number."""
        shares: dict[SessionIntake, int] = {}
        for waiting in some:
            self._waiting.popleft()
            self.memory_bytes -= waiting.size
            shares[waiting.session] = shares.get(waiting.session, 0) + waiting.size
        self.written += len(some)
        if len(self._unapplied) >= _BATCHES_KEPT:
            _, older = self._unapplied.pop()
            for session, size in older.items():
                shares[session] = shares.get(session, 0) + size
        self._unapplied.append((last_number, shares))

    def applied(self, number: int) -> None:
        """Everything up to this number is in the database."""
        while self._unapplied and self._unapplied[0][0] <= number:
            for session, size in self._unapplied.popleft()[1].items():
                session.free(size)

    def forget(self, session_ids: frozenset[str]) -> int:
        """Takes out what waits to be written of these sessions, but for what is owed; returns how many records."""
        kept: deque[Waiting] = deque()
        forgotten = 0
        for waiting in self._waiting:
            if waiting.record.session_id not in session_ids or isinstance(waiting.record, UsageLine):
                kept.append(waiting)
                continue
            forgotten += 1
            self.memory_bytes -= waiting.size
            waiting.session.free(waiting.size)
        self._waiting = kept
        self.written += forgotten
        return forgotten

    def begun_by(self, person: str) -> set[str]:
        """The sessions of a person that wait to be written."""
        records = (waiting.record for waiting in self._waiting)
        return {record.session_id for record in records if isinstance(record, SessionBegun) and record.person == person}


def _encoded_anyhow(record: Record) -> tuple[Record, bytes]:
    """A record whose text holds half a surrogate pair, which no encoding has: those become question marks."""
    texts = {
        name: value.encode("utf-8", "replace").decode()
        for name in record.__struct_fields__
        if isinstance(value := getattr(record, name), str)
    }
    try:
        mended = msgspec.structs.replace(record, **texts)
        return mended, _ENCODER.encode(mended)
    except _UNENCODABLE as error:
        # A number that no database has, or a value of a wrong type: whoever recorded it is wrong.
        _log.error("record cannot be encoded", kind=type(record).__name__, error=type(error).__name__)
        return record, b""
