"""The database under the records: transactions in worker threads, with deadlines; its errors in words of ours.

It knows two databases and no table.
"""

import contextlib
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple

import psycopg
import trio
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.store.base import RecordRefused, StoreFault, StoreUnavailable
from server.store.sql_address import described

__all__ = ["Database"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

# A database that is there answers in milliseconds.
_CONNECT_S: Final = 5
# What waits for another's lock, before it is told that the database is busy.
_LOCK_S: Final = 5
# Of the database's own patience, behind which ours comes.
_STATEMENT_S: Final = 15
READ_DEADLINE_S: Final = 20.0
WRITE_DEADLINE_S: Final = 25.0
# A migration of a large table takes its time.
MIGRATION_DEADLINE_S: Final = 600.0
_CLOSE_S: Final = 5.0
_READERS: Final = 4
# A peer that vanished without a word is noticed by then.
_UNACKNOWLEDGED_MS: Final = 10_000
_FILE_MODE: Final = 0o600

_Kind = StoreUnavailable.Kind
_SQLITE_KINDS: Final[dict[str, _Kind]] = {
    "SQLITE_READONLY": "read_only",
    "SQLITE_FULL": "full",
    "SQLITE_BUSY": "busy",
    "SQLITE_LOCKED": "busy",
    "SQLITE_CANTOPEN": "unreachable",
    "SQLITE_PERM": "denied",
    "SQLITE_AUTH": "denied",
    "SQLITE_INTERRUPT": "too_slow",
    "SQLITE_IOERR": "broken",
    "SQLITE_CORRUPT": "broken",
    "SQLITE_NOTADB": "broken",
    "SQLITE_PROTOCOL": "busy",
    "SQLITE_NOMEM": "broken",
    "SQLITE_SCHEMA": "broken",
    "SQLITE_ERROR": "broken",
}
# By the first letters of the SQLSTATE, the longer first (PostgreSQL, appendix A).
_SQLSTATE_KINDS: Final[tuple[tuple[str, _Kind], ...]] = (
    ("25006", "read_only"),
    ("53100", "full"),
    ("57014", "too_slow"),
    ("55P03", "busy"),
    ("42501", "denied"),
    ("53", "busy"),
    ("40", "busy"),
    ("28", "denied"),
    ("3D", "unreachable"),
    ("08", "unreachable"),
    ("57", "unreachable"),
    ("42", "broken"),
    ("58", "broken"),
    ("XX", "broken"),
)
# Data that does not fit, a constraint, a limit: it is the value, not the database.
_REFUSED_STATES: Final = ("22", "23", "54")
_WORDS: Final[dict[_Kind, str]] = {
    "unreachable": "cannot be reached",
    "denied": "does not let us in, or not do this",
    "read_only": "is read-only",
    "full": "is full",
    "busy": "is busy",
    "too_slow": "took too long",
    "broken": "fails",
}


class Database:
    """A SQLite file or a PostgreSQL database. Connects when it is first used.

    Writing is one transaction at a time; reading is some, beside it.
    """

    def __init__(self, address: URL) -> None:
        self.name = described(address)
        self.is_sqlite = address.get_backend_name() == "sqlite"
        self._file = Path(address.database or "") if self.is_sqlite else None
        # Of an error's text, this must not be shown.
        self._password = str(address.password or "")
        self._engine = self._sqlite(address) if self.is_sqlite else self._postgresql(address)
        self._writers = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(_READERS)

    @staticmethod
    def _sqlite(address: URL) -> Engine:
        engine = create_engine(
            address,
            hide_parameters=True,
            pool_size=_READERS + 1,
            max_overflow=0,
            pool_timeout=_LOCK_S,
            connect_args={"timeout": _LOCK_S, "check_same_thread": False, "isolation_level": None},
        )
        event.listen(engine, "connect", _furnish_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @staticmethod
    def _postgresql(address: URL) -> Engine:
        defaults = {
            "connect_timeout": _CONNECT_S,
            "application_name": "liveavatar",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": _UNACKNOWLEDGED_MS,
            # Poolers in between hand one connection to many, who know nothing of each other's prepared statements.
            "prepare_threshold": None,
        }
        engine = create_engine(
            address,
            hide_parameters=True,
            pool_size=_READERS + 1,
            max_overflow=0,
            pool_timeout=_CONNECT_S,
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={name: value for name, value in defaults.items() if name not in address.query},
        )
        event.listen(engine, "connect", _furnish_postgresql)
        return engine

    async def read(self, work: Callable[[Connection, *_Ts], _T], *args: *_Ts) -> _T:
        """What ``work`` gives, called in a thread inside a transaction. Cancelled, or too late, it is broken off.

        Raises:
            StoreUnavailable: the database cannot do it now.
        """
        return await self._run(work, args, limiter=self._readers, deadline_s=READ_DEADLINE_S, is_writing=False)

    async def write(
        self, work: Callable[[Connection, *_Ts], _T], *args: *_Ts, deadline_s: float = WRITE_DEADLINE_S
    ) -> _T:
        """As `read`, in a transaction that writes: all of it or nothing. Cancelled, it may be either.

        Raises:
            StoreUnavailable: the database cannot do it now. It may have done it, where it was too slow to say so.
            RecordRefused: it can, but does not take a value.
        """
        return await self._run(work, args, limiter=self._writers, deadline_s=deadline_s, is_writing=True)

    async def _run(
        self,
        work: Callable[[Connection, *_Ts], _T],
        args: tuple[*_Ts],
        *,
        limiter: trio.CapacityLimiter,
        deadline_s: float,
        is_writing: bool,
    ) -> _T:
        call = _Call(is_sqlite=self.is_sqlite)
        try:
            with trio.fail_after(deadline_s):
                return await trio.to_thread.run_sync(
                    lambda: self.transact(work, *args, is_writing=is_writing, call=call),
                    limiter=limiter,
                    abandon_on_cancel=True,
                )
        except trio.TooSlowError:
            raise StoreUnavailable("too_slow", f"The {self.name} did not answer within {deadline_s:.0f} s.") from None
        finally:
            # Left by a cancellation, or too late: the thread stands in the database, and is shaken out of it.
            call.abort()

    def transact(
        self, work: Callable[[Connection, *_Ts], _T], *args: *_Ts, is_writing: bool, call: "_Call | None" = None
    ) -> _T:
        """The same in this thread, which it blocks."""
        try:
            if is_writing and self._file is not None:
                _make_private(self._file)
            with self._engine.connect().execution_options(is_writing=is_writing) as connection:
                if call is not None:
                    call.begin(connection)
                try:
                    with connection.begin():
                        return work(connection, *args)
                finally:
                    if call is not None:
                        call.end()
        except (SQLAlchemyError, OSError) as error:
            fault = self._translated(error)
            if isinstance(fault, StoreUnavailable) and fault.kind == "read_only":
                # A connection that was made while the database was so remains so, whatever becomes of the database.
                self.dispose()
            raise fault from None
        except (OverflowError, ValueError, TypeError) as error:
            if not is_writing:
                raise
            # The drivers' own, for values that no column takes.
            raise RecordRefused(f"The {self.name} does not take a value: {type(error).__name__}.") from None

    async def overwrite_erased(self) -> None:
        """Takes what was erased out of SQLite's log, too, where no reader is in the way; PostgreSQL does as it does."""
        if self.is_sqlite:
            await self.read(_truncate_log)

    async def aclose(self) -> None:
        """Closes all connections, when the threads that were shaken out of the database are through, or in seconds."""
        places = [limiter for limiter in (self._readers, self._writers) for _ in range(int(limiter.total_tokens))]
        taken: list[tuple[trio.CapacityLimiter, object]] = []
        try:
            with trio.move_on_after(_CLOSE_S):
                for limiter in places:
                    whoever = object()
                    await limiter.acquire_on_behalf_of(whoever)
                    taken.append((limiter, whoever))
            # Where all places could be taken, nobody else is there.
            self.dispose()
        finally:
            for limiter, whoever in taken:
                limiter.release_on_behalf_of(whoever)

    def dispose(self) -> None:
        """Closes the connections that nobody uses."""
        self._engine.dispose()

    def _translated(self, error: Exception) -> StoreFault:
        """In words of ours. The cause is not kept: drivers put addresses and values into their texts."""
        if isinstance(error, OSError):
            said = error.strerror or type(error).__name__
            return StoreUnavailable("unreachable", f"The {self.name} cannot be opened: {said}.")
        if isinstance(error, PoolTimeoutError):
            return StoreUnavailable("busy", f"The {self.name} is busy: all connections to it are in use.")
        if isinstance(error, DBAPIError):
            origin = error.orig
            kind = _sqlite_kind(origin) if self.is_sqlite else _postgresql_kind(origin, error)
            if kind is not None:
                return StoreUnavailable(kind, f"The {self.name} {_WORDS[kind]}: {self._said(origin)}")
            return RecordRefused(f"The {self.name} does not take a value: {type(origin).__name__}.")
        if isinstance(error, StatementError):
            return RecordRefused(f"The {self.name} does not take a value: {type(error.orig).__name__}.")
        return StoreUnavailable("broken", f"The {self.name} fails: {type(error).__name__}.")

    def _said(self, origin: BaseException | None) -> str:
        if isinstance(origin, psycopg.Error) and origin.diag.message_primary:
            said = origin.diag.message_primary
        else:
            said = next(iter(str(origin).strip().splitlines()), "") or type(origin).__name__
        return said.replace(self._password, "***") if self._password else said


class _Call:
    """A transaction in a thread, to be broken off from outside."""

    def __init__(self, *, is_sqlite: bool) -> None:
        self._is_sqlite = is_sqlite
        self._driver: Any = None

    def begin(self, connection: Connection) -> None:
        self._driver = connection.connection.driver_connection

    def end(self) -> None:
        self._driver = None

    def abort(self) -> None:
        driver = self._driver
        if driver is None:
            return
        # The thread may be through at this very moment; then there is nothing left to break off.
        with contextlib.suppress(OSError, sqlite3.Error, psycopg.Error):
            if self._is_sqlite:
                driver.interrupt()
                return
            # libpq has no call for this from another thread; a socket that is shut down wakes whoever waits on it.
            with socket.socket(fileno=os.dup(driver.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)


def _furnish_sqlite(driver: sqlite3.Connection, _record: object) -> None:
    # WAL: readers and the writer do not wait for each other. FULL: what was committed survives a power cut, for the
    # journal lets go of it then. secure_delete: what is erased is overwritten.
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        driver.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading cannot wait for the lock when it comes to write (SQLITE_BUSY at once).
    is_writing = connection.get_execution_options().get("is_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _furnish_postgresql(driver: psycopg.Connection[Any], _record: object) -> None:
    # As statements, not as options of the connection: poolers refuse those.
    was_autocommit = driver.autocommit
    driver.autocommit = True
    driver.execute(f"SET statement_timeout = '{_STATEMENT_S}s'")
    driver.execute(f"SET lock_timeout = '{_LOCK_S}s'")
    driver.autocommit = was_autocommit


def _truncate_log(connection: Connection) -> None:
    connection.commit()
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _make_private(file: Path) -> None:
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))


def _sqlite_kind(origin: BaseException | None) -> _Kind | None:
    name = getattr(origin, "sqlite_errorname", "") or ""
    kind = _SQLITE_KINDS.get(name) or _SQLITE_KINDS.get("_".join(name.split("_")[:2]))
    if kind is None and isinstance(origin, sqlite3.OperationalError):
        return "broken"
    return kind


def _postgresql_kind(origin: BaseException | None, error: DBAPIError) -> _Kind | None:
    state = getattr(origin, "sqlstate", None) or ""
    if state.startswith(_REFUSED_STATES):
        return None
    for prefix, kind in _SQLSTATE_KINDS:
        if state.startswith(prefix):
            return kind
    if error.connection_invalidated or (isinstance(origin, psycopg.OperationalError) and not state):
        return "unreachable"
    return "broken" if isinstance(origin, psycopg.OperationalError | psycopg.InternalError) else None
