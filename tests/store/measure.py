"""Measures recording, and pages out of 100,000 sessions: ``python -m tests.store.measure [sessions]``. No test."""

import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
from sqlalchemy import insert
from sqlalchemy.engine import Connection

from server.secret import Secret
from server.store.export import session_json
from server.store.journal import Journal
from server.store.journal_files import DiskFolder
from server.store.journal_segments import Segments
from server.store.records import SaidText
from server.store.redaction import Redaction
from server.store.sql import SqlRecords
from server.store.sql_address import address_of
from server.store.sql_tables import TOKEN_COLUMNS, daily_costs, sessions, tool_calls, turns, usage_lines
from server.store.views import SessionFilter
from tests.store.postgresql import cluster
from tests.store.samples import NOON, usage

TURNS, LINES, CALLS = 8, 4, 2
_CHUNK = 2_000


def fill(connection: Connection, first: int, count: int) -> None:
    """Sessions as they might have been, without the journal, which would take minutes."""
    rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in (sessions, turns, usage_lines, tool_calls)}
    for number in range(first, first + count):
        session_id = f"sess_{number:08}"
        at = NOON + dt.timedelta(seconds=97 * number)
        whose = {"principal_id": f"key:{number % 20}", "kb_id": f"kb_{number % 7}"}
        ended = {"ended_at": at + dt.timedelta(minutes=3), "end_reason": "completed"}
        rows[sessions].append({"session_id": session_id, "began_at": at, "person": f"p{number}"} | ended | whose)
        for turn in range(TURNS):
            text = {"role": "assistant", "text": "The museum opens at ten, and closes at six. " * 3}
            rows[turns].append({"session_id": session_id, "item_id": f"item_{turn}", "at": at} | text)
        for line in range(LINES):
            tokens = dict.fromkeys(TOKEN_COLUMNS, 100)
            paid = {"model": "gpt-realtime", "deployment": "east", "day": at.date().isoformat(), "what": "response"}
            key = {"session_id": session_id, "id": f"resp_{line}", "at": at}
            rows[usage_lines].append(key | tokens | paid | whose | {"cost": 66_316_000_000, "is_estimate": False})
        for call in range(CALLS):
            said = {"name": "search", "arguments": "opening hours", "sources": "[]", "status": "answered"}
            rows[tool_calls].append({"session_id": session_id, "call_id": f"call_{call}", "at": at} | said)
    for table, some in rows.items():
        connection.execute(insert(table), some)


def statement(connection: Connection, sql: str) -> None:
    connection.exec_driver_sql(sql)


def fill_days(connection: Connection, days: int) -> None:
    tokens = dict.fromkeys((*TOKEN_COLUMNS, "audio_ms", "lines", "cost"), 1000)
    keys = [
        {"day": (NOON + dt.timedelta(days=day)).date().isoformat(), "principal_id": f"key:{key}", "kb_id": f"kb_{kb}"}
        for day in range(days)
        for key in range(20)
        for kb in range(7)
    ]
    connection.execute(
        insert(daily_costs), [key | tokens | {"model": "gpt-realtime", "deployment": "e"} for key in keys]
    )


async def timed(name: str, ask: Callable[[], Awaitable[object]]) -> None:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - start) * 1000)
    median = statistics.median(times)
    print(f"  {name:<34} first {times[0]:7.1f} ms   median {median:7.1f} ms   worst {max(times):7.1f} ms")


async def pages(url: str, count: int) -> None:
    store = SqlRecords(address_of(Secret(url)))
    await store.prepare()
    start = time.perf_counter()
    for first in range(0, count, _CHUNK):
        await store.database.write(fill, first, min(_CHUNK, count - first))
    await store.database.write(fill_days, 112)
    if not store.database.is_sqlite:
        # As its own daemon does, sooner or later.
        await store.database.write(statement, "ANALYZE")
    print(f"{store.database.name}: {count} sessions in {time.perf_counter() - start:.0f} s")
    await store.aclose()
    store = SqlRecords(address_of(Secret(url)))
    everything = SessionFilter()
    first_page = await store.sessions(everything, limit=50)
    key: str | None = first_page.next_key
    for _ in range(20):
        key = (await store.sessions(everything, limit=1000, key=key)).next_key
    middle = f"sess_{count // 2:08}"

    async def whole() -> bytes:
        found = await store.session(middle)
        if found is None:
            raise AssertionError(middle)
        return session_json(found)

    await timed("first page of 50", lambda: store.sessions(everything, limit=50))
    await timed("page behind 20,000 others", lambda: store.sessions(everything, limit=50, key=key))
    await timed("first page of a knowledge base", lambda: store.sessions(SessionFilter(kb_id="kb_3"), limit=50))
    await timed("sessions of a person", lambda: store.sessions(SessionFilter(person=f"p{count // 2}"), limit=50))
    await timed("two filters", lambda: store.sessions(SessionFilter(kb_id="kb_3", principal_id="key:4"), limit=50))
    await timed("living sessions (none)", lambda: store.sessions(SessionFilter(is_live=True), limit=50))
    await timed("one session, as JSON", whole)
    await timed("costs by day, 112 days", lambda: store.costs(["day"]))
    await timed("costs by day and principal", lambda: store.costs(["day", "principal_id"]))
    await timed("1,000 lines of usage", lambda: store.usage(everything, limit=1000))
    await store.aclose()


async def recording(folder: Path) -> None:
    store = SqlRecords(address_of(Secret(f"sqlite:///{folder / 'recording.sqlite3'}")))
    journal = Journal(Segments(DiskFolder(folder / "journal")), store, redact=Redaction().redact)
    words = SaidText(session_id="s", id="i", at=NOON, role="assistant", text="The museum opens at ten. " * 8)
    line = usage("s", 1)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        for name, record in (("said", words), ("usage", line)):
            times: list[float] = []
            session = journal.session(name)
            for number in range(20_000):
                if number % 50 == 0:
                    session = journal.session(f"s{number}")
                start = time.perf_counter()
                session.record(record)
                times.append((time.perf_counter() - start) * 1e6)
                if number % 200 == 199:
                    await journal.flush()
            times.sort()
            print(
                f"record({name}): median {times[10_000]:.1f} us, p99 {times[19_800]:.1f} us, worst {times[-1]:.0f} us"
            )
        start = time.perf_counter()
        await journal.drain()
        print(f"drained after {time.perf_counter() - start:.1f} s")
        nursery.cancel_scope.cancel()
    await store.aclose()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        trio.run(recording, Path(folder))
        trio.run(pages, f"sqlite:///{folder}/records.sqlite3", count)
    with cluster() as postgresql:
        trio.run(pages, postgresql.new_database(), count)


if __name__ == "__main__":
    main()
