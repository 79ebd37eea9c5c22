"""A client's wish to open a WebSocket, and the two ways to answer it; who gets which is decided elsewhere."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from server.edge.answers import answer, response_bytes
from server.edge.head import RequestHead
from server.edge.headers import Headers
from server.edge.proxies import Provenance
from server.transport.accept import accept_websocket
from server.transport.websocket import WebSocket, WebSocketOptions
from server.transport.wire import Address, Wire

__all__ = ["Upgrade", "UpgradeRequest", "is_loopback"]

# The one subprotocol of the Realtime wire that a server selects. The others that browsers offer carry a key, an
# organisation or a version, and are never echoed.
SUBPROTOCOL = "realtime"


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own; 127.0.0.0/8, ::1, and the former written as IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class UpgradeRequest:
    """What is known of a WebSocket handshake before it is answered."""

    __slots__ = ("client", "headers", "host", "path", "peer", "query", "raw_head", "scheme", "subprotocols", "target")

    def __init__(self, head: RequestHead, peer: Address, provenance: Provenance | None = None) -> None:
        self.path: str = head.path
        """Decoded, without the query."""
        self.query: Mapping[str, str] = head.query
        """Decoded; of a repeated field the first value."""
        self.target: str = head.target
        """As it was sent. Not for logs: clients put keys in their queries."""
        self.headers: Headers = head.headers
        self.subprotocols: tuple[str, ...] = tuple(head.headers.tokens("sec-websocket-protocol"))
        """Offered, in order of preference. One may hold a key."""
        self.peer: Address = peer
        """The connection's other end: the client, or the last proxy before the server."""
        self.client: str = peer.host if provenance is None else provenance.client
        """The client's own address, as far as a trusted proxy told it: what limits and logs go by."""
        self.scheme: str = "http" if provenance is None else provenance.scheme
        """`https` where the client's connection is encrypted."""
        self.host: str | None = head.headers.get("host") if provenance is None else provenance.host
        """The authority that the client asked for."""
        self.raw_head: bytes = head.raw

    @property
    def is_loopback(self) -> bool:
        """True if the client is this machine; an unknown proxy here may still relay for somebody else."""
        return is_loopback(self.client)

    def __repr__(self) -> str:
        return f"UpgradeRequest({self.path!r} from {self.client})"


class Upgrade:
    """The answer to one handshake: `accept` or `refuse`, once."""

    __slots__ = ("_headers", "_rest", "_wire", "answered", "request")

    def __init__(
        self, request: UpgradeRequest, wire: Wire, rest: bytes, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Take the wire; `headers` go with a refusal."""
        self.request = request
        self.answered = False
        """True once either was called."""
        self._wire = wire
        self._rest = rest
        self._headers = headers

    async def accept(self, *, options: WebSocketOptions | None = None) -> WebSocket:
        """Open the WebSocket; selects the subprotocol `realtime` if it was offered, else none.

        The caller runs `WebSocket.run` and ends with `WebSocket.aclose`; the wire is closed when the door's handler
        returns. Raises `UpgradeInvalid` (then it can still be refused; the door does so if nobody else does) or
        `ConnectionLost`.
        """
        self._once()
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in self.request.subprotocols else None
        websocket = await accept_websocket(
            self._wire, self.request.raw_head, rest=self._rest, subprotocol=subprotocol, options=options
        )
        self.answered = True
        return websocket

    async def refuse(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Answer with an HTTP status, a JSON body and further headers (`Retry-After`), and end the connection."""
        self._once()
        self.answered = True
        await answer(self._wire, response_bytes(status, body, {**dict(self._headers), **(headers or {})}))

    def _once(self) -> None:
        if self.answered:
            raise RuntimeError("this handshake has been answered already")
