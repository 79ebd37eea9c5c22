import pytest
import trio
from trio_websocket import WebSocketRequest, open_websocket, serve_websocket

from bench.frames import FrameSocket, Gone, accept, connect

TEXTS = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65_535, b"e" * 65_536]


async def _echo(stream: trio.SocketStream) -> None:
    socket = await accept(stream)
    try:
        while True:
            await socket.send((await socket.receive()).text())
    except Gone:
        pass
    finally:
        await socket.aclose()


async def _port(nursery: trio.Nursery) -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, _echo, listeners)
    port: int = listeners[0].socket.getsockname()[1]
    return port


async def _echoed(socket: FrameSocket, text: bytes) -> bytes:
    await socket.send(text)
    return (await socket.receive()).text()


async def test_frames_of_every_length_come_through_both_ends(nursery: trio.Nursery) -> None:
    with trio.fail_after(5):
        socket = await connect("127.0.0.1", await _port(nursery), "/")
        assert [await _echoed(socket, text) for text in TEXTS] == TEXTS
        await socket.aclose()
    nursery.cancel_scope.cancel()


async def test_an_independent_client_talks_to_the_accepting_end(nursery: trio.Nursery) -> None:
    with trio.fail_after(5):
        port = await _port(nursery)
        async with open_websocket("127.0.0.1", port, "/", use_ssl=False, disconnect_timeout=1) as other:
            for text in TEXTS:
                await other.send_message(text.decode())
                assert await other.get_message() == text.decode()
            await other.ping()
    nursery.cancel_scope.cancel()


async def test_an_independent_server_talks_to_the_connecting_end(nursery: trio.Nursery) -> None:
    async def answer(request: WebSocketRequest) -> None:
        other = await request.accept()
        await other.ping()
        await other.send_message(await other.get_message())

    with trio.fail_after(5):
        server = await nursery.start(serve_websocket, answer, "127.0.0.1", 0, None)
        socket = await connect("127.0.0.1", server.port, "/")
        await socket.send(b"x" * 70_000)
        assert (await socket.receive()).head(3) == b"xxx"
        with pytest.raises(Gone, match="closed with 1000"):
            await socket.receive()
        await socket.aclose()
    nursery.cancel_scope.cancel()


async def test_a_refused_handshake_and_a_closed_port_are_told() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await stream.aclose()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, refuse, listeners)
            with pytest.raises(Gone, match="404"):
                await connect("127.0.0.1", port, "/")
            nursery.cancel_scope.cancel()
        with pytest.raises(Gone, match="cannot be reached"):
            await connect("127.0.0.1", port, "/")
