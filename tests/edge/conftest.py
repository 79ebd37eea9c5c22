"""A front door on a loopback port, with a small web application and a WebSocket handler behind it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from server.edge.door import Door, DoorLimits, open_listeners
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.transport.errors import ConnectionLost

BIG = b"x" * 8_000_000


async def web(scope: Any, receive: Any, send: Any) -> None:
    """A bare ASGI application: greets, counts bodies, streams, fails, or sends more than a socket holds."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/fail":
        raise ValueError("the secret is swordfish")
    body_bytes = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body_bytes += len(event["body"])
        if not event["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/big":
        await send({"type": "http.response.body", "body": BIG})
    elif scope["path"] == "/stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"tick ", "more_body": True})
            await trio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"end"})
    else:
        text = f"{scope['method']} {scope['path']} {body_bytes} from {scope['client'][0]}"
        await send({"type": "http.response.body", "body": text.encode()})


async def echo(request: UpgradeRequest, upgrade: Upgrade) -> None:
    """Echoes on /ws, and does what may be done wrong elsewhere."""
    if request.path == "/refuse":
        await upgrade.refuse(429, {"error": {"code": "slow_down"}}, {"Retry-After": "7"})
        return
    if request.path == "/fail":
        raise ValueError("the secret is swordfish")
    if request.path == "/ignore":
        return
    websocket = await upgrade.accept()
    if request.path == "/fail-open":
        raise ExceptionGroup("nested", [ValueError("the secret is swordfish"), ConnectionLost(None, "", "network")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        if request.query:
            websocket.send(msgspec.json.encode(dict(request.query)))
        try:
            while True:
                websocket.send((await websocket.receive()).data)
        except ConnectionLost:
            await websocket.aclose(1.0)


class Served:
    """A door that is open."""

    def __init__(self, door: Door, port: int) -> None:
        self.door = door
        self.port = port

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def says(self, data: bytes, *, within_s: float = 3.0) -> bytes:
        """Everything the door answers to these bytes until it closes; it must close by itself."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            with trio.fail_after(within_s):
                return await read_to_end(stream)


async def read_to_end(stream: trio.SocketStream) -> bytes:
    answer = b""
    async for piece in stream:
        answer += piece
    return answer


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


def error_code_of(answer: bytes) -> str:
    code: str = msgspec.json.decode(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"]
    return code


Open = Callable[..., Any]


@asynccontextmanager
async def opened_door(
    limits: DoorLimits | None = None, on_websocket: Any = echo, app: Any = web
) -> AsyncIterator[Served]:
    """A door on a loopback port until the block ends."""
    door = Door(on_websocket=on_websocket, app=app, limits=limits)
    listeners = await open_listeners("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(door.serve, listeners)
        yield Served(door, listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


@pytest.fixture
def open_door() -> Open:
    return opened_door


@pytest.fixture
def open_descriptors() -> Callable[[], int]:
    """A count of this process's open file descriptors."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to count descriptors")
    return lambda: len(os.listdir("/proc/self/fd"))
