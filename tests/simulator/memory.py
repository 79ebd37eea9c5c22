"""A session in memory, on trio's mock clock: the connection's own code over channels in place of a WebSocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection

from server.simulator.configuration import Configuration
from server.simulator.connection import Connection
from server.simulator.faults import FaultSchedule
from server.simulator.identifiers import seeded_ids
from server.simulator.meter import Meter
from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import by_rule
from server.simulator.transcribing import TranscriptionConfiguration
from server.simulator.wire import Wire
from tests.simulator.driver import SYNTHETIC, Client

# Unix seconds at which every session here begins.
OPENED_AT = 1_760_000_000


class MemorySocket:
    """One end of a WebSocket that is two channels. Takes as much as ``capacity`` frames unread."""

    def __init__(
        self, out: trio.MemorySendChannel[Any], incoming: trio.MemoryReceiveChannel[Any], ends: trio.Event
    ) -> None:
        self._out = out
        self._in = incoming
        self.ends = ends
        self.closed: CloseReason | None = None
        self.pongs = True

    async def send_message(self, message: str) -> None:
        try:
            await self._out.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionClosed(self.closed) from None

    async def get_message(self) -> Any:
        try:
            message = await self._in.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ConnectionClosed(self.closed or CloseReason(1006, None)) from None
        if isinstance(message, CloseReason):
            self.closed = message
            raise ConnectionClosed(message)
        return message

    async def aclose(self, code: int = 1000, reason: str | None = None) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._out.send(CloseReason(code, reason))
        self.cut()

    async def ping(self) -> None:
        if not self.pongs:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()

    def cut(self) -> None:
        self._out.close()
        self._in.close()
        self.ends.set()


class MemoryWire:
    """What a connection may do to its wire."""

    too_slow = False

    def __init__(self, socket: MemorySocket) -> None:
        self._socket = socket
        self.ended = socket.ends
        self.ended_by = ""
        self.held_until = 0.0

    def message_arrived(self) -> None:
        pass

    def hold_until(self, when: float) -> None:
        self.held_until = when

    def drop(self) -> None:
        self.ended_by = "drop"
        self._socket.cut()

    def reset(self) -> None:
        self.ended_by = "reset"
        self._socket.cut()


class MemoryClient(Client):
    """A client with the other side at hand: its socket, its wire, its connection."""

    def __init__(self, socket: MemorySocket, far_socket: MemorySocket, wire: MemoryWire, far: Connection) -> None:
        super().__init__(cast("WebSocketConnection", socket))
        self.far_socket = far_socket
        self.wire = wire
        self.connection = far
        self.ended = trio.Event()


@asynccontextmanager
async def in_memory(
    settings: SimulatorSettings | None = None,
    *,
    seed: str = "1",
    opened: bool = True,
    model: str = "gpt-realtime",
    transcription: bool = False,
    **kwargs: Any,
) -> AsyncIterator[MemoryClient]:
    """A client of one session, past ``session.created`` if ``opened``."""
    settings = settings or SimulatorSettings()
    to_server, from_client = trio.open_memory_channel[Any](1024)
    to_client, from_server = trio.open_memory_channel[Any](kwargs.pop("capacity", 100_000))
    ends = trio.Event()
    server_side = MemorySocket(to_client, from_client, ends)
    client_side = MemorySocket(to_server, from_server, ends)
    wire = MemoryWire(server_side)
    given: dict[str, Any] = {"think": by_rule, "voice": SYNTHETIC, "recogniser": None, "meter": Meter()} | kwargs
    ids = seeded_ids(seed)
    expires_at = OPENED_AT + int(settings.longest_seconds)
    connection = Connection(
        cast("WebSocketConnection", server_side),
        cast("Wire", wire),
        configuration=(
            TranscriptionConfiguration(ids("sess"), expires_at)
            if transcription
            else Configuration(ids("sess"), model, settings.voice, expires_at)
        ),
        settings=settings,
        ids=ids,
        faults=FaultSchedule(settings.faults).for_connection(1),
        **given,
    )
    client = MemoryClient(client_side, server_side, wire, connection)

    async def run() -> None:
        await connection.run()
        to_client.close()
        client.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        if opened:
            await client.until("session.created")
        yield client
        nursery.cancel_scope.cancel()
