from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from server.transport.accept import accept_websocket
from server.transport.client import BODY_PREFIX_BYTES, connect_websocket, handshake
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused
from server.transport.memory import MemoryWire, memory_wire_pair
from server.transport.tls import start_tls
from server.transport.wire import SocketWire, Wire, send_all
from tests.transport.conftest import Contexts
from tests.transport.peers import CLOSE, TEXT, frame, parse_frames, read_head, receive_to_end, switching


@asynccontextmanager
async def server_says(answer: bytes | Callable[[bytes], bytes]) -> AsyncIterator[MemoryWire]:
    """A wire at whose other end the handshake is answered like this."""
    near, far = memory_wire_pair()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        head, _ = await read_head(near)
        near.try_send(answer if isinstance(answer, bytes) else answer(head))
        near.send_eof()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        yield far
    assert far.closed or not isinstance(answer, bytes)


async def test_the_request_carries_what_it_was_given(autojump_clock: MockClock) -> None:
    heads: list[bytes] = []

    def answer(head: bytes) -> bytes:
        heads.append(head)
        return switching(head, b"Sec-WebSocket-Protocol: realtime", b"X-Request-Id: r-1") + frame(
            TEXT, b"glued", mask=None
        )

    async with server_says(answer) as wire:
        websocket = await handshake(
            wire,
            "wss://api.example.com/v1/realtime?model=m",
            headers={"Authorization": "Bearer k", "OpenAI-Organization": "o"},
            subprotocols=["realtime"],
        )
        assert (await websocket.receive()).data == b"glued"
        websocket.abort()
    [head] = heads
    assert head.startswith(b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: api.example.com\r\n")
    assert b"Authorization: Bearer k\r\n" in head
    assert b"OpenAI-Organization: o\r\n" in head
    assert b"Extensions" not in head
    assert websocket.subprotocol == "realtime"
    assert ("x-request-id", "r-1") in websocket.headers


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 503])
async def test_a_refusal_says_status_headers_and_body(status: int, autojump_clock: MockClock) -> None:
    body = b'{"error":{"code":"no"}}'
    answer = b"HTTP/1.1 %d No\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
    async with server_says(answer) as wire:
        with pytest.raises(HandshakeRefused) as caught:
            await handshake(wire, "ws://peer/")
    assert caught.value.status == status
    assert caught.value.headers["retry-after"] == "7"
    assert caught.value.body_prefix == body


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 401 No\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 401 No\r\n\r\n",
        b"HTTP/1.0 401 No\r\n\r\n",
        b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n",
    ],
)
async def test_of_a_long_body_only_the_beginning_is_read(head: bytes, autojump_clock: MockClock) -> None:
    async with server_says(head + b"x" * 10_000) as wire:
        with pytest.raises(HandshakeRefused) as caught:
            await handshake(wire, "ws://peer/")
    assert caught.value.body_prefix == b"x" * BODY_PREFIX_BYTES


async def test_a_refusal_whose_body_never_comes_is_still_a_refusal(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()

    async def serve() -> None:
        await read_head(near)
        near.try_send(b"HTTP/1.1 429 Slow\r\nContent-Length: 10\r\n\r\nonly")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(HandshakeRefused) as caught:
            await handshake(far, "ws://peer/")
    assert (caught.value.status, caught.value.body_prefix) == (429, b"only")
    assert trio.current_time() == pytest.approx(2.0)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 101 \r\n\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"x" * 40_000,
        b"\xff\xfe\r\n\r\n",
    ],
)
async def test_what_is_no_handshake_is_a_failed_connect(answer: bytes, autojump_clock: MockClock) -> None:
    async with server_says(answer) as wire:
        with pytest.raises(ConnectFailed):
            await handshake(wire, "ws://peer/")


