"""A Realtime service that plays by a script, over in-memory wires. It knows the wire's events and decides nothing."""

import base64
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import trio

from protocol.errors import UpstreamFault
from server.transport.errors import ConnectionLost
from server.transport.memory import MemoryWire, memory_wire_pair
from server.transport.websocket import WebSocket, WebSocketOptions
from server.upstream.websocket import WebSocketConnection
from tests.transport.peers import open_websocket

Json = dict[str, Any]

BYTES_PER_MS = 48
CLOSE_S = 2.0
NAME = "the scripted service"
HANGS = "hangs"
"""A script for a connection that never comes about."""

USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 20, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 5},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 0},
}


class Line:
    """One connection, seen from the service. ``received`` is what came, with its times; ``lost`` is how it ended."""

    def __init__(self, websocket: WebSocket, wire: MemoryWire, nursery: trio.Nursery) -> None:
        self.websocket = websocket
        self.wire = wire
        self.nursery = nursery
        self.received: list[tuple[float, Json]] = []
        self.lost: ConnectionLost | None = None
        vad = {"type": "server_vad", "create_response": True, "interrupt_response": True}
        self.session: Json = {"type": "realtime", "audio": {"input": {"turn_detection": vad}}}
        self.cancelled = trio.Event()
        self.begun: list[str] = []
        self._arrived, self._inbox = trio.open_memory_channel[Json](100_000)
        self._ids = itertools.count(1)

    async def read(self) -> None:
        """Takes in what comes, to the end."""
        with self._arrived:
            try:
                while True:
                    event = msgspec.json.decode((await self.websocket.receive()).data)
                    self.received.append((trio.current_time(), event))
                    self._arrived.send_nowait(event)
            except ConnectionLost as lost:
                self.lost = lost

    async def receive(self) -> Json:
        """The next event; ``trio.EndOfChannel`` when the connection has ended."""
        return await self._inbox.receive()

    async def until(self, event_type: str) -> Json:
        """Reads on to an event of this type."""
        while (event := await self.receive())["type"] != event_type:
            pass
        return event

    def of(self, event_type: str) -> list[Json]:
        """What came of one type."""
        return [event for _, event in self.received if event["type"] == event_type]

    def send(self, event_type: str, **fields: Any) -> None:
        """Says an event."""
        event = {"type": event_type, "event_id": f"event_{next(self._ids)}", **fields}
        self.websocket.send(msgspec.json.encode(event))

    # What a service usually says

    def greet(self) -> None:
        self.send("session.created", session={"type": "realtime", "id": "sess_1"})

    def confirm(self, update: Json) -> None:
        """Confirms a session.update."""
        self.session = _merged(self.session, update["session"])
        self.send("session.updated", session=self.session)

    def place(self, item: Json, previous: str | None = None) -> None:
        """Puts an item into the conversation."""
        self.send("conversation.item.added", previous_item_id=previous, item=item)
        self.send("conversation.item.done", previous_item_id=previous, item=item)

    def begin(self, response_id: str, *, conversation: str | None = "conv_1", metadata: Json | None = None) -> None:
        self.begun.append(response_id)
        response = self._response(response_id, "in_progress", conversation, [])
        self.send("response.created", response={**response, "metadata": metadata})

    def finish(
        self,
        response_id: str,
        *output: Json,
        status: str = "completed",
        conversation: str | None = "conv_1",
        metadata: Json | None = None,
    ) -> None:
        response = self._response(response_id, status, conversation, list(output))
        self.send("response.done", response={**response, "usage": USAGE, "metadata": metadata})

    @staticmethod
    def _response(response_id: str, status: str, conversation: str | None, output: list[Json]) -> Json:
        return {
            "object": "realtime.response",
            "id": response_id,
            "status": status,
            "status_details": None,
            "output": output,
            "conversation_id": conversation,
            "usage": None,
            "metadata": None,
        }

    def audio(self, response_id: str, item_id: str, ms: float, fill: int = 1) -> None:
        """A piece of speech."""
        self.send(
            "response.output_audio.delta",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta=sound(ms, fill),
        )

    async def speak(self, response_id: str, text: str, *, ms: float = 400, gap_s: float = 0.0, **kwargs: Any) -> None:
        """A whole spoken answer: 100 ms of sound at a time, ``gap_s`` apart. Ends early when it is cancelled."""
        self.begin(response_id, **kwargs)
        item = {"id": f"item_{response_id}", "type": "message", "role": "assistant", "status": "in_progress"}
        self.send("response.output_item.added", response_id=response_id, output_index=0, item={**item, "content": []})
        spoken = 0.0
        status = "completed"
        while spoken < ms:
            self.audio(response_id, item["id"], 100)
            spoken += 100
            with trio.move_on_after(gap_s):
                await self.cancelled.wait()
            if self.cancelled.is_set():
                status, self.cancelled = "cancelled", trio.Event()
                break
        content = [{"type": "output_audio", "transcript": text}]
        done = {**item, "status": "completed" if status == "completed" else "incomplete", "content": content}
        self.send("response.output_item.done", response_id=response_id, output_index=0, item=done)
        self.finish(response_id, done, status=status, **kwargs)

    def call(self, response_id: str, *calls: tuple[str, str, str], **kwargs: Any) -> None:
        """A response that only calls tools: (call id, tool, arguments)."""
        self.begin(response_id, **kwargs)
        items = []
        for number, (call_id, name, arguments) in enumerate(calls):
            item = {
                "id": f"item_{call_id}",
                "type": "function_call",
                "status": "completed",
                "call_id": call_id,
                "name": name,
                "arguments": arguments,
            }
            self.place(item)
            self.send("response.output_item.done", response_id=response_id, output_index=number, item=item)
            items.append(item)
        self.finish(response_id, *items, **kwargs)


