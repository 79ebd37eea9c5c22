"""The other ends that the tests of this room talk to: frames made by hand, and connected pairs."""

import base64
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from websockets.client import ClientProtocol
from websockets.protocol import OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from server.transport.accept import accept_websocket
from server.transport.client import handshake
from server.transport.memory import MemoryWire, memory_wire_pair
from server.transport.websocket import WebSocket, WebSocketOptions
from server.transport.wire import Wire

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = bytes((0x37, 0xFA, 0x21, 0x3D))
FAST = WebSocketOptions(ping_interval_s=1e9)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    form: int | None = None,
) -> bytes:
    """One frame, as right or as wrong as it is asked for; `form` forces a length form of 0, 2 or 8 bytes."""
    length = len(payload)
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    bit = 0x80 if mask is not None else 0
    short = {0: length, 2: 126, 8: 127}[form]
    head = bytes((0x80 * fin | rsv << 4 | opcode, bit | short)) + (length.to_bytes(form, "big") if form else b"")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def close_frame(code: int, reason: bytes = b"", *, mask: bytes | None = MASK) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason, mask=mask)


def parse_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Whole frames in `data` as (opcode, payload), unmasked where they are masked."""
    found = []
    while len(data) >= 2:
        length, at = data[1] & 0x7F, 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        mask = b"\0\0\0\0"
        if data[1] & 0x80:
            mask, at = data[at : at + 4], at + 4
        if len(data) < at + length:
            break
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[at : at + length]))
        found.append((data[0] & 0x0F, payload))
        data = data[at + length :]
    return found


def protocol_of(role: str, max_size: int | None = 2**20) -> Protocol:
    """A protocol object whose handshake is behind it."""
    if role == "server":
        return ServerProtocol(state=OPEN, max_size=max_size)
    return ClientProtocol(parse_uri("ws://peer/"), state=OPEN, max_size=max_size)


def open_websocket(wire: Wire, role: str = "server", options: WebSocketOptions = FAST) -> WebSocket:
    """A WebSocket whose handshake is behind it, over `wire`."""
    protocol = protocol_of(role, options.max_message_bytes)
    return WebSocket(wire, protocol, options, path="/", headers=(), first_bytes=b"")


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that the kernel or another task is about to make true; fails after 5 s."""
    with trio.fail_after(5):
        for pause_s in itertools.repeat(0.005):
            if holds():
                return
            await trio.sleep(pause_s)


async def read_head(wire: Wire) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await wire.receive()
        assert piece
        data += piece
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


def switching(head: bytes, *extra: bytes, accept: bytes | None = None) -> bytes:
    """A right 101 to the request in `head`, with further header lines."""
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + (accept or digest),
        *extra,
    ]
    return b"\r\n".join([*lines, b"", b""])


async def receive_exactly(wire: Wire, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await wire.receive()
        assert piece, f"ended after {data!r}"
        data += piece
    assert len(data) == count, data
    return data


async def receive_to_end(wire: Wire) -> bytes:
    data = b""
    while piece := await wire.receive():
        data += piece
    return data


@asynccontextmanager
async def connected(
    options: WebSocketOptions = FAST,
    client_options: WebSocketOptions = FAST,
    capacity_bytes: int = 64 * 1024,
) -> AsyncIterator[tuple[WebSocket, WebSocket, MemoryWire]]:
    """A server and a client of ours that shook hands over memory wires; both run until the block ends."""
    near, far = memory_wire_pair(capacity_bytes=capacity_bytes)
    made: list[WebSocket] = []

    async def accept() -> None:
        head, rest = await read_head(near)
        made.append(await accept_websocket(near, head, rest=rest, options=options))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        client = await handshake(far, "ws://peer/", options=client_options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made[0].run)
        nursery.start_soon(client.run)
        yield made[0], client, far
        nursery.cancel_scope.cancel()
