"""Killed at every point at which the journal touches disk or database: nothing is lost, nothing counts twice."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.engine import Connection

from server.secret import Secret
from server.store.base import Entry
from server.store.journal_applier import Applier
from server.store.journal_segments import Segments
from server.store.records import Record, SaidText, UsageLine
from server.store.sql_address import address_of
from server.store.sql_applying import apply, finish_lost
from server.store.sql_engine import Database
from server.store.sql_erasing import erase_sessions
from server.store.sql_tables import daily_costs, metadata, turns, usage_lines
from tests.store.crashing_folder import Countdown, Crashed, CrashingFolder, Survival
from tests.store.samples import NOON, begun, usage

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

SURVIVALS: tuple[Survival, ...] = ("least", "torn", "most")
# Each point with one way to survive, or with all of them.
FULL = os.environ.get("TESTS_FULL") == "1"
ERASED = "s0"


class InlineStore:
    """The database without threads; before and behind every transaction of the journal the process may be killed."""

    def __init__(self, database: Database, countdown: Countdown) -> None:
        self._database = database
        self._countdown = countdown

    async def prepare(self) -> None:
        pass

    async def apply(self, journal: str, epoch: str, entries: Sequence[Entry]) -> None:
        if self._countdown.point():
            raise Crashed
        self._database.transact(apply, journal, epoch, entries, NOON, is_writing=True)
        if self._countdown.point():
            raise Crashed

    async def finish_lost(self, journal: str, *, living: frozenset[str]) -> int:
        return self._database.transact(finish_lost, journal, living, is_writing=True)

    def erase(self, session_id: str) -> None:
        def work(connection: Connection) -> None:
            erase_sessions(connection, [session_id], NOON, hide_principal=False)

        self._database.transact(work, is_writing=True)
        if self._countdown.point():
            raise Crashed


@dataclass
class Told:
    """What the outside was told: the independent count."""

    acknowledged: list[Record] = field(default_factory=list)
    in_flight: list[Record] = field(default_factory=list)
    is_erased: bool = False


async def inline(work: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
    return work(*args)


def applier_of(segments: Segments, store: InlineStore) -> Applier:
    return Applier(
        segments,
        store,  # type: ignore[arg-type]  # reading is not used
        on_disk=inline,
        on_applied=lambda number: None,
        opened=frozenset,
    )


async def live(folder: CrashingFolder, store: InlineStore, told: Told) -> None:
    """A server's life: batches of records, applied now and then, a session that is erased, an end in order."""
    segments = Segments(folder, segment_bytes=700)
    segments.open()
    applier = applier_of(segments, store)
    for step in range(8):
        session_id = f"s{step % 2}"
        told.in_flight = [
            begun(session_id),
            usage(session_id, step, cost=f"0.00000{step + 1}"),
            SaidText(session_id=session_id, id=f"item_{step}", at=NOON, role="user", text=f"Words of {session_id}."),
        ]
        segments.append([msgspec.msgpack.encode(record) for record in told.in_flight])
        told.acknowledged += told.in_flight
        told.in_flight = []
        if step % 3 == 1:
            await applier.apply_all()
        if step == 4:
            store.erase(ERASED)
            segments.forget(lambda payload: b"usage" in payload or ERASED.encode() not in payload)
            told.is_erased = True
    await applier.apply_all()
    segments.clear()
    segments.close()


async def recover(files: dict[str, bytes], database: Database) -> CrashingFolder:
    """What the next start does."""
    folder = CrashingFolder(files=files)
    segments = Segments(folder)
    segments.open()
    await applier_of(segments, InlineStore(database, Countdown())).apply_all()
    segments.clear()
    segments.close()
    return folder


def compare(database: Database, told: Told) -> None:
    def read(connection: Connection) -> tuple[set[tuple[str, str]], set[tuple[str, str]], int, int]:
        lines = {tuple(row) for row in connection.execute(select(usage_lines.c.session_id, usage_lines.c.id))}
        said = {tuple(row) for row in connection.execute(select(turns.c.session_id, turns.c.item_id))}
        sums = connection.execute(select(daily_costs.c.lines, daily_costs.c.cost)).first()
        return lines, said, *((int(sums[0]), int(sums[1])) if sums else (0, 0))

    lines, said, counted, cost = database.transact(read, is_writing=False)
    owed = {record.id: record for record in told.acknowledged if isinstance(record, UsageLine)}
    maybe = {record.id: record for record in told.in_flight if isinstance(record, UsageLine)}
    of_others = {(r.session_id, r.id) for r in owed.values() if r.session_id != ERASED}
    words = {(r.session_id, r.id) for r in told.acknowledged if isinstance(r, SaidText) and r.session_id != ERASED}

    assert of_others <= lines, "an acknowledged line of usage is lost"
    assert words <= said, "acknowledged words are lost"
    possible = {sum_of(owed), sum_of(owed | maybe)}
    assert (counted, cost) in possible, "costs are lost, or count twice"
    if told.is_erased:
        assert not {pair for pair in lines | said if pair[0] == ERASED}, "what was erased is back"


def sum_of(lines: dict[str, UsageLine]) -> tuple[int, int]:
    return len(lines), sum(int(line.cost_usd * 10**12) for line in lines.values())


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(address_of(Secret(database_url)))
    yield database
    database.dispose()


def empty(database: Database) -> None:
    def work(connection: Connection) -> None:
        for table in metadata.tables.values():
            connection.execute(table.delete())

    database.transact(work, is_writing=True)


async def killed_at(point: int | None, survival: Survival, database: Database) -> int:
    countdown, told = Countdown(point), Told()
    folder = CrashingFolder(countdown)
    with contextlib.suppress(Crashed):
        await live(folder, InlineStore(database, countdown), told)
    left = await recover(folder.left(survival), database)
    compare(database, told)
    if told.is_erased:
        on_disk = b"".join(left.left("most").values())
        assert b"Words of s0" not in on_disk
    return countdown.points


@pytest.mark.slow
async def test_killed_at_every_point_nothing_is_lost_and_nothing_counts_twice(database: Database) -> None:
    points = await killed_at(None, "most", database)
    assert points > 40
    for point in range(1, points + 1):
        for survival in SURVIVALS if FULL else SURVIVALS[point % 3 :][:1]:
            empty(database)
            try:
                await killed_at(point, survival, database)
            except AssertionError as failure:
                raise AssertionError(f"killed at point {point}, of the unsynced survives the {survival}") from failure


@pytest.mark.slow
async def test_killed_again_while_it_recovers(database: Database) -> None:
    countdown, told = Countdown(40), Told()
    folder = CrashingFolder(countdown)
    with pytest.raises(Crashed):
        await live(folder, InlineStore(database, countdown), told)
    files = folder.left("torn")
    for point in range(1, 12):
        again = CrashingFolder(Countdown(point), files=files)
        try:
            segments = Segments(again)
            segments.open()
            await applier_of(segments, InlineStore(database, again.countdown)).apply_all()
        except Crashed:
            files = again.left("torn")

    await recover(files, database)

    compare(database, told)
