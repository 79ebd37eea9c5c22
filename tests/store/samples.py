"""Records to test with: a session as it might have been. It tests nothing."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal

from protocol.avatar.events import Source
from server.store.base import Entry
from server.store.records import (
    HeardText,
    Record,
    SaidText,
    SessionBegun,
    SessionEnded,
    Tokens,
    ToolCall,
    TurnTimes,
    UsageLine,
)

NOON = dt.datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)


def after(seconds: float, start: dt.datetime = NOON) -> dt.datetime:
    return start + dt.timedelta(seconds=seconds)


def begun(session_id: str, *, start: dt.datetime = NOON, person: str = "visitor", **fields: str) -> SessionBegun:
    more = {"kb_id": "museum", "principal_id": "key:1", "principal_name": "front desk", "endpoint": "/ws"} | fields
    return SessionBegun(session_id=session_id, id=session_id, at=start, person=person, model="gpt-realtime", **more)


def usage(
    session_id: str, number: int, *, cost: str = "0.066316", start: dt.datetime = NOON, principal_id: str = "key:1"
) -> UsageLine:
    return UsageLine(
        session_id=session_id,
        id=f"resp_{number}",
        at=after(number, start),
        what="response",
        principal_id=principal_id,
        kb_id="museum",
        model="gpt-realtime",
        deployment="east",
        cost_usd=Decimal(cost),
        tokens=Tokens(input_text=15_703, output_text=219),
        status="completed",
        prices="2026-07",
    )


def ended(session_id: str, *, start: dt.datetime = NOON, reason: str = "completed") -> SessionEnded:
    return SessionEnded(session_id=session_id, id=session_id, at=after(60, start), reason=reason, detail="Bye.")


def conversation(
    session_id: str, *, turns: int = 1, start: dt.datetime = NOON, person: str = "visitor"
) -> list[Record]:
    """A whole session: in each turn a question, a search, an answer that is interrupted, and what it cost."""
    records: list[Record] = [begun(session_id, start=start, person=person)]
    for number in range(1, turns + 1):
        at = after(number, start)
        records += [
            SaidText(session_id=session_id, id=f"user_{number}", at=at, role="user", text=f"When, {number}?"),
            ToolCall(
                session_id=session_id,
                id=f"call_{number}",
                at=at,
                name="search_knowledge_base",
                status="answered",
                arguments='{"query":"opening hours"}',
                sources=(Source(id="m/1", title="Hours", uri="https://museum.example/", snippet="Ten.", score=1.5),),
                duration_ms=31.25,
            ),
            SaidText(
                session_id=session_id, id=f"said_{number}", at=after(0.5, at), role="assistant", text="At ten, and"
            ),
            HeardText(
                session_id=session_id, id=f"said_{number}", at=after(1, at), text="At ten", heard_ms=700, sent_ms=900
            ),
            TurnTimes(
                session_id=session_id,
                id=f"said_{number}",
                at=at,
                response_id=f"resp_{number}",
                status="cancelled",
                search_began_ms=80.0,
                search_ended_ms=111.5,
                first_token_ms=400.0,
                first_audio_ms=480.5,
            ),
            usage(session_id, number, start=start),
        ]
    return [*records, ended(session_id, start=start)]


def entries(records: Iterable[Record], first: int = 1) -> list[Entry]:
    return [Entry(number, record) for number, record in enumerate(records, first)]
