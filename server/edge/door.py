"""The front door: accepts connections and sends each to where it belongs; it lets nothing that happens there out.

One connection carries one request: a WebSocket handshake goes to the injected handler, anything else to the web
application.
"""

import errno
import traceback
from collections.abc import Awaitable, Callable

import msgspec
import structlog
import trio
from hypercorn.typing import ASGIFramework

from server.edge.answers import Refusal, linger, refuse, response_bytes
from server.edge.head import HEAD_S, MAX_HEAD_BYTES, HeadRefused, RequestHead, read_head
from server.edge.http import HttpLimits, HttpService
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.transport.errors import ConnectionLost, UpgradeInvalid, WireBroken, WireClosed
from server.transport.wire import SocketWire, Wire

__all__ = ["CannotListen", "Door", "DoorLimits", "OnWebSocket", "open_listeners"]

_log = structlog.get_logger("liveavatar.edge")

# Connections that the kernel completes while the accept loop is busy.
BACKLOG = 1024

# accept() fails with these when descriptors or memory run out, here or in the whole system; connections that end bring
# some back.
CAPACITY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
CAPACITY_PAUSE_S = 0.1
# One line per this time, not one per try.
CAPACITY_LOG_S = 10.0

# Connections beyond the cap that are being told so. Beyond these too, a connection is closed without a word.
MAX_TURNED_AWAY = 64

OnWebSocket = Callable[[UpgradeRequest, Upgrade], Awaitable[None]]
"""Handles one WebSocket, from its handshake to its end: the wire is closed when it returns."""

_INTERNAL = Refusal(500, "internal_error", "The server failed to handle this connection.", "server_error")
_FULL = Refusal(503, "too_many_connections", "Too many connections; try again later.", "server_error")


class CannotListen(Exception):
    """The address or port cannot be listened on; the text says which and why."""


class DoorLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the door."""

    max_connections: int = 1000
    """HTTP and WebSocket together; must stay below the process's limit of descriptors."""
    max_head_bytes: int = MAX_HEAD_BYTES
    head_s: float = HEAD_S
    """Within which the request head must have arrived."""
    http: HttpLimits = HttpLimits()


async def open_listeners(host: str | None, port: int) -> list[trio.SocketListener]:
    """Listen on a host's addresses (None: on all). Raises `CannotListen`."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as exc:
        raise CannotListen(f"cannot listen on {host or '*'} port {port}: {exc.strerror or exc}") from exc


class Door:
    """Serves connections until it is cancelled, or told to stop and the last one has ended."""

    def __init__(self, *, on_websocket: OnWebSocket, app: ASGIFramework, limits: DoorLimits | None = None) -> None:
        self._limits = limits or DoorLimits()
        self._on_websocket = on_websocket
        self._http = HttpService(app, self._limits.http)
        self._accepting = trio.CancelScope()
        self._connections = 0
        self._turned_away = 0
        self._capacity_logged_at = -CAPACITY_LOG_S

    @property
    def connections(self) -> int:
        """How many connections are open, those being turned away not counted."""
        return self._connections

    async def serve(
        self, listeners: list[trio.SocketListener], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept from `listeners`, which it closes at the end.

        Returns after `stop_accepting`, when the last connection has ended. Cancelled, it ends every connection.
        """
        async with self._http.running(), trio.open_nursery() as connections:
            # Accepting has a scope of its own, so that it can stop while the connections go on.
            with self._accepting:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(self._accept_from, listener, connections)
                    task_status.started()

    def stop_accepting(self) -> None:
        """Close the listeners; connections that are open go on."""
        self._accepting.cancel()

    async def _accept_from(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as exc:
                    if exc.errno not in CAPACITY_ERRNOS:
                        raise
                    self._log_capacity(exc)
                    await trio.sleep(CAPACITY_PAUSE_S)
                    continue
                try:
                    wire = SocketWire.from_stream(stream)
                except WireBroken:
                    continue  # gone before it was looked at
                if self._connections < self._limits.max_connections:
                    self._connections += 1
                    connections.start_soon(self._serve_connection, wire, name=f"connection {wire.peer}")
                else:
                    self._turn_away(wire, connections)

    def _log_capacity(self, exc: OSError) -> None:
        now = trio.current_time()
        if now - self._capacity_logged_at >= CAPACITY_LOG_S:
            self._capacity_logged_at = now
            _log.error("no more connections can be accepted", error=errno.errorcode.get(exc.errno or 0, "?"))

    def _turn_away(self, wire: SocketWire, connections: trio.Nursery) -> None:
        if self._turned_away >= MAX_TURNED_AWAY:
            wire.close()
            return
        self._turned_away += 1
        connections.start_soon(self._say_full, wire)

    async def _say_full(self, wire: SocketWire) -> None:
        try:
            wire.try_send(response_bytes(_FULL.status, _FULL.body(), {"Retry-After": "5"}))
            await linger(wire)
        except (WireBroken, WireClosed):
            pass  # it did not wait to be told
        finally:
            wire.close()
            self._turned_away -= 1

    async def _serve_connection(self, wire: Wire) -> None:
        try:
            await self._converse(wire)
        # The firewall of this connection: whatever a head, a request or a handler raises ends it, and nothing else.
        # `except*`, because nurseries wrap what they pass on, and may wrap it together with a Cancelled.
        except* (WireBroken, WireClosed, ConnectionLost):
            _log.debug("connection lost", peer=str(wire.peer))
        except* Exception as failure:  # noqa: BLE001 - see above
            _log_failure(wire, failure)
        finally:
            wire.close()
            self._connections -= 1

    async def _converse(self, wire: Wire) -> None:
        try:
            head = await read_head(wire, max_bytes=self._limits.max_head_bytes, deadline_s=self._limits.head_s)
        except HeadRefused as exc:
            await refuse(wire, exc.refusal)
            return
        if head is None:
            return
        if head.is_upgrade:
            await self._serve_websocket(wire, head)
        else:
            await self._http.serve(wire, head)

    async def _serve_websocket(self, wire: Wire, head: RequestHead) -> None:
        request = UpgradeRequest(head, wire.peer)
        upgrade = Upgrade(request, wire, head.rest)
        try:
            await self._on_websocket(request, upgrade)
        except UpgradeInvalid as exc:
            if upgrade.answered:
                raise
            extra = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")) if exc.status in {400, 426} else ()
            await refuse(wire, Refusal(exc.status, "malformed_upgrade", exc.text, headers=extra))
        finally:
            # Also when the handler failed: its peer is told so, and the failure goes on to the firewall.
            if not upgrade.answered and not wire.closed:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                    await refuse(wire, _INTERNAL)


def _log_failure(wire: Wire, failure: BaseExceptionGroup[Exception]) -> None:
    """Log one line, without the exceptions' texts: they may hold what the client said."""
    leaves = list(_leaves(failure))
    places = traceback.extract_tb(leaves[0].__traceback__)
    _log.error(
        "connection failed",
        peer=str(wire.peer),
        errors=", ".join(sorted({type(leaf).__name__ for leaf in leaves})),
        where=f"{places[-1].filename}:{places[-1].lineno}" if places else "?",
    )
    # As text: log formatters that show local variables would show credentials.
    _log.debug("connection failed", peer=str(wire.peer), traceback="".join(traceback.format_exception(failure)))


def _leaves(failure: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for inner in failure.exceptions:
        found.extend(_leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner])
    return found
