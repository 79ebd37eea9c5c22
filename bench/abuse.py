"""Strangers who hold on to the server while honest visitors connect: how long those wait, and how soon those are gone.

Silent connections say nothing; trickling ones send one byte a second; idle ones finish their handshake on ``/ws`` and
say nothing after; pinging ones send pings then, 640 a second. They come from ten addresses of this machine, and who is
turned away or cut off comes again.
"""

import contextlib
import itertools
import math
import os
import random
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio

from bench.figures import Spread
from bench.scenario import BUSY_PERCENT, Options, ScenarioFailed, Stage, failing_plainly
from bench.serving import ServerProcess, serving
from bench.table import SPREAD_HEADS, Table, number, spread_cells

NAME = "abuse"

ADDRESSES = tuple(f"127.0.0.{host}" for host in range(11, 21))
# Of all strangers; the others are silent behind a finished handshake.
SILENT_SHARE, TRICKLING_SHARE, PINGING_SHARE = 0.7, 0.2, 0.02
TRICKLE_EVERY_S = 1.0
# Who was cut off comes again after this long.
RETURN_S = 1.0
# So many come each second until all are there: a machine that opens them all in one instant measures itself.
ARRIVALS_PER_S = 1000.0

HONEST_EVERY_S = 0.05
CONNECT_S = 10.0

# Descriptors of the server are back to what they were, within this time after the strangers are gone.
BACK_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05

# An empty ping, masked with zeros, a burst of them, and how often it comes: 640 a second.
_PINGS = b"\x89\x80\x00\x00\x00\x00" * 64
_PINGS_EVERY_S = 0.1

_HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of strangers: what became of their connections, and how long those lived that were let in, in seconds.

    ``answers`` counts by HTTP status; 0 is a connection that was closed without a word.
    """

    connections: int
    answers: dict[int, int]
    lived_s: Spread


class Abuse(msgspec.Struct, frozen=True, kw_only=True, tag_field="scenario", tag=NAME):
    """All figures."""

    strangers: int
    seconds: float
    quiet_ms: Spread
    beset_ms: Spread
    honest_failures: int
    kinds: dict[str, Kind]
    descriptors_before: int | None
    descriptors_most: int | None
    descriptors_back_s: float | None
    log_lines: int
    bad_connections: int
    cpu_percent: float | None
    kept_waiting_percent: float | None

    def tables(self) -> list[Table]:
        """For people."""
        honest = [
            (name, *spread_cells(spread, 1))
            for name, spread in (("nobody else there", self.quiet_ms), ("beset", self.beset_ms))
        ]
        strangers = [
            (
                name,
                str(kind.connections),
                ", ".join(f"{status or 'closed'} {count}" for status, count in sorted(kind.answers.items())),
                *map(number, (kind.lived_s.p50, kind.lived_s.highest)),
            )
            for name, kind in self.kinds.items()
        ]
        held = f"descriptors: {self.descriptors_before} before, {self.descriptors_most} at most"
        notes = [
            f"{self.honest_failures} honest connects failed",
            f"{held}, as before after {number(self.descriptors_back_s)} s",
            f"log: {self.log_lines} lines for {self.bad_connections} bad connections",
            f"server: {number(self.cpu_percent, 0)} % of a core, and {number(self.kept_waiting_percent, 0)} % waiting",
        ]
        if self.kept_waiting_percent is not None and self.kept_waiting_percent > BUSY_PERCENT:
            notes.append("other processes took the server's core: on an idle machine honest visitors wait less.")
        title = f"{NAME}: {self.strangers} strangers at once from {len(ADDRESSES)} addresses, {self.seconds:g} s"
        return [
            Table(f"{title}: an honest visitor's handshake; ms", ("", *SPREAD_HEADS), tuple(honest)),
            Table(
                f"{NAME}: strangers' connections; s",
                ("", "connections", "answered", "lived, p50", "at most"),
                tuple(strangers),
                tuple(notes),
            ),
        ]


@dataclass(slots=True)
class _Toll:
    """What became of one kind's connections."""

    connections: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    lived_s: list[float] = field(default_factory=list)

    def kind(self) -> Kind:
        return Kind(connections=self.connections, answers=dict(self.answers), lived_s=Spread.of(self.lived_s))


