"""The journal: on disk in moments, in the database in the end; outages, full disks, floods and damage in between."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import structlog
import trio

from server.store.base import Entry, JournalFault, SchemaFault, StoreUnavailable
from server.store.journal import Journal
from server.store.journal_files import DiskFolder, Folder
from server.store.journal_intake import Bounds
from server.store.journal_segments import Segments
from server.store.records import AudioRecording, Record, SaidText, UsageLine
from server.store.sql import SqlRecords
from server.store.views import SessionFilter
from tests.store.crashing_folder import CrashingFolder
from tests.store.samples import NOON, begun, conversation, ended, usage

Open = Callable[[], SqlRecords]
ALL = SessionFilter()


class FlakyStore:
    """A store in front of another, that is away when it is told to be."""

    def __init__(self, store: SqlRecords) -> None:
        self.store = store
        self.fault: Exception | None = None
        self.prepare = store.prepare
        self.finish_lost = store.finish_lost

    async def apply(self, journal: str, epoch: str, entries: Sequence[Entry]) -> None:
        if self.fault is not None:
            await trio.lowlevel.checkpoint()
            raise self.fault
        await self.store.apply(journal, epoch, entries)


AWAY = StoreUnavailable("unreachable", "The database cannot be reached.")


@asynccontextmanager
async def running(
    folder: Folder, store: object, *, bounds: Bounds | None = None, redact: Callable[[Record], Record] | None = None
) -> AsyncIterator[Journal]:
    journal = Journal(Segments(folder), store, bounds=bounds, redact=redact)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        with trio.fail_after(30):
            yield journal
        nursery.cancel_scope.cancel()


@pytest.fixture
def store(open_store: Open) -> SqlRecords:
    return open_store()


@pytest.fixture
def flaky(store: SqlRecords) -> FlakyStore:
    return FlakyStore(store)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in threads, and tells nobody
            await trio.sleep(0.01)


def said(session_id: str, number: int, size: int = 10) -> SaidText:
    return SaidText(session_id=session_id, id=f"item_{number}", at=NOON, role="user", text="x" * size)


async def test_what_is_recorded_is_in_the_database_and_then_no_longer_on_the_disk(
    store: SqlRecords, tmp_path: Path
) -> None:
    folder = DiskFolder(tmp_path / "journal")
    async with running(folder, store) as journal:
        session = journal.session("s1")
        assert all(session.record(record) for record in conversation("s1", turns=3))
        await journal.drain()
        found = await store.session("s1")
        assert journal.health.state == "ok"
    folder.close()

    assert found is not None
    assert (len(found.turns), len(found.usage), found.session.end_reason) == (6, 3, "completed")
    assert not list((tmp_path / "journal").glob("*.journal"))
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0


async def test_what_was_recorded_just_before_the_end_is_kept(store: SqlRecords) -> None:
    async with running(CrashingFolder(), store) as journal:
        journal.session("s1").record(begun("s1"))

    assert await store.session("s1") is not None


async def test_an_outage_of_the_database_loses_nothing_and_sessions_go_on(flaky: FlakyStore) -> None:
    async with running(CrashingFolder(), flaky) as journal:
        await journal.drain()
        flaky.fault = AWAY
        session = journal.session("s1")
        for record in conversation("s1", turns=20):
            assert session.record(record)
        await journal.flush()
        await until(lambda: journal.health.state == "waiting")

        assert journal.accepts_sessions
        assert journal.health.detail == "The database cannot be reached."
        assert journal.health.journal_bytes > 1000

        flaky.fault = None
        await journal.drain()
        assert journal.health.state == "ok"

    found = await flaky.store.session("s1")
    assert found is not None
    assert (len(found.turns), len(found.usage)) == (40, 20)


async def test_a_journal_that_was_left_is_applied_at_the_next_start(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    async with running(folder, flaky) as journal:
        await journal.drain()
        flaky.fault = AWAY
        journal.session("s1").record(begun("s1"))
    flaky.fault = None
    assert await flaky.store.session("s1") is None

    async with running(CrashingFolder(files=folder.left("least")), flaky) as journal:
        await journal.drain()

    found = await flaky.store.session("s1")
    assert found is not None
    assert found.session.end_reason == "unfinished"


async def test_a_flood_is_held_back_in_its_own_session_only(flaky: FlakyStore) -> None:
    async with running(CrashingFolder(), flaky, bounds=Bounds(session=5_000)) as journal:
        await journal.drain()
        flaky.fault = AWAY
        flooding, calm = journal.session("flood"), journal.session("calm")
        taken = [flooding.record(said("flood", number, 500)) for number in range(30)]
        assert calm.record(said("calm", 1))

        assert taken == sorted(taken, reverse=True)
        assert 15 < sum(taken) < 20
        assert journal.health.lost == 30 - sum(taken)
        assert flooding.record(usage("flood", 1)), "what is owed has room when words have none"
        assert flooding.is_behind
        assert not calm.is_behind
        with trio.fail_after(5):
            await calm.wait_room()
        with trio.move_on_after(0.05) as waited:
            await flooding.wait_room()
        assert waited.cancelled_caught

        flaky.fault = None
        await flooding.wait_room()
        await journal.drain()

    found = await flaky.store.session("flood")
    assert found is None
    assert len((await flaky.store.usage(ALL, limit=9)).lines) == 1


async def test_all_sessions_together_have_a_bound_in_memory(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    async with running(folder, flaky, bounds=Bounds(memory=20_000)) as journal:
        folder.full = True
        taken = [journal.session(f"s{number}").record(said(f"s{number}", 1, 1_000)) for number in range(100)]
        assert 15 < sum(taken) < 20
        assert not journal.accepts_sessions
        folder.full = False
        await journal.drain()
        assert journal.accepts_sessions


async def test_a_full_disk_is_told_and_waited_for(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    async with running(folder, flaky) as journal:
        await journal.drain()
        session = journal.session("s1")
        session.record(begun("s1"))
        await journal.flush()
        folder.full = True
        for record in conversation("s1", turns=5):
            session.record(record)
        await until(lambda: journal.health.state == "behind")
        assert not journal.accepts_sessions
        assert "full" in journal.health.detail

        folder.full = False
        await journal.drain()
        assert journal.health.state == "ok"

    found = await flaky.store.session("s1")
    assert found is not None
    assert (len(found.turns), len(found.usage)) == (10, 5)


async def test_a_failed_sync_is_not_believed(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    async with running(folder, flaky) as journal:
        session = journal.session("s1")
        session.record(begun("s1"))
        await journal.flush()
        folder.fails_to_sync = True
        session.record(usage("s1", 1))
        await until(lambda: journal.health.state == "behind")
        with trio.move_on_after(0.05) as waited:
            await journal.flush()
        assert waited.cancelled_caught
        folder.fails_to_sync = False
        await journal.drain()

    found = await flaky.store.session("s1")
    assert found is not None
    assert len(found.usage) == 1
    assert (await flaky.store.costs([]))[0].lines == 1


async def test_the_journal_has_a_bound_on_disk(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    async with running(folder, flaky, bounds=Bounds(disk=20_000)) as journal:
        await journal.drain()
        flaky.fault = AWAY
        session = journal.session("s1")
        for step in range(12):
            session.record(said("s1", step, 3_000))
            await trio.sleep(0.03)
        await until(lambda: journal.health.memory_bytes > 9_000)
        assert journal.health.journal_bytes < 25_000
        assert journal.health.state == "behind"
        assert not journal.accepts_sessions

        flaky.fault = None
        await journal.drain()
        assert journal.accepts_sessions


async def test_a_record_that_the_database_refuses_stops_no_other(store: SqlRecords) -> None:
    folder = CrashingFolder()
    async with running(folder, store) as journal:
        session = journal.session("s1")
        bad = AudioRecording(session_id="s1", id="client", at=NOON, file="f", duration_ms=2**63, size_bytes=0)
        for record in [*conversation("s1", turns=2), bad, *conversation("s2", turns=2)]:
            session.record(record)
        await journal.drain()
        assert (journal.health.set_aside, journal.health.state) == (1, "ok")

    assert b"client" in folder.left("least")["set-aside.frames"]
    assert {line.session_id for line in (await store.usage(ALL, limit=9)).lines} == {"s1", "s2"}
    found = await store.session("s2")
    assert found is not None
    assert found.session.end_reason == "completed"


async def test_what_is_set_aside_is_so_once_however_often_it_is_tried(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    segments = Segments(folder)
    segments.open()
    unknown = msgspec.msgpack.encode({"kind": "from_the_future", "session_id": "s1"})
    segments.append([unknown, msgspec.msgpack.encode(begun("s1"))])
    flaky.fault = AWAY

    async with running(CrashingFolder(files=folder.left("least")), flaky) as journal:
        await until(lambda: journal.health.waiting_s > 0.6)
        flaky.fault = None
        await journal.drain()
        assert journal.health.set_aside == 1


async def test_what_cannot_be_encoded_is_mended_or_lost_and_never_raises(store: SqlRecords) -> None:
    async with running(CrashingFolder(), store) as journal:
        session = journal.session("s1")
        assert session.record(begun("s1"))
        assert session.record(SaidText(session_id="s1", id="i", at=NOON, role="user", text="half \ud83d a pair"))
        assert not session.record(
            AudioRecording(session_id="s1", id="c", at=NOON, file="", duration_ms=2**70, size_bytes=0)
        )
        assert not session.record(said("s1", 1, 3 * 1024 * 1024))
        await journal.drain()
        assert journal.health.lost == 2

    found = await store.session("s1")
    assert found is not None
    assert found.turns[0].text == "half ? a pair"


async def test_words_are_redacted_before_they_are_on_the_disk(flaky: FlakyStore) -> None:
    def redact(record: Record) -> Record:
        return msgspec.structs.replace(record, text="[secret]") if isinstance(record, SaidText) else record

    folder = CrashingFolder()
    async with running(folder, flaky, redact=redact) as journal:
        await journal.drain()
        flaky.fault = AWAY
        journal.session("s1").record(begun("s1"))
        journal.session("s1").record(SaidText(session_id="s1", id="i", at=NOON, role="user", text="my PIN"))
        await journal.flush()
        on_disk = b"".join(folder.left("most").values())
        assert b"[secret]" in on_disk
        assert b"my PIN" not in on_disk
        flaky.fault = None
        await journal.drain()


async def test_a_schema_that_is_not_ours_stops_the_start(flaky: FlakyStore) -> None:
    async def refuse() -> None:
        await trio.lowlevel.checkpoint()
        raise SchemaFault("It is newer.")

    flaky.prepare = refuse
    with pytest.raises(ExceptionGroup) as raised:
        async with running(CrashingFolder(), flaky):
            pass
    assert raised.group_contains(SchemaFault, match="newer")


async def test_a_database_that_is_away_at_the_start_is_waited_for(flaky: FlakyStore) -> None:
    async def away() -> None:
        await trio.lowlevel.checkpoint()
        raise AWAY

    there, flaky.prepare = flaky.prepare, away
    async with running(CrashingFolder(), flaky) as journal:
        journal.session("s1").record(begun("s1"))
        await until(lambda: journal.health.state == "waiting")
        flaky.prepare = there
        await journal.drain()

    assert await flaky.store.session("s1") is not None


# What an earlier process left


def left_by(*groups: list[Record]) -> dict[str, bytes]:
    folder = CrashingFolder()
    segments = Segments(folder)
    segments.open()
    for records in groups:
        segments.append([msgspec.msgpack.encode(record) for record in records])
    return folder.left("least")


def journal_file(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith(".journal"))


async def test_a_torn_end_is_cut_off_and_said_in_the_log(store: SqlRecords) -> None:
    files = left_by([begun("s1")], [begun("s2")])
    name = journal_file(files)
    files[name] = files[name][:-5]
    folder = CrashingFolder(files=files)

    with structlog.testing.capture_logs() as logs:
        async with running(folder, store) as journal:
            await journal.drain()

    assert [session.session_id for session in (await store.sessions(ALL, limit=9)).sessions] == ["s1"]
    assert [line["file"] for line in logs if line["event"] == "torn end of a journal file cut off"] == [name]


async def test_damage_in_the_middle_costs_only_what_it_hit(store: SqlRecords) -> None:
    files = left_by([begun("s1")], [begun("s2")], [begun("s3")])
    name = journal_file(files)
    place = files[name].index(b"s2")
    files[name] = files[name][:place] + b"??" + files[name][place + 2 :]

    with structlog.testing.capture_logs() as logs:
        async with running(CrashingFolder(files=files), store) as journal:
            await journal.drain()

    assert {session.session_id for session in (await store.sessions(ALL, limit=9)).sessions} == {"s1", "s3"}
    assert any(line["event"].startswith("journal file is damaged") for line in logs)


async def test_records_of_another_version_are_set_aside(store: SqlRecords) -> None:
    folder = CrashingFolder()
    segments = Segments(folder)
    segments.open()
    unknown = msgspec.msgpack.encode({"kind": "from_the_future", "session_id": "s1"})
    segments.append([msgspec.msgpack.encode(begun("s1")), unknown, msgspec.msgpack.encode(ended("s1"))])
    again = CrashingFolder(files=folder.left("least"))

    async with running(again, store) as journal:
        await journal.drain()
        assert journal.health.set_aside == 1

    assert await store.session("s1") is not None
    assert b"from_the_future" in again.left("least")["set-aside.frames"]


@pytest.mark.parametrize(
    ("name", "data"), [("00000001.journal", b"LAjrnl\x00\x09" + bytes(30)), ("copy of a.journal", b"")]
)
def test_a_file_that_is_none_of_ours_is_told_and_not_touched(name: str, data: bytes) -> None:
    folder = CrashingFolder(files={name: data})

    with pytest.raises(JournalFault) as raised:
        Segments(folder).open()

    assert raised.value.kind == "unreadable"
    assert name in str(raised.value)
    assert folder.left("most")[name] == data


def test_a_file_that_has_not_even_its_beginning_is_removed() -> None:
    folder = CrashingFolder(files={"00000001.journal": b"LAj", "00000002.journal.new": b""})
    Segments(folder).open()

    assert folder.names() == ["identity"]


def test_a_journal_is_one_servers_alone(tmp_path: Path) -> None:
    first = DiskFolder(tmp_path)
    with pytest.raises(JournalFault) as raised:
        DiskFolder(tmp_path)
    assert raised.value.kind == "in_use"
    first.close()
    with contextlib.closing(DiskFolder(tmp_path)):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFault, match="cannot be used"):
        DiskFolder(tmp_path / "file" / "journal")


def test_reading_goes_on_behind_frames_that_are_larger_than_a_batch() -> None:
    folder = CrashingFolder()
    segments = Segments(folder)
    segments.open()
    sizes = [10, 300_000, 10, 130_000, 200_000]
    segments.append([bytes(size) for size in sizes])

    seen: list[int] = []
    while (batch := segments.take()) is not None:
        assert segments.take() == batch
        seen += [len(piece.payload) for piece in batch.frames]
        segments.release()

    assert seen == sizes


async def test_forgetting_takes_out_all_but_what_is_owed(flaky: FlakyStore) -> None:
    folder = CrashingFolder()
    async with running(folder, flaky) as journal:
        await journal.drain()
        flaky.fault = AWAY
        both = [record for pair in zip(conversation("s1"), conversation("s2"), strict=True) for record in pair]
        for record in both:
            journal.session(record.session_id).record(record)
        await journal.flush()
        journal.session("s1").record(said("s1", 99))  # this one is still in memory
        assert await journal.begun_by("visitor") == {"s1", "s2"}

        assert await journal.forget(frozenset({"s1"})) == 8

        kept = [msgspec.msgpack.decode(payload, type=Record) for payload in journal._segments.payloads()]
        assert [type(record) for record in kept if record.session_id == "s1"] == [UsageLine]
        assert len([record for record in kept if record.session_id == "s2"]) == 8
        flaky.fault = None
        await journal.drain()

    assert await flaky.store.session("s1") is None
    assert await flaky.store.session("s2") is not None


async def test_forgetting_the_last_records_leaves_nobody_waiting_for_room(flaky: FlakyStore) -> None:
    async with running(CrashingFolder(), flaky, bounds=Bounds(session=1_000)) as journal:
        await journal.drain()
        flaky.fault = AWAY
        waiting, erased = journal.session("waiting"), journal.session("erased")
        for number in range(3):
            waiting.record(said("waiting", number, 400))
        erased.record(said("erased", 1))
        await journal.flush()
        assert waiting.is_behind

        await journal.forget(frozenset({"erased"}))
        flaky.fault = None
        await waiting.wait_room()
