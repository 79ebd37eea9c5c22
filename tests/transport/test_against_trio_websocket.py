"""Our WebSocket against an implementation that shares no code with it, over real sockets, in both roles."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio_websocket

from server.transport.accept import accept_websocket
from server.transport.client import connect_websocket
from server.transport.errors import ConnectionLost, HandshakeRefused
from server.transport.tls import start_tls
from server.transport.websocket import WebSocket, WebSocketOptions
from server.transport.wire import SocketWire, Wire
from tests.transport.conftest import Contexts
from tests.transport.peers import eventually, read_head

SIZES = [0, 1, 125, 126, 6_400, 65_535, 65_536, 500_000]

Handler = Callable[[WebSocket], Awaitable[None]]
TheirHandler = Callable[[trio_websocket.WebSocketConnection], Awaitable[None]]


async def echo(websocket: WebSocket) -> None:
    try:
        while True:
            websocket.send((await websocket.receive()).data)
    except ConnectionLost:
        pass


@asynccontextmanager
async def our_server(
    handler: Handler, *, tls: Contexts | None = None, options: WebSocketOptions | None = None
) -> AsyncIterator[str]:
    async def handle(stream: trio.SocketStream) -> None:
        wire: Wire = SocketWire.from_stream(stream)
        if tls is not None:
            wire = await start_tls(wire, tls.server, server_side=True)
        head, rest = await read_head(wire)
        websocket = await accept_websocket(wire, head, rest=rest, options=options)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            await handler(websocket)
            await websocket.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        yield f"wss://localhost:{port}/" if tls else f"ws://127.0.0.1:{port}/"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def their_client(
    url: str, context: ssl.SSLContext | None = None
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    async with trio_websocket.open_websocket_url(url, context) as theirs:
        try:
            yield theirs
        finally:
            if theirs.closed is not None:
                # Where the server closes first, this client never gives its socket back by itself.
                await trio.aclose_forcefully(theirs._stream)


@asynccontextmanager
async def their_server(handler: TheirHandler, *, tls: Contexts | None = None) -> AsyncIterator[str]:
    async def accept(request: trio_websocket.WebSocketRequest) -> None:
        await handler(await request.accept())

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(trio_websocket.serve_websocket, accept, "127.0.0.1", 0, tls.server if tls else None)
        )
        yield f"wss://localhost:{server.port}/" if tls else f"ws://127.0.0.1:{server.port}/"
        nursery.cancel_scope.cancel()


async def their_echo(websocket: trio_websocket.WebSocketConnection) -> None:
    try:
        while True:
            await websocket.send_message(await websocket.get_message())
    except trio_websocket.ConnectionClosed:
        pass


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_their_client_is_echoed_by_our_server(secure: bool, tls: Contexts) -> None:
    context = tls.client if secure else None
    async with (
        our_server(echo, tls=tls if secure else None) as url,
        their_client(url, context) as theirs,
    ):
        for size in SIZES:
            text = "ä" * (size // 2)
            await theirs.send_message(text)
            assert await theirs.get_message() == text
        await theirs.ping(b"alive?")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_our_client_is_echoed_by_their_server(secure: bool, tls: Contexts) -> None:
    async with their_server(their_echo, tls=tls if secure else None) as url:
        ours = await connect_websocket(url, ssl_context=tls.client if secure else None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.run)
            for size in SIZES:
                ours.send("x" * size)
                assert (await ours.receive()).data == b"x" * size
            with trio.fail_after(3):
                await ours.aclose()


async def test_many_messages_both_ways_at_once_stay_in_order() -> None:
    count = 500

    async def serve(websocket: WebSocket) -> None:
        for number in range(count):
            websocket.send(f"{number}".ljust(3_000))
        for number in range(count):
            assert (await websocket.receive()).data.strip() == b"%d" % number

    async with our_server(serve) as url, their_client(url) as theirs:

        async def talk() -> None:
            for number in range(count):
                await theirs.send_message(f"{number}".ljust(3_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            for number in range(count):
                assert (await theirs.get_message()).strip() == f"{number}"


async def test_their_client_sees_our_close_code_and_reason() -> None:
    async def refuse(websocket: WebSocket) -> None:
        await trio.lowlevel.checkpoint()
        websocket.send('{"type":"error"}')
        websocket.close(4404, "unknown knowledge base")

    async with our_server(refuse) as url, their_client(url) as theirs:
        assert await theirs.get_message() == '{"type":"error"}'
        with pytest.raises(trio_websocket.ConnectionClosed):
            await theirs.get_message()
        assert theirs.closed is not None
        assert (theirs.closed.code, theirs.closed.reason) == (4404, "unknown knowledge base")


async def test_our_client_sees_their_close_code_and_reason() -> None:
    async def close(websocket: trio_websocket.WebSocketConnection) -> None:
        await websocket.aclose(4000, "invalid_request_error.missing_model")

    async with their_server(close) as url:
        ours = await connect_websocket(url)
        with pytest.raises(ConnectionLost) as caught:
            await ours.receive()
        await ours.aclose()
    loss = caught.value
    assert (loss.code, loss.reason, loss.by) == (4000, "invalid_request_error.missing_model", "peer")


async def test_their_client_that_sends_too_much_sees_1009_every_time() -> None:
    async def receive(websocket: WebSocket) -> None:
        with pytest.raises(ConnectionLost):
            await websocket.receive()

    async with our_server(receive, options=WebSocketOptions(max_message_bytes=1_000)) as url:
        for _ in range(20):
            async with their_client(url) as theirs:
                with contextlib.suppress(trio_websocket.ConnectionClosed):
                    await theirs.send_message("x" * 200_000)
                with pytest.raises(trio_websocket.ConnectionClosed):
                    await theirs.get_message()
                assert theirs.closed is not None
                assert theirs.closed.code == 1009


async def test_a_refusal_of_theirs_is_a_refusal_to_us() -> None:
    async def reject(request: trio_websocket.WebSocketRequest) -> None:
        await request.reject(401, extra_headers=[(b"X-Why", b"key")], body=b'{"error":{}}')

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(trio_websocket.serve_websocket, reject, "127.0.0.1", 0, None))
        with pytest.raises(HandshakeRefused) as caught:
            await connect_websocket(f"ws://127.0.0.1:{server.port}/")
        nursery.cancel_scope.cancel()
    assert caught.value.status == 401
    assert caught.value.headers["x-why"] == "key"
    assert caught.value.body_prefix == b'{"error":{}}'


async def test_two_hundred_connections_leave_no_descriptor_and_no_task(open_descriptors: Callable[[], int]) -> None:
    async with our_server(echo) as url:
        before, tasks = open_descriptors(), trio.lowlevel.current_statistics().tasks_living
        for number in range(200):
            ours = await connect_websocket(url)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.run)
                ours.send("x")
                await ours.receive()
                if number % 2:
                    await ours.aclose()
                else:
                    ours.abort()
        await eventually(lambda: open_descriptors() <= before)
        await eventually(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks)