class _Siege:
    """The strangers around one server."""

    def __init__(self, server: ServerProcess, rng: random.Random) -> None:
        self.tolls = {name: _Toll() for name in ("silent", "trickling", "idle on /ws", "pinging on /ws")}
        self._server = server
        self._rng = rng
        self._handshake = _HANDSHAKE.format(port=server.port).encode()

    async def come(self, count: int) -> None:
        """Be there, until cancelled."""
        kinds: list[tuple[float, str, Callable[[trio.SocketStream, _Toll], Awaitable[None]]]] = [
            (SILENT_SHARE, "silent", self._wait),
            (TRICKLING_SHARE, "trickling", self._trickle),
            (PINGING_SHARE, "pinging on /ws", self._ping),
            (1.0, "idle on /ws", self._idle),
        ]
        behaviours: list[tuple[str, Callable[[trio.SocketStream, _Toll], Awaitable[None]]]] = []
        for share, name, behave in kinds:
            behaviours += [(name, behave)] * min(round(share * count), count - len(behaviours))
        self._rng.shuffle(behaviours)
        async with trio.open_nursery() as nursery:
            for index, (name, behave) in enumerate(behaviours):
                nursery.start_soon(self._keep_coming, ADDRESSES[index % len(ADDRESSES)], self.tolls[name], behave)
                await trio.sleep(1 / ARRIVALS_PER_S)

    async def _keep_coming(
        self, address: str, toll: _Toll, behave: Callable[[trio.SocketStream, _Toll], Awaitable[None]]
    ) -> None:
        while True:
            try:
                stream = await _connected(self._server.host, self._server.port, address)
            except OSError:
                await trio.sleep(RETURN_S)
                continue
            toll.connections += 1
            try:
                await behave(stream, toll)
            except trio.BrokenResourceError:
                toll.answers[0] += 1
            finally:
                # At once, without the peer: a stranger is not polite.
                stream.socket.close()
            await trio.sleep(RETURN_S * self._rng.uniform(0.5, 1.5))

    async def _wait(self, stream: trio.SocketStream, toll: _Toll) -> None:
        began = time.perf_counter()
        _note(toll, await _read_to_end(stream), began)

    async def _trickle(self, stream: trio.SocketStream, toll: _Toll) -> None:
        began = time.perf_counter()
        bytes_ = (bytes([byte]) for byte in self._handshake)
        _note(toll, await _read_while_saying(stream, bytes_, TRICKLE_EVERY_S), began)

    async def _ping(self, stream: trio.SocketStream, toll: _Toll) -> None:
        began = time.perf_counter()
        await stream.send_all(self._handshake)
        _note(toll, await _read_while_saying(stream, itertools.repeat(_PINGS), _PINGS_EVERY_S), began)

    async def _idle(self, stream: trio.SocketStream, toll: _Toll) -> None:
        began = time.perf_counter()
        await stream.send_all(self._handshake)
        _note(toll, await _read_to_end(stream), began)


def _note(toll: _Toll, answer: bytes, began: float) -> None:
    status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
    toll.answers[status] += 1
    if status in {101, 408}:
        toll.lived_s.append(time.perf_counter() - began)


async def _read_to_end(stream: trio.SocketStream) -> bytes:
    answer = b""
    try:
        while piece := await stream.receive_some():
            answer += piece
    except trio.BrokenResourceError:
        pass  # a reset after the answer, or instead of one
    return answer


async def _read_while_saying(stream: trio.SocketStream, pieces: Iterable[bytes], every_s: float) -> bytes:
    """What the server says to whoever says one piece after the other."""

    async def say() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(every_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say)
        answer = await _read_to_end(stream)
        nursery.cancel_scope.cancel()
    return answer


async def _connected(host: str, port: int, address: str) -> trio.SocketStream:
    sock = trio.socket.socket()
    try:
        # Else the kernel reserves the port for this address alone, and runs out of them.
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        await sock.bind((address, 0))
        await sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


