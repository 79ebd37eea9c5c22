"""A client for the simulator's tests, on trio-websocket: says events, collects what comes. Judges nothing."""

import base64
import itertools
import math
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from server.simulator.service import Simulator, serve
from server.simulator.settings import SimulatorSettings
from server.simulator.voice import load_voice

Json = dict[str, Any]

# Whatever the simulator owes comes within this, on a busy machine.
PATIENCE_SECONDS = 5.0
SYNTHETIC = load_voice("synthetic")


@asynccontextmanager
async def simulator(settings: SimulatorSettings | None = None, **kwargs: Any) -> AsyncIterator[Simulator]:
    """A service on a loopback port for as long as the block lasts."""
    kwargs.setdefault("voice", SYNTHETIC)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve, settings or SimulatorSettings(), **kwargs))
        nursery.cancel_scope.cancel()


class Client:
    """One connection. ``events`` is everything that came, in order."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket
        self.events: list[Json] = []
        self._ids = itertools.count(1)

    async def send(self, event_type: str, **fields: Any) -> None:
        """Say an event."""
        await self.send_text(msgspec.json.encode({"type": event_type, **fields}).decode())

    async def send_text(self, text: str) -> None:
        """Send any text frame."""
        await self.websocket.send_message(text)

    async def receive(self, seconds: float = PATIENCE_SECONDS) -> Json:
        """The next event."""
        with trio.fail_after(seconds):
            event: Json = msgspec.json.decode(await self.websocket.get_message())
        self.events.append(event)
        return event

    async def until(self, event_type: str, seconds: float = PATIENCE_SECONDS) -> Json:
        """Receive up to an event of this type and give that."""
        return await self.until_that(lambda event: event["type"] == event_type, seconds)

    async def until_that(self, fits: Callable[[Json], bool], seconds: float = PATIENCE_SECONDS) -> Json:
        """Receive up to an event that fits."""
        with trio.fail_after(seconds):
            while True:
                event = await self.receive(seconds)
                if fits(event):
                    return event

    async def ask(self, event_type: str, reply: str, **fields: Any) -> Json:
        """Say an event and give the reply of this type, or the error that came instead."""
        await self.send(event_type, **fields)
        return await self.until_that(lambda event: event["type"] in (reply, "error"))

    async def refused(self, event_type: str, **fields: Any) -> Json:
        """Say an event and give the inside of the error that answers it."""
        await self.send(event_type, **fields)
        error: Json = (await self.until("error"))["error"]
        return error

    async def update(self, **session: Any) -> Json:
        """Update the session; the effective one."""
        reply = await self.ask("session.update", "session.updated", session={"type": "realtime", **session})
        assert reply["type"] == "session.updated", reply
        found: Json = reply["session"]
        return found

    async def type(self, text: str) -> None:
        """Put a typed user message into the conversation."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.send("conversation.item.create", item=item)

    async def respond(self, text: str | None = None, **response: Any) -> Json:
        """Ask for a response (to a typed text) and give its ``response.done``'s response."""
        if text is not None:
            await self.type(text)
        await self.send("response.create", **({"response": response} if response else {}))
        done: Json = (await self.until("response.done"))["response"]
        return done

    async def speak(self, audio: bytes, piece_bytes: int = 4800) -> None:
        """Append audio in pieces."""
        for start in range(0, len(audio), piece_bytes):
            await self.send("input_audio_buffer.append", audio=as_base64(audio[start : start + piece_bytes]))

    async def quiet(self, seconds: float = 0.1) -> list[Json]:
        """What still comes within some time."""
        before = len(self.events)
        with trio.move_on_after(seconds):
            while True:
                await self.receive(math.inf)
        return self.events[before:]

    async def closed(self, seconds: float = PATIENCE_SECONDS) -> tuple[int, str | None]:
        """Receive to the end; the close code and reason."""
        with trio.fail_after(seconds):
            while True:
                try:
                    await self.receive(seconds)
                except ConnectionClosed as closed:
                    reason = closed.reason
                    break
        assert reason is not None
        return reason.code, reason.reason

    def types(self, start: int = 0) -> list[str]:
        """The types of what came, a run of the same type once, without rate limits."""
        names = [event["type"] for event in self.events[start:] if event["type"] != "rate_limits.updated"]
        return [name for name, _ in itertools.groupby(names)]

    def of(self, event_type: str) -> list[Json]:
        """What came of one type."""
        return [event for event in self.events if event["type"] == event_type]


@asynccontextmanager
async def connected(
    running: Simulator,
    target: str = "/v1/realtime?model=gpt-realtime",
    *,
    subprotocols: Sequence[str] = (),
    extra_headers: Sequence[tuple[bytes, bytes]] = (),
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Client]:
    """A client of a running simulator, before its first event."""
    # The stream is ours, because trio-websocket's own client leaves the socket open when the server closes first.
    tcp = await trio.open_tcp_stream(*running.addresses[0])
    opened: trio.SocketStream | trio.SSLStream[trio.SocketStream] = tcp
    if tls is not None:
        opened = trio.SSLStream(tcp, tls, server_hostname="localhost", https_compatible=True)
    async with opened as stream, trio.open_nursery() as nursery:
        if isinstance(stream, trio.SSLStream):
            with trio.fail_after(PATIENCE_SECONDS):
                await stream.do_handshake()
        websocket = await wrap_client_stream(
            nursery,
            stream,
            "simulator",
            target,
            subprotocols=subprotocols,
            extra_headers=list(extra_headers),
            message_queue_size=4096,
            max_message_size=2**25,
        )
        yield Client(websocket)
        with trio.move_on_after(2):
            await websocket.aclose()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def talking(settings: SimulatorSettings | None = None, **kwargs: Any) -> AsyncIterator[Client]:
    """A service and one client of it, past ``session.created``."""
    async with simulator(settings, **kwargs) as running, connected(running) as client:
        await client.until("session.created")
        yield client


HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: simulator\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
)


async def posted(running: Simulator, target: str, body: bytes = b"", headers: str = "") -> tuple[int, Json]:
    """What a POST is answered with: status and JSON body."""
    head = f"POST {target} HTTP/1.1\r\nHost: simulator\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    status, _, answer = await raw_request(running, head.encode() + body)
    return status, msgspec.json.decode(answer)


async def raw_handshake(running: Simulator, target: str, headers: str = "") -> tuple[int, dict[str, str], bytes]:
    """What a handshake is answered with: status, headers by lower-case name, and the body or first frames."""
    return await raw_request(running, HANDSHAKE.format(target=target, headers=headers).encode())


async def raw_request(running: Simulator, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What bytes are answered with until the end: status, headers by lower-case name, and the rest."""
    received = b""
    async with await trio.open_tcp_stream(*running.addresses[0]) as stream:
        await stream.send_all(request)
        with trio.move_on_after(PATIENCE_SECONDS):
            async for data in stream:
                received += data
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(status_line.split()[1]), {name.lower(): value.strip() for name, _, value in fields}, body


def as_base64(audio: bytes) -> str:
    """Audio as events carry it."""
    return base64.b64encode(audio).decode("ascii")
