"""The front door: accepts connections and sends each to where it belongs; it lets nothing that happens there out.

One connection carries one request: a WebSocket handshake goes to the injected handler, anything else to the web
application.
"""

import errno
import http
import socket
import traceback
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
import structlog
import trio
from hypercorn.typing import ASGIFramework

from server.edge.answers import Refusal, answer, refuse
from server.edge.guard import PLAIN_ON_TLS, Guard, Verdict
from server.edge.head import HEAD_S, MAX_HEAD_BYTES, HeadRefused, RequestHead, read_head
from server.edge.http import HttpLimits, HttpService
from server.edge.load import Load
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.transport.errors import ConnectionLost, UpgradeInvalid, WireBroken, WireClosed
from server.transport.tls import start_tls
from server.transport.wire import SocketWire, Wire

__all__ = ["CannotListen", "Door", "DoorLimits", "OnWebSocket", "open_listeners"]

_log = structlog.get_logger("liveavatar.edge")

# Connections that the kernel completes while the accept loop is busy.
BACKLOG = 1024

# accept() fails with these when descriptors or memory run out, here or in the whole system; connections that end bring
# some back.
CAPACITY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
CAPACITY_PAUSE_S = 0.1
# And with these for a connection that ended in the kernel's queue, or an error of its network (accept(2)).
GONE_ERRNOS = frozenset(
    {
        errno.ECONNABORTED,
        errno.EINTR,
        errno.EPROTO,
        errno.EPERM,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
    }
)
# Connections that are taken from the kernel's queue before others have their turn.
ACCEPTED_AT_ONCE = 32
# One line per this time, not one per try.
CAPACITY_LOG_S = 10.0

# Connections beyond a cap that are being told so, and for how long. Beyond these too, a connection is closed without a
# word.
MAX_TURNED_AWAY = 64
TURN_AWAY_S = 3.0

# Who let the time for its head pass is not waited for as long as others, to read why.
LATE_LINGER_S = 0.5

# The first byte of a TLS connection: a handshake record (RFC 8446, 5.1).
_TLS_HANDSHAKE = b"\x16"

OnWebSocket = Callable[[UpgradeRequest, Upgrade], Awaitable[None]]
"""Handles one WebSocket, from its handshake to its end: the wire is closed when it returns."""

_INTERNAL = Refusal(500, "internal_error", "The server failed to handle this connection.", "server_error")
_OVERLOADED = Refusal(
    503,
    "overloaded",
    "The server has too much to do; try again later.",
    "server_error",
    (("Retry-After", "10"),),
)
_LONG_FIELD = "A field of the head of a WebSocket handshake is too long: 8 KiB is the most."
_FULL = Refusal(
    503, "too_many_connections", "Too many connections; try again later.", "server_error", (("Retry-After", "5"),)
)


class CannotListen(Exception):
    """The address or port cannot be listened on; the text says which and why."""


class DoorLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the door."""

    max_connections: int = 1000
    """HTTP and WebSocket together; must stay below the process's limit of descriptors."""
    max_head_bytes: int = MAX_HEAD_BYTES
    head_s: float = HEAD_S
    """Within which the TLS handshake must be done and the request head have arrived."""
    http: HttpLimits = HttpLimits()


@dataclass(slots=True)
class _Caller:
    """Whose connection it is: an address, as far as that is known."""

    address: str


