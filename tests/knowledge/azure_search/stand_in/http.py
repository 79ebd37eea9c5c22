"""HTTP/1.1 over TLS for the stand-in: keeps connections, counts them, and notices who hangs up."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio

_MAX_BODY_BYTES = 20 * 1024 * 1024


@dataclass
class Request:
    method: str
    path: str
    """Without the query, decoded."""
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    began: float
    left: float | None = None
    """When its connection was closed before the answer, on Trio's clock."""


@dataclass
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Connections are counted; a request whose connection is closed while it is handled is cancelled and noted."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.open = 0
        self.most = 0
        self.accepted = 0
        self.port = 0

    async def serve(
        self, context: ssl.SSLContext, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        secured = [trio.SSLListener(listener, context, https_compatible=True) for listener in listeners]
        task_status.started(self.port)
        await trio.serve_listeners(self._connection, secured)

    async def _connection(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.accepted += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await _Conversation(stream, self._handler).run()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            self.open -= 1
            with trio.move_on_after(1, shield=True):
                await trio.aclose_forcefully(stream)


class _Conversation:
    def __init__(self, stream: trio.SSLStream[trio.SocketStream], handler: Handler) -> None:
        self._stream = stream
        self._handler = handler
        self._wire = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while True:
            request = await self._request()
            if request is None:
                return
            response = await self._answer(request)
            if response is None:
                return
            headers = {"Content-Length": str(len(response.body)), **response.headers}
            if response.body:
                headers.setdefault("Content-Type", "application/json; odata.metadata=none")
            head = h11.Response(status_code=response.status, headers=list(headers.items()))
            data = self._wire.send(head) or b""
            if response.body:
                data += self._wire.send(h11.Data(data=response.body)) or b""
            data += self._wire.send(h11.EndOfMessage()) or b""
            await self._stream.send_all(data)
            if self._wire.our_state is h11.MUST_CLOSE:
                return
            self._wire.start_next_cycle()

    async def _answer(self, request: Request) -> Response | None:
        """The handler's answer; None when the other side hung up before it."""
        response: Response | None = None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                try:
                    data = await self._stream.receive_some()
                except trio.BrokenResourceError:
                    data = b""
                if data:
                    raise AssertionError("the client pipelines")
                request.left = trio.current_time()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            response = await self._handler(request)
            nursery.cancel_scope.cancel()
        return response

    async def _request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._wire.next_event()
            if event is h11.NEED_DATA:
                try:
                    self._wire.receive_data(bytes(await self._stream.receive_some()))
                except trio.BrokenResourceError:
                    return None
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                assert len(body) <= _MAX_BODY_BYTES
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return _read(head, bytes(body))
            else:
                return None


def _read(head: h11.Request, body: bytes) -> Request:
    parts = urlsplit(head.target.decode())
    return Request(
        method=head.method.decode(),
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.decode().lower(): value.decode() for name, value in head.headers},
        body=body,
        began=trio.current_time(),
    )
