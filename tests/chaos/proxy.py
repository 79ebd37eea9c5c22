"""A TCP proxy on a loopback port that does to real connections what networks do; it knows nothing of what they carry.

Same seed and same bytes: same jitter and same slices. When what happens is up to the kernel (how reads are cut), two
runs may differ.
"""

import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import trio

from tests.chaos.toxics import (
    Bandwidth,
    Cut,
    Direction,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxics,
)

__all__ = ["ChaosProxy", "Connection", "chaos_proxy"]

HOST = "127.0.0.1"
BACKLOG = 128
READ_BYTES = 16 * 1024
# Bytes of one direction that are on their way: what a router on the path would hold.
HELD_BYTES = 64 * 1024
# Bandwidth is kept over stretches of this length.
PACE_S = 0.02
# How long the ends of a connection that was closed in order may take to end it too.
LINGER_S = 1.0
# SO_LINGER on, for no time: closing then resets (RST), and what was not sent yet is dropped.
RESETTING = struct.pack("ii", 1, 0)


class Connection:
    """One client, one connection to the server, and what passes between them."""

    def __init__(self, number: int, client: trio.SocketStream, server: trio.SocketStream, proxy: "ChaosProxy") -> None:
        self.number = number
        """Counted from 0 in the order of arrival."""
        self.ended = trio.Event()
        self._flowing = trio.CancelScope()
        self._streams = (client, server)
        self._proxy = proxy
        self._flows = {
            Direction.UPSTREAM: _Flow(self, client, server, Direction.UPSTREAM, proxy),
            Direction.DOWNSTREAM: _Flow(self, server, client, Direction.DOWNSTREAM, proxy),
        }

    def passed_bytes(self, direction: Direction) -> int:
        """Bytes handed on so far."""
        return self._flows[direction].passed_bytes

    def close(self) -> None:
        """End it at both ends in order (FIN), behind what has passed already; what comes after that is dropped."""
        for stream in self._streams:
            with contextlib.suppress(OSError):  # gone already
                stream.socket.shutdown(socket.SHUT_WR)
        self._flowing.cancel()

    def reset(self) -> None:
        """Reset it at both ends (RST)."""
        for stream in self._streams:
            if stream.socket.fileno() >= 0:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            stream.socket.close()
        self._flowing.cancel()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                with self._flowing:
                    async with trio.open_nursery() as flowing:
                        for flow in self._flows.values():
                            flowing.start_soon(flow.read)
                            flowing.start_soon(flow.write)
                if self._flowing.cancelled_caught:
                    await self._linger()
                nursery.cancel_scope.cancel()
        finally:
            for stream in self._streams:
                stream.socket.close()
            self.ended.set()

    async def _linger(self) -> None:
        # To close with unread bytes resets the connection, and a reset overtakes what has passed.
        with trio.move_on_after(LINGER_S):
            for stream in self._streams:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    while await stream.receive_some(READ_BYTES):
                        pass

    async def _watch(self) -> None:
        """End the connection when a toxic that counts seconds says so."""
        since: dict[object, float] = {}
        while True:
            now = trio.current_time()
            since = {toxic: since.get(toxic, now) for toxic in self._proxy.toxics}
            ends: list[tuple[float, Callable[[], None]]] = []
            for toxic, began in since.items():
                if isinstance(toxic, ResetPeer):
                    ends.append((began + toxic.after_s, self.reset))
                elif isinstance(toxic, Timeout):
                    ends.append((began + toxic.close_after_s, self.close))
            for at, end in ends:
                if now >= at:
                    end()
                    return
            with trio.move_on_at(min((at for at, _ in ends), default=float("inf"))):
                await self._proxy.toxics.changed()


