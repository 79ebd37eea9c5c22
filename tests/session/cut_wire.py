"""An in-memory wire that breaks after so many bytes, as networks do: reset, ended, or silent. It knows no frames."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Literal
from unittest.mock import patch

import trio

from server.transport.errors import WireBroken, WireClosed
from server.transport.memory import MemoryWire, memory_wire_pair
from server.transport.wire import Address

__all__ = ["Cut", "CutWire", "draw_cut", "wires_cut_in"]

Way = Literal["received", "sent"]
WAYS: tuple[Way, ...] = ("received", "received", "sent")
How = Literal["reset", "end", "stall", "deaf"]
HOWS: tuple[How, ...] = ("reset", "end", "stall", "deaf")
# What this end's kernel still takes when nothing gets through any more.
VOID_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a wire breaks, counted from when it stands: after so many bytes that this end received or sent.

    ``reset``: both ends find it broken. ``end``: both read to the end, without a word. ``stall``: nothing gets
    through any more, either way, and neither end is told. ``deaf``: nothing more is received here; what is sent from
    here still arrives.
    """

    way: Way
    after_bytes: int
    how: How


class CutWire:
    """Implements ``Wire`` over one end of a memory wire, until it is cut."""

    unsent = False

    def __init__(self, inner: MemoryWire, cut: Cut | None) -> None:
        self.inner = inner
        self.cut = cut
        self.struck = trio.Event()
        """Set when the wire breaks."""
        self.received_bytes = 0
        self._closed = False
        self._interrupts = 0
        self._void_bytes = 0
        self._parked = trio.lowlevel.ParkingLot()

    @property
    def local(self) -> Address:
        return self.inner.local

    @property
    def peer(self) -> Address:
        return self.inner.peer

    @property
    def sent_bytes(self) -> int:
        return self.inner.sent_bytes + self._void_bytes

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def _silent(self) -> bool:
        return self.cut is not None and self.cut.how == "stall" and self.struck.is_set()

    @property
    def _sends(self) -> bool:
        """Whether what is sent from here still arrives."""
        return not self.struck.is_set() or (self.cut is not None and self.cut.how == "deaf")

    def strike(self) -> None:
        """Breaks the wire now."""
        if self.struck.is_set() or self.cut is None:
            return
        self.struck.set()
        if self.cut.how == "reset":
            self.inner.reset()
        elif self.cut.how == "end":
            self.inner.close()
        else:
            self.inner.interrupt()
        self._parked.unpark_all()

    def _room(self, way: Way, passed: int) -> int | None:
        """Bytes until the cut; None if it is not on this way, or was already."""
        if self.cut is None or self.cut.way != way or self.struck.is_set():
            return None
        return max(0, self.cut.after_bytes - passed)

    async def receive(self) -> bytes | None:
        interrupts = self._interrupts
        while not self.struck.is_set():
            try:
                data = await self.inner.receive()
            except (WireBroken, WireClosed):
                if not self.struck.is_set():
                    raise
                break
            room = self._room("received", self.received_bytes)
            if room is not None and data is not None and len(data) >= room:
                data = data[:room]
                self.strike()
            if data or (data == b"" and not self.struck.is_set()):
                self.received_bytes += len(data)
                return data
            if interrupts != self._interrupts:
                return None
        return await self._broken(interrupts)

    async def _broken(self, interrupts: int) -> bytes | None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise WireClosed("this wire was closed")
        if self.cut is not None and self.cut.how == "end":
            return b""
        if self.cut is not None and self.cut.how == "reset":
            raise WireBroken("the connection was reset")
        while interrupts == self._interrupts and not self._closed:
            await self._parked.park()
        if self._closed:
            raise WireClosed("this wire was closed")
        return None

    def try_send(self, data: bytes | memoryview) -> int:
        if self._closed:
            raise WireClosed("this wire was closed")
        if self._sends:
            room = self._room("sent", self.inner.sent_bytes)
            taken = self.inner.try_send(data if room is None else data[:room])
            if taken == room:
                self.strike()
            return taken
        if self._silent:
            taken = min(len(data), VOID_BYTES - self._void_bytes)
            self._void_bytes += taken
            return taken
        raise WireBroken("the connection is gone")

    async def wait_writable(self) -> None:
        interrupts = self._interrupts
        if self._sends:
            await self.inner.wait_writable()
            return
        await trio.lowlevel.checkpoint()
        while self._silent and self._void_bytes >= VOID_BYTES and interrupts == self._interrupts and not self._closed:
            await self._parked.park()
        if self._closed:
            raise WireClosed("this wire was closed while it was written")

    def send_eof(self) -> None:
        if self._sends:
            self.inner.send_eof()

    def interrupt(self) -> None:
        self._interrupts += 1
        self.inner.interrupt()
        self._parked.unpark_all()

    def close(self) -> None:
        """Closes this end; the other learns of it only if something still gets through."""
        self._closed = True
        self._parked.unpark_all()
        if self._sends:
            self.inner.close()

    def bury(self) -> None:
        """The other end learns at last that this one is gone."""
        self.inner.close()


@contextmanager
def wires_cut_in(module: Any, next_cut: Callable[[], Cut | None], *, end: int) -> Iterator[list[CutWire]]:
    """Within the block the wires that this module makes are cut as ``next_cut`` says, at their first or second end.

    Gives the list of them, which grows.
    """
    made: list[CutWire] = []

    def pair(**kwargs: Any) -> tuple[Any, Any]:
        ends: list[Any] = list(memory_wire_pair(**kwargs))
        wire = CutWire(ends[end], next_cut())
        made.append(wire)
        ends[end] = wire
        return ends[0], ends[1]

    with patch.object(module, "memory_wire_pair", pair):
        yield made


def draw_cut(random: Random, *, most_received: int, most_sent: int) -> Cut:
    """Anywhere: within the handshake and the first frames as often as anywhere behind them."""
    way: Way = random.choice(WAYS)
    most = most_received if way == "received" else most_sent
    after = random.choice((random.randint(1, 600), random.randint(1, 3000), random.randint(1, most)))
    return Cut(way, after, random.choice(HOWS))
