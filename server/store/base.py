"""The ports of the store room: what a session needs to be recorded, and what the records are kept in and read from.

Errors, by what can be done about them:

StoreFault
 +-- StoreUnavailable    the database does not answer, or cannot be written to now: trying again later makes sense
 +-- SchemaFault         its schema is not ours and cannot be made so: somebody must do something
 +-- RecordRefused       it takes others, but not this: trying again makes no sense
 +-- UnknownPageKey      what was given as a page's key is none
JournalFault            the journal's folder cannot be used
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from server.store.records import Record
from server.store.views import CostLine, Dimension, SessionDetail, SessionFilter, SessionPage, UsagePage

__all__ = [
    "ERASED",
    "UNFINISHED",
    "Entry",
    "Erasure",
    "JournalFault",
    "RecordReader",
    "RecordRefused",
    "RecordStore",
    "RecordingState",
    "SchemaFault",
    "SessionJournal",
    "SessionRecords",
    "SessionSound",
    "Side",
    "StoreFault",
    "StoreHealth",
    "StoreUnavailable",
    "UnknownPageKey",
]

UNFINISHED = "unfinished"
"""The end reason of a session whose server ended without being able to say why, as by a power cut."""

ERASED = "erased"
"""In place of a principal that was erased, in costs that must still add up."""


class StoreFault(Exception):
    """The records cannot be read or kept. Its text holds no password and no content of a record."""


class StoreUnavailable(StoreFault):
    """The database cannot do it now.

    Attributes:
        kind: for health and metrics.
    """

    Kind = Literal["unreachable", "denied", "read_only", "full", "busy", "too_slow", "broken"]

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class SchemaFault(StoreFault):
    """The database's schema is newer than this program, is none of ours, or could not be migrated."""


class RecordRefused(StoreFault):
    """The database refuses what a record says."""


class UnknownPageKey(StoreFault):
    """A page was asked for by a key that this store never gave."""


class JournalFault(Exception):
    """The journal's folder or a file in it cannot be used; nothing that was acknowledged is lost by it.

    Attributes:
        kind: for health and metrics.
    """

    Kind = Literal["full", "in_use", "unreadable", "broken"]

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as the journal holds it; ``number`` goes up within one epoch of a journal."""

    number: int
    record: Record


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure took away. ``recordings`` are files that are now nobody's, to be removed."""

    session_ids: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()

    @property
    def sessions(self) -> int:
        """How many sessions went."""
        return len(self.session_ids)


Side = Literal["client", "avatar"]
"""Whose sound it is."""

RecordingState = Literal["ok", "waiting", "behind", "failed"]
"""``ok``; ``waiting``: the database is away, and the journal holds on; ``behind``: it has little room left, or its disk
fails; ``failed``: somebody must do something."""


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the records are kept. No secrets, no contents.

    Attributes:
        detail: why it is not ``ok``.
        recorded: records that were taken since the start.
        memory_bytes: waiting to be written to the journal.
        journal_bytes: the journal's files.
        waiting_s: for how long the database has not taken what the journal holds.
        lost: records that were refused since the start, for a session or the server had no room for them.
        set_aside: records since the start that the database would not take; they are in the journal's folder.
    """

    state: RecordingState
    detail: str
    recorded: int
    memory_bytes: int
    journal_bytes: int
    waiting_s: float
    lost: int
    set_aside: int


class SessionJournal(Protocol):
    """One session's way into the records."""

    def record(self, record: Record) -> bool:
        """Keep this: a plain function that never waits and never raises. It is safe some moments later, on disk.

        Returns False where there was no room for it, and it is lost: the session has more waiting than it may.
        """
        ...

    @property
    def is_behind(self) -> bool:
        """Whether the session has so much waiting that it should not go on producing more."""
        ...

    async def wait_room(self) -> None:
        """Returns when the session is not behind. Not on the audio's way.

        It waits as long as a database is away. A cancellation loses nothing.
        """
        ...


