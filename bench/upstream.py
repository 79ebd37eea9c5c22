"""A Realtime service that does nothing but keep time: it confirms settings, then speaks 100 ms of sound every 100 ms.

Its clock is its own, so what a relay delays does not slow it down. It answers no question and judges no event.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import trio

from bench.frames import FrameSocket, Gone, accept
from bench.pace import keep_pace
from bench.stamps import FRAME_S, HEAD_BYTES, Arrivals, Outgoing, Stamp, read_stamp, stamped_audio

_HANDSHAKE_S = 5.0
_APPEND = b'"type":"input_audio_buffer.append"'


class UpstreamSession:
    """One connection to the service: what it sent and what it received."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.heard = Arrivals()
        self.sent = Outgoing()
        self.silenced = False


class PacedUpstream:
    """The service. ``sessions`` are all that ever connected, in order.

    Args:
        phase: the share of a frame's time, 0..1, by which a session's speech is shifted; called once per session.
    """

    def __init__(self, phase: Callable[[], float]) -> None:
        self.sessions: list[UpstreamSession] = []
        self._phase = phase

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves on a loopback port of the system's choice, which ``task_status`` gets, until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._serve, listeners)

    def silence(self) -> None:
        """Ends all speech: nothing more is sent to anybody."""
        for session in self.sessions:
            session.silenced = True

    async def _serve(self, stream: trio.SocketStream) -> None:
        socket: FrameSocket | None = None
        try:
            with trio.fail_after(_HANDSHAKE_S):
                socket = await accept(stream)
            await self._converse(socket)
        except* (Gone, trio.TooSlowError, trio.BrokenResourceError):
            pass  # how a session ended is told by the other end, which has the figures
        finally:
            if socket is not None:
                await socket.aclose()
            await trio.aclose_forcefully(stream)

    async def _converse(self, socket: FrameSocket) -> None:
        session = UpstreamSession(len(self.sessions))
        self.sessions.append(session)
        state: dict[str, Any] = {"type": "realtime", "object": "realtime.session", "id": f"sess_{session.number}"}
        await _say(socket, "session.created", session=state)
        async with trio.open_nursery() as nursery:
            while True:
                frame = await socket.receive()
                head = frame.head(HEAD_BYTES)
                if _APPEND in head:
                    if (stamp := read_stamp(head, b"audio")) is not None:
                        session.heard.take(stamp, frame.received_ns)
                    continue
                event = msgspec.json.decode(frame.text())
                match event["type"]:
                    case "session.update":
                        state |= event["session"]
                        await _say(socket, "session.updated", session=state)
                    case "response.create" if not session.sent.count:
                        nursery.start_soon(self._speak, socket, session)

    async def _speak(self, socket: FrameSocket, session: UpstreamSession) -> None:
        names = {"response_id": f"resp_{session.number}", "item_id": f"item_{session.number}"}
        place = {"output_index": 0, "content_index": 0}
        response = {"object": "realtime.response", "id": names["response_id"], "status": "in_progress", "output": []}
        response |= {"conversation_id": f"conv_{session.number}"}
        item = {"id": names["item_id"], "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        await _say(socket, "response.created", response=response)
        await _say(socket, "response.output_item.added", response_id=names["response_id"], output_index=0, item=item)
        await _say(socket, "conversation.item.added", previous_item_id=None, item=item)
        await _say(socket, "response.content_part.added", **names, **place, part={"type": "audio", "transcript": ""})
        await keep_pace(
            partial(self._speak_once, socket, session, msgspec.json.encode(names | place)[1:-1]),
            begin_at=trio.current_time() + self._phase() * FRAME_S,
            sent=session.sent,
            stopped=lambda: session.silenced,
        )

    async def _speak_once(self, socket: FrameSocket, session: UpstreamSession, place: bytes, number: int) -> None:
        head = b'{"type":"response.output_audio.delta","event_id":"event_%016x",%b,"delta":"' % (number, place)
        stamp = Stamp(session.number, number, time.perf_counter_ns())
        await socket.send(head + stamped_audio(stamp) + b'"}')


async def _say(socket: FrameSocket, event_type: str, **fields: Any) -> None:
    event = {"type": event_type, "event_id": f"event_{time.perf_counter_ns():x}", **fields}
    await socket.send(msgspec.json.encode(event))
