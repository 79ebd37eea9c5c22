"""A small model of the Realtime service, in memory: takes frames, keeps items and responses, and answers by the rules.

It knows nothing of the machine under test. What it says waits in ``down`` until a test reads it, so that a test decides
who overtakes whom. What a response consists of is told by ``shapes``: ``say`` (audio), ``write`` (text), ``look`` (a
call of the server's tool), ``ask`` (a call of the client's tool).
"""

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Shape = tuple[str, ...]

SERVER_TOOL = {
    "type": "function",
    "name": "search_knowledge_base",
    "description": "d",
    "parameters": {"type": "object"},
}
CLIENT_TOOL = {"type": "function", "name": "wave_hand", "description": "d", "parameters": {"type": "object"}}

# Milliseconds of sound in one delta of the model: small, so that a test can count.
DELTA_MS = 100
_SOUND = base64.b64encode(bytes(DELTA_MS * 48)).decode()


@dataclass
class Running:
    """A response under way."""

    id: str
    in_band: bool
    params: Event
    steps: Iterator[Event]
    cancelled: str | None = None
    item: Event | None = None
    output: list[Event] = field(default_factory=list)


class Service:
    """The other side of the machine.

    Attributes:
        down: frames that were sent and not read yet.
        begun_by: the ``event_id`` of the ``response.create`` that began a response; None if speech did.
        refused: event ids of refused client events.
        calls: the item of each call.
        outputs: what each call was answered with, in order.
        asked: every ``response.create`` that arrived.
    """

    def __init__(
        self, next_shape: Callable[[], Shape], *, interrupts: bool = True, answers_speech: bool = True
    ) -> None:
        self._next_shape = next_shape
        self._count = 0
        self._interrupts, self._answers_speech = interrupts, answers_speech
        # It does as its session says; one that does not answers whatever it was told.
        self.heeds = True
        self.session: Event = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_1",
            "tools": [],
            "tool_choice": "auto",
            "instructions": "",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": {"type": "server_vad", "interrupt_response": interrupts},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"},
            },
        }
        self.down: deque[bytes] = deque()
        self.items: list[str] = []
        self.calls: dict[str, str] = {}
        self.outputs: dict[str, list[str]] = {}
        self.active: Running | None = None
        self.beside: list[Running] = []
        self.speech: str | None = None
        self.begun_by: dict[str, str | None] = {}
        self.refused: list[str | None] = []
        self.asked: list[Event] = []
        self.truncated: list[Event] = []
        self.say({"type": "session.created", "session": self.session})

    def anew(self) -> "Service":
        """The service at another connection: a new session that knows nothing of this one, and repeats no id."""
        fresh = Service(self._next_shape, interrupts=self._interrupts, answers_speech=self._answers_speech)
        fresh.down.clear()
        fresh._count = self._count + 1000
        fresh.begun_by, fresh.calls = self.begun_by, {}
        fresh.say({"type": "session.created", "session": fresh.session})
        return fresh

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count:05d}"

    def say(self, event: Event) -> None:
        """Sends an event."""
        event = {"type": event["type"], "event_id": self._id("event"), **event}
        self.down.append(json.dumps(event, separators=(",", ":")).encode())

    # What arrives

    def take(self, frame: bytes) -> None:
        """A frame arrived."""
        event = json.loads(frame)
        kind = event["type"]
        match kind:
            case "session.update":
                _merge(self.session, event["session"])
                self.say({"type": "session.updated", "session": self.session})
            case "response.create":
                self._create_response(event)
            case "response.cancel":
                self._cancel(event)
            case "conversation.item.create":
                self._create_item(event)
            case "conversation.item.truncate" | "conversation.item.delete" | "conversation.item.retrieve":
                self._touch_item(event, kind.rsplit(".", 1)[1])
            case "input_audio_buffer.commit":
                self._commit(self._id("item"))
            case "input_audio_buffer.clear":
                self.say({"type": "input_audio_buffer.cleared"})

    def refuse(self, event: Event, code: str, message: str = "no") -> None:
        """Answers an event with an error."""
        self.refused.append(event.get("event_id"))
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        self.say({"type": "error", "error": {**error, "event_id": event.get("event_id")}})

    def _create_item(self, event: Event) -> None:
        previous = event.get("previous_item_id")
        item = {"id": self._id("item"), "object": "realtime.item", "status": "completed", **event["item"]}
        if previous is not None and previous != "root" and previous not in self.items:
            self.refuse(event, "item_create_invalid_item_id")
        elif item["id"] in self.items:
            self.refuse(event, "item_create_duplicate_item_id")
        elif item["type"] == "function_call_output" and item["call_id"] not in self.calls:
            self.refuse(event, "invalid_tool_call_id")
        else:
            if item["type"] == "function_call":
                self.calls[item["call_id"]] = item["id"]
            if item["type"] == "function_call_output":
                self.outputs.setdefault(item["call_id"], []).append(item["output"])
            self._place(item, previous)

    def _place(self, item: Event, previous: str | None = None, *, done: bool = True) -> None:
        index = {None: len(self.items), "root": 0}.get(previous, -1)
        if index < 0:
            index = self.items.index(str(previous)) + 1
        self.items.insert(index, item["id"])
        self.say({"type": "conversation.item.added", **self._where(item)})
        if done:
            self.say({"type": "conversation.item.done", **self._where(item)})

    def _where(self, item: Event) -> Event:
        index = self.items.index(item["id"]) if item["id"] in self.items else 0
        return {"previous_item_id": self.items[index - 1] if index else None, "item": item}

    def _touch_item(self, event: Event, verb: str) -> None:
        if event["item_id"] not in self.items:
            self.refuse(event, f"item_{verb}_invalid_item_id")
        elif verb == "retrieve":
            self.say({"type": "conversation.item.retrieved", "item": {"id": event["item_id"], "type": "message"}})
        elif verb == "delete":
            self.items.remove(event["item_id"])
            self.say({"type": "conversation.item.deleted", "item_id": event["item_id"]})
        else:
            self.truncated.append(event)
            kept = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
            self.say({"type": "conversation.item.truncated", **kept})

    # Speech

    def speech_starts(self) -> None:
        """The user begins to speak."""
        if self.speech is None:
            self.speech = self._id("item")
            self.say({"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": self.speech})
            if self._interrupts and self.active is not None:
                self._wind_down(self.active, "turn_detected")

    def speech_stops(self) -> None:
        """The user stops; the service commits and answers, unless it is still answering."""
        if self.speech is not None:
            item_id, self.speech = self.speech, None
            self.say({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900, "item_id": item_id})
            self._commit(item_id)
            self.say(
                {
                    "type": "conversation.item.input_audio_transcription.completed",
                    "item_id": item_id,
                    "content_index": 0,
                    "transcript": "When does it open?",
                }
            )
            if self._answers_by_itself and self.active is None:
                self._begin({}, None)

    @property
    def _answers_by_itself(self) -> bool:
        detection = self.session.get("audio", {}).get("input", {}).get("turn_detection") or {}
        return self._answers_speech and (not self.heeds or detection.get("create_response") is not False)

    def _commit(self, item_id: str) -> None:
        previous = self.items[-1] if self.items else None
        self.say({"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous})
        content = [{"type": "input_audio", "transcript": None}]
        self._place({"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content})

    # Responses

    def _create_response(self, event: Event) -> None:
        self.asked.append(event)
        params = event.get("response") or {}
        if params.get("conversation") != "none" and self.active is not None:
            message = f"Conversation already has an active response in progress: {self.active.id}"
            self.refuse(event, "conversation_already_has_active_response", message)
        else:
            self._begin(params, event.get("event_id"))

    def _begin(self, params: Event, asked_by: str | None) -> None:
        in_band = params.get("conversation") != "none"
        running = Running(self._id("resp"), in_band, params, iter(()))
        shape = self._next_shape()
        tools: list[Event] = params["tools"] if "tools" in params else self.session["tools"]
        offered = {tool["name"] for tool in tools}
        if params.get("tool_choice", self.session["tool_choice"]) == "none":
            offered = set()
        names = {"look": str(SERVER_TOOL["name"]), "ask": str(CLIENT_TOOL["name"])}
        parts = [part for part in shape if part not in names or names[part] in offered] or (["write"] if shape else [])
        running.steps = self._steps(running, parts)
        self.begun_by[running.id] = asked_by
        if in_band:
            self.active = running
        else:
            self.beside.append(running)
        self.say({"type": "response.created", "response": self._response(running, "in_progress")})

    def _response(self, running: Running, status: str) -> Event:
        ended = status != "in_progress"
        reason = {"type": status, "reason": running.cancelled} if running.cancelled else None
        count = 10 + self._count
        return {
            "object": "realtime.response",
            "id": running.id,
            "status": status,
            "status_details": reason,
            "output": list(running.output),
            "conversation_id": "conv_1" if running.in_band else None,
            "metadata": running.params.get("metadata"),
            "usage": {"total_tokens": count, "input_tokens": count - 7, "output_tokens": 7} if ended else None,
        }

    def _steps(self, running: Running, parts: list[str]) -> Iterator[Event]:
        for index, part in enumerate(parts):
            item: Event = {"id": self._id("item"), "object": "realtime.item", "status": "in_progress"}
            where = {"response_id": running.id, "item_id": item["id"], "output_index": index}
            if part in ("look", "ask"):
                name = str((SERVER_TOOL if part == "look" else CLIENT_TOOL)["name"])
                item |= {"type": "function_call", "name": name, "call_id": self._id("call"), "arguments": ""}
                self.calls[item["call_id"]] = item["id"]
            else:
                item |= {"type": "message", "role": "assistant", "content": []}
            running.item = item
            yield {"type": "response.output_item.added", "response_id": running.id, "output_index": index, "item": item}
            if running.in_band:
                self.items.append(item["id"])
                yield {"type": "conversation.item.added", **self._where(item)}
            if part in ("look", "ask"):
                where["call_id"] = item["call_id"]
                item["arguments"] = '{"query":"opening hours"}'
                yield {"type": "response.function_call_arguments.delta", **where, "delta": item["arguments"]}
                done = {"arguments": item["arguments"], "name": item["name"]}
                yield {"type": "response.function_call_arguments.done", **where, **done}
            else:
                yield from self._utter(item, {**where, "content_index": 0}, part)
            item["status"] = "completed"
            running.output.append(item)
            running.item = None
            if running.in_band:
                yield {"type": "conversation.item.done", **self._where(item)}
            yield {"type": "response.output_item.done", "response_id": running.id, "output_index": index, "item": item}

    def _utter(self, item: Event, where: Event, part: str) -> Iterator[Event]:
        kind = "audio" if part == "say" else "text"
        yield {"type": "response.content_part.added", **where, "part": {"type": kind}}
        if part == "say":
            for word in ("We ", "open ", "at nine."):
                yield {"type": "response.output_audio_transcript.delta", **where, "delta": word}
                yield {"type": "response.output_audio.delta", **where, "delta": _SOUND}
            yield {"type": "response.output_audio.done", **where}
            yield {"type": "response.output_audio_transcript.done", **where, "transcript": "We open at nine."}
            item["content"] = [{"type": "output_audio", "transcript": "We open at nine."}]
        else:
            yield {"type": "response.output_text.delta", **where, "delta": "At nine."}
            yield {"type": "response.output_text.done", **where, "text": "At nine."}
            item["content"] = [{"type": "output_text", "text": "At nine."}]
        yield {"type": "response.content_part.done", **where, "part": {"type": kind}}

    def generate(self, steps: int = 1) -> int:
        """Goes on with what is being answered; returns how many events that gave."""
        for step in range(steps):
            running = self.active or (self.beside[0] if self.beside else None)
            if running is None:
                return step
            event = next(running.steps, None)
            if event is None:
                self._end(running, "completed")
            else:
                self.say(event)
        return steps

    def _end(self, running: Running, status: str) -> None:
        if running is self.active:
            self.active = None
        else:
            self.beside.remove(running)
        self.say({"type": "response.done", "response": self._response(running, status)})
        self.say({"type": "rate_limits.updated", "rate_limits": []})

    def _cancel(self, event: Event) -> None:
        named = event.get("response_id")
        if self.active is not None and named in (None, self.active.id):
            self._wind_down(self.active, "client_cancelled")
        elif beside := [running for running in self.beside if running.id == named]:
            self._wind_down(beside[0], "client_cancelled")
        else:
            self.refuse(event, "response_cancel_not_active", "Cancellation failed: no active response found")

    def _wind_down(self, running: Running, reason: str) -> None:
        running.cancelled = reason
        if (item := running.item) is not None:
            item["status"] = "incomplete"
            running.output.append(item)
            where = {"response_id": running.id, "output_index": len(running.output) - 1}
            if running.in_band and item["id"] in self.items:
                self.say({"type": "conversation.item.done", **self._where(item)})
            self.say({"type": "response.output_item.done", **where, "item": item})
        self._end(running, "cancelled")


def _merge(into: Event, update: Event) -> None:
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
