"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, with a socket there. It tests nothing."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_START_S = 30.0


def binaries() -> Path:
    """Where PostgreSQL's programs are. Skips the test where there are none, or fails it where services are required."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    if (on_path := shutil.which("postgres")) is not None:
        return Path(on_path).parent
    message = "needs PostgreSQL: apt-get install postgresql"
    if os.environ.get("TESTS_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


class Cluster:
    """A running cluster."""

    def __init__(self, bin_folder: Path, folder: Path, account: pwd.struct_passwd | None) -> None:
        self._bin = bin_folder
        self._account = account
        self.folder = folder
        self._data = folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        account = self._account
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                # Neither initdb nor the server runs as root.
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

    def initialise(self) -> None:
        process = self._run(
            *(str(self._bin / "initdb"), "-D", str(self._data), "-U", "tests", "-E", "UTF8", "--auth=trust", "-N")
        )
        if process.wait(timeout=60):
            raise AssertionError((self.folder / "log").read_text())

    def start(self) -> None:
        """Starts the server; it answers when this returns."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "32MB",
            "max_connections": "40",
            "fsync": "off",
        }
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        self.process = self._run(str(self._bin / "postgres"), "-D", str(self._data), *flags)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.conninfo("postgres")).close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stops it, by default at once, as a crash does."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def conninfo(self, database: str) -> str:
        return f"host={self.folder} user=tests dbname={database} connect_timeout=5"

    def new_database(self, template: str = "template0") -> str:
        """The URL of a new database, empty or like another."""
        self._databases += 1
        name = f"records_{self._databases}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql://tests@/{name}?host={self.folder}"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster, from its beginning to its end."""
    bin_folder = binaries()
    account = None
    if os.getuid() == 0:
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        account = names.get("postgres") or names["nobody"]
    # Not pytest's: its folders are for its own user only, and their names are too long for a socket's.
    folder = Path(tempfile.mkdtemp(prefix="la-pg-"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        made = Cluster(bin_folder, folder, account)
        made.initialise()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