class _Visitors:
    """Honest visitors, from an address of their own: one after the other, and how long each handshake took."""

    def __init__(self, server: ServerProcess) -> None:
        self.took_s: list[float] = []
        self.failures = 0
        self._server = server
        self._handshake = _HANDSHAKE.format(port=server.port).encode()

    async def come(self) -> None:
        """Until cancelled, whatever becomes of those before: a slow server must not be asked less often."""
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._visit)
                await trio.sleep(HONEST_EVERY_S)

    async def _visit(self) -> None:
        began = time.perf_counter()
        stream = None
        with trio.move_on_after(CONNECT_S) as waiting:
            try:
                stream = await _connected(self._server.host, self._server.port, "127.0.0.1")
                await stream.send_all(self._handshake)
                answer = bytes(await stream.receive_some())
            except (OSError, trio.BrokenResourceError):
                answer = b""
        if stream is not None:
            stream.socket.close()
        if waiting.cancelled_caught or not answer.startswith(b"HTTP/1.1 101 "):
            self.failures += 1
        else:
            self.took_s.append(time.perf_counter() - began)


async def run(options: Options, stage: Stage) -> Abuse:
    """Besets the server for ``options.siege_s`` seconds with ``options.strangers`` connections at once.

    Raises:
        ScenarioFailed: this process may not open as many descriptors, or the server did not start.
    """
    _allow_descriptors(options.strangers + 256)
    folder = stage.folder / NAME
    folder.mkdir()
    async with serving({}, folder=folder, cores=stage.placement.server) as server:
        with failing_plainly():
            return await _beset(server, folder / "server.log", options, stage)


async def _beset(server: ServerProcess, log: Path, options: Options, stage: Stage) -> Abuse:
    visitors, siege = _Visitors(server), _Siege(server, random.Random(options.seed))
    most: int | None = None
    async with trio.open_nursery() as nursery:
        stage.progress(f"{NAME}: {options.quiet_s:g} s of honest visitors alone")
        await _visitors_for(visitors, options.quiet_s)
        quiet_ms = Spread.of(1000 * took_s for took_s in visitors.took_s)
        visitors.took_s, quiet_failures = [], visitors.failures
        if quiet_failures:
            raise ScenarioFailed(f"{quiet_failures} honest visitors were refused before any stranger came")
        await trio.sleep(1.0)
        before, lines_before, used = _descriptors(server.pid), _lines(log), server.usage()
        stage.progress(f"{NAME}: {options.siege_s:g} s with {options.strangers} strangers at once")
        nursery.start_soon(siege.come, options.strangers)
        async with trio.open_nursery() as meanwhile:
            meanwhile.start_soon(visitors.come)
            ends = trio.current_time() + options.siege_s
            while trio.current_time() < ends:
                most = max(most or 0, _descriptors(server.pid) or 0)
                await trio.sleep(_LOOK_EVERY_S)
            meanwhile.cancel_scope.cancel()
        spent = server.usage() - used
        nursery.cancel_scope.cancel()
    back_s = await _until_back(server.pid, before)
    return Abuse(
        strangers=options.strangers,
        seconds=options.siege_s,
        quiet_ms=quiet_ms,
        beset_ms=Spread.of(1000 * took_s for took_s in visitors.took_s),
        honest_failures=visitors.failures,
        kinds={name: toll.kind() for name, toll in siege.tolls.items()},
        descriptors_before=before,
        descriptors_most=most,
        descriptors_back_s=back_s,
        log_lines=_lines(log) - lines_before,
        bad_connections=sum(toll.connections for toll in siege.tolls.values()),
        cpu_percent=spent.share(spent.cpu_s),
        kept_waiting_percent=spent.share(spent.kept_waiting_s),
    )


async def _visitors_for(visitors: _Visitors, seconds: float) -> None:
    """Honest visitors for so long."""
    with trio.move_on_after(seconds):
        await visitors.come()


async def _until_back(pid: int, before: int | None) -> float | None:
    """Seconds until the server holds no more descriptors than before; None if it does not come to that."""
    began = time.perf_counter()
    with trio.move_on_after(2 * BACK_WITHIN_S):
        while before is not None:
            now = _descriptors(pid)
            if now is not None and now <= before:
                return time.perf_counter() - began
            await trio.sleep(_LOOK_EVERY_S)
    return None


def _descriptors(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise ScenarioFailed(f"{wanted} descriptors are needed, and no more than {hard} are allowed (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (math.ceil(wanted), hard))