class _Flow:
    """One direction of one connection: a task that reads and one that writes, with a bounded way between them."""

    def __init__(
        self,
        connection: Connection,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        direction: Direction,
        proxy: "ChaosProxy",
    ) -> None:
        self.passed_bytes = 0
        self._connection = connection
        self._source = source
        self._sink = sink
        self._direction = direction
        self._toxics = proxy.toxics
        self._chance = random.Random(f"{proxy.seed} {connection.number} {direction.name}")
        # What is on its way, with the time at which it may arrive; b"" is the end of the stream.
        self._on_the_way: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._moved = trio.Event()
        self._passed_before: dict[object, int] = {}

    async def read(self) -> None:
        try:
            data = b"-"
            while data:
                data = bytes(await self._source.receive_some(READ_BYTES))
                self._put(data)
                while self._held_bytes > HELD_BYTES:
                    await self._moved.wait()
        except trio.BrokenResourceError:
            self._connection.reset()
        except trio.ClosedResourceError:
            pass  # reset by a toxic or by the test

    def _put(self, data: bytes) -> None:
        delay_s = sum(
            max(0.0, toxic.latency_s + self._chance.uniform(-toxic.jitter_s, toxic.jitter_s))
            for toxic in self._toxics.of(Latency, self._direction)
        )
        due = trio.current_time() + delay_s
        if self._on_the_way:
            due = max(due, self._on_the_way[-1][0])  # nothing overtakes
        self._on_the_way.append((due, data))
        self._held_bytes += len(data)
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    async def write(self) -> None:
        try:
            while True:
                while not self._on_the_way:
                    await self._moved.wait()
                due, data = self._on_the_way.popleft()
                await trio.sleep_until(due)
                while any(self._toxics.of(Timeout, self._direction)):
                    await self._toxics.changed()
                if not data:
                    for toxic in self._toxics.of(SlowClose, self._direction):
                        await trio.sleep(toxic.delay_s)
                    await self._sink.send_eof()
                    return
                for piece in self._slices(data):
                    await self._pass_on(piece)
                self._held_bytes -= len(data)
                self._wake()
        except trio.BrokenResourceError:
            self._connection.reset()
        except trio.ClosedResourceError:
            pass  # reset by a toxic or by the test

    def _slices(self, data: bytes) -> Iterator[bytes]:
        rest = data
        while rest:
            size = len(rest)
            for slicer in self._toxics.of(Slicer, self._direction):
                variation = self._chance.randint(-slicer.variation_bytes, slicer.variation_bytes)
                size = min(size, max(1, slicer.average_bytes + variation))
            for narrow in self._toxics.of(Bandwidth, self._direction):
                size = min(size, max(1, int(narrow.bytes_per_s * PACE_S)))
            yield rest[:size]
            rest = rest[size:]

    async def _pass_on(self, piece: bytes) -> None:
        """Send one piece, or as much of it as a limit lets through; then take the time it needs."""
        limit, room = self._nearest_limit()
        if limit is None or len(piece) < room:
            await self._sink.send_all(piece)
            self.passed_bytes += len(piece)
        else:
            if room:
                await self._sink.send_all(piece[:room])
                self.passed_bytes += room
            self._end_by(limit)
            await trio.lowlevel.checkpoint()  # which has cancelled this task
        for slicer in self._toxics.of(Slicer, self._direction):
            await trio.sleep(slicer.delay_s)
        for narrow in self._toxics.of(Bandwidth, self._direction):
            await trio.sleep(len(piece) / narrow.bytes_per_s)

    def _nearest_limit(self) -> tuple[LimitData | Cut | None, int]:
        nearest: LimitData | Cut | None = None
        room = 0
        limits: list[tuple[LimitData | Cut, int]] = [
            *((limit, limit.limit_bytes) for limit in self._toxics.of(LimitData, self._direction)),
            *((cut, cut.after_bytes) for cut in self._toxics.of(Cut, self._direction)),
        ]
        for limit, after in limits:
            before = self._passed_before.setdefault(limit, self.passed_bytes)
            left = max(0, before + after - self.passed_bytes)
            if nearest is None or left < room:
                nearest, room = limit, left
        return nearest, room

    def _end_by(self, limit: LimitData | Cut) -> None:
        if isinstance(limit, LimitData):
            self._connection.close()
            return
        self._toxics.remove(limit)
        if limit.reset:
            self._connection.reset()
        else:
            self._connection.close()
        limit.done.set()


class ChaosProxy:
    """A proxy that is open; `port` stays the same while it refuses and accepts."""

    def __init__(self, target_host: str, target_port: int, seed: int | str) -> None:
        self.seed = seed
        self.toxics = Toxics()
        self.connections: list[Connection] = []
        """Those that stand."""
        self.accepted = 0
        """Connections so far."""
        self._passed_bytes = dict.fromkeys(Direction, 0)
        self._target = (target_host, target_port)
        # Bound and never listening: it keeps the port while nobody listens there, and then a connect is refused.
        self._keeper = _bound(0)
        self.port: int = self._keeper.getsockname()[1]
        self._listener: trio.SocketListener | None = None
        self._opened = trio.Event()
        self.accept()

    # Faults of the moment

    def refuse(self) -> None:
        """Refuse new connections (ECONNREFUSED); those that stand go on. May be repeated."""
        if self._listener is not None:
            self._listener.socket.close()
            self._listener = None

    def accept(self) -> None:
        """Take connections again. May be repeated."""
        if self._listener is None:
            sock = _bound(self.port)
            sock.listen(BACKLOG)
            self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            self._opened.set()
            self._opened = trio.Event()

    def down(self) -> None:
        """Refuse new connections and reset those that stand, as when the server's machine is gone; `accept` ends it."""
        self.refuse()
        self.reset_all()

    def reset_all(self) -> None:
        """Reset every connection that stands (RST, at both ends)."""
        for connection in list(self.connections):
            connection.reset()

    def close_all(self) -> None:
        """End every connection that stands in order (FIN, at both ends)."""
        for connection in list(self.connections):
            connection.close()

    def cut_after(self, after_bytes: int, direction: Direction, *, reset: bool = True) -> Cut:
        """Cut the first connection on which so many more bytes have passed; `done` of what it returns tells when."""
        return self.toxics.add(Cut(after_bytes=after_bytes, reset=reset), direction)

    def passed_bytes(self, direction: Direction) -> int:
        """Bytes handed on so far, over all connections, those that ended too."""
        standing = sum(connection.passed_bytes(direction) for connection in self.connections)
        return self._passed_bytes[direction] + standing

    # Life

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    listener = self._listener
                    if listener is None:
                        await self._opened.wait()
                        continue
                    try:
                        client = await listener.accept()
                    except trio.ClosedResourceError:
                        continue
                    nursery.start_soon(self._serve, client)
        finally:
            self.refuse()
            self._keeper.close()

    async def _serve(self, client: trio.SocketStream) -> None:
        number = self.accepted
        self.accepted += 1
        try:
            server = await trio.open_tcp_stream(*self._target)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            client.socket.close()
            return
        connection = Connection(number, client, server, self)
        self.connections.append(connection)
        try:
            await connection.run()
        finally:
            self.connections.remove(connection)
            for direction in Direction:
                self._passed_bytes[direction] += connection.passed_bytes(direction)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    try:
        # Several sockets may be bound to the port as long as one listens at most.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


@asynccontextmanager
async def chaos_proxy(target_host: str, target_port: int, *, seed: int | str = 0) -> AsyncIterator[ChaosProxy]:
    """A proxy before a server, until the block ends; then every connection through it is closed.

    `seed` decides jitter and slices; a test that fails says which it had.
    """
    proxy = ChaosProxy(target_host, target_port, seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(proxy.run)
        try:
            yield proxy
        finally:
            nursery.cancel_scope.cancel()
