"""What operators look at, over a real SQLite file, with sessions that pretend to live. It tests nothing."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec

from server.store.base import Erasure, StoreHealth
from server.store.records import Record
from server.store.sql import SqlRecords
from server.store.sql_address import sqlite_address
from server.web.live import LiveSession
from tests.store.samples import NOON, entries


class Desk:
    """The records in a file, with nothing in front of them; implements `Records`."""

    def __init__(self, folder: Path) -> None:
        self.reader = SqlRecords(sqlite_address(folder / "records.sqlite3"))
        self.health = StoreHealth(
            state="ok", detail="", memory_bytes=0, journal_bytes=0, waiting_s=0.0, recorded=0, lost=0, set_aside=0
        )
        self._epochs = 0

    async def keep(self, records: Iterable[Record]) -> None:
        self._epochs += 1
        await self.reader.apply("here", f"epoch {self._epochs}", entries(records))

    async def erase_session(self, session_id: str) -> Erasure:
        return await self.reader.erase_sessions([session_id])

    async def erase_person(self, person: str) -> Erasure:
        return await self.reader.erase_person(person, [])


class Stage:
    """Sessions that live until they are ended; implements `LiveSessions`."""

    def __init__(self, *sessions: LiveSession) -> None:
        self.living = {session.session_id: session for session in sessions}
        self.ended: list[str] = []

    def sessions(self) -> list[LiveSession]:
        return list(self.living.values())

    def session(self, session_id: str) -> LiveSession | None:
        return self.living.get(session_id)

    def end(self, session_id: str) -> bool:
        if self.living.pop(session_id, None) is None:
            return False
        self.ended.append(session_id)
        return True


LIVE = LiveSession(
    session_id="sess_la_now",
    began_at=NOON + dt.timedelta(hours=1),
    kb_id="museum",
    principal_id="key:1",
    principal_name="front desk",
    person="visitor",
    endpoint="/ws",
    model="gpt-realtime",
    state="speaking",
    has_client=True,
    turns=4,
    cost_usd=Decimal("0.0421"),
    first_audio_ms=612.5,
)


def living(session_id: str, **fields: object) -> LiveSession:
    return msgspec.structs.replace(LIVE, session_id=session_id, **fields)
