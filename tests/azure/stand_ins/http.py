"""A small HTTP/1.1 server over h11 for stand-ins: keeps connections, logs what was asked, fails on request."""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import h11
import msgspec
import trio
import trustme

_MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Request:
    """What was asked, and on which of the connections. Names of header fields are lower-case."""

    connection: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one field of that name; None if it is not there, or there twice."""
        values = [value for key, value in self.headers if key == name]
        return values[0] if len(values) == 1 else None

    def only(self, pairs: tuple[tuple[str, str], ...]) -> dict[str, str] | None:
        """The pairs as a mapping; None where a name is there twice."""
        mapping = dict(pairs)
        return mapping if len(mapping) == len(pairs) else None

    @property
    def form(self) -> tuple[tuple[str, str], ...]:
        return tuple(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body)))


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, msgspec.json.encode(value), (("Content-Type", "application/json; charset=utf-8"), *headers))


def nothing_here(_request: Request) -> Answer:
    return Answer(404)


# In place of an answer: never say anything; cut the connection.
Fault = Answer | Literal["hang", "reset"]


Handler = Callable[[Request], Answer]


@dataclass
class HttpServer:
    """A running server. Each of ``faults`` is met by one request, before what ``handler`` answers.

    Attributes:
        closed_at: when each connection was closed by the client, by ``trio.current_time``.
        delay_s: time before each answer.
    """

    handler: Handler
    port: int
    is_tls: bool
    requests: list[Request] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    connections: int = 0
    open_connections: int = 0
    most_at_once: int = 0
    closed_at: dict[int, float] = field(default_factory=dict)
    delay_s: float = 0.0
    asked: trio.Event = field(default_factory=trio.Event)
    closed: trio.Event = field(default_factory=trio.Event)

    @property
    def url(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"


class Trust:
    """A certificate authority of the test's own, and whom it vouches for."""

    def __init__(self, *names: str) -> None:
        self._authority = trustme.CA()
        self._certificate = self._authority.issue_cert("127.0.0.1", "localhost", *names)

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        # Nobody else is trusted, and a new one each time: httpx sets what is negotiated on the one it is given.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context

    @property
    def pem(self) -> bytes:
        return self._authority.cert_pem.bytes()


@asynccontextmanager
async def serve_http(handler: Handler = nothing_here, trust: Trust | None = None) -> AsyncIterator[HttpServer]:
    """Serves on a loopback port until the block is left, over TLS where ``trust`` is given."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = HttpServer(handler, port=listeners[0].socket.getsockname()[1], is_tls=trust is not None)
    context = trust.server() if trust is not None else None

    async def serve(stream: trio.SocketStream) -> None:
        number = server.connections
        server.connections += 1
        server.open_connections += 1
        server.most_at_once = max(server.most_at_once, server.open_connections)
        wrapped = (
            stream if context is None else trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        )
        try:
            await _converse(wrapped, stream, number, server)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass
        finally:
            server.open_connections -= 1
            server.closed_at[number] = trio.current_time()
            server.closed.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await trio.aclose_forcefully(wrapped)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


async def _converse(stream: trio.abc.Stream, socket: trio.SocketStream, number: int, server: HttpServer) -> None:
    parser = h11.Connection(h11.SERVER)
    while True:
        request = await _request(parser, stream, number)
        if request is None:
            return
        server.requests.append(request)
        server.asked.set()
        fault = server.faults.popleft() if server.faults else None
        if fault == "reset":
            socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            return
        if fault == "hang":
            while await stream.receive_some():
                pass
            return
        if server.delay_s:
            await trio.sleep(server.delay_s)
        answer = fault if isinstance(fault, Answer) else server.handler(request)
        length = () if any(name.lower() == "transfer-encoding" for name, _ in answer.headers) else (
            ("Content-Length", str(len(answer.body))),
        )  # fmt: skip
        head = parser.send(h11.Response(status_code=answer.status, headers=[*answer.headers, *length]))
        body = parser.send(h11.Data(data=answer.body)) if request.method != "HEAD" else b""
        end = parser.send(h11.EndOfMessage())
        await stream.send_all((head or b"") + (body or b"") + (end or b""))
        if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
            return
        parser.start_next_cycle()


async def _request(parser: h11.Connection, stream: trio.abc.Stream, number: int) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            assert len(body) <= _MAX_BODY_BYTES
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            target = urlsplit(head.target.decode())
            return Request(
                connection=number,
                method=head.method.decode(),
                path=target.path,
                query=tuple(parse_qsl(target.query, keep_blank_values=True)),
                headers=tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers),
                body=bytes(body),
            )
        else:
            return None
