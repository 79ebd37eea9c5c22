"""The ports of what operators see and do: sessions that live now, and the records. It holds neither."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import msgspec

from server.store.base import Erasure, RecordReader, StoreHealth

__all__ = ["LiveSession", "LiveSessions", "Oversight", "Records"]


class LiveSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of this server that lives now.

    Attributes:
        state: as `avatar.state` tells it: listening, thinking, searching, speaking, reconnecting, degraded, ending.
        has_client: its client is there; else it is waited for.
        turns: pieces of the conversation so far.
        cost_usd: so far.
        first_audio_ms: of the newest answer: milliseconds from the end of the question to its first sound; None: there
            was none yet.
    """

    session_id: str
    began_at: dt.datetime
    kb_id: str
    principal_id: str
    principal_name: str
    person: str
    endpoint: str
    model: str
    state: str
    has_client: bool
    turns: int
    cost_usd: Decimal
    first_audio_ms: float | None


class LiveSessions(Protocol):
    """The sessions of this server."""

    def sessions(self) -> list[LiveSession]:
        """Those that live now, in the order in which they began."""
        ...

    def session(self, session_id: str) -> LiveSession | None:
        """One of them; None: it does not live, or not here."""
        ...

    def end(self, session_id: str) -> bool:
        """End a session as completed; its client is told. False: there is none. Returns before it has ended."""
        ...


class Records(Protocol):
    """What is kept of sessions."""

    @property
    def reader(self) -> RecordReader:
        """What is kept, to be read."""
        ...

    @property
    def health(self) -> StoreHealth:
        """How it is kept."""
        ...

    async def erase_session(self, session_id: str) -> Erasure:
        """Erase a session, which is over or about to be.

        Raises:
            StoreUnavailable: nothing was erased.
            JournalFault, OSError: it is erased from the database; the same call again does the rest.
        """
        ...

    async def erase_person(self, person: str) -> Erasure:
        """Erase all sessions of a person. Raises as `erase_session`."""
        ...


@dataclass(frozen=True, slots=True)
class Oversight:
    """What operators look at."""

    live: LiveSessions
    records: Records
