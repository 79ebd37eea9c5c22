"""What a network may do to a connection, in toxiproxy's words; the proxy beside it does it.

One toxic belongs to one proxy and to one direction or both; it works on connections that stand already and on those to
come, and stops when it is removed. Times are seconds, sizes bytes.
"""

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import trio

__all__ = [
    "Bandwidth", "Cut", "Direction", "Latency", "LimitData", "ResetPeer", "Slicer", "SlowClose", "Timeout", "Toxic",
    "Toxics",
]  # fmt: skip


class Direction(enum.Enum):
    """Which way bytes go through the proxy."""

    UPSTREAM = "from the client to the server"
    DOWNSTREAM = "from the server to the client"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Toxic:
    """One thing that is done to connections. Two toxics of the same kind and numbers are two."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Latency(Toxic):
    """Every byte comes later, by `latency_s` and up to `jitter_s` more or less; order is kept, as TCP keeps it."""

    latency_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Bandwidth(Toxic):
    """At most this many bytes pass in a second, of each connection."""

    bytes_per_s: float


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Slicer(Toxic):
    """Bytes arrive in slices of `average_bytes`, up to `variation_bytes` more or less, `delay_s` after one another."""

    average_bytes: int
    variation_bytes: int = 0
    delay_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SlowClose(Toxic):
    """The end of a stream comes `delay_s` late."""

    delay_s: float


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Timeout(Toxic):
    """A black hole: no byte passes; after `close_after_s` of it the connection is closed.

    Unlike toxiproxy's, it holds bytes and does not drop them: when it is removed they pass, as TCP would send them
    again. What TCP never does is lose some and deliver what follows.
    """

    close_after_s: float = math.inf


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ResetPeer(Toxic):
    """The connection is reset at both ends after `after_s`."""

    after_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LimitData(Toxic):
    """Of each connection exactly `limit_bytes` pass, counted from when the toxic came; then it is closed."""

    limit_bytes: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Cut(Toxic):
    """The first connection on which `after_bytes` have passed is cut there, and no other; `done` is set then.

    A reset overtakes bytes that the other end has not read yet, so up to `after_bytes` arrive; with `reset=False` the
    end comes in order, behind exactly so many.
    """

    after_bytes: int
    reset: bool = True
    done: trio.Event = field(default_factory=trio.Event)


BOTH = frozenset(Direction)
_Kind = TypeVar("_Kind", bound=Toxic)


class Toxics:
    """The toxics of one proxy, in the order in which they came."""

    def __init__(self) -> None:
        self._active: dict[Toxic, frozenset[Direction]] = {}
        self._changed = trio.Event()

    def add(self, toxic: _Kind, direction: Direction | None = None) -> _Kind:
        """Begin with a toxic, in one direction or (None) in both; returns it, to be removed by."""
        self._active[toxic] = BOTH if direction is None else frozenset({direction})
        self._tell()
        return toxic

    def remove(self, toxic: Toxic) -> None:
        """End one. May be repeated."""
        if self._active.pop(toxic, None) is not None:
            self._tell()

    def clear(self) -> None:
        """End all."""
        self._active.clear()
        self._tell()

    def of(self, kind: type[_Kind], direction: Direction) -> Iterator[_Kind]:
        """The toxics of one kind that work in a direction now."""
        # A list: whoever goes through them may remove one on the way.
        for toxic, directions in list(self._active.items()):
            if direction in directions and isinstance(toxic, kind):
                yield toxic

    def __iter__(self) -> Iterator[Toxic]:
        return iter(list(self._active))

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
