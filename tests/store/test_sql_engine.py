"""The database under the records when it is away, full, locked, read-only, silent, newer or foreign."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from protocol.errors import OperatorFault
from server.secret import Secret
from server.store import sql_engine
from server.store.base import SchemaFault, StoreUnavailable
from server.store.sql import SqlRecords
from server.store.sql_address import address_of, described
from server.store.sql_engine import Database
from server.store.sql_schema import migrate
from server.store.sql_tables import metadata
from tests.store.postgresql import Cluster, cluster
from tests.store.samples import begun, conversation, entries

Open = Callable[[], SqlRecords]
PASSWORD = "hunter2-hunter2"


# Addresses


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_a_postgresql_url_is_taken(scheme: str) -> None:
    address = address_of(Secret(f"{scheme}://ann:{PASSWORD}@db.example:5433/records?sslmode=require"))

    assert address.drivername == "postgresql+psycopg"
    assert (address.host, address.port, address.database, address.query["sslmode"]) == (
        "db.example",
        5433,
        "records",
        "require",
    )
    assert described(address) == "PostgreSQL database records at db.example:5433"


def test_a_sqlite_url_is_a_file() -> None:
    assert described(address_of(Secret("sqlite:////var/lib/records.sqlite3"))) == "SQLite file /var/lib/records.sqlite3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        PASSWORD,
        f"mysql://ann:{PASSWORD}@db/records",
        f"postgresql://ann:{PASSWORD}@db:port/records",
        f"postgresql://ann:{PASSWORD}@db",
        f"{PASSWORD}://db",
        f"postgresql:ann:{PASSWORD}@db/records",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    with pytest.raises(OperatorFault, match="DATABASE_URL cannot be used") as raised:
        address_of(Secret(url))

    assert PASSWORD not in str(raised.value)
    assert raised.value.__cause__ is None


# What it cannot do now


async def unavailable(database: Database, work: Callable[[Connection], object]) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as raised:
        await database.write(work)
    assert PASSWORD not in str(raised.value)
    assert raised.value.__cause__ is None
    return raised.value


def statement(sql: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.exec_driver_sql(sql)

    return work


def nothing(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    database = Database(address_of(Secret(f"postgresql://ann:{PASSWORD}@127.0.0.1:1/records")))

    fault = await unavailable(database, nothing)

    assert fault.kind == "unreachable"
    assert "PostgreSQL database records at 127.0.0.1:1 cannot be reached" in str(fault)


@pytest.mark.service
async def test_a_database_that_there_is_not_is_unreachable(postgresql: Cluster) -> None:
    database = Database(address_of(Secret(f"postgresql://tests:{PASSWORD}@/nowhere?host={postgresql.folder}")))

    assert (await unavailable(database, nothing)).kind == "unreachable"


@pytest.mark.service
async def test_a_user_that_may_not_write_is_denied(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    owner = SqlRecords(address_of(Secret(url)))
    await owner.prepare()
    role = f"CREATE ROLE reader_{os.getpid()} LOGIN"
    await owner.database.write(statement(role))
    await owner.aclose()
    reader = SqlRecords(address_of(Secret(url.replace("tests@", f"reader_{os.getpid()}@"))))

    with pytest.raises(StoreUnavailable) as raised:
        await reader.apply("journal", "epoch", entries([begun("s1")]))
    await reader.aclose()

    assert raised.value.kind == "denied"


@pytest.mark.service
async def test_a_replica_is_read_only(postgresql: Cluster) -> None:
    store = SqlRecords(address_of(Secret(postgresql.new_database())))
    await store.prepare()
    event.listen(store.database._engine, "begin", lambda c: c.exec_driver_sql("SET TRANSACTION READ ONLY"), named=False)

    with pytest.raises(StoreUnavailable) as raised:
        await store.apply("journal", "epoch", entries([begun("s1")]))
    await store.aclose()

    assert raised.value.kind == "read_only"


async def test_a_read_only_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "records.sqlite3"
    store = SqlRecords(address_of(Secret(f"sqlite:///{file}")))
    await store.prepare()
    event.listen(store.database._engine, "begin", lambda c: c.exec_driver_sql("PRAGMA query_only = ON"))

    with pytest.raises(StoreUnavailable) as raised:
        await store.apply("journal", "epoch", entries([begun("s1")]))
    await store.aclose()

    assert raised.value.kind == "read_only"
    assert file.stat().st_mode & 0o077 == 0


async def test_a_full_database_says_so_and_takes_records_later(tmp_path: Path) -> None:
    store = SqlRecords(address_of(Secret(f"sqlite:///{tmp_path / 'records.sqlite3'}")))
    await store.prepare()

    # A limit is a connection's own: the pool hands out the one that was used last.
    await store.database.write(statement("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreUnavailable) as raised:
        await store.apply("journal", "epoch", entries(conversation("s1", turns=100)))
    assert raised.value.kind == "full"

    await store.database.write(statement("PRAGMA max_page_count = 100000"))
    await store.apply("journal", "epoch", entries(conversation("s1", turns=100)))
    found = await store.session("s1")
    await store.aclose()
    assert found is not None
    assert len(found.usage) == 100


@pytest.mark.parametrize("name", ["folder", "file/records.sqlite3", "garbage"])
async def test_a_file_that_is_no_database_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "garbage").write_text("This is no database. " * 100)
    database = Database(address_of(Secret(f"sqlite:///{tmp_path / name}")))

    fault = await unavailable(database, nothing)
    database.dispose()

    assert fault.kind in ("unreachable", "broken")


async def test_a_file_that_somebody_else_has_locked_is_busy(tmp_path: Path) -> None:
    store = SqlRecords(address_of(Secret(f"sqlite:///{tmp_path / 'records.sqlite3'}")))
    await store.prepare()
    event.listen(store.database._engine, "checkout", lambda d, *_: d.execute("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(tmp_path / "records.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable) as raised:
        await store.apply("journal", "epoch", entries([begun("s1")]))
    other.close()
    await store.apply("journal", "epoch", entries([begun("s1")]))
    await store.aclose()

    assert raised.value.kind == "busy"


def endless(connection: Connection) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    connection.execute(text(numbers))


async def test_what_takes_too_long_is_broken_off(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_engine, "READ_DEADLINE_S", 0.2)
    store = open_store()
    await store.prepare()

    with trio.fail_after(5):
        with pytest.raises(StoreUnavailable) as raised:
            await store.database.read(endless)
        # The thread was shaken out of the database: its place is free again.
        while store.database._readers.borrowed_tokens:  # noqa: ASYNC110 - a thread tells nobody that it is through
            await trio.sleep(0.01)

    assert raised.value.kind == "too_slow"
    assert await store.session("nobody") is None


async def test_a_cancelled_read_returns_at_once(open_store: Open) -> None:
    store = open_store()
    await store.prepare()

    with trio.fail_after(5), trio.move_on_after(0.1) as cancelled:
        await store.database.read(endless)

    assert cancelled.cancelled_caught
    assert await store.session("nobody") is None


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.mark.service
@pytest.mark.slow
async def test_a_server_that_stops_comes_back_and_one_that_falls_silent_is_left(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlRecords(address_of(Secret(own_cluster.new_database())))
    await store.prepare()
    await store.apply("journal", "epoch", entries([begun("s1")]))

    own_cluster.stop()
    with pytest.raises(StoreUnavailable) as raised:
        await store.apply("journal", "epoch", entries([begun("s2")], 2))
    assert raised.value.kind == "unreachable"
    own_cluster.start()
    await store.apply("journal", "epoch", entries([begun("s2")], 2))

    monkeypatch.setattr(sql_engine, "READ_DEADLINE_S", 0.5)
    backends = await store.database.read(
        lambda c: (
            c.execute(text("SELECT pid FROM pg_stat_activity WHERE application_name = 'liveavatar'")).scalars().all()
        )
    )
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        with trio.fail_after(5), pytest.raises(StoreUnavailable) as raised:
            await store.session("s1")
        assert raised.value.kind == "too_slow"
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert await store.session("s2") is not None
    await store.aclose()


# The schema


async def test_the_migrations_make_the_tables_that_the_code_knows(open_empty_store: Open) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        return list(compare_metadata(context, metadata))

    store = open_empty_store()
    await store.prepare()
    await store.prepare()

    assert await store.database.read(differences) == []


async def test_a_newer_schema_is_told_and_left_alone(open_store: Open) -> None:
    store = open_store()
    await store.prepare()
    await store.database.write(statement("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SchemaFault, match="schema 9999, which this version does not know"):
        await open_store().prepare()


async def test_tables_of_somebody_else_are_told_and_left_alone(open_empty_store: Open) -> None:
    store = open_empty_store()
    await store.database.write(statement("CREATE TABLE sessions (id INTEGER)"))

    with pytest.raises(SchemaFault, match="not ours: sessions"):
        await store.prepare()


FAILING = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE half (id INTEGER)")
    op.execute("CREATE TABLE half (id INTEGER)")
"""


async def test_a_migration_that_fails_leaves_nothing_behind(open_empty_store: Open, tmp_path: Path) -> None:
    folder = tmp_path / "100%"
    (folder / "versions").mkdir(parents=True)
    env = Path(sql_engine.__file__).parent / "migrations" / "env.py"
    (folder / "env.py").write_text(env.read_text())
    (folder / "versions" / "m0001.py").write_text(FAILING)
    store = open_empty_store()

    with pytest.raises(SchemaFault, match=r"could not be brought from schema None to 0001: .*already exists"):
        await store.database.write(migrate, "database", folder)

    await store.prepare()
    tables = "SELECT count(*) FROM sessions"
    assert await store.database.read(lambda c: c.execute(text(tables)).scalar()) == 0


async def test_servers_that_start_together_migrate_one_after_the_other(open_empty_store: Open) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(open_empty_store().prepare)
