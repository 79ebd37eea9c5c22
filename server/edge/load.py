"""Whether the server has more to do than it can: how late its loop is, and how full its memory. It refuses nobody.

A conversation's sound suffers when the event loop is late by a good part of a second, and everybody's does when the
kernel ends the process for its memory. It is better to send newcomers elsewhere before.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

__all__ = ["Load", "memory_budget_bytes", "resident_bytes"]

_log = structlog.get_logger("liveavatar.edge")

PROBE_S: Final = 0.1
# So many probes in a row must have been late: one pause, of a collection or of the machine, is no load.
LATE_PROBES: Final = 3
# Of its memory; what is left is for the conversations that are there.
MEMORY_SHARE: Final = 0.9
# Memory is looked at so many probes after the last time.
_MEMORY_EVERY: Final = 10

# Where Linux says how much a container may have; the first that is there counts.
_CGROUP_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def resident_bytes() -> int | None:
    """The memory that this process has; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


class Load:
    """How the process bears what it has to do.

    Args:
        lag_max_s: a loop that is later than this, several times in a row, is overloaded; 0: never.
        memory_max_bytes: the memory that the process may have; None: it is not looked at.
        resident: what it has, in bytes; None where that cannot be known.
        probed: is told of each probe by how much it was late, in seconds; it must not wait.
    """

    def __init__(
        self,
        *,
        lag_max_s: float,
        memory_max_bytes: int | None,
        resident: Callable[[], int | None] = resident_bytes,
        probed: Callable[[float], None] | None = None,
    ) -> None:
        self._lag_max_s = lag_max_s
        self._memory_max_bytes = memory_max_bytes
        self._resident = resident
        self._probed = probed
        self._lags: deque[float] = deque(maxlen=LATE_PROBES)
        self._memory_full = False
        self._told: str | None = None

    @property
    def lag_s(self) -> float:
        """By how much the last probe was late, in seconds."""
        return self._lags[-1] if self._lags else 0.0

    @property
    def overload(self) -> str | None:
        """What there is too much of, ``event loop`` or ``memory``; None if all is well."""
        if self._lag_max_s and len(self._lags) == LATE_PROBES and min(self._lags) > self._lag_max_s:
            return "event loop"
        return "memory" if self._memory_full else None

    async def run(self) -> None:
        """Probes, until cancelled."""
        due = trio.current_time() + PROBE_S
        for probe in itertools.count():
            await trio.sleep_until(due)
            now = trio.current_time()
            self._lags.append(now - due)
            if self._probed is not None:
                self._probed(now - due)
            due = now + PROBE_S
            if probe % _MEMORY_EVERY == 0:
                self._look_at_memory()
            self._tell()

    def _look_at_memory(self) -> None:
        if self._memory_max_bytes is not None:
            resident = self._resident()
            self._memory_full = resident is not None and resident >= MEMORY_SHARE * self._memory_max_bytes

    def _tell(self) -> None:
        overload = self.overload
        if overload == self._told:
            return
        if overload is not None:
            _log.warning("overloaded, newcomers are sent away", by=overload, lag_s=round(self.lag_s, 3))
        else:
            _log.info("no longer overloaded")
        self._told = overload


def memory_budget_bytes(setting_mib: int) -> int | None:
    """The memory that the process may have: as it is set, else the container's limit, else None."""
    if setting_mib:
        return setting_mib * 1024 * 1024
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _CGROUP_LIMITS:
        try:
            limit = int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # not there, or "max"
        return limit if limit < machine else None
    return None
