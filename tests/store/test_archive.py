"""The whole room: recorded, erased everywhere, processes that are killed, databases that come back."""

import contextlib
import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from server.secret import Secret
from server.store.archive import Archive
from server.store.base import StoreUnavailable
from server.store.journal import Journal
from server.store.journal_files import DiskFolder
from server.store.journal_intake import Bounds
from server.store.journal_segments import Segments
from server.store.recording import Recordings
from server.store.sql import SqlRecords, utc_now
from server.store.sql_address import address_of
from server.store.views import SessionFilter
from tests.store.postgresql import Cluster, cluster
from tests.store.samples import NOON, begun, conversation

Open = Callable[[], SqlRecords]
# A process takes seconds to start.
KILLS = 50 if os.environ.get("TESTS_FULL") == "1" else 2
SOUND = b"\x01\x02" * 2400


@asynccontextmanager
async def running(store: SqlRecords, folder: Path, *, keep: dt.timedelta | None = None) -> AsyncIterator[Archive]:
    with contextlib.closing(DiskFolder(folder / "journal")) as journal_folder, trio.fail_after(60):
        archive = Archive(
            store,
            Journal(Segments(journal_folder), store),
            recordings=Recordings(folder / "sound", max_bytes=10**6, now=utc_now),
            keep=keep,
            now=utc_now,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(archive.run)
            yield archive
            nursery.cancel_scope.cancel()


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_server_ends_and_everything_it_had_is_in_the_database(open_store: Open, tmp_path: Path) -> None:
    async with running(open_store(), tmp_path) as archive:
        session = archive.session("s1")
        sound = archive.sound("s1", session)
        assert sound is not None
        session.record(begun("s1"))
        sound.take("client", SOUND)

    store = open_store()
    found = await store.session("s1")
    assert found is not None
    assert {r.side: r.duration_ms for r in found.recordings} == {"avatar": 0, "client": 100}
    assert sorted(os.listdir(tmp_path / "journal")) == ["identity", "lock"]


async def test_an_erased_session_leaves_no_trace_anywhere(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    async with running(store, tmp_path) as archive:
        session = archive.session("secret-session")
        sound = archive.sound("secret-session", session)
        assert sound is not None
        for record in conversation("secret-session", person="ann"):
            session.record(record)
        sound.take("client", SOUND)
        await archive._journal.drain()
        await trio.sleep(0.7)

        await archive.erase_session("secret-session")
        for record in conversation("secret-session", person="ann")[:3]:
            session.record(record)  # what was still on its way
        sound.take("client", SOUND)
        await archive._journal.drain()

        assert await store.session("secret-session") is None
        assert (await archive.reader.costs([]))[0].cost_usd == Decimal("0.066316")

    assert os.listdir(tmp_path / "sound") == []
    assert b"At ten" not in contents(tmp_path)


async def test_all_of_a_person_goes_the_pending_too(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    async with running(store, tmp_path) as archive:
        for session_id, person in (("s1", "ann"), ("s2", "bob")):
            for record in conversation(session_id, person=person):
                archive.session(session_id).record(record)
        await archive._journal.drain()
        archive.session("s3").record(begun("s3", person="ann"))

        erasure = await archive.erase_person("ann")
        await archive._journal.drain()

        assert "s1" in erasure.session_ids
        left = (await archive.reader.sessions(SessionFilter(), limit=9)).sessions
        assert [session.session_id for session in left] == ["s2"]


async def test_what_is_too_old_is_deleted_with_its_sound(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    async with running(store, tmp_path) as archive:
        for record in conversation("old"):
            archive.session("old").record(record)
        await archive._journal.drain()
    async with running(open_store(), tmp_path, keep=dt.timedelta(days=1)) as archive:
        with trio.fail_after(10):
            while (await archive.reader.sessions(SessionFilter(until=utc_now()), limit=1)).sessions:  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert (await archive.reader.costs([]))[0].lines == 1


def kill_recorder(folder: Path, url: str, first: int, after_s: float) -> set[int]:
    """Lets a process record, kills it, and returns the numbers that it said were safe."""
    command = [sys.executable, "-m", "tests.store.recorder_process", str(folder), url, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = (line for line in process.stdout if line.startswith("safe "))
        said = [next(lines)]
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        said += [line for line in lines if line.endswith("\n")]
    return set(range(first, int(said[-1].removeprefix("safe "))))


@pytest.mark.slow
async def test_a_killed_process_loses_nothing_that_it_acknowledged(
    open_store: Open, database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    safe: set[int] = set()
    for kill in range(KILLS):
        # What was under way when it was killed may be there, and has numbers of its own.
        safe |= await trio.to_thread.run_sync(
            kill_recorder, tmp_path / "journal", database_url, kill * 1_000_000, chance.uniform(0.02, 0.4)
        )

    store = open_store()
    async with running(store, tmp_path) as archive:
        await archive._journal.drain()
        lines: list[str] = []
        key: str | None = None
        while True:
            page = await store.usage(SessionFilter(), limit=1000, key=key)
            lines += [line.id for line in page.lines]
            key = page.next_key
            if key is None:
                break
        (costs,) = await store.costs([])

    assert {f"resp_{number}" for number in safe} - set(lines) == set(), "lost"
    assert len(lines) == len(set(lines)), "twice"
    assert (costs.lines, costs.cost_usd) == (len(lines), len(lines) * Decimal("0.000001"))
    ended = (await store.sessions(SessionFilter(is_live=True), limit=1)).sessions
    assert ended == []


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.mark.service
@pytest.mark.slow
async def test_a_postgresql_that_crashes_and_comes_back_misses_nothing(own_cluster: Cluster, tmp_path: Path) -> None:
    url = own_cluster.new_database()
    store = SqlRecords(address_of(Secret(url)))
    async with running(store, tmp_path) as archive:
        session = archive.session("s1")
        records = conversation("s1", turns=40)
        for number, record in enumerate(records):
            assert session.record(record)
            await trio.sleep(0.005)
            if number == 60:
                own_cluster.stop()
                with pytest.raises(StoreUnavailable):
                    await archive.reader.session("s1")
            if number == 200:
                assert archive.health.state == "waiting"
                assert archive.accepts_sessions
                own_cluster.start()
        await archive._journal.drain()
        assert archive.health.state == "ok"
        found = await archive.reader.session("s1")

    assert found is not None
    assert (len(found.turns), len(found.usage), found.session.end_reason) == (80, 40, "completed")
    assert found.session.cost_usd == 40 * Decimal("0.066316")
    assert found.session.began_at == NOON


@pytest.mark.parametrize("unrecorded", [False, True])
async def test_where_that_is_wanted_a_session_goes_on_also_unrecorded(
    open_store: Open, tmp_path: Path, unrecorded: bool
) -> None:
    with contextlib.closing(DiskFolder(tmp_path / "journal")) as folder:
        store = open_store()
        bounds = Bounds(session=1024)
        journal = Journal(Segments(folder), store, bounds=bounds)
        archive = Archive(store, journal, now=utc_now, unrecorded=unrecorded)
        session = archive.session("s1")
        # Nothing is written: nobody runs the journal.
        kept = [session.record(record) for record in conversation("s1", turns=40)]
        assert all(kept) is unrecorded
        assert archive.health.lost > 0
        assert session.is_behind is not unrecorded
        if unrecorded:
            with trio.fail_after(5):
                await session.wait_room()
        await store.aclose()
