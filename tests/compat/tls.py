"""Ends TLS in front of a server, as a proxy would; for clients that cannot speak plainly. Reads nothing of it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
import trustme

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024


class Authority:
    """A certificate authority of the tests; ``file`` is what clients are told to trust."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def server_context(self) -> ssl.SSLContext:
        """What a server on this machine shows."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(HOST, "localhost").configure_cert(context)
        return context


@asynccontextmanager
async def in_front_of(port: int, authority: Authority) -> AsyncIterator[int]:
    """A port that speaks TLS, for as long as the block lasts; what comes there goes to ``port``, and back."""
    context = authority.server_context()

    async def forward(client: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with client, await trio.open_tcp_stream(HOST, port) as server, trio.open_nursery() as nursery:
                nursery.start_soon(_pump, client, server)
                await _pump(server, client)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            # Either side may leave as it likes, or not be there; the clients judge that.
            pass

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_ssl_over_tcp, forward, 0, context, host=HOST, https_compatible=True)
        listeners = await nursery.start(listen)
        yield int(listeners[0].transport_listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def _pump(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
    while piece := await source.receive_some(_CHUNK_BYTES):
        await sink.send_all(piece)