@pytest.mark.parametrize(
    "answer",
    [
        lambda head: switching(head, accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        lambda head: switching(head, b"Sec-WebSocket-Protocol: never-offered"),
        lambda head: switching(head, b"Sec-WebSocket-Extensions: permessage-deflate"),
        lambda head: switching(head).replace(b"Upgrade: websocket\r\n", b""),
    ],
)
async def test_a_wrong_101_is_a_failed_connect(answer: Callable[[bytes], bytes], autojump_clock: MockClock) -> None:
    async with server_says(answer) as wire:
        with pytest.raises(ConnectFailed, match="handshake is wrong"):
            await handshake(wire, "ws://peer/")
        assert wire.closed


async def test_a_header_with_a_line_break_is_not_sent(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    with pytest.raises(ConnectFailed) as caught:
        await handshake(far, "ws://peer/", headers={"Authorization": "Bearer sk-1\r\nX: y"})
    assert "sk-1" not in str(caught.value)
    assert await near.receive() == b""


# Real sockets


@asynccontextmanager
async def listening(serve: Callable[[Wire], Awaitable[None]]) -> AsyncIterator[int]:
    async def handle(stream: trio.SocketStream) -> None:
        wire = SocketWire.from_stream(stream)
        try:
            await serve(wire)
        finally:
            wire.close()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_nobody_listening_is_a_failed_connect() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}"):
        await connect_websocket(f"ws://127.0.0.1:{port}/")


async def test_a_mute_server_is_given_up_after_the_deadline() -> None:
    async def mute(wire: Wire) -> None:
        await receive_to_end(wire)

    async with listening(mute) as port:
        with pytest.raises(ConnectFailed, match="did not answer within"):
            await connect_websocket(f"ws://127.0.0.1:{port}/", deadline_s=0.2)


@pytest.mark.parametrize("url", ["http://peer/", "ws://", "peer", "wss://peer/#fragment"])
async def test_what_is_no_websocket_url_is_a_failed_connect(url: str) -> None:
    with pytest.raises(ConnectFailed):
        await connect_websocket(url)


async def test_a_websocket_over_tls(tls: Contexts) -> None:
    async def serve(wire: Wire) -> None:
        secure = await start_tls(wire, tls.server, server_side=True)
        head, rest = await read_head(secure)
        websocket = await accept_websocket(secure, head, rest=rest)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            try:
                while True:
                    websocket.send((await websocket.receive()).data)
            except ConnectionLost:
                await websocket.aclose()

    async with listening(serve) as port, trio.open_nursery() as nursery:
        websocket = await connect_websocket(f"wss://localhost:{port}/", ssl_context=tls.client)
        nursery.start_soon(websocket.run)
        for size in (5, 6_400, 2_000, 900_000):
            websocket.send("x" * size)
            assert len((await websocket.receive()).data) == size
        with trio.fail_after(3):
            await websocket.aclose()


async def test_a_certificate_nobody_vouches_for_is_a_failed_connect(tls: Contexts) -> None:
    async def serve(wire: Wire) -> None:
        with pytest.raises(Exception, match="TLS"):
            await start_tls(wire, tls.server, server_side=True)

    async with listening(serve) as port:
        with pytest.raises(ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await connect_websocket(f"wss://localhost:{port}/", ssl_context=tls.stranger)
        with pytest.raises(ConnectFailed, match="TLS"):
            await connect_websocket(f"wss://localhost:{port}/")


async def test_a_handshake_in_single_bytes_is_understood() -> None:
    async def serve(wire: Wire) -> None:
        head, _ = await read_head(wire)
        for byte in switching(head) + frame(TEXT, b"slow", mask=None):
            await send_all(wire, bytes([byte]))
        frames = parse_frames(await receive_to_end(wire))
        assert frames[-1][0] == CLOSE

    async with listening(serve) as port:
        websocket = await connect_websocket(f"ws://127.0.0.1:{port}/")
        assert (await websocket.receive()).data == b"slow"
        await websocket.aclose(0.1)
