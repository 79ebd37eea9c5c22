"""What the figures were measured on and with: processor, versions, commit, and who runs on which core."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

REPOSITORY = Path(__file__).resolve().parent.parent

_DISTRIBUTIONS = ("rag-liveavatar", "trio", "websockets", "trio-websocket", "msgspec", "espeakng-loader")
_GIT_S = 5.0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a reader needs to judge the figures. ``load_average`` is that of the minute before the run."""

    date: str
    commit: str | None
    cores: int
    processor: str
    memory_mib: int | None
    system: str
    python: str
    versions: dict[str, str]
    load_average: float | None


def facts() -> Machine:
    """The facts of this machine, now."""
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        cores=len(_own_cores() or range(os.cpu_count() or 1)),
        processor=_processor(),
        memory_mib=_memory_mib(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={name: found for name in _DISTRIBUTIONS if (found := _version(name)) is not None},
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that is checked out, with ``+`` if files differ from it; None outside a git checkout."""
    head, changes = _git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain")
    return None if head is None else head.strip() + ("+" if changes else "")


def _git(*arguments: str) -> str | None:
    try:
        # --no-optional-locks: looking must not disturb whoever works in the checkout.
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _processor() -> str:
    return _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def _memory_mib() -> int | None:
    total = _field("/proc/meminfo", "MemTotal")
    return int(total.split()[0]) // 1024 if total else None


def _field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


@dataclass(frozen=True, slots=True)
class Placement:
    """Which cores the server may use and which the load; None is any. ``problem`` says why they are not kept apart."""

    server: frozenset[int] | None
    load: frozenset[int] | None
    problem: str | None = None


def place() -> Placement:
    """One core for the server, the others for the load: a server's relayed message costs one core's time."""
    cores = _own_cores()
    if cores is None:
        return Placement(None, None, "this system cannot pin processes to cores: server and load share them all.")
    if len(cores) < 2:
        return Placement(None, None, "there is one core only: server and load take it from each other.")
    *others, last = sorted(cores)
    return Placement(frozenset({last}), frozenset(others))


def _own_cores() -> set[int] | None:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


@contextmanager
def pinned(cores: frozenset[int] | None) -> Iterator[None]:
    """Keeps this process on ``cores`` for as long as the block lasts; None leaves it where it is."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