async def open_listeners(host: str | None, port: int) -> list[trio.SocketListener]:
    """Listen on a host's addresses (None: on all). Raises `CannotListen`."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as exc:
        raise CannotListen(f"cannot listen on {host or '*'} port {port}: {exc.strerror or exc}") from exc


class Door:
    """Serves connections until it is cancelled, or told to stop and the last one has ended."""

    def __init__(
        self,
        *,
        on_websocket: OnWebSocket,
        app: ASGIFramework,
        limits: DoorLimits | None = None,
        guard: Guard | None = None,
        load: Load | None = None,
    ) -> None:
        self._limits = limits or DoorLimits()
        self._guard = guard or Guard()
        self._load = load
        self._on_websocket = on_websocket
        self._http = HttpService(app, self._limits.http, self._guard.refusals)
        self._accepting = trio.CancelScope()
        self._connections = 0
        self._turned_away = 0
        self._capacity_logged_at = -CAPACITY_LOG_S
        self.accepted = 0
        """Connections that were accepted, those beyond the cap not counted."""
        self.failures = 0
        """Connections that a fault of ours has ended."""

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
                    accepting.start_soon(self._guard.refusals.run)
                    if self._load is not None:
                        accepting.start_soon(self._load.run)
                    for listener in listeners:
                        accepting.start_soon(self._accept_from, listener, connections)
                    task_status.started()

    def stop_accepting(self) -> None:
        """Close the listeners; connections that are open go on."""
        self._accepting.cancel()

    async def _accept_from(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        # Another descriptor of the same socket, out of trio's: its accept takes one connection in each round of the
        # scheduler, and a crowd then waits in the kernel's queue with whoever came after it.
        accepting = socket.socket(fileno=listener.socket.dup().detach())
        try:
            async with listener:
                while True:
                    await trio.lowlevel.wait_readable(accepting)
                    for _ in range(ACCEPTED_AT_ONCE):
                        try:
                            sock, _address = accepting.accept()
                        except BlockingIOError:
                            break
                        except OSError as exc:
                            if exc.errno in GONE_ERRNOS:
                                continue
                            if exc.errno not in CAPACITY_ERRNOS:
                                raise
                            self._log_capacity(exc)
                            await trio.sleep(CAPACITY_PAUSE_S)
                            break
                        self._take(sock, connections)
                    else:
                        await trio.lowlevel.checkpoint()  # others have their turn, also while the crowd lasts
        finally:
            trio.lowlevel.notify_closing(accepting)
            accepting.close()

    def _take(self, sock: socket.socket, connections: trio.Nursery) -> None:
        try:
            wire = SocketWire(sock)
        except WireBroken:
            return  # gone before it was looked at
        if self._connections < self._limits.max_connections:
            self._connections += 1
            self.accepted += 1
            connections.start_soon(self._serve_connection, wire, name=f"connection {wire.peer}")
        else:
            self._turn_away(wire, connections)

    def _log_capacity(self, exc: OSError) -> None:
        now = trio.current_time()
        if now - self._capacity_logged_at >= CAPACITY_LOG_S:
            self._capacity_logged_at = now
            _log.error("no more connections can be accepted", error=errno.errorcode.get(exc.errno or 0, "?"))

    def _turn_away(self, wire: SocketWire, connections: trio.Nursery) -> None:
        self._guard.refusals.note(_FULL.code, wire.peer.host)
        if self._turned_away >= MAX_TURNED_AWAY:
            wire.close()
            return
        connections.start_soon(self._say_full, wire)

    async def _say_full(self, wire: SocketWire) -> None:
        try:
            await self._tell(wire, _FULL)
        except (WireBroken, WireClosed):
            pass  # it did not wait to be told
        finally:
            wire.close()

    async def _tell(self, wire: Wire, refusal: Refusal) -> None:
        """Say no to somebody whose request nobody reads, if not too many are being told so at once."""
        if self._turned_away >= MAX_TURNED_AWAY:
            return
        self._turned_away += 1
        try:
            with trio.move_on_after(TURN_AWAY_S):
                secured = await self._secured(wire)
                if secured is not None:
                    await refuse(secured, refusal)
        finally:
            self._turned_away -= 1

    async def _serve_connection(self, wire: Wire) -> None:
        caller = _Caller(wire.peer.host)
        try:
            with ExitStack() as places:
                await self._converse(wire, caller, places)
        # The firewall of this connection: whatever a head, a request or a handler raises ends it, and nothing else.
        # `except*`, because nurseries wrap what they pass on, and may wrap it together with a Cancelled.
        except* (WireBroken, WireClosed, ConnectionLost):
            _log.debug("connection lost", client=caller.address)
        except* Exception as failure:  # noqa: BLE001 - see above
            self.failures += 1
            _log_failure(caller, failure)
        finally:
            wire.close()
            self._connections -= 1

    async def _converse(self, wire: Wire, caller: _Caller, places: ExitStack) -> None:
        # Behind a trusted proxy the client is known only when its request has been read.
        is_proxy = self._guard.proxies.trusts(wire.peer.host)
        if not is_proxy and (refusal := await self._guard.enter(wire.peer.host, places)):
            await self._tell(wire, refusal)
            return
        began_at = trio.current_time()
        with trio.move_on_after(self._limits.head_s) as handshake:
            secured = await self._secured(wire)
        if handshake.cancelled_caught:
            self._guard.refusals.count("tls_timeout")
            return
        if secured is None:
            return
        try:
            head = await read_head(
                secured, max_bytes=self._limits.max_head_bytes, deadline_s=self._limits.head_s, began_at=began_at
            )
        except HeadRefused as exc:
            self._guard.refusals.count(exc.refusal.code)
            await refuse(secured, exc.refusal, linger_s=LATE_LINGER_S)
            return
        if head is None:
            return
        verdict = self._guard.judge(secured, head, is_tls=secured is not wire)
        caller.address = verdict.provenance.client
        refusal = await self._guard.enter(caller.address, places) if is_proxy else None
        if refusal := refusal or verdict.refusal:
            await refuse(secured, refusal)
        elif verdict.answer is not None:
            await answer(secured, verdict.answer)
        elif head.is_upgrade and self._load is not None and self._load.overload is not None:
            # Not for probes and pages: to an orchestrator an overloaded server must not look like a dead one.
            self._guard.refusals.note(_OVERLOADED.code, caller.address)
            await refuse(secured, _OVERLOADED)
        elif head.is_upgrade:
            await self._serve_websocket(secured, head, verdict)
        else:
            await self._http.serve(secured, head, verdict.provenance, verdict.headers)

    async def _secured(self, wire: Wire) -> Wire | None:
        """The wire that requests come by: itself, or TLS over it; None for who speaks none, or has gone."""
        certificate = self._guard.certificate
        if certificate is None:
            return wire
        first = await wire.receive()
        if not first:
            return None
        if not first.startswith(_TLS_HANDSHAKE):
            self._guard.refusals.count(PLAIN_ON_TLS.code)
            await refuse(wire, PLAIN_ON_TLS)
            return None
        return await start_tls(wire, certificate.context, server_side=True, received=first)

    async def _serve_websocket(self, wire: Wire, head: RequestHead, verdict: Verdict) -> None:
        request = UpgradeRequest(head, wire.peer, verdict.provenance)
        upgrade = Upgrade(request, wire, head.rest, verdict.headers)
        try:
            await self._on_websocket(request, upgrade)
        except UpgradeInvalid as exc:
            if upgrade.answered:
                raise
            self._guard.refusals.count("malformed_upgrade")
            await refuse(wire, _malformed_upgrade(exc))
        finally:
            # Also when the handler failed: its peer is told so, and the failure goes on to the firewall.
            if not upgrade.answered and not wire.closed:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                    await refuse(wire, _INTERNAL)


def _malformed_upgrade(fault: UpgradeInvalid) -> Refusal:
    # Who opens WebSockets is held to shorter lines than pages are, and the words for it are not for strangers.
    text = _LONG_FIELD if fault.status == http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE else fault.text
    extra = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")) if fault.status in {400, 426} else ()
    return Refusal(fault.status, "malformed_upgrade", text, headers=extra)


def _log_failure(caller: _Caller, failure: BaseExceptionGroup[Exception]) -> None:
    """Log one line, without the exceptions' texts: they may hold what the client said."""
    leaves = list(_leaves(failure))
    places = traceback.extract_tb(leaves[0].__traceback__)
    _log.error(
        "connection failed",
        client=caller.address,
        errors=", ".join(sorted({type(leaf).__name__ for leaf in leaves})),
        where=f"{places[-1].filename}:{places[-1].lineno}" if places else "?",
    )
    # As text: log formatters that show local variables would show credentials.
    _log.debug("connection failed", client=caller.address, traceback="".join(traceback.format_exception(failure)))


def _leaves(failure: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for inner in failure.exceptions:
        found.extend(_leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner])
    return found
