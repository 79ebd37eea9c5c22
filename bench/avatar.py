"""A virtual avatar that speaks and listens all the time, in stamped audio. It asks nothing and understands nothing."""

import time
from functools import partial

import msgspec
import trio

from bench.frames import FrameSocket, Gone, connect
from bench.pace import keep_pace
from bench.stamps import HEAD_BYTES, Arrivals, Outgoing, Stamp, read_stamp, stamped_audio

_DELTA = b'"type":"response.output_audio.delta"'
_APPEND_HEAD = b'{"type":"input_audio_buffer.append","audio":"'
_CREATED = "session.created"


class _Event(msgspec.Struct):
    type: str
    error: object = None


class TalkingAvatar:
    """One session from its client's end.

    ``failure`` says why it ended early, if it did; ``connect_ms`` is from the first packet to ``session.created``.
    """

    def __init__(self, number: int, socket: FrameSocket, connect_ms: float) -> None:
        self.number = number
        self.connect_ms = connect_ms
        self.heard = Arrivals()
        self.sent = Outgoing()
        self.failure: str | None = None
        self.silenced = False
        self._socket = socket

    @classmethod
    async def open(cls, number: int, host: str, port: int, path: str, first: bytes | None) -> "TalkingAvatar":
        """Connects and waits for its session; ``first`` is what the server wants to hear before, if anything.

        The caller sets the deadline. Cancelling it leaves nothing open.

        Raises:
            Gone: no session came about; the message says why.
        """
        begun = time.perf_counter()
        socket = await connect(host, port, path)
        try:
            if first is not None:
                await socket.send(first)
            while (event := msgspec.json.decode((await socket.receive()).text(), type=_Event)).type != _CREATED:
                if event.type == "error":
                    raise Gone(f"the session was refused: {event.error}")
        except BaseException:
            await socket.aclose()
            raise
        return cls(number, socket, (time.perf_counter() - begun) * 1000)

    async def talk(self, begin_at: float) -> None:
        """Asks for a response, speaks from ``begin_at`` on until ``silenced``, and listens until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                await self._socket.send(b'{"type":"response.create"}')
                nursery.start_soon(
                    partial(keep_pace, self._speak, begin_at=begin_at, sent=self.sent, stopped=lambda: self.silenced)
                )
                while True:
                    frame = await self._socket.receive()
                    head = frame.head(HEAD_BYTES)
                    if _DELTA in head and (stamp := read_stamp(head, b"delta")) is not None:
                        self.heard.take(stamp, frame.received_ns)
                    elif b'"type":"error"' in head:
                        raise Gone(head.decode(errors="replace"))
        except* Gone as gone:
            self.failure = str(gone.exceptions[0])

    async def _speak(self, number: int) -> None:
        stamp = Stamp(self.number, number, time.perf_counter_ns())
        await self._socket.send(_APPEND_HEAD + stamped_audio(stamp) + b'"}')

    async def aclose(self) -> None:
        """Leaves."""
        await self._socket.aclose()
