"""Takes what the server exports over OTLP and throws it away, as quickly as it can. It reads nothing of it."""

import re

import trio

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
_READ_BYTES = 65536


class Collector:
    """Attributes: ``requests`` and ``bytes`` that came."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled; ``task_status`` gets the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._take, listeners)

    async def _take(self, stream: trio.SocketStream) -> None:
        data = b""
        async with stream:
            try:
                while True:
                    while (end := data.find(b"\r\n\r\n")) < 0:
                        if not (piece := await stream.receive_some(_READ_BYTES)):
                            return
                        data += piece
                    length = _LENGTH.search(data, 0, end + 2)
                    left = (int(length[1]) if length else 0) - (len(data) - end - 4)
                    while left > 0:
                        if not (piece := await stream.receive_some(min(left, _READ_BYTES))):
                            return
                        left -= len(piece)
                        self.bytes += len(piece)
                    data = data[len(data) + left :] if left < 0 else b""
                    self.requests += 1
                    await stream.send_all(_OK)
            except trio.BrokenResourceError:
                return  # the server has ended
