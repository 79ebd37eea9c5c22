"""A running server on a loopback port, and the clients that tests send to it: trio-websocket's, and raw bytes."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio
from trio_websocket import open_websocket_url

from server.app import run
from server.settings import TABLE, Settings
from tests.simulator.driver import Client, Json

HOST = "127.0.0.1"
# Seconds within which whatever a server owes must come, on a machine that others use too.
PATIENCE_S = 20.0
MASK = b"\0\0\0\0"
# In either form of the log.
_LISTENING = re.compile(r"(?=.*\bserving\b).*\burl\W+https?://[^\s\"']*:(\d+)")
# Tests come from one address, in crowds.
ROOMY = {
    "connections_per_address": 10_000,
    "arrivals_per_address": 100_000,
    "arrivals_burst": 100_000,
    "handshakes_per_address": 100_000,
    "handshakes_burst": 100_000,
}
INIT: Json = {"type": "session.init", "kb_id": "museum"}


class Running:
    """Where a server listens."""

    def __init__(self, port: int) -> None:
        self.port = port

    @asynccontextmanager
    async def client(
        self,
        path: str = "/ws",
        *,
        init: Json | None = None,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
    ) -> AsyncIterator[Client]:
        """A client past its handshake; on /ws it has sent its first frame (``init={}`` sends none)."""
        async with open_websocket_url(
            f"ws://{HOST}:{self.port}{path}",
            extra_headers=[(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            subprotocols=list(subprotocols or ()),
            message_queue_size=10_000,
            max_message_size=2**26,
            connect_timeout=PATIENCE_S,
            disconnect_timeout=PATIENCE_S,
        ) as websocket:
            client = Client(websocket)
            first = INIT if init is None and path.startswith("/ws") else init
            if first:
                await client.send_text(msgspec.json.encode(first).decode())
            try:
                yield client
            finally:
                if websocket.closed is not None:  # by the server: then trio-websocket leaves its socket open
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                        await websocket._stream.aclose()

    @asynccontextmanager
    async def opened(self, path: str = "/ws", **kwargs: Any) -> AsyncIterator[Client]:
        """A client whose session is confirmed."""
        async with self.client(path, **kwargs) as client:
            await client.until("session.created", PATIENCE_S)
            yield client

    async def refused(self, path: str = "/ws", **headers: str) -> tuple[int, Json]:
        """The status and error of a handshake that is refused. By hand: trio-websocket leaves such a socket open."""
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        async with await self.raw(handshake_bytes(path, self.port, extra)) as stream:
            answer = await to_end(stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), msgspec.json.decode(body)["error"]

    async def raw(self, data: bytes = b"") -> trio.SocketStream:
        """A TCP connection that has said ``data``."""
        stream = await trio.open_tcp_stream(HOST, self.port)
        if data:
            await stream.send_all(data)
        return stream

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """A GET by hand: status, header fields, body."""
        fields = {"Host": f"localhost:{self.port}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items() if text), "", ""]
        async with await self.raw("\r\n".join(lines).encode()) as stream:
            answer = await to_end(stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in rest)
        return int(first.split(" ")[1]), found, body


async def to_end(stream: trio.abc.ReceiveStream) -> bytes:
    """Everything that still comes; a reset counts as the end."""
    data = b""
    with trio.fail_after(PATIENCE_S), contextlib.suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some():
            data += piece
    return data


def handshake_bytes(path: str, port: int, extra: str = "") -> bytes:
    """A WebSocket handshake by hand."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    ).encode()


@asynccontextmanager
async def serving(data_dir: Path, **settings: Any) -> AsyncIterator[Running]:
    """A server in this process for the length of the block."""
    with quiet():
        async with trio.open_nursery() as nursery:
            served = await nursery.start(run, Settings(port=0, data_dir=data_dir, **{**ROOMY, **settings}))
            yield Running(int(served.url.rpartition(":")[2]))
            nursery.cancel_scope.cancel()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Warnings and worse only: at debug level every word that is said is logged."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        structlog.configure(**before)


class Process(Running):
    """A server in a process of its own; ``log`` is its JSON log so far, ``lines`` its log as it was written."""

    def __init__(self, process: trio.Process) -> None:
        super().__init__(0)
        self.process = process
        self.as_json = True
        self.log: list[Json] = []
        self.lines: list[str] = []
        self.ready = trio.Event()

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        rest = b""
        async for piece in self.process.stderr:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.lines.append(line.decode())
                if self.as_json:
                    self.log.append(msgspec.json.decode(line))
                if (listening := _LISTENING.search(self.lines[-1])) is not None:
                    self.port = int(listening[1])
                    self.ready.set()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exited(self, seconds: float) -> int:
        """The exit code, which must be there within ``seconds``."""
        with trio.fail_after(seconds):
            return await self.process.wait()


@asynccontextmanager
async def serving_process(data_dir: Path, **environ: str) -> AsyncIterator[Process]:
    """A server in a process of its own for the length of the block; it is killed at the end if it still lives."""
    ours = ("LIVEAVATAR_", "AZURE_", "OPENAI_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    roomy = {setting.name: str(ROOMY[setting.attribute]) for setting in TABLE if setting.attribute in ROOMY}
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "server.cli", "serve", "--port", "0", "--data-dir", str(data_dir)],
            env={**own, "LIVEAVATAR_LOG_FORMAT": "json", **roomy, **environ},
            cwd=str(Path(__file__).parents[1]),
            stderr=-1,
        )
        server = Process(process)
        server.as_json = environ.get("LIVEAVATAR_LOG_FORMAT") != "console"
        nursery.start_soon(server.read_log)
        try:
            with trio.fail_after(PATIENCE_S):
                await server.ready.wait()
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await process.wait()
            nursery.cancel_scope.cancel()


async def free_port() -> int:
    """A port that nobody listens at now."""
    with trio.socket.socket() as probe:
        await probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def listening_process(*command: str, port: int) -> AsyncIterator[trio.Process]:
    """A command of ours in a process of its own, from when it accepts at ``port``; it is killed at the end."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "server.cli", *command, "--port", str(port)],
        cwd=str(Path(__file__).parents[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    await (await trio.open_tcp_stream(HOST, port)).aclose()
                    break
                await trio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await process.wait()
