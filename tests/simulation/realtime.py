"""The model of the service behind the wire: one session of it, its context, its ears, and its meter.

It keeps the rules of the Realtime protocol as the reference has them and answers by ``mind``. It knows no connection:
events go out through ``say``. Every ``response.done`` it says counts on the meter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import trio

from tests.simulation import meter, sound
from tests.simulation.ears import Ears
from tests.simulation.mind import SEARCH, Intent, Item, Json, decide
from tests.simulation.sound import VOICE, Sound

_TOP_LEVEL = frozenset(
    {"type", "model", "instructions", "output_modalities", "audio", "tools", "tool_choice", "parallel_tool_calls",
     "reasoning", "max_output_tokens", "truncation", "tracing", "include", "prompt"}
)  # fmt: skip


@dataclass(slots=True)
class Habits:
    """How this service happens to behave; seconds."""

    think_s: float = 0.2
    gap_s: float = 0.03
    transcribe_s: float = 0.4
    lifetime_s: float = 3600.0
    warns_of_expiry: bool = True
    transcribes: bool = True


@dataclass(slots=True, eq=False)
class Response:
    """A response under way."""

    id: str
    in_band: bool
    params: Json
    status: str = "in_progress"
    reason: str | None = None
    item: Item | None = None
    output: list[Json] = field(default_factory=list)
    words_said: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class ServiceSession:
    """One session of the service.

    Attributes:
        context: the items, in order.
        meter: tokens of each response that ended, by its id.
        bills: picodollars of each response and each transcription, by the id of the response or item.
        refused: errors that were said, with the event they are for.
        begun_by: the request of each response that was asked for.
        words: all words of each assistant's item, also of what was cut off later.
        took_over: somebody was heard or answered in it; a session that stands by has only been told things.
    """

    def __init__(
        self,
        *,
        say: Callable[[Json], None],
        reach: Callable[[str], None],
        new_id: Callable[[str], str],
        utterances: dict[int, str],
        habits: Habits,
        nursery: trio.Nursery,
        expires_at: float,
        model: str = meter.MODELS[0],
    ) -> None:
        self._say, self._reach, self._new_id = say, reach, new_id
        self._utterances, self._habits, self._nursery = utterances, habits, nursery
        self.context: list[Item] = []
        self.meter: dict[str, int] = {}
        self.bills: dict[str, int] = {}
        self.refused: list[tuple[str, Json]] = []
        self.took_over = False
        self.words: dict[str, str] = {}
        self.begun_by: dict[str, str] = {}
        self.active: Response | None = None
        self._beside: dict[str, Response] = {}
        self.ears = Ears(
            say=say,
            new_item=lambda: new_id("item"),
            detection=lambda: self.config["audio"]["input"]["turn_detection"],
            interrupted=self._interrupted,
            speaking=lambda: reach("user speaking"),
            commit=self._commit,
            answer=self._answer_speech,
        )
        vad = {"type": "server_vad", "create_response": True, "interrupt_response": True}
        pcm = {"type": "audio/pcm", "rate": 24000}
        self.config: Json = {
            "type": "realtime",
            "object": "realtime.session",
            "id": new_id("sess"),
            "model": model,
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "expires_at": int(expires_at),
            "audio": {
                "input": {"format": pcm, "transcription": None, "turn_detection": vad},
                "output": {"format": pcm, "voice": "alloy"},
            },
        }
        self._handlers: dict[str, Callable[[Json], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit_asked,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.delete": self._delete,
            "conversation.item.truncate": self._truncate,
            "response.create": self._create_response,
            "response.cancel": self._cancel,
        }

    def greet(self) -> None:
        """The first event."""
        self._say({"type": "session.created", "session": self.config})

    def take(self, frame: bytes) -> None:
        """A frame from the other side."""
        try:
            event = msgspec.json.decode(frame)
            handler = self._handlers.get(event["type"])
        except (msgspec.DecodeError, KeyError, TypeError):
            self._refuse({}, "invalid_json")
            return
        if handler is None:
            self._refuse(event, "invalid_value")
        else:
            handler(event)

    def _refuse(self, event: Json, code: str, message: str = "") -> None:
        self.refused.append((code, event))
        error = {"type": "invalid_request_error", "code": code, "message": message or f"{code}.", "param": None}
        self._say({"type": "error", "error": {**error, "event_id": event.get("event_id")}})

    def _update(self, event: Json) -> None:
        session = event["session"]
        if unknown := set(session) - _TOP_LEVEL:
            self._refuse(event, "unknown_parameter", f"Unknown parameter: 'session.{min(unknown)}'.")
        elif "type" not in session:
            self._refuse(event, "missing_required_parameter", "Missing required parameter: 'session.type'.")
        else:
            _merge(self.config, session)
            self._say({"type": "session.updated", "session": self.config})

    # What is heard

    def _append(self, event: Json) -> None:
        self.took_over = True
        self.ears.append(event["audio"])

    def _interrupted(self) -> None:
        if self.active is not None:
            self._reach("barge-in")
            self._wind_down(self.active, "turn_detected")

    def _commit_asked(self, event: Json) -> None:
        if not self.ears.commit():
            self._refuse(event, "input_audio_buffer_commit_empty", "Error committing input audio buffer: too small.")

    def _commit(self, item_id: str, utterances: list[int]) -> None:
        text = " ".join(self._utterances[number] for number in utterances)
        previous = self.context[-1].id if self.context else None
        self._say({"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous})
        content = [{"type": "input_audio", "transcript": None}]
        shown = {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}
        self._place(Item(shown, text), None)
        if self.config["audio"]["input"].get("transcription") and self._habits.transcribes:
            self._nursery.start_soon(self._transcribe, item_id, text)

    async def _transcribe(self, item_id: str, text: str) -> None:
        await trio.sleep(self._habits.transcribe_s)
        event = {"type": "conversation.item.input_audio_transcription.completed", "item_id": item_id}
        self.bills[item_id] = meter.transcription_price(item_id)
        self._say({**event, "content_index": 0, "transcript": text, "usage": meter.transcription_usage(item_id)})

    def _clear(self, _event: Json) -> None:
        self.ears.clear()
        self._say({"type": "input_audio_buffer.cleared"})

    def _answer_speech(self) -> None:
        if self.active is None:
            self._begin({})

    # Items

    def _index(self, item_id: object) -> int | None:
        # From the end: what is looked for is mostly new.
        return next((at for at in range(len(self.context) - 1, -1, -1) if self.context[at].id == item_id), None)

    def _place(self, item: Item, previous: str | None, *, done: bool = True) -> None:
        at = len(self.context) if previous is None else 0 if previous == "root" else (self._index(previous) or 0) + 1
        self.context.insert(at, item)
        self._tell("conversation.item.added", item)
        if done:
            self._tell("conversation.item.done", item)

    def _tell(self, event_type: str, item: Item) -> None:
        at = self._index(item.id)
        previous = self.context[at - 1].id if at else None
        self._say({"type": event_type, "previous_item_id": previous, "item": item.shown})

    def _create_item(self, event: Json) -> None:
        given, previous = event["item"], event.get("previous_item_id")
        shown = {"id": self._new_id("item"), "status": "completed", **given}
        is_output = given["type"] == "function_call_output"
        calls = self._call_ids("function_call") if is_output else set()
        answered = self._call_ids("function_call_output") if is_output else set()
        if self._index(shown["id"]) is not None:
            self._refuse(event, "item_create_duplicate_item_id")
        elif previous is not None and previous != "root" and self._index(previous) is None:
            self._refuse(event, "item_create_invalid_item_id")
        elif is_output and given["call_id"] not in calls:
            self._refuse(event, "invalid_tool_call_id")
        elif is_output and given["call_id"] in answered:
            self._refuse(event, "answered_twice")  # the service is kinder; nobody may do so here
        elif any(part["type"] in ("audio", "output_audio") for part in given.get("content") or []):
            self._refuse(event, "invalid_value")
        else:
            texts = [self._understood(part) for part in given.get("content") or []]
            text = given.get("output") or given.get("arguments") or " ".join(texts)
            self.words[shown["id"]] = text
            self._place(Item(shown, text), previous)
            if is_output:
                self._reach("tool answered")

    def _call_ids(self, kind: str) -> set[object]:
        return {item.shown.get("call_id") for item in self.context if item.kind == kind}

    def _understood(self, part: Json) -> str:
        if part.get("audio"):
            return " ".join(self._utterances[number] for number in sound.utterances(part.pop("audio")))
        return str(part.get("text") or part.get("transcript") or "")

    def _retrieve(self, event: Json) -> None:
        if (at := self._index(event["item_id"])) is None:
            self._refuse(event, "item_retrieve_invalid_item_id")
        else:
            self._say({"type": "conversation.item.retrieved", "item": self.context[at].shown})

    def _delete(self, event: Json) -> None:
        if (at := self._index(event["item_id"])) is None:
            self._refuse(event, "item_delete_invalid_item_id")
        else:
            del self.context[at]
            self._say({"type": "conversation.item.deleted", "item_id": event["item_id"]})

    def _truncate(self, event: Json) -> None:
        at, end_ms = self._index(event["item_id"]), event["audio_end_ms"]
        item = self.context[at] if at is not None else None
        if item is None or item.kind != "assistant":
            self._refuse(event, "item_truncate_invalid_item_id")
        elif not 0 <= end_ms <= item.audio_ms:
            self._refuse(
                event, "invalid_value", f"Audio content of {item.audio_ms}ms is already shorter than {end_ms}ms"
            )
        else:
            item.audio_ms = end_ms
            item.text = " ".join(item.text.split()[: sound.words_begun(end_ms)])
            told = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
            self._say({"type": "conversation.item.truncated", **told})

    # Answers

    def _create_response(self, event: Json) -> None:
        params = event.get("response") or {}
        if params.get("conversation") != "none" and self.active is not None:
            message = f"Conversation already has an active response in progress: {self.active.id}"
            self._refuse(event, "conversation_already_has_active_response", message)
        else:
            self._begin(params, str(event.get("event_id")))

    @property
    def is_busy(self) -> bool:
        """Whether an answer of the conversation is under way, or somebody speaks."""
        return self.active is not None or self.ears.speech_item is not None

    def _begin(self, params: Json, asked_by: str = "") -> None:
        self.took_over = True
        response = Response(self._new_id("resp"), params.get("conversation") != "none", params)
        self.begun_by[response.id] = asked_by
        if response.in_band:
            self.active = response
        else:
            self._beside[response.id] = response
        self._nursery.start_soon(self._answer, response)

    def _cancel(self, event: Json) -> None:
        named = event.get("response_id")
        found = self._beside.get(str(named)) or (
            self.active if self.active and named in (None, self.active.id) else None
        )
        if found is None:
            self._refuse(event, "response_cancel_not_active", "Cancellation failed: no active response found")
            return
        if found is self.active:
            self._reach("barge-in")
        self._wind_down(found, "client_cancelled")

    async def _answer(self, response: Response) -> None:
        if response.status != "in_progress":
            return  # cancelled before it began: an end without a beginning, as the reference knows it
        with response.scope:
            self._say({"type": "response.created", "response": self._shown(response)})
            await trio.sleep(self._habits.think_s)
            tools = response.params.get("tools", self.config["tools"]) or []
            choice = response.params.get("tool_choice", self.config["tool_choice"])
            may_search = choice != "none" and any(tool.get("name") == SEARCH for tool in tools)
            intent = decide(self.context, self._new_id("a"), may_search=may_search)
            if intent.words:
                await self._speak(response, intent)
            for query in intent.queries:
                await self._call(response, query)
            if intent.status != "completed":
                response.reason = {"incomplete": "content_filter"}.get(intent.status)
            self._end(response, intent.status)

    def _open_item(self, response: Response, shown: Json) -> Item:
        item = response.item = Item({"id": self._new_id("item"), "status": "in_progress", **shown}, "")
        self._say({"type": "response.output_item.added", **_where(response), "item": item.shown})
        if response.in_band:
            self._place(item, None, done=False)
        return item

    def _close_item(self, response: Response, item: Item, status: str) -> None:
        item.shown["status"] = status
        if response.in_band and self._index(item.id) is not None:
            self._tell("conversation.item.done", item)
        self._say({"type": "response.output_item.done", **_where(response), "item": item.shown})
        response.output.append(item.shown)
        response.item = None

    async def _speak(self, response: Response, intent: Intent) -> None:
        item = self._open_item(response, {"type": "message", "role": "assistant", "content": []})
        index = {**_where(response), "item_id": item.id, "content_index": 0}
        self._say({"type": "response.content_part.added", **index, "part": {"type": "audio", "transcript": ""}})
        said: list[str] = []
        for number, word in enumerate(intent.words):
            said.append(word)
            self.words[item.id] = " ".join(said)
            self._say({"type": "response.output_audio_transcript.delta", **index, "delta": f"{word} "})
            await trio.sleep(self._habits.gap_s)
            ms = sound.delta_ms(number)
            piece = sound.encode(Sound(VOICE, 0, number, ms))
            self._say({"type": "response.output_audio.delta", **index, "delta": piece})
            item.audio_ms += ms
            item.text = self.words[item.id]
            item.shown["content"] = [{"type": "output_audio", "transcript": item.text}]
            if number == 1:
                self._reach("response streaming")
        self._say({"type": "response.output_audio.done", **index})
        self._say({"type": "response.output_audio_transcript.done", **index, "transcript": item.text})
        part = {"type": "audio", "transcript": item.text}
        self._say({"type": "response.content_part.done", **index, "part": part})
        self._close_item(response, item, "completed")

    async def _call(self, response: Response, query: str) -> None:
        call: Json = {"type": "function_call", "name": SEARCH, "call_id": self._new_id("call"), "arguments": ""}
        item = self._open_item(response, call)
        index = {**_where(response), "item_id": item.id, "call_id": call["call_id"]}
        arguments = msgspec.json.encode({"query": query}).decode()
        self._say({"type": "response.function_call_arguments.delta", **index, "delta": arguments})
        await trio.sleep(self._habits.gap_s)
        item.shown["arguments"] = item.text = arguments
        done = {"arguments": arguments, "name": SEARCH}
        self._say({"type": "response.function_call_arguments.done", **index, **done})
        self._close_item(response, item, "completed")

    def _wind_down(self, response: Response, reason: str) -> None:
        response.scope.cancel()
        response.reason = reason
        if (item := response.item) is not None:
            self._close_item(response, item, "incomplete")
        self._end(response, "cancelled")

    def _end(self, response: Response, status: str) -> None:
        response.status = status
        if response is self.active:
            self.active = None
        self._beside.pop(response.id, None)
        tokens = self.meter[response.id] = meter.tokens_of(response.id, len(self.context))
        self.bills[response.id] = meter.price_of(response.id, tokens, self.config["model"])
        self._say({"type": "response.done", "response": self._shown(response)})
        self._say({"type": "rate_limits.updated", "rate_limits": []})

    def _shown(self, response: Response) -> Json:
        tokens = self.meter.get(response.id)
        details: Json | None = None
        if response.status not in ("in_progress", "completed"):
            details = {"type": response.status}
            if response.reason:
                details["reason"] = response.reason
            if response.status == "failed":
                details["error"] = {"type": "server_error", "code": "server_error", "message": "It failed."}
        usage = meter.usage_of(response.id, tokens) if tokens is not None else None
        return {
            "object": "realtime.response",
            "id": response.id,
            "status": response.status,
            "status_details": details,
            "output": response.output,
            "conversation_id": "conv_1" if response.in_band else None,
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "usage": usage,
            "metadata": response.params.get("metadata"),
        }


def _where(response: Response) -> Json:
    return {"response_id": response.id, "output_index": len(response.output)}


def _merge(into: Json, update: Json) -> None:
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
