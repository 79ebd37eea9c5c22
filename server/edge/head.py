"""Reads and judges the head of a connection's one request; it neither reads the body nor answers."""

import math
import re
from urllib.parse import parse_qsl, unquote

import h11
import msgspec
import trio

from server.edge.answers import Refusal
from server.edge.headers import Headers
from server.transport.errors import TransportError
from server.transport.wire import Wire

__all__ = ["HeadRefused", "RequestHead", "read_head"]

# Bounds on what a stranger may make us hold, and for how long, before anything is known about him.
MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 100
MAX_QUERY_FIELDS = 64
HEAD_S = 10.0

HTTP_VERSIONS = ("1.0", "1.1")

# A method and the blank behind it, or as much of that as has come. Anything else is no HTTP, not worth waiting for.
_METHOD = re.compile(rb"[A-Z]{1,24}( |\Z)")

# An empty line, as h11 sees it. Lines may end in a bare LF for h11; not here, see `_parse`.
_HEAD_END = re.compile(rb"\n\r?\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")


class HeadRefused(TransportError):
    """The request is refused for its head alone; `refusal` is the answer to give."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class RequestHead(msgspec.Struct, frozen=True):
    """A request head that keeps to the rules."""

    method: str
    target: str
    path: str
    """Decoded, without the query."""
    query: dict[str, str]
    """Of a repeated field the first value."""
    version: str
    headers: Headers
    raw: bytes
    """The head as it came, with its empty line."""
    rest: bytes
    """What came glued behind it."""
    http: h11.Connection
    """The parser, standing at the beginning of the body."""

    def __repr__(self) -> str:
        # The head holds credentials.
        return f"RequestHead({self.method} {self.path!r})"

    @property
    def is_upgrade(self) -> bool:
        """True for a WebSocket handshake; every other upgrade has been refused."""
        return "upgrade" in self.headers


def _refused(status: int, code: str, message: str) -> HeadRefused:
    return HeadRefused(Refusal(status, code, message))


async def read_head(
    wire: Wire, *, max_bytes: int = MAX_HEAD_BYTES, deadline_s: float = HEAD_S, began_at: float | None = None
) -> RequestHead | None:
    """Read one request head, of at most `max_bytes` and within `deadline_s` seconds of now, or of `began_at`.

    Returns None if the peer ended the connection without a byte (a probe of the port). Raises `HeadRefused`,
    `WireBroken` or `WireClosed`.
    """
    data = bytearray()
    since = trio.current_time() if began_at is None else began_at
    deadline = since + deadline_s if math.isfinite(deadline_s) else math.inf
    while True:
        with trio.move_on_at(deadline) as waiting:
            piece = await wire.receive()
        if waiting.cancelled_caught:
            raise _refused(408, "request_timeout", f"The request did not arrive within {deadline_s:g} s.")
        if piece == b"":
            if not data:
                return None
            raise _refused(400, "incomplete_request", "The request ended before its head did.")
        searched = max(0, len(data) - 2)
        data += piece or b""
        if data and _METHOD.match(data) is None:
            raise _refused(400, "not_http", "This is not an HTTP request.")
        end = _HEAD_END.search(data, searched)
        if (end.end() if end else len(data)) > max_bytes:
            raise _refused(431, "head_too_large", f"The request head is larger than {max_bytes} bytes.")
        if end:
            return _parse(bytes(data[: end.end()]), bytes(data[end.end() :]))


def _parse(raw: bytes, rest: bytes) -> RequestHead:
    version = raw.split(b"\r\n", 1)[0].rsplit(b" ", 1)[-1]
    if version.startswith(b"HTTP/") and version[5:].decode("latin-1") not in HTTP_VERSIONS:
        # HTTP/2 with prior knowledge ("PRI * HTTP/2.0") above all, which the server behind the door would speak.
        raise _refused(505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if _BARE_LF.search(raw):
        # Two parsers read this head, ours and the one behind; where they could disagree, requests are smuggled.
        raise _refused(400, "malformed_request", "The lines of the request head do not end in CR LF.")
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw) + 1)
    try:
        http.receive_data(raw)
        request = http.next_event()
    except h11.RemoteProtocolError as exc:
        raise _refused(exc.error_status_hint, "malformed_request", "The request head is malformed.") from exc
    if not isinstance(request, h11.Request):
        raise _refused(400, "malformed_request", "The request head is malformed.")
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
    if len(fields) > MAX_HEADERS:
        raise _refused(431, "too_many_headers", f"The request has more than {MAX_HEADERS} header fields.")
    target = request.target.decode("latin-1")
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise _refused(400, "request_target", "The request target must be a path.")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as exc:
        raise _refused(400, "request_target", "The query has too many fields.") from exc
    head = RequestHead(
        method=request.method.decode("latin-1"),
        target=target,
        path=unquote(path),
        query=dict(reversed(pairs)),
        version=request.http_version.decode("latin-1"),
        headers=Headers(fields),
        raw=raw,
        rest=rest,
        http=http,
    )
    _judge(head)
    return head


def _judge(head: RequestHead) -> None:
    headers = head.headers
    if head.method == "CONNECT":
        # For the parsers a 2xx to it begins a tunnel, and the application's body behind it is an error of its own.
        raise _refused(501, "not_implemented", "There is no tunnel here.")
    if "transfer-encoding" in headers and "content-length" in headers:
        raise _refused(400, "malformed_request", "The length of the body is given twice.")
    if head.is_upgrade:
        if [token.lower() for token in headers.tokens("upgrade")] != ["websocket"]:
            # "h2c" above all, which the server behind the door would follow.
            raise _refused(400, "unsupported_upgrade", "The only upgrade here is to a WebSocket.")
        if "upgrade" not in (token.lower() for token in headers.tokens("connection")):
            raise _refused(400, "malformed_upgrade", "An Upgrade field without 'Connection: Upgrade'.")
        if head.method != "GET" or head.version != "1.1":
            raise _refused(400, "malformed_upgrade", "A WebSocket begins with GET and HTTP/1.1.")
