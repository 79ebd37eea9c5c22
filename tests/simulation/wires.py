"""A wire whose writing end can be held back to the byte: frames that stop halfway, and bytes that trickle."""

import trio

from server.transport.errors import WireClosed
from server.transport.memory import MemoryWire
from server.transport.wire import Address


class HeldWire:
    """Implements ``Wire`` over a memory wire; ``allow`` says how many more bytes may leave."""

    unsent = False

    def __init__(self, wire: MemoryWire) -> None:
        self.inner = wire
        self._allowed: int | None = None
        self._held = trio.lowlevel.ParkingLot()
        self._interrupts = 0

    @property
    def local(self) -> Address:
        return self.inner.local

    @property
    def peer(self) -> Address:
        return self.inner.peer

    @property
    def sent_bytes(self) -> int:
        return self.inner.sent_bytes

    @property
    def closed(self) -> bool:
        return self.inner.closed

    def allow(self, count: int | None) -> None:
        """So many bytes may leave from now on; None: any number."""
        self._allowed = count
        if count != 0:
            self._held.unpark_all()

    async def receive(self) -> bytes | None:
        return await self.inner.receive()

    def try_send(self, data: bytes | memoryview) -> int:
        if self._allowed is None:
            return self.inner.try_send(data)
        taken = self.inner.try_send(data[: self._allowed])
        self._allowed -= taken
        return taken

    async def wait_writable(self) -> None:
        interrupts = self._interrupts
        await trio.lowlevel.checkpoint()
        while self._allowed == 0:
            if self.inner.closed:
                raise WireClosed("this wire was closed while it was written")
            if interrupts != self._interrupts:
                return
            await self._held.park()
        await self.inner.wait_writable()

    def send_eof(self) -> None:
        self.inner.send_eof()

    def interrupt(self) -> None:
        self._interrupts += 1
        self.inner.interrupt()
        self._held.unpark_all()

    def close(self) -> None:
        self.inner.close()
        self._held.unpark_all()

    # Faults

    def reset(self) -> None:
        """RST, for both ends."""
        self.inner.reset()
        self.allow(None)

    def stall(self) -> None:
        """Nothing more is read at this end."""
        self.inner.stall()

    def heal(self) -> None:
        """Everything is read again, and everything may leave."""
        self.inner.resume()
        self.allow(None)
