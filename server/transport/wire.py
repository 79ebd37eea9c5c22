"""Byte wires: what a WebSocket or an HTTP request stands on; a wire knows nothing of frames or requests.

Reading is pulled (`receive` waits, then reads once). Writing is a plain call (`try_send`) that hands over what can go
at once, so that no writer ever waits with half a frame in its hands. The plain-socket wire is here; TLS and in-memory
wires are in the modules beside it.
"""

import contextlib
import socket
from typing import NamedTuple, Protocol

import trio

from server.transport.errors import WireBroken, WireClosed

__all__ = ["RECEIVE_BYTES", "Address", "SocketWire", "Wire", "send_all"]

# One read: holds ten audio messages of a burst, and is small enough that a thousand connections may hold one each.
RECEIVE_BYTES = 64 * 1024

# How much the kernel may hold that has not left yet. Unset, it hides megabytes (a minute of audio) where no barge-in
# can take it back.
NOTSENT_LOWAT_BYTES = 16 * 1024


class Address(NamedTuple):
    """Where one end of a wire is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Wire(Protocol):
    """A bidirectional stream of bytes with one reader and one writer."""

    @property
    def peer(self) -> Address:
        """The other end."""

    @property
    def local(self) -> Address:
        """This end."""

    @property
    def closed(self) -> bool:
        """True once this side called `close`."""

    @property
    def sent_bytes(self) -> int:
        """Bytes that have left this process so far; while it does not grow, the peer takes nothing."""

    @property
    def unsent(self) -> bool:
        """True while the wire itself still holds bytes `try_send` took (ciphertext); `wait_writable` moves them."""

    async def receive(self) -> bytes | None:
        """Wait until something has arrived and return it; b"" at the peer's end of stream, None after `interrupt`.

        Raises `WireBroken` or `WireClosed`. Cancelling it loses nothing.
        """

    def try_send(self, data: bytes | memoryview) -> int:
        """Hand over what can go now and return how many bytes that was, possibly none.

        Raises `WireBroken` or `WireClosed`. After `WireBroken`, `receive` gives what had arrived and then ends too.
        """

    async def wait_writable(self) -> None:
        """Wait until `try_send` is worth calling again; may return early. Raises as `try_send` does."""

    def send_eof(self) -> None:
        """Tell the peer that nothing more will come; receiving goes on. Never raises, may be repeated."""

    def interrupt(self) -> None:
        """Make a waiting `receive` return None and a waiting `wait_writable` return; the wire stays as it is."""

    def close(self) -> None:
        """Give the wire back at once, waking whoever waits on it with `WireClosed`. May be repeated."""


async def send_all(wire: Wire, data: bytes) -> None:
    """Send all of `data`, and what the wire itself still holds.

    Has no deadline of its own: callers set one. Cancelled, it may have sent a part, so the wire must then be closed.
    """
    rest = memoryview(data)
    while True:
        rest = rest[wire.try_send(rest) :] if rest else rest
        if not rest and not wire.unsent:
            return
        await wire.wait_writable()


def _address(name: object) -> Address:
    if isinstance(name, tuple) and len(name) >= 2:
        return Address(str(name[0]), int(name[1]))
    return Address("local", 0)  # a Unix socket pair has no address worth showing


class SocketWire:
    """A connected non-blocking socket that belongs to nobody else."""

    __slots__ = ("_closed", "_socket", "local", "peer", "sent_bytes")

    unsent = False

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`; the caller must not use it any more. Raises `WireBroken` if it is not connected."""
        self._socket = sock
        self._closed = False
        self.sent_bytes = 0
        sock.setblocking(False)
        # Not TCP (a Unix socket pair), or a kernel without the option: the wire works all the same.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)
        try:
            self.peer = _address(sock.getpeername())
            self.local = _address(sock.getsockname())
        except OSError as exc:  # reset between accept and here
            sock.close()
            self._closed = True
            raise WireBroken(f"the peer is gone already: {exc}") from exc

    @classmethod
    def from_stream(cls, stream: trio.SocketStream) -> "SocketWire":
        """Take the socket out of a trio stream, which is then no longer usable."""
        return cls(socket.socket(fileno=stream.socket.detach()))

    @property
    def closed(self) -> bool:
        """True once this side called `close`."""
        return self._closed

    async def receive(self) -> bytes | None:
        """See `Wire.receive`."""
        while True:
            if self._closed:
                raise WireClosed("this wire was closed")
            try:
                await trio.lowlevel.wait_readable(self._socket)
            except trio.ClosedResourceError:
                if self._closed:
                    raise WireClosed("this wire was closed while it was read") from None
                return None
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue  # readiness is a hint
            except OSError as exc:
                raise WireBroken(f"reading failed: {exc}") from exc

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Wire.try_send`."""
        if self._closed:
            raise WireClosed("this wire was closed")
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise WireBroken(f"writing failed: {exc}") from exc
        self.sent_bytes += taken
        return taken

    async def wait_writable(self) -> None:
        """See `Wire.wait_writable`."""
        if self._closed:
            raise WireClosed("this wire was closed")
        try:
            await trio.lowlevel.wait_writable(self._socket)
        except trio.ClosedResourceError:
            if self._closed:
                raise WireClosed("this wire was closed while it was written") from None

    def send_eof(self) -> None:
        """See `Wire.send_eof`."""
        if not self._closed:
            with contextlib.suppress(OSError):  # the peer is gone: it needs no end any more
                self._socket.shutdown(socket.SHUT_WR)

    def interrupt(self) -> None:
        """See `Wire.interrupt`."""
        if not self._closed:
            # Wakes the waiters and forgets the registration; nothing is closed, and waiting again is allowed.
            trio.lowlevel.notify_closing(self._socket)

    def close(self) -> None:
        """See `Wire.close`."""
        if self._closed:
            return
        self._closed = True
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
