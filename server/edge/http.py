"""Short HTTP requests: hands one request of a connection to hypercorn, and sees to it that it ends.

hypercorn is given a stream of the door's own, because by itself it waits for ever on a client that does not read
(its sends are shielded from cancellation), and leaves the connection open where the application was cancelled.
"""

import socket
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import h11
import msgspec
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState

from server.edge.answers import Refusal, linger, refuse
from server.edge.head import RequestHead
from server.edge.proxies import Provenance
from server.security.refusals import REFUSED_IN_SCOPE, Refusals
from server.transport.errors import WireBroken, WireClosed
from server.transport.wire import Address, Wire

__all__ = ["HttpLimits", "HttpService"]

_log = structlog.get_logger("liveavatar.edge")

# How long the application may take to wind up when the server stops.
LIFESPAN_S = 10.0


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one request."""

    max_body_bytes: int = 1024 * 1024
    body_s: float = 30.0
    """Within which the whole body must have arrived."""
    send_stall_s: float = 10.0
    """A client that takes no byte of the answer for this long is given up."""


class HttpService:
    """An ASGI application behind hypercorn, one request to a connection."""

    def __init__(self, app: ASGIFramework, limits: HttpLimits, refusals: Refusals) -> None:
        self._app = app
        self._limits = limits
        self._refusals = refusals
        self._config = Config()
        self._config.logger_class = _OneLineLog
        self._config.include_server_header = False
        # Every answer says "Connection: close", so that an Upgrade is always the first request of its connection.
        self._config.keep_alive_max_requests = 0
        # An own bound is in force before (the door's on the head); this must only not be the narrower one.
        self._config.h11_max_incomplete_size = 64 * 1024
        self._context = WorkerContext(None)
        self._state: LifespanState = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the application and, at the end, stop it (ASGI's lifespan)."""
        lifespan = Lifespan(ASGIWrapper(self._app), self._config, self._state)
        # Shielded: a door that is cancelled must still find the application there, to tell it to stop.
        alive = trio.CancelScope(shield=True)

        async def live() -> None:
            with alive:
                await lifespan.handle_lifespan()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            try:
                await lifespan.wait_for_startup()
                yield
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LIFESPAN_S):
                    await self._context.terminated.set()
                    await lifespan.wait_for_shutdown()
                alive.cancel()

    async def serve(
        self,
        wire: Wire,
        head: RequestHead,
        provenance: Provenance | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Answer one request and close the wire; `headers` go with every answer. Cancelled, it closes the wire at once.

        What the application raises has been answered with 500; what hypercorn raises passes through.
        """
        length = head.headers.get("content-length")
        if length is not None and int(length) > self._limits.max_body_bytes:  # h11 has seen that it is a number
            await self._refuse(wire, _too_large(self._limits.max_body_bytes), headers)
            return
        stream = _ReplayStream(wire, head, self._limits)
        app = ASGIWrapper(_placed(self._app, wire, provenance, headers, self._refusals))
        server = TCPServer(app, self._config, self._context, ConnectionState(self._state), cast("Any", stream))
        finished = False

        async def close_when_cancelled() -> None:
            # hypercorn shields its sends; closing the wire is what reaches a send that nobody reads.
            try:
                await trio.sleep_forever()
            finally:
                if not finished:
                    wire.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close_when_cancelled)
            with stream.scope:
                await server.run()
            finished = True
            nursery.cancel_scope.cancel()
        if stream.refusal is not None and not stream.has_sent:
            await self._refuse(wire, stream.refusal, headers)
        else:
            await linger(wire)

    async def _refuse(self, wire: Wire, refusal: Refusal, headers: tuple[tuple[str, str], ...]) -> None:
        self._refusals.count(refusal.code)
        await refuse(wire, refusal.with_headers(headers))


def _placed(
    app: ASGIFramework,
    wire: Wire,
    provenance: Provenance | None,
    headers: tuple[tuple[str, str], ...],
    refusals: Refusals,
) -> ASGIFramework:
    """The application, told where the request really comes from, and with these headers on its answer."""
    client = (wire.peer.host if provenance is None else provenance.client, wire.peer.port)
    scheme = "http" if provenance is None else provenance.scheme
    more = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    def tell_refused(code: str, why: str | None, route: str) -> None:
        if why is None:
            refusals.count(code)
        else:
            refusals.note(code, client[0], why=why, path=route)

    async def placed(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        placed_scope = cast("Any", {**scope, "client": client, "scheme": scheme, REFUSED_IN_SCOPE: tell_refused})
        await app(placed_scope, receive, send_with_headers)

    return cast("ASGIFramework", placed)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "body_too_large", f"The body is larger than {limit} bytes.")


class _PeerNames:
    """What hypercorn asks of a socket."""

    __slots__ = ("_wire", "family")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.family = socket.AF_INET6 if ":" in wire.peer.host else socket.AF_INET

    def getpeername(self) -> Address:
        return self._wire.peer

    def getsockname(self) -> Address:
        return self._wire.local


class _ReplayStream:
    """A trio stream, as far as hypercorn uses one, that begins with a head that has been read already.

    It hands on exactly one request: what a client pipelines behind it is read and dropped.
    """

    def __init__(self, wire: Wire, head: RequestHead, limits: HttpLimits) -> None:
        self.socket = _PeerNames(wire)
        self.scope = trio.CancelScope()
        """The scope hypercorn runs in; ended by `send_eof`, or by a refusal."""
        self.refusal: Refusal | None = None
        self.has_sent = False
        self._wire = wire
        self._limits = limits
        self._first: bytes | None = head.raw
        self._rest = head.rest
        self._http = head.http
        self._body_bytes = 0
        self._whole = False
        self._body_deadline = trio.current_time() + limits.body_s

    async def send_all(self, data: bytes) -> None:
        self.has_sent = True
        rest = memoryview(data)
        try:
            while rest or self._wire.unsent:
                taken = self._wire.try_send(rest) if rest else 0
                rest = rest[taken:]
                if not rest and not self._wire.unsent:
                    break
                with trio.move_on_after(self._limits.send_stall_s) as stalled:
                    await self._wire.wait_writable()
                if stalled.cancelled_caught:
                    self._wire.close()
                    raise trio.BrokenResourceError("the client takes nothing of its answer")
        except (WireBroken, WireClosed) as exc:
            raise trio.BrokenResourceError(str(exc)) from exc

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - one read is bounded anyway
        if self._first is not None:
            data, self._first = self._first, None
            return data + self._admit(self._rest)
        while True:
            data = await self._receive()
            if not data:
                return b""
            if admitted := self._admit(data):
                return admitted

    async def _receive(self) -> bytes:
        try:
            with trio.move_on_at(self._body_deadline):
                while (data := await self._wire.receive()) is None:
                    pass
                return data
        except (WireBroken, WireClosed) as exc:
            raise trio.BrokenResourceError(str(exc)) from exc
        self._refuse(Refusal(408, "request_timeout", f"The body did not arrive within {self._limits.body_s:g} s."))
        return b""

    def _admit(self, data: bytes) -> bytes:
        """Count the body and return what of `data` belongs to the request."""
        if self._whole:
            return b""
        try:
            if data:
                self._http.receive_data(data)
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self._body_bytes += len(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._whole = True
                    self._body_deadline = float("inf")
                    break
        except h11.RemoteProtocolError:
            self._refuse(Refusal(400, "malformed_request", "The body of the request is malformed."))
            return b""
        if self._body_bytes > self._limits.max_body_bytes:
            self._refuse(_too_large(self._limits.max_body_bytes))
            return b""
        glued_bytes = len(self._http.trailing_data[0]) if self._whole else 0
        return data[: len(data) - glued_bytes]

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.scope.cancel()

    async def send_eof(self) -> None:
        # No checkpoint: hypercorn gets here in the application's task, which may have been cancelled by then.
        self.scope.cancel()

    async def aclose(self) -> None:
        # The door closes the wire, after it has lingered.
        self.scope.cancel()


class _OneLineLog(Logger):
    """hypercorn's log, turned into this project's: one line to an event, and no request lines."""

    def __init__(self, config: Config) -> None:  # noqa: ARG002 - hypercorn's signature
        self.access_logger = None
        self.error_logger = None

    async def critical(self, message: str, *_args: Any, **_kwargs: Any) -> None:
        _log.critical(message)

    async def error(self, message: str, *_args: Any, **_kwargs: Any) -> None:
        _log.error(message)

    async def warning(self, message: str, *_args: Any, **_kwargs: Any) -> None:
        _log.debug(message)  # the one warning there is: an application without lifespan, which is no fault

    async def exception(self, message: str, *_args: Any, **_kwargs: Any) -> None:
        error = sys.exc_info()[1]
        _log.error(message, error=type(error).__name__)
        _log.debug(message, traceback="".join(traceback.format_exception(error)))
