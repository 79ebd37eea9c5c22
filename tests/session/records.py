"""Records in memory, as the bytes that a journal would write. What they are kept for, whoever asks knows."""

import msgspec
import trio

from server.store.base import SessionSound, Side
from server.store.records import Record

_DECODER = msgspec.msgpack.Decoder(Record)


class Records:
    """Implements ``SessionRecords``.

    Attributes:
        room: how many records each session may still record; None is all.
        records_sound: whether sound is recorded.
    """

    def __init__(self, *, room: int | None = None, records_sound: bool = False) -> None:
        self.accepts_sessions = True
        self.room = room
        self.records_sound = records_sound
        self.journals: dict[str, MemoryJournal] = {}
        self.sounds: dict[str, MemorySound] = {}

    def session(self, session_id: str) -> "MemoryJournal":
        assert session_id not in self.journals, "asked for twice"
        journal = self.journals[session_id] = MemoryJournal(self)
        return journal

    def sound(self, session_id: str, journal: object) -> SessionSound | None:
        if not self.records_sound:
            return None
        assert session_id not in self.sounds, "asked for twice"
        sound = self.sounds[session_id] = MemorySound()
        return sound

    def of(self, session_id: str) -> list[Record]:
        """What a session recorded, in order, read back."""
        journal = self.journals.get(session_id)
        return [] if journal is None else [_DECODER.decode(payload) for payload in journal.payloads]

    @property
    def first(self) -> list[Record]:
        """What the first session recorded."""
        return self.of(next(iter(self.journals)))


class MemoryJournal:
    """One session's way in; implements ``SessionJournal``."""

    is_behind = False

    def __init__(self, records: Records) -> None:
        self._records = records
        self.payloads: list[bytes] = []

    def record(self, record: Record) -> bool:
        room = self._records.room
        if room is not None and len(self.payloads) >= room:
            return False
        self.payloads.append(msgspec.msgpack.encode(record))
        return True

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()


class MemorySound:
    """One session's sound; implements ``SessionSound``. ``told`` is what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def take(self, side: Side, audio: bytes, *, is_base64: bool = False) -> None:
        assert is_base64, "nothing is decoded on the way"
        self.told.append(("take", side, audio))

    def miss(self, side: Side, missed_ms: float, why: str) -> None:
        self.told.append(("miss", side, round(missed_ms), why))

    def cut(self, side: Side) -> None:
        self.told.append(("cut", side))

    def finish(self) -> None:
        self.told.append(("finish",))
