"""The databases that the conformance suite runs over: SQLite files, and a PostgreSQL that is started once."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.secret import Secret
from server.store.sql import SqlRecords
from server.store.sql_address import address_of
from server.store.sql_engine import Database
from server.store.sql_schema import migrate
from tests.store.postgresql import Cluster, cluster

_BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def _migrated(url: str) -> str:
    database = Database(address_of(Secret(url)))
    database.transact(migrate, database.name, is_writing=True)
    database.dispose()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema in it: to migrate takes longer than most tests."""
    file = tmp_path_factory.mktemp("template") / "records.sqlite3"
    _migrated(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Cluster) -> str:
    """The name of a database with the schema in it."""
    return _migrated(postgresql.new_database()).split("@/")[1].split("?")[0]


@pytest.fixture(params=_BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without records, of one kind and of the other."""
    if request.param == "sqlite":
        file = tmp_path / "records.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        return f"sqlite:///{file}"
    running: Cluster = request.getfixturevalue("postgresql")
    return running.new_database(template=request.getfixturevalue("postgresql_template"))


@pytest.fixture(params=_BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite3'}"
    running: Cluster = request.getfixturevalue("postgresql")
    return running.new_database()


@asynccontextmanager
async def _opening(url: str) -> AsyncIterator[Callable[[], SqlRecords]]:
    opened: list[SqlRecords] = []

    def open_one() -> SqlRecords:
        opened.append(SqlRecords(address_of(Secret(url))))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.aclose()


@pytest.fixture
async def open_store(database_url: str) -> AsyncIterator[Callable[[], SqlRecords]]:
    """Opens the database, as often as it is called."""
    async with _opening(database_url) as opening:
        yield opening


@pytest.fixture
async def open_empty_store(empty_database_url: str) -> AsyncIterator[Callable[[], SqlRecords]]:
    """Opens the database with nothing in it, as often as it is called."""
    async with _opening(empty_database_url) as opening:
        yield opening
