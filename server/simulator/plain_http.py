"""The little HTTP that stands beside the WebSocket: one POST with a JSON body to a connection. Decides no answer."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import h11
import trio

from protocol.realtime.codec import encode
from server.simulator.wire import Wire

BODY_MAX_BYTES = 1024 * 1024
# From the head of a request to the end of its body.
REQUEST_SECONDS = 10.0
_RECEIVE_BYTES = 64 * 1024
METHOD = b"POST "

# From the target, the headers (lower-case names) and the body to a status and a JSON body.
Answer: TypeAlias = Callable[[str, list[tuple[bytes, bytes]], bytes], tuple[int, Mapping[str, object]]]


async def serve_request(wire: Wire, answer: Answer) -> None:
    """Read one request, answer it, and be done with the connection.

    Raises:
        h11.RemoteProtocolError: what came is no request, its body is too long, or it came too slowly or not at all.
        trio.BrokenResourceError: the connection is lost.
    """
    connection = h11.Connection(h11.SERVER)
    target, headers, body = "", [], b""
    with trio.move_on_after(REQUEST_SECONDS) as reading:
        while not isinstance(event := await _next_event(connection, wire), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                target, headers = event.target.decode("ascii", "replace"), list(event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                raise h11.RemoteProtocolError("the request broke off")
            if len(body) > BODY_MAX_BYTES:
                raise h11.RemoteProtocolError("the body is too long")
    if reading.cancelled_caught:
        raise h11.RemoteProtocolError("the request did not come in time")
    status, content = answer(target, headers, body)
    encoded = encode(content)
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(encoded))), ("Connection", "close")]
    for out in (h11.Response(status_code=status, headers=fields), h11.Data(data=encoded), h11.EndOfMessage()):
        await wire.send_all(connection.send(out) or b"")
    await wire.linger()


async def _next_event(connection: h11.Connection, wire: Wire) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            await wire.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        connection.receive_data(bytes(await wire.receive_some(_RECEIVE_BYTES)))
    return event
