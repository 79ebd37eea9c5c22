"""The server in a process of its own: started, asked what it has cost, and stopped. Puts no load on it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.machine import REPOSITORY
from bench.scenario import ScenarioFailed

# A first start compiles everything, and the machine may be busy; a server that takes longer will not be ready.
START_S = 60.0
# More than the server's own grace for its sessions.
STOP_S = 10.0
_KILL_S = 2.0
# How often a starting server is asked: finer than the figure is worth, and cheap on the load's core.
_POLL_S = 0.005
_PROBE_S = 2.0
_LOG_LINES_SHOWN = 8

# The measured server knows only what a scenario tells it: no accounts, no settings of whoever runs the bench,
# none of Python's own either (PYTHONDONTWRITEBYTECODE makes every start compile everything).
_FOREIGN_SETTINGS = (
    "LIVEAVATAR_",
    "AZURE_",
    "OPENAI_",
    "OTEL_",
    "APPLICATIONINSIGHTS_",
    "DATABASE_URL",
    "REDIS_URL",
    "PORT",
    "PYTHON",
)

# For a load that comes from one address, as no honest client does.
ROOMY = {
    "LIVEAVATAR_CONNECTIONS_PER_ADDRESS": "100000",
    "LIVEAVATAR_CONNECTIONS_PER_SECOND": "100000",
    "LIVEAVATAR_CONNECTIONS_BURST": "100000",
    "LIVEAVATAR_HANDSHAKES_PER_SECOND": "100000",
    "LIVEAVATAR_HANDSHAKES_BURST": "100000",
}

_PROBE = b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class ServerNotStarted(ScenarioFailed):
    """The server did not become ready; the message says why, with its last words."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor, of waiting for it, and of the clock; since its start, or between two looks."""

    cpu_s: float | None
    kept_waiting_s: float | None
    clock_s: float

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(
            _less(self.cpu_s, before.cpu_s),
            _less(self.kept_waiting_s, before.kept_waiting_s),
            self.clock_s - before.clock_s,
        )

    def share(self, seconds: float | None) -> float | None:
        """A time as a percentage of the clock's."""
        return None if seconds is None else 100 * seconds / self.clock_s


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that is ready. ``ready_after_s`` is from the start of the process to its first 200 as ready."""

    pid: int
    port: int
    ready_after_s: float

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return "127.0.0.1"

    def cpu_s(self) -> float | None:
        """Processor time that the process has used, all threads, in seconds; None where that cannot be read."""
        try:
            # Its own CPU clock, numbered as clock_getcpuclockid(3) does: finer than /proc's ticks of 10 ms.
            return time.clock_gettime((~self.pid << 3) | 2)
        except (OSError, AttributeError):
            return None

    def kept_waiting_s(self) -> float | None:
        """How long its main thread stood ready to run while others had its core, in seconds; None if unreadable."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return None

    def usage(self) -> "Usage":
        """What it has used up to now."""
        return Usage(self.cpu_s(), self.kept_waiting_s(), time.perf_counter())

    def resident_kib(self) -> int | None:
        """Resident memory, in KiB; None where that cannot be read."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)


@asynccontextmanager
async def serving(
    settings: Mapping[str, str], *, folder: Path, cores: frozenset[int] | None, module: str | None = None
) -> AsyncIterator[ServerProcess]:
    """A server with these settings, for as long as the block lasts.

    Args:
        settings: environment variables of the server.
        folder: an existing folder for its data and its log; a second server may take over the data of a first.
        cores: the cores that it may use; None leaves that to the system.
        module: what is run in place of the server's own command line.

    Raises:
        ServerNotStarted: it ended, or was not ready within ``START_S``.
    """
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),  # so that a first start is one, and the checkout stays clean
        "LIVEAVATAR_DATA_DIR": str(folder / "data"),
        "PORT": str(port),
    }
    environment |= settings
    log = folder / "server.log"
    with log.open("wb") as output:
        started_at = time.perf_counter()
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", module or "server.cli", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,  # so that no .env of the checkout is read
            env=environment,
        )
    try:
        if cores is not None:
            os.sched_setaffinity(process.pid, cores)
        await _until_ready(process, port, log)
        yield ServerProcess(process.pid, port, time.perf_counter() - started_at)
    finally:
        with trio.move_on_after(STOP_S + _KILL_S, shield=True):
            await _stop(process)


async def _until_ready(process: trio.Process, port: int, log: Path) -> None:
    with trio.move_on_after(START_S):
        while process.poll() is None:
            if await _is_ready(port):
                return
            await trio.sleep(_POLL_S)
    ended = f"ended with code {process.returncode}" if process.returncode is not None else f"not ready in {START_S:g} s"
    said = (await trio.Path(log).read_text(encoding="utf-8", errors="replace")).strip().splitlines()[-_LOG_LINES_SHOWN:]
    raise ServerNotStarted(
        "\n    ".join([f"the server did not start: {ended}. Its last words:", *(said or ["(none)"])])
    )


async def _is_ready(port: int) -> bool:
    with trio.move_on_after(_PROBE_S):
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(_PROBE)
                return (await stream.receive_some(64)).startswith(b"HTTP/1.1 200 ")
        except (OSError, trio.BrokenResourceError):
            return False
    return False


async def _stop(process: trio.Process) -> None:
    process.terminate()
    with trio.move_on_after(STOP_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