class SessionSound(Protocol):
    """One session's sound, to be recorded. Plain functions that never wait and never raise."""

    def take(self, side: Side, audio: bytes, *, is_base64: bool = False) -> None:
        """Sound that begins now, or where the side's sound before it ends: 24 kHz mono, 16 bits, little-endian."""
        ...

    def miss(self, side: Side, missed_ms: float, why: str) -> None:
        """So much sound of this side cannot be recorded; the record of the recording says why."""
        ...

    def cut(self, side: Side) -> None:
        """What of this side lies in the future will not be heard: somebody interrupted."""
        ...

    def finish(self) -> None:
        """The session is over. May be repeated."""
        ...


class SessionRecords(Protocol):
    """Where a session is recorded: what whoever opens sessions is given."""

    @property
    def accepts_sessions(self) -> bool:
        """Whether new sessions may begin: they would be recorded, or need not be."""
        ...

    def session(self, session_id: str) -> SessionJournal:
        """A session's way into the records; asked for once for each session."""
        ...

    def sound(self, session_id: str, journal: SessionJournal) -> SessionSound | None:
        """What records a session's sound; None where that is off. Who asked for it finishes it."""
        ...


class RecordReader(Protocol):
    """What is kept, to be read. Every call has a deadline and may be cancelled; all raise ``StoreUnavailable``."""

    async def sessions(self, which: SessionFilter, *, limit: int, key: str | None = None) -> SessionPage:
        """A page of at most ``limit`` sessions, newest first; ``key`` is the ``next_key`` of the page before.

        Raises:
            UnknownPageKey: the key is none of ours.
        """
        ...

    async def session(self, session_id: str) -> SessionDetail | None:
        """One session with everything; None where there is no such session, or no longer."""
        ...

    async def costs(
        self, by: Sequence[Dimension], *, since_day: str | None = None, until_day: str | None = None
    ) -> list[CostLine]:
        """What it cost, added up by these dimensions and ordered by them; days as ``2026-07-01``, both within.

        It includes sessions that were erased or are older than records are kept.
        """
        ...

    async def end_reasons(self, which: SessionFilter) -> dict[str, int]:
        """How many of the sessions that are meant ended of what, most first; "" are those that live."""
        ...

    async def usage(
        self, which: SessionFilter, *, limit: int, session_id: str | None = None, key: str | None = None
    ) -> UsagePage:
        """A page of lines of usage, oldest first, of one session or of all that are meant; pages as in `sessions`."""
        ...


class RecordStore(RecordReader, Protocol):
    """A database of records. What the journal writes to."""

    async def prepare(self) -> None:
        """Bring the schema up to date; again is nothing. Before everything else, raises:

        StoreUnavailable: it cannot be reached or written to.
        SchemaFault: the schema is newer, foreign, or the migration failed.
        """
        ...

    async def apply(self, journal: str, epoch: str, entries: Sequence[Entry]) -> None:
        """Write entries of an epoch of a journal, in one transaction. Those that it has are passed over.

        Raises:
            StoreUnavailable: nothing was written, or all was and it is not known: the same call again puts it right.
            RecordRefused: nothing was written, for one of these records is refused.
        """
        ...

    async def finish_lost(self, journal: str, *, living: frozenset[str]) -> int:
        """End, as `UNFINISHED`, all sessions of a journal that have no end and are not living; returns how many."""
        ...

    async def finish_stale(self, before: dt.datetime) -> int:
        """The same for all that began before, of whatever journal: its folder may have gone with its server."""
        ...

    async def erase_sessions(self, session_ids: Sequence[str], *, hide_principal: bool = False) -> Erasure:
        """Erase sessions; what comes of them later is not kept. Their cost remains in the sums, without a session.

        ``hide_principal``: what comes later is added up under `ERASED`.
        """
        ...

    async def erase_person(self, person: str, session_ids: Sequence[str]) -> Erasure:
        """Erase all sessions of a person, and those given, which are known to be theirs.

        Where the person is a principal, its costs are added up under `ERASED` from now on.
        """
        ...

    async def erase_before(self, before: dt.datetime, *, limit: int) -> Erasure:
        """Erase at most ``limit`` sessions that began before, oldest first, and are over."""
        ...

    async def aclose(self) -> None:
        """Close all connections. May be repeated."""
        ...
