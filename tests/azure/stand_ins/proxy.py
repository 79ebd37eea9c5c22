"""An HTTP proxy for CONNECT that leads names on Azure to stand-ins: clients use the real names."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11
import trio

_PIECE_BYTES = 64 * 1024


@dataclass
class Proxy:
    """The proxy's address, and the hosts that were asked for."""

    url: str
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def serve_proxy(ports: Mapping[str, int]) -> AsyncIterator[Proxy]:
    """Serves on a loopback port; ``ports`` has the loopback port that stands in for each host."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = Proxy(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            parser = h11.Connection(h11.SERVER)
            while (event := parser.next_event()) is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some()))
            assert isinstance(event, h11.Request)
            host, _, _ = event.target.decode().partition(":")
            proxy.asked.append(host)
            if event.method != b"CONNECT" or host not in ports:
                await stream.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            async with await trio.open_tcp_stream("127.0.0.1", ports[host]) as there:
                await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_pass_on, stream, there, nursery.cancel_scope)
                    nursery.start_soon(_pass_on, there, stream, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, listeners)
        yield proxy
        nursery.cancel_scope.cancel()


async def _pass_on(source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        while piece := await source.receive_some(_PIECE_BYTES):
            await target.send_all(piece)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()
