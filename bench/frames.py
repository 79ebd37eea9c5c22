"""A WebSocket of the bench's own, as cheap as can be: else the load would cost more than the server that it measures.

Both ends of a direct connection are this, so it is written for what they say: whole text frames, pings, close. It is
not a judge of the protocol; text turns use trio-websocket for that.
"""

import base64
import hashlib
import time
from contextlib import suppress
from typing import NamedTuple

import trio

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_FINAL = 0x80
_MASKED = 0x80
# A mask of zeros is a mask (RFC 6455, 5.3, asks for chance against proxies; there is none on loopback).
_ZERO_KEY = bytes(4)
_READ_BYTES = 65_536
_FAREWELL_S = 1.0
_MAX_HEAD_BYTES = 16_384
_MAX_FRAME_BYTES = 16 * 1024 * 1024
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = base64.b64encode(bytes(16))


class Gone(Exception):
    """The connection has ended, or says what this end does not understand."""


class Frame(NamedTuple):
    """A text frame. ``received_ns`` is when its last bytes were read, by ``time.perf_counter_ns``."""

    masked: bytes
    key: bytes
    received_ns: int

    def head(self, size: int) -> bytes:
        """Its first bytes."""
        return _unmasked(self.masked[:size], self.key)

    def text(self) -> bytes:
        """All of it."""
        return _unmasked(self.masked, self.key)


class FrameSocket:
    """An open connection. One task receives; any task may send."""

    def __init__(self, stream: trio.SocketStream, rest: bytes, *, is_client: bool) -> None:
        self._stream = stream
        self._buffer = bytearray(rest)
        self._read_ns = time.perf_counter_ns()
        self._is_client = is_client
        self._sending = trio.Lock()

    async def send(self, text: bytes) -> None:
        """Sends a text frame. Cancelling it breaks the connection.

        Raises:
            Gone: the connection has ended.
        """
        await self._send(_TEXT, text)

    async def _send(self, opcode: int, payload: bytes) -> None:
        length, bit = len(payload), _MASKED if self._is_client else 0
        if length < 126:
            head = bytes((_FINAL | opcode, bit | length))
        elif length < 65_536:
            head = bytes((_FINAL | opcode, bit | 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((_FINAL | opcode, bit | 127)) + length.to_bytes(8, "big")
        key = _ZERO_KEY if self._is_client else b""
        async with self._sending:
            try:
                await self._stream.send_all(head + key + payload)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise Gone(f"the connection ended: {type(error).__name__}") from None

    async def receive(self) -> Frame:
        """The next text frame; pings are answered on the way. Cancelling it loses nothing.

        Raises:
            Gone: the connection has ended.
        """
        while True:
            found = self._take()
            if found is None:
                await self._read()
                continue
            opcode, payload, key = found
            if opcode == _TEXT:
                return Frame(payload, key, self._read_ns)
            if opcode == _PING:
                await self._send(_PONG, _unmasked(payload, key))
            elif opcode == _CLOSE:
                said = _unmasked(payload, key)
                raise Gone(f"closed with {int.from_bytes(said[:2], 'big')} {said[2:].decode(errors='replace')}".strip())
            elif opcode != _PONG:
                raise Gone(f"a frame of kind {opcode} came")

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some(_READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Gone(f"the connection ended: {type(error).__name__}") from None
        self._read_ns = time.perf_counter_ns()
        if not data:
            raise Gone("the connection ended")
        self._buffer += data

    def _take(self) -> tuple[int, bytes, bytes] | None:
        """The next whole frame of the buffer: opcode, payload as it came, mask."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, at = buffer[1] & 0x7F, 2
        if length >= 126:
            at = 4 if length == 126 else 10
            if len(buffer) < at:
                return None
            length = int.from_bytes(buffer[2:at], "big")
        if not buffer[0] & _FINAL or length > _MAX_FRAME_BYTES:
            raise Gone("a fragmented or oversize frame came")
        body = at + (4 if buffer[1] & _MASKED else 0)
        if len(buffer) < body + length:
            return None
        opcode, key, payload = buffer[0] & 0x0F, bytes(buffer[at:body]), bytes(buffer[body : body + length])
        del buffer[: body + length]
        return opcode, payload, key

    async def aclose(self) -> None:
        """Says goodbye as far as the socket takes it at once, and closes. Safe to repeat."""
        farewell = trio.CancelScope(shield=True, deadline=trio.current_time() + _FAREWELL_S)
        with farewell, suppress(Gone):  # nobody there to hear it is no matter
            await self._send(_CLOSE, (1000).to_bytes(2, "big"))
        await trio.aclose_forcefully(self._stream)


def _unmasked(data: bytes, key: bytes) -> bytes:
    if not key or key == _ZERO_KEY:
        return data
    size = len(data)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


async def connect(host: str, port: int, path: str) -> FrameSocket:
    """Opens a connection to a server. The caller sets the deadline; cancelling it leaves nothing open.

    Raises:
        Gone: nobody listens there, or the answer is not 101.
    """
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise Gone(f"{host}:{port} cannot be reached: {error}") from None
    try:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY.decode()}\r\n\r\n"
        )
        await stream.send_all(request.encode("ascii"))
        head, rest = await _read_head(stream)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Gone(f"the handshake was refused: {head.splitlines()[0].decode(errors='replace')}")
        return FrameSocket(stream, rest, is_client=True)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


async def accept(stream: trio.SocketStream) -> FrameSocket:
    """Takes a client's handshake. The caller sets the deadline, and closes the stream if this fails.

    Raises:
        Gone: what came is no WebSocket handshake.
    """
    head, rest = await _read_head(stream)
    fields = dict(line.split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    key = next((value.strip() for name, value in fields.items() if name.lower() == b"sec-websocket-key"), None)
    if key is None:
        raise Gone("what came is no WebSocket handshake")
    accepted = base64.b64encode(hashlib.sha1(key + _ACCEPT_SALT, usedforsecurity=False).digest())
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
    )
    return FrameSocket(stream, rest, is_client=False)


async def _read_head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        try:
            piece = await stream.receive_some(_READ_BYTES)
        except trio.BrokenResourceError as error:
            raise Gone(f"the connection ended within the handshake: {error}") from None
        if not piece or len(data) > _MAX_HEAD_BYTES:
            raise Gone("the connection ended within the handshake")
        data += piece
    return bytes(data[: end + 4]), bytes(data[end + 4 :])
