"""Opens a WebSocket to a server: TCP, TLS, handshake; it does not retry, and it goes through no proxy."""

import ssl
from collections.abc import Mapping, Sequence

import h11
import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from server.transport.errors import ConnectFailed, HandshakeRefused, WireBroken, WireClosed
from server.transport.inbound import LIBRARY_LOG
from server.transport.tls import start_tls
from server.transport.websocket import WebSocket, WebSocketOptions
from server.transport.wire import SocketWire, Wire, send_all

__all__ = ["connect_websocket", "handshake"]

# From the first look-up of the address to the 101.
CONNECT_S = 10.0

# The server's answer up to its empty line.
MAX_HEAD_BYTES = 32 * 1024

# What a refusal's body is good for: the error message in it. How long it may take once the head is there.
BODY_PREFIX_BYTES = 4 * 1024
BODY_S = 2.0


async def connect_websocket(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    options: WebSocketOptions | None = None,
    deadline_s: float = CONNECT_S,
) -> WebSocket:
    """Connect to a `ws://` or `wss://` URL and return the open connection.

    `ssl_context` must not be shared with an HTTP/2 client, which would set its ALPN; without one, the system's
    certificates count. Raises `HandshakeRefused` for an HTTP answer other than 101, else `ConnectFailed`, whose text
    never holds headers. Cancelling it leaves nothing open.
    """
    try:
        uri = parse_uri(url)
    except InvalidURI as exc:
        raise ConnectFailed(f"not a WebSocket URL: {exc.msg}") from exc
    where = f"{uri.host}:{uri.port}"
    try:
        with trio.fail_after(deadline_s):
            wire: Wire = SocketWire.from_stream(await trio.open_tcp_stream(uri.host, uri.port))
            if uri.secure:
                context = ssl_context if ssl_context is not None else ssl.create_default_context()
                wire = await start_tls(wire, context, server_hostname=uri.host)
            return await _handshake(wire, uri, headers or {}, subprotocols, options or WebSocketOptions())
    except trio.TooSlowError as exc:
        raise ConnectFailed(f"{where} did not answer within {deadline_s:g} s") from exc
    except (OSError, WireBroken, WireClosed) as exc:
        raise ConnectFailed(f"no connection to {where}: {exc}") from exc


async def handshake(
    wire: Wire,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    options: WebSocketOptions | None = None,
) -> WebSocket:
    """Open a WebSocket over a wire that stands already, as `connect_websocket` does; the caller sets the deadline."""
    try:
        return await _handshake(wire, parse_uri(url), headers or {}, subprotocols, options or WebSocketOptions())
    except (WireBroken, WireClosed) as exc:
        raise ConnectFailed(f"the connection broke within the handshake: {exc}") from exc


async def _handshake(
    wire: Wire,
    uri: WebSocketURI,
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    options: WebSocketOptions,
) -> WebSocket:
    opened = False
    try:
        protocol = ClientProtocol(
            uri,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=options.max_message_bytes,
            logger=LIBRARY_LOG,
        )
        request = protocol.connect()
        for name, value in headers.items():
            if any(char in name + value for char in "\r\n\0"):
                raise ConnectFailed(f"the value of header {name!r} holds a line break")
            request.headers[name] = value
        protocol.send_request(request)
        await send_all(wire, b"".join(protocol.data_to_send()))
        head, rest = await _read_head(wire)
        if head[:13] != b"HTTP/1.1 101 ":
            raise await _refusal(wire, head, rest)
        protocol.receive_data(head)
        if protocol.state is not OPEN:
            raise ConnectFailed(f"the server's handshake is wrong: {protocol.handshake_exc}")
        response = protocol.events_received()[0]
        items = response.headers.raw_items() if isinstance(response, Response) else ()
        websocket = WebSocket(
            wire,
            protocol,
            options,
            path=uri.resource_name,
            headers=[(name.lower(), value) for name, value in items],
            first_bytes=rest,
        )
        opened = True
        return websocket
    finally:
        if not opened:
            wire.close()


async def _read_head(wire: Wire) -> tuple[bytes, bytes]:
    data = bytearray()
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return bytes(data[: end + 4]), bytes(data[end + 4 :])
        if len(data) > MAX_HEAD_BYTES:
            raise ConnectFailed("the server's answer has no end")
        piece = await wire.receive()
        if piece == b"":
            raise ConnectFailed("the server ended the connection within the handshake")
        data += piece or b""


async def _refusal(wire: Wire, head: bytes, rest: bytes) -> HandshakeRefused | ConnectFailed:
    """Read an HTTP answer that is no upgrade, as far as it is worth reading."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
    http.send(h11.EndOfMessage())
    body = bytearray()
    try:
        http.receive_data(head + rest)
        answer = http.next_event()
        if not isinstance(answer, h11.Response):
            return ConnectFailed("the server answered neither 101 nor a refusal")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        refused_with = answer.status_code
    except h11.RemoteProtocolError as exc:
        return ConnectFailed(f"the server does not speak HTTP: {exc}")
    with trio.move_on_after(BODY_S):
        try:
            while len(body) < BODY_PREFIX_BYTES:
                event = http.next_event()
                if isinstance(event, h11.Data):
                    body += event.data
                elif event is h11.NEED_DATA:
                    http.receive_data(await wire.receive() or b"")
                else:
                    break
        except (h11.RemoteProtocolError, WireBroken):
            pass  # the status is known; a body that breaks off is worth what came of it
    return HandshakeRefused(refused_with, headers, bytes(body[:BODY_PREFIX_BYTES]))
