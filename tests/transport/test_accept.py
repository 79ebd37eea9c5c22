import pytest
import trio
from trio.testing import MockClock

from server.transport.accept import accept_websocket
from server.transport.errors import ConnectionLost, UpgradeInvalid
from server.transport.memory import memory_wire_pair
from server.transport.websocket import WebSocketOptions
from tests.transport.peers import TEXT, frame, read_head

FIELDS = {
    "Host": "peer",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(line: str = "GET /ws?kb=museum HTTP/1.1", **changes: str | None) -> bytes:
    fields = {**FIELDS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [line, *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def test_the_answer_is_the_one_of_the_standards_example(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = await accept_websocket(near, request())
    head, rest = await read_head(far)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"Sec-WebSocket-Protocol" not in head
    assert rest == b""
    assert websocket.path == "/ws?kb=museum"
    assert ("upgrade", "websocket") in websocket.headers
    assert websocket.peername == str(near.peer)


async def test_what_is_glued_behind_the_head_is_the_first_message(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = await accept_websocket(near, request(), rest=frame(TEXT, b"first") + frame(TEXT, b"second")[:3])
    far.try_send(frame(TEXT, b"second")[3:])
    assert (await websocket.receive()).data == b"first"
    assert (await websocket.receive()).data == b"second"
    head, rest = await read_head(far)
    assert b" 101 " in head
    assert rest == b""


async def test_glued_garbage_is_judged_after_the_answer(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = await accept_websocket(near, request(), rest=b"\xff" * 20)
    with pytest.raises(ConnectionLost):
        await websocket.receive()
    head, rest = await read_head(far)
    assert b" 101 " in head
    assert rest[:1] == b"\x88"


async def test_the_selected_subprotocol_is_sent(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    head = request(Sec_WebSocket_Protocol="realtime, openai-insecure-api-key.sk-1")
    websocket = await accept_websocket(near, head, subprotocol="realtime")
    assert b"Sec-WebSocket-Protocol: realtime\r\n" in (await read_head(far))[0]
    assert websocket.subprotocol == "realtime"


async def test_compression_is_declined(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    await accept_websocket(near, request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    assert b"Extensions" not in (await read_head(far))[0]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key="short"), 400),
        (request(Sec_WebSocket_Key="not base64 at all!!!!!!!"), 400),
        (request(Sec_WebSocket_Version="8"), 400),
        (request(Sec_WebSocket_Version=None), 400),
        (request(Upgrade="h2c"), 426),
        (request(Connection="close"), 426),
        (request("POST / HTTP/1.1"), 405),
        (request(Content_Length="5"), 400),
        (request(Cookie="x" * 9000), 431),
        (request(Origin="http://a", origin="http://b"), 400),
        (request(Sec_WebSocket_Protocol="a b;;,"), 400),
        (b"garbage\r\n\r\n", 400),
    ],
)
async def test_a_wrong_handshake_is_refused_and_not_answered(
    head: bytes, status: int, autojump_clock: MockClock
) -> None:
    near, far = memory_wire_pair()
    with pytest.raises(UpgradeInvalid) as caught:
        await accept_websocket(near, head)
    assert caught.value.status == status
    assert near.sent_bytes == 0
    assert not near.closed
    assert not far.closed


@pytest.mark.parametrize("name", ["X-Name", "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Host"])
async def test_headers_beyond_ascii_crash_nothing(name: str, autojump_clock: MockClock) -> None:
    near, _far = memory_wire_pair()
    try:
        websocket = await accept_websocket(near, request(**{name: "é\xff\x80"}))
    except UpgradeInvalid:
        return
    assert (name.lower(), "é\xff\x80") in websocket.headers


async def test_a_peer_that_does_not_take_the_answer_is_given_up(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=10)
    far.stall()
    with pytest.raises(ConnectionLost):
        await accept_websocket(near, request(), deadline_s=3.0, options=WebSocketOptions())
    assert trio.current_time() == pytest.approx(3.0)
    assert near.closed
