"""Records for the dashboard to show: some weeks of a museum's conversations, and as many as wanted of any. No tests."""

import datetime as dt
import random
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from protocol.avatar.events import Source
from server.store.records import (
    HeardText,
    Record,
    SaidText,
    SessionBegun,
    SessionEnded,
    StoppedText,
    Tokens,
    ToolCall,
    TurnTimes,
    UsageLine,
)
from server.web.live import LiveSession

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
MICRO = dt.timedelta(microseconds=1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_TALKS = (
    (
        "When does the museum open on Saturday?",
        "saturday opening hours",
        "On Saturdays the museum is open from ten in the morning until six, and the café closes half an hour earlier.",
        "Opening hours",
    ),
    (
        "How heavy is the Great Tide Machine?",
        "Great Tide Machine weight",
        "The Great Tide Machine weighs 840 kilograms. It was built by Halloran and Sons between 1896 and 1898.",
        "The Great Tide Machine",
    ),
    (
        "And how much is a family ticket?",
        "family ticket price",
        "A family ticket costs 24 crowns. It is good for two adults and up to three children.",
        "Tickets and prices",
    ),
)
_ENDS = (
    ["completed"] * 12
    + ["client_lost"] * 4
    + ["idle_timeout"] * 3
    + ["max_duration", "upstream_unavailable", "budget_spent"]
)
_WHO = (("key:kiosk", "kiosk"), ("key:site", "website"), ("jwt:8f2c", "reading room"))
_KBS = ("museum", "museum", "museum", "handbook", "liveavatar")


def session(
    session_id: str,
    start: dt.datetime,
    *,
    seed: int = 0,
    turns: int = 3,
    reason: str | None = "completed",
    detail: str = "The visitor left.",
) -> Iterator[Record]:
    """One conversation; the second answer of it is interrupted."""
    chance = random.Random(seed)
    kb_id = chance.choice(_KBS)
    principal_id, name = chance.choice(_WHO)
    model = chance.choice(("gpt-realtime", "gpt-realtime", "gpt-realtime-mini"))
    yield SessionBegun(
        session_id=session_id, id=session_id, at=start, kb_id=kb_id, principal_id=principal_id, principal_name=name,
        person=f"visitor-{seed}", endpoint="/ws", model=model,
    )  # fmt: skip
    at = start
    for number in range(turns):
        question, query, answer, title = _TALKS[number % len(_TALKS)]
        at += dt.timedelta(seconds=chance.uniform(6, 18))
        search, words, sound = chance.uniform(60, 140), chance.uniform(180, 420), chance.uniform(60, 160)
        began = chance.uniform(90, 200)
        item, response = f"item_{number}", f"resp_{number}"
        yield SaidText(session_id=session_id, id=f"ask_{number}", at=at, role="user", text=question)
        yield ToolCall(
            session_id=session_id, id=f"call_{number}", at=at + dt.timedelta(milliseconds=began),
            name="search_knowledge_base", status="answered", arguments=f'{{"query":"{query}"}}', duration_ms=search,
            sources=(
                Source(id=f"{kb_id}/a#1", title=title, uri="hours.md", snippet=answer[:90] + "…", score=8.1),
                Source(id=f"{kb_id}/b#4", title="Your visit", uri="https://museum.example/visit", snippet=HOSTILE
                       if seed == 1 else "Dogs may wait in the porter's lodge.", score=3.4),
            ), response_id=response,
        )  # fmt: skip
        said = at + dt.timedelta(milliseconds=began + search + words)
        yield SaidText(session_id=session_id, id=item, at=said, role="assistant", text=answer)
        status = "completed"
        if number == 1:
            status, heard = "cancelled", answer[: answer.index(". ") + 1]
            yield HeardText(
                session_id=session_id,
                id=item,
                at=said + dt.timedelta(seconds=3),
                text=heard,
                heard_ms=2900,
                sent_ms=6100,
            )
        yield TurnTimes(
            session_id=session_id, id=item, at=at, response_id=response, status=status, search_began_ms=began,
            search_ended_ms=began + search, first_token_ms=began + search + words,
            first_audio_ms=began + search + words + sound, ended_ms=began + search + words + sound + 900,
        )  # fmt: skip
        yield UsageLine(
            session_id=session_id, id=response, at=said + dt.timedelta(seconds=1), what="response", status=status,
            principal_id=principal_id, kb_id=kb_id, model=model, deployment="sweden-1",
            cost_usd=Decimal(chance.randrange(9_000, 64_000)).scaleb(-6), prices="2026-07",
            tokens=Tokens(input_text=900 + 240 * number, input_audio=180, cached_text=640, output_text=60,
                          output_audio=420),
        )  # fmt: skip
        at = said + dt.timedelta(seconds=7)
    if seed == 1:
        yield SaidText(session_id=session_id, id="ask_x", at=at, role="user", text=HOSTILE)
        yield StoppedText(session_id=session_id, id="ask_x", at=at, rule="no-markup", text=HOSTILE)
    if reason is not None:
        yield SessionEnded(
            session_id=session_id,
            id=session_id,
            at=at + dt.timedelta(seconds=4),
            reason=reason,
            detail=detail,
        )


def weeks(now: dt.datetime, number: int = 160) -> Iterator[Record]:
    """Conversations of the last weeks, the newest being the first; more of them on some days than on others."""
    chance = random.Random(7)
    moment = now - dt.timedelta(minutes=7)
    for count in range(number):
        yield from session(
            f"sess_la_{chance.randrange(16**24):024x}", moment, seed=count, turns=chance.randint(1, 6),
            reason=chance.choice(_ENDS),
        )  # fmt: skip
        quiet = 2.5 if moment.weekday() in (0, 1) else 1.0
        moment -= dt.timedelta(hours=chance.expovariate(1 / 4.2) * quiet)


def living(now: dt.datetime) -> list[LiveSession]:
    """Three sessions that live."""
    rows = (
        ("5b1f0c2ad9", "speaking", 4, "0.0873", 604.0, True, "kiosk"),
        ("a07cc41e33", "searching", 2, "0.0312", 731.0, True, "website"),
        ("e95d20fb18", "listening", 0, "0", None, False, "reading room"),
    )
    return [
        LiveSession(
            session_id=f"sess_la_{letters}{'0' * 14}",
            began_at=now - dt.timedelta(seconds=41 + 67 * place),
            kb_id="museum",
            principal_id=f"key:{who}",
            principal_name=who,
            person=f"guest-{place}",
            endpoint="/ws",
            model="gpt-realtime",
            state=state,
            has_client=here,
            turns=turns,
            cost_usd=Decimal(cost),
            first_audio_ms=latency,
        )
        for place, (letters, state, turns, cost, latency, here, who) in enumerate(rows)
    ]


def fill(file: Path, sessions: int, now: dt.datetime, *, turns: int = 4) -> None:
    """Puts so many sessions into a prepared SQLite file at once, over 90 days, past the journal."""
    chance = random.Random(11)
    newest = (now - EPOCH) // MICRO
    step = 90 * 86_400_000_000 // sessions
    database = sqlite3.connect(file)
    rows, said, used = [], [], []
    daily: dict[tuple[str, str, str, str], list[int]] = {}
    for number in range(sessions):
        session_id, began = f"sess_la_{number:024x}", newest - number * step
        principal_id, name = _WHO[number % 3]
        kb_id, reason = _KBS[number % 5], _ENDS[number % len(_ENDS)]
        rows.append((session_id, began, began + 90_000_000, reason, "", kb_id, principal_id, name, f"visitor-{number}",
                     "/ws", "gpt-realtime", "here"))  # fmt: skip
        for turn in range(turns):
            at = began + turn * 10_000_000
            role = "assistant" if turn % 2 else "user"
            said.append((session_id, f"item_{turn}", at, role, _TALKS[turn % 3][2]))
            if turn % 2:
                cost = chance.randrange(10**10, 6 * 10**10)
                day = (EPOCH + at * MICRO).date().isoformat()
                used.append((session_id, f"resp_{turn}", at, day, "response", "completed", principal_id, kb_id,
                             "gpt-realtime", "sweden-1", cost, "2026-07", 0))  # fmt: skip
                sums = daily.setdefault((day, principal_id, kb_id, "gpt-realtime"), [0, 0])
                sums[0] += 1
                sums[1] += cost
    sums_of_days = [(*place, "sweden-1", lines, cost) for place, (lines, cost) in daily.items()]
    with database:
        _insert(database, "sessions", _SESSION_COLUMNS, rows)
        _insert(database, "turns", "session_id, item_id, at, role, text", said)
        _insert(database, "usage_lines", _USAGE_COLUMNS, used)
        _insert(database, "daily_costs", "day, principal_id, kb_id, model, deployment, lines, cost", sums_of_days)
    database.close()


_SESSION_COLUMNS = (
    "session_id, began_at, ended_at, end_reason, detail, kb_id, principal_id, principal_name, person, endpoint, model, "
    "journal"
)
_USAGE_COLUMNS = (
    "session_id, id, at, day, what, status, principal_id, kb_id, model, deployment, cost, prices, is_estimate"
)


def _insert(database: sqlite3.Connection, table: str, columns: str, rows: list[Any]) -> None:
    places = ", ".join("?" * len(columns.split(",")))
    database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)
