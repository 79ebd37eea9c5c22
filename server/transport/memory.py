"""In-memory wires with a bound, so that back-pressure is seen in simulated time too; they reach no other process.

`trio.testing.memory_stream_pair` has no bound: a peer that does not read would never be noticed over it.
"""

import trio

from server.transport.errors import WireBroken, WireClosed
from server.transport.wire import RECEIVE_BYTES, Address

__all__ = ["MemoryWire", "memory_wire_pair"]

# About what a kernel holds of a connection with NOTSENT_LOWAT set, on both sides together.
CAPACITY_BYTES = 64 * 1024


class _Direction:
    """The bytes on their way from one end to the other."""

    __slots__ = ("broken", "capacity_bytes", "data", "ended", "readers", "stalled", "writers")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.data = bytearray()
        self.ended = False  # the writing end sent its end of stream
        self.broken = False
        self.stalled = False
        self.readers = trio.lowlevel.ParkingLot()
        self.writers = trio.lowlevel.ParkingLot()

    @property
    def room_bytes(self) -> int:
        return self.capacity_bytes - len(self.data)

    def wake(self) -> None:
        self.readers.unpark_all()
        self.writers.unpark_all()


def memory_wire_pair(
    *,
    capacity_bytes: int = CAPACITY_BYTES,
    addresses: tuple[Address, Address] = (Address("127.0.0.1", 1), Address("127.0.0.1", 2)),
) -> tuple["MemoryWire", "MemoryWire"]:
    """Return the two ends of a wire that holds at most `capacity_bytes` each way."""
    there, back = _Direction(capacity_bytes), _Direction(capacity_bytes)
    first, second = addresses
    return MemoryWire(back, there, first, second), MemoryWire(there, back, second, first)


class MemoryWire:
    """One end of an in-memory wire, with faults on request."""

    __slots__ = ("_closed", "_incoming", "_interrupts", "_outgoing", "local", "peer", "sent_bytes")

    unsent = False

    def __init__(self, incoming: _Direction, outgoing: _Direction, local: Address, peer: Address) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._interrupts = 0
        self.local = local
        self.peer = peer
        self.sent_bytes = 0

    @property
    def closed(self) -> bool:
        """True once this side called `close`."""
        return self._closed

    async def receive(self) -> bytes | None:
        """See `Wire.receive`."""
        interrupts = self._interrupts
        await trio.lowlevel.checkpoint()
        way = self._incoming
        while True:
            if self._closed:
                raise WireClosed("this wire was closed")
            if way.data and not way.stalled:
                data = bytes(way.data[:RECEIVE_BYTES])
                del way.data[:RECEIVE_BYTES]
                way.writers.unpark_all()
                return data
            if way.broken:
                raise WireBroken("the peer reset the connection")
            if way.ended and not way.stalled:
                return b""
            if interrupts != self._interrupts:
                return None
            await way.readers.park()

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Wire.try_send`."""
        if self._closed:
            raise WireClosed("this wire was closed")
        way = self._outgoing
        if way.broken or way.ended:
            raise WireBroken("the peer takes nothing any more")
        piece = data[: max(0, way.room_bytes)]
        if piece:
            way.data += piece
            self.sent_bytes += len(piece)
            way.readers.unpark_all()
        return len(piece)

    async def wait_writable(self) -> None:
        """See `Wire.wait_writable`."""
        interrupts = self._interrupts
        await trio.lowlevel.checkpoint()
        way = self._outgoing
        while way.room_bytes <= 0 and not way.broken and not self._closed and interrupts == self._interrupts:
            await way.writers.park()
        if self._closed:
            raise WireClosed("this wire was closed while it was written")

    def send_eof(self) -> None:
        """See `Wire.send_eof`."""
        self._outgoing.ended = True
        self._outgoing.wake()

    def interrupt(self) -> None:
        """See `Wire.interrupt`."""
        self._interrupts += 1
        self._incoming.readers.unpark_all()
        self._outgoing.writers.unpark_all()

    def close(self) -> None:
        """See `Wire.close`; the peer reads to the end, and finds its own sending refused."""
        if self._closed:
            return
        self._closed = True
        self._outgoing.ended = True
        self._incoming.broken = True  # for the peer's sending; this end reads no more
        self._incoming.data.clear()
        self._outgoing.wake()
        self._incoming.wake()

    # Faults

    def stall(self) -> None:
        """Fault: nothing more arrives at this end, until `resume`; what the peer sends fills the wire up."""
        self._incoming.stalled = True

    def resume(self) -> None:
        """End a `stall`."""
        self._incoming.stalled = False
        self._incoming.readers.unpark_all()

    def reset(self) -> None:
        """Fault: the connection breaks for both ends, what is on its way is lost."""
        for way in (self._incoming, self._outgoing):
            way.broken = True
            way.stalled = False
            way.data.clear()
            way.wake()