Answer = Callable[[Line, Json], Awaitable[None]]
Script = Callable[[Line], Awaitable[None]]


def converse(*answers: Answer) -> Script:
    """A service that greets, confirms, echoes items, and answers each response.create with the next of ``answers``."""

    async def script(line: Line) -> None:
        waiting = list(answers)
        line.greet()
        while True:
            event = await line.receive()
            match event["type"]:
                case "session.update":
                    line.confirm(event)
                case "conversation.item.create":
                    line.place({"id": f"item_{len(line.received)}", **event["item"]}, event.get("previous_item_id"))
                case "response.create" if waiting:
                    line.nursery.start_soon(waiting.pop(0), line, event)
                case "response.cancel":
                    line.cancelled.set()
                case "conversation.item.truncate":
                    line.send("conversation.item.truncated", **{k: event[k] for k in _TRUNCATED})

    return script


_TRUNCATED = ("item_id", "content_index", "audio_end_ms")


class ScriptedService:
    """Implements ``Connector``: each connection follows the next script, the last one from then on.

    An exception in place of a script is what connecting ends with; ``HANGS`` never ends.
    """

    name = NAME

    def __init__(self, nursery: trio.Nursery, *scripts: Script | UpstreamFault | str) -> None:
        self._nursery = nursery
        self._scripts = scripts
        self.attempts: list[float] = []
        self.lines: list[Line] = []

    @property
    def line(self) -> Line:
        """The latest connection."""
        return self.lines[-1]

    async def connect(self) -> WebSocketConnection:
        script = self._scripts[min(len(self.attempts), len(self._scripts) - 1)]
        self.attempts.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if isinstance(script, UpstreamFault):
            raise script
        if isinstance(script, str):
            await trio.sleep_forever()
            raise AssertionError("it hangs")  # noqa: TRY004 - for the type checker
        near, far = memory_wire_pair()
        options = WebSocketOptions(
            max_audio_ms=15_000, audio_overflow="drop-oldest", ping_interval_s=20, pong_timeout_s=20
        )
        self._nursery.start_soon(self._serve, far, script)
        return WebSocketConnection(open_websocket(near, "client", options), NAME, CLOSE_S)

    async def _serve(self, wire: MemoryWire, script: Script) -> None:
        websocket = open_websocket(wire, "server", WebSocketOptions(max_message_bytes=2**25, ping_interval_s=1e9))
        async with trio.open_nursery() as nursery:
            line = Line(websocket, wire, nursery)
            self.lines.append(line)
            nursery.start_soon(websocket.run)
            nursery.start_soon(self._play, line, script)
            await line.read()
            await websocket.aclose(CLOSE_S)
            nursery.cancel_scope.cancel()

    @staticmethod
    async def _play(line: Line, script: Script) -> None:
        with suppress(trio.EndOfChannel):  # the other side has left
            await script(line)


def sound(ms: float, fill: int = 1) -> str:
    """PCM16 at 24 kHz, as events carry it."""
    return base64.b64encode(bytes([fill]) * int(ms * BYTES_PER_MS)).decode()


def _merged(old: Json, new: Json) -> Json:
    result = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        result[key] = _merged(old[key], value) if both else value
    return result
