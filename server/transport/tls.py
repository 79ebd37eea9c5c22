"""TLS over any wire, for both sides, as `ssl.SSLObject` between two memory buffers; it knows nothing of sockets.

Ciphertext cannot be taken back or reordered, so the wire encrypts a record only when everything before it has left:
at most one record waits here, and what has not been encrypted stays with the caller, who may still drop it.
"""

import contextlib
import ssl

from server.transport.errors import WireBroken
from server.transport.wire import RECEIVE_BYTES, Address, Wire, send_all

__all__ = ["TlsWire", "start_tls"]

# The largest plaintext of one TLS record (RFC 8446, 5.1).
RECORD_BYTES = 16 * 1024


async def start_tls(
    inner: Wire,
    context: ssl.SSLContext,
    *,
    server_hostname: str | None = None,
    server_side: bool = False,
    received: bytes = b"",
) -> "TlsWire":
    """Do the TLS handshake over `inner` and return the wire above it. `received` has been read from it already.

    Raises `WireBroken` (certificate refused, no TLS at the other end, end of stream). Has no deadline of its own;
    failed or cancelled, it has closed `inner`.
    """
    wire = TlsWire(inner, context, server_hostname=server_hostname, server_side=server_side)
    wire._incoming.write(received)  # noqa: SLF001 - as below
    try:
        await wire._handshake()  # noqa: SLF001 - the one way to make a TlsWire
    except BaseException:
        inner.close()
        raise
    return wire


class TlsWire:
    """A wire that encrypts; made by `start_tls`."""

    __slots__ = ("_ciphertext", "_ended", "_incoming", "_inner", "_outgoing", "_tls")

    def __init__(self, inner: Wire, context: ssl.SSLContext, *, server_hostname: str | None, server_side: bool) -> None:
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._ciphertext = memoryview(b"")
        self._ended = False

    @property
    def peer(self) -> Address:
        """The other end."""
        return self._inner.peer

    @property
    def local(self) -> Address:
        """This end."""
        return self._inner.local

    @property
    def closed(self) -> bool:
        """True once this side called `close`."""
        return self._inner.closed

    @property
    def sent_bytes(self) -> int:
        """Bytes of ciphertext that have left."""
        return self._inner.sent_bytes

    @property
    def unsent(self) -> bool:
        """True while a record waits to leave."""
        return bool(self._ciphertext) or self._inner.unsent

    async def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await send_all(self._inner, self._outgoing.read())
            except (ssl.SSLError, ssl.CertificateError) as exc:
                self._push()  # the alert that tells the peer why
                raise WireBroken(f"TLS handshake failed: {exc}") from exc
            else:
                await send_all(self._inner, self._outgoing.read())
                return
            data = await self._inner.receive()
            if data == b"":
                raise WireBroken("the peer ended the connection within the TLS handshake")
            if data:
                self._incoming.write(data)

    async def receive(self) -> bytes | None:
        """See `Wire.receive`; returns at most what one read of the wire below brought."""
        while True:
            plaintext = self._decrypt()
            if plaintext:
                return plaintext
            if self._ended:
                return b""
            data = await self._inner.receive()
            if data is None:
                return None
            if data:
                self._incoming.write(data)
            else:
                # With or without TLS's own goodbye: a WebSocket or a request tells by its framing whether it is whole.
                self._ended = True

    def _decrypt(self) -> bytes:
        pieces: list[bytes] = []
        # Asking when nothing is there costs an exception, which is dearer than decrypting a record.
        while not self._ended and (self._incoming.pending or self._tls.pending()):
            try:
                piece = self._tls.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                piece = b""
            except ssl.SSLError as exc:
                self._inner.close()
                raise WireBroken(f"TLS reading failed: {exc}") from exc
            if not piece:
                self._ended = True
                break
            pieces.append(piece)
        if self._outgoing.pending:  # an answer of the TLS layer itself, such as a key update
            self._push()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _push(self) -> bool:
        """Move ciphertext to the wire below; True if none waits any more."""
        while True:
            if not self._ciphertext:
                if not self._outgoing.pending:
                    return True
                self._ciphertext = memoryview(self._outgoing.read())
            taken = self._inner.try_send(self._ciphertext)
            self._ciphertext = self._ciphertext[taken:]
            if self._ciphertext:
                return False

    def try_send(self, data: bytes | memoryview) -> int:
        """See `Wire.try_send`; takes nothing while a record waits."""
        if not self._push():
            return 0
        rest = memoryview(data)
        taken = 0
        while taken < len(rest):
            try:
                taken += self._tls.write(rest[taken : taken + RECORD_BYTES])
            except ssl.SSLError as exc:
                # Also renegotiation (TLS 1.2), which nobody needs and which would make writing wait for reading.
                self._inner.close()
                raise WireBroken(f"TLS writing failed: {exc}") from exc
            if not self._push():
                break
        return taken

    async def wait_writable(self) -> None:
        """See `Wire.wait_writable`."""
        await self._inner.wait_writable()
        self._push()

    def send_eof(self) -> None:
        """Send TLS's goodbye, and end the stream below if it could leave at once."""
        if self._inner.closed:
            return
        # Wants to read the peer's goodbye, or has seen an error: ours is written by now, or cannot be.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        try:
            done = self._push()
        except WireBroken:
            return
        if done:
            self._inner.send_eof()

    def interrupt(self) -> None:
        """See `Wire.interrupt`."""
        self._inner.interrupt()

    def close(self) -> None:
        """See `Wire.close`."""
        self._inner.close()
