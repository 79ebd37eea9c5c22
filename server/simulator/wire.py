"""A client's connection, TCP or TLS, as trio-websocket sees it: bounded sends, a sign of its end, rude ways to end it.

Knows nothing of WebSocket frames. The deadline of a send must kill the connection, because a frame that is cut in
the middle makes nonsense of all that follow.
"""

import math
import socket
import ssl
import struct

import trio

SEND_PIECE_BYTES = 64 * 1024
# One message of 24 MiB with its framing, and room for pings between its pieces: beyond this the client sends
# fragments without end.
UNFINISHED_MAX_BYTES = 32 * 1024 * 1024
# How long the close frame of a refused message may take to be read before the connection is reset under it.
LINGER_SECONDS = 1.0
LINGER_MAX_BYTES = 64 * 1024 * 1024
# What a wire on hold takes in, so that it sees the client leave; beyond this the client's own sends come to a stop.
HELD_MAX_BYTES = 1024 * 1024
_RECEIVE_BYTES = 64 * 1024


class Wire(trio.abc.Stream):
    """The stream between a socket and trio-websocket.

    ``ended`` is set once nothing more will come: the peer closed, reset, or this side closed. ``too_slow`` tells that
    a send's deadline was the reason.
    """

    def __init__(self, stream: trio.SocketStream, send_seconds: float, tls: ssl.SSLContext | None = None) -> None:
        self._socket = stream
        self._tls = None
        self._stream: trio.abc.Stream = stream
        if tls is not None:
            # As over HTTPS, peers end with FIN alone.
            self._tls = self._stream = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        self._ahead = b""
        self._send_seconds = send_seconds
        self._unfinished_bytes = 0
        self.ended = trio.Event()
        self.too_slow = False
        self._held_until = -math.inf

    async def secure(self) -> None:
        """Go through the TLS handshake, if there is one to go through.

        Raises:
            trio.BrokenResourceError: the peer speaks no TLS, or did not like the certificate.
        """
        if self._tls is not None:
            await self._tls.do_handshake()

    async def peek(self, count: int) -> bytes:
        """The first ``count`` bytes that come, fewer only at the end; they stay to be received.

        Raises:
            trio.BrokenResourceError: the connection is lost.
        """
        while len(self._ahead) < count and (data := await self._received(_RECEIVE_BYTES)):
            self._ahead += data
        return self._ahead[:count]

    def hold_until(self, when: float) -> None:
        """Pass no byte on, either way, until a time of trio's clock, as if the network had gone dead."""
        self._held_until = max(self._held_until, when)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, as long as the client takes some of it every ``send_seconds``.

        Raises:
            trio.BrokenResourceError: the connection is lost, or was ended because the client does not read.
        """
        if self._held_until > trio.current_time():
            with trio.move_on_at(self._held_until):
                await self.ended.wait()
                raise trio.BrokenResourceError("the client left")
        view = memoryview(data)
        for start in range(0, max(1, len(view)), SEND_PIECE_BYTES):
            with trio.move_on_after(self._send_seconds) as scope:
                await self._stream.send_all(view[start : start + SEND_PIECE_BYTES])
            if scope.cancelled_caught:
                self.too_slow = True
                self.reset()
                raise trio.BrokenResourceError("the client takes nothing")

    async def wait_send_all_might_not_block(self) -> None:
        """As of any stream; not used by trio-websocket."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive; b"" is the end.

        Raises:
            trio.BrokenResourceError: the connection is lost, or a message has too many bytes.
        """
        data, self._ahead = self._ahead, b""
        data = data or await self._received(max_bytes or _RECEIVE_BYTES)
        if self._held_until > trio.current_time():
            data += await self._received_on_hold()
        self._unfinished_bytes += len(data)
        if self._unfinished_bytes > UNFINISHED_MAX_BYTES:
            self.reset()
            raise trio.BrokenResourceError("a message without end")
        return data

    async def _received(self, max_bytes: int) -> bytes:
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        if not data:
            self.ended.set()
        return bytes(data)

    async def _received_on_hold(self) -> bytes:
        kept = bytearray()
        while self._held_until > trio.current_time() and not self.ended.is_set():
            if len(kept) >= HELD_MAX_BYTES:
                await trio.sleep_until(self._held_until)
            with trio.move_on_at(self._held_until):
                kept += await self._received(_RECEIVE_BYTES)
        return bytes(kept)

    def message_arrived(self) -> None:
        """A whole message was read: the count of bytes without one begins again."""
        self._unfinished_bytes = 0

    async def aclose(self) -> None:
        """Close. Idempotent."""
        self.ended.set()
        await self._stream.aclose()

    async def linger(self) -> None:
        """Send FIN, read what still comes for a moment, then close: on unread bytes our last frame would be lost.

        Under TLS too this is done beneath it: what comes is thrown away in any case.
        """
        left = LINGER_MAX_BYTES
        with trio.move_on_after(LINGER_SECONDS):
            try:
                await self._socket.send_eof()
                while left > 0 and (data := await self._socket.receive_some(_RECEIVE_BYTES)):
                    left -= len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the peer is gone already, which is all that was waited for
        await self.aclose()

    def drop(self) -> None:
        """End with FIN, without a close frame."""
        self._end()

    def reset(self) -> None:
        """End with RST."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            return  # closed already
        self._end()

    def _end(self) -> None:
        self.ended.set()
        self._socket.socket.close()
