"""Answers a client's WebSocket handshake; who may connect is not decided here."""

import trio
from websockets.exceptions import SecurityError
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from server.transport.errors import ConnectionLost, UpgradeInvalid, WireBroken, WireClosed
from server.transport.inbound import LIBRARY_LOG
from server.transport.websocket import WebSocket, WebSocketOptions
from server.transport.wire import Wire, send_all

__all__ = ["accept_websocket"]

# The answer is 200 bytes into an empty buffer: whoever does not take it by then will not take the rest either.
ANSWER_S = 10.0


async def accept_websocket(
    wire: Wire,
    head: bytes,
    *,
    rest: bytes = b"",
    subprotocol: str | None = None,
    options: WebSocketOptions | None = None,
    deadline_s: float = ANSWER_S,
) -> WebSocket:
    """Answer a client's upgrade request with 101 and return the open connection.

    `head` is the request up to and with its empty line; `rest` what came glued behind it, which counts as the
    connection's first bytes. `subprotocol` is sent as the selected one and must be one that the client offered.
    Raises `UpgradeInvalid` with nothing answered and the wire still usable, or `ConnectionLost` (wire closed) if the
    answer could not be sent within `deadline_s` seconds. Cancelled, it has closed the wire.
    """
    options = options or WebSocketOptions()
    selected = None if subprotocol is None else Subprotocol(subprotocol)
    protocol = ServerProtocol(
        select_subprotocol=lambda _protocol, _offered: selected,
        max_size=options.max_message_bytes,
        logger=LIBRARY_LOG,
    )
    # The head alone: fed together with the first frames, the library would judge them before its own answer is out.
    protocol.receive_data(head)
    events = protocol.events_received()
    if not events or not isinstance(events[0], Request):
        fault = protocol.handshake_exc
        raise UpgradeInvalid(431 if isinstance(fault, SecurityError) else 400, f"malformed request: {fault}")
    request = events[0]
    response = protocol.accept(request)
    if response.status_code != 101:
        raise UpgradeInvalid(response.status_code, f"not a WebSocket handshake: {protocol.handshake_exc}")
    protocol.send_response(response)
    answered = False
    try:
        with trio.fail_after(deadline_s):
            await send_all(wire, b"".join(protocol.data_to_send()))
        answered = True
    except (WireBroken, WireClosed, trio.TooSlowError) as exc:
        raise ConnectionLost(None, f"the handshake could not be answered: {exc}", "network") from exc
    finally:
        if not answered:
            wire.close()
    headers = [(name.lower(), value) for name, value in request.headers.raw_items()]
    return WebSocket(wire, protocol, options, path=request.path, headers=headers, first_bytes=rest)
