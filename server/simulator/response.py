"""A response in the making: its items, its events in the service's order, and its end. Decides no content.

Everything here is synchronous: between two checkpoints of whoever writes the content, nothing else happens to it.
After ``finish`` nothing more is sent, whatever the writer still tries.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from protocol.realtime import server_events as ev
from protocol.realtime.items import ContentPart, Item
from protocol.realtime.response import ErrorInfo, Response, StatusDetails
from protocol.realtime.usage import Usage
from server.simulator.conversation import Conversation, Entry, shown
from server.simulator.identifiers import Ids
from server.simulator.meter import Segment, assistant_audio_tokens, text_tokens

Emit: TypeAlias = Callable[[ev.ServerEvent], None]
Status: TypeAlias = Literal["completed", "cancelled", "failed", "incomplete"]


class OutputLimitReached(Exception):
    """The response has no output token left; what was asked to be written was not."""


class ResponseEnded(Exception):
    """The response was finished from outside (cancelled); its writer has nothing more to do."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What a response was asked to be: the session's settings with the request's own on top.

    ``language`` is that of ``audio.input.transcription``. ``instructions`` are the session's, ``own_instructions``
    the request's. ``conversation`` is None when the response is out-of-band. ``max_output_tokens`` None is "inf".
    ``history`` is what it answers to, ``prompt`` its cost. ``visemes``: mouth positions were asked for.
    """

    id: str
    conversation: Conversation | None
    modality: Literal["text", "audio"]
    audio_format: dict[str, Any]
    voice: Any
    speed: float
    language: str
    instructions: str
    own_instructions: str | None
    tools: list[dict[str, Any]]
    tool_choice: Any
    max_output_tokens: int | None
    metadata: dict[str, str] | None
    history: list[Entry]
    prompt: list[Segment]
    visemes: bool = False


@dataclass(slots=True)
class LiveResponse:
    """The state of one response and the only place that sends its events."""

    plan: Plan
    ids: Ids
    emit: Emit
    on_done: Callable[["LiveResponse"], None]
    bill: Callable[["LiveResponse"], Usage]
    ended: bool = False
    status: str = "in_progress"
    usage: Usage | None = None
    output: list[Entry] = field(default_factory=list)
    output_text_tokens: int = 0
    output_audio_ms: float = 0.0
    _open: "Message | Call | None" = None
    _details: StatusDetails | None = None

    @property
    def id(self) -> str:
        """The response's identifier."""
        return self.plan.id

    @property
    def output_tokens(self) -> int:
        """What was generated so far, text and audio."""
        return self.output_text_tokens + assistant_audio_tokens(self.output_audio_ms)

    def start(self) -> None:
        """Send ``response.created``."""
        self.emit(ev.ResponseCreated(response=self._shown()))

    def message(self) -> "Message":
        """Begin the next item as a message in the response's modality.

        Raises:
            ResponseEnded: it was cancelled.
        """
        part_type = "output_audio" if self.plan.modality == "audio" else "output_text"
        item = Item(id=self.ids("item"), type="message", status="in_progress", role="assistant", content=[])
        opened = Message(self, self._add(item), len(self.output) - 1, part_type)
        self._open = opened
        opened.start()
        return opened

    def call(self, name: str) -> "Call":
        """Begin the next item as a function call.

        Raises:
            ResponseEnded: it was cancelled.
        """
        item = Item(
            id=self.ids("item"),
            type="function_call",
            status="in_progress",
            name=name,
            call_id=self.ids("call"),
            arguments="",
        )
        opened = Call(self, self._add(item), len(self.output) - 1)
        self._open = opened
        return opened

    def finish(self, status: Status, reason: str | None = None, error: ErrorInfo | None = None) -> None:
        """Wind down what is open and send ``response.done``. A second call does nothing."""
        if self.ended:
            return
        if self._open is not None:
            self._open.close("completed" if status == "completed" else "incomplete")
        self.ended = True
        self.status = status
        if status != "completed":
            details = StatusDetails(type=status)
            if reason is not None:
                details.reason = reason
            if error is not None:
                details.error = error
            self._details = details
        # What was generated before a failure is billed; a response that failed at once has no bill.
        self.usage = None if status == "failed" and not self.output else self.bill(self)
        self.emit(ev.ResponseDone(response=self._shown()))
        self.on_done(self)

    def spend(self, text: str = "", audio_ms: float = 0.0) -> None:
        """Count output before it is sent.

        Raises:
            ResponseEnded: it was cancelled.
            OutputLimitReached: it would be more than ``max_output_tokens``; nothing was counted.
        """
        if self.ended:
            raise ResponseEnded
        text_after = self.output_text_tokens + text_tokens(text)
        audio_after = self.output_audio_ms + audio_ms
        limit = self.plan.max_output_tokens
        if limit is not None and text_after + assistant_audio_tokens(audio_after) > limit:
            raise OutputLimitReached
        self.output_text_tokens, self.output_audio_ms = text_after, audio_after

    def closed(self, entry: Entry, previous: str | None, output_index: int) -> None:
        """Send what ends an item."""
        if self.plan.conversation is not None:
            self.emit(ev.ItemDone(previous_item_id=previous, item=shown(entry)))
        self.emit(ev.OutputItemDone(response_id=self.id, output_index=output_index, item=shown(entry)))
        self._open = None

    def _add(self, item: Item) -> tuple[Entry, str | None]:
        if self.ended:
            raise ResponseEnded
        if self._open is not None:
            self._open.close("completed")
        entry = Entry(item)
        conversation = self.plan.conversation
        previous = conversation.insert(entry) if conversation is not None else None
        self.output.append(entry)
        index = len(self.output) - 1
        self.emit(ev.OutputItemAdded(response_id=self.id, output_index=index, item=shown(entry)))
        # An out-of-band item enters no conversation.
        if conversation is not None:
            self.emit(ev.ItemAdded(previous_item_id=previous, item=shown(entry)))
        return entry, previous

    def _shown(self) -> Response:
        plan = self.plan
        return Response(
            id=plan.id,
            status=self.status,
            status_details=self._details,
            output=[shown(entry) for entry in self.output] if self.ended else [],
            conversation_id=plan.conversation.id if plan.conversation else None,
            output_modalities=[plan.modality],
            max_output_tokens="inf" if plan.max_output_tokens is None else plan.max_output_tokens,
            audio={"output": {"format": plan.audio_format, "voice": plan.voice}},
            usage=self.usage,
            metadata=plan.metadata,
        )


class Message:
    """A message being written or spoken."""

    def __init__(self, live: LiveResponse, added: tuple[Entry, str | None], output_index: int, part_type: str) -> None:
        self._live = live
        self.entry, self._previous = added
        self._output_index = output_index
        self._spoken = part_type == "output_audio"
        self._part_type = part_type
        self._text: list[str] = []

    def start(self) -> None:
        """Open the message's only part."""
        part = ContentPart(type=self._part_type)
        if self._spoken:
            part.transcript = ""
        else:
            part.text = ""
        self.entry.item.content = [part]
        self._live.emit(ev.ContentPartAdded(part=self._shown_part(""), **self._where()))

    def write(self, delta: str, offset_ms: float | None = None) -> None:
        """Send a piece of text or, where the message is spoken, of its transcript, heard from ``offset_ms`` on."""
        self._live.spend(text=delta)
        if offset_ms is not None:
            self.entry.words.append((offset_ms, sum(map(len, self._text))))
        self._text.append(delta)
        part = (self.entry.item.content or [])[0]
        if self._spoken:
            part.transcript = (part.transcript or "") + delta
            self._live.emit(ev.OutputAudioTranscriptDelta(delta=delta, **self._where()))
        else:
            part.text = (part.text or "") + delta
            self._live.emit(ev.OutputTextDelta(delta=delta, **self._where()))

    def sound(self, audio: bytes, audio_ms: float) -> None:
        """Send a piece of speech, already in the output format."""
        self._live.spend(audio_ms=audio_ms)
        self.entry.audio_ms += audio_ms
        delta = base64.b64encode(audio).decode("ascii")
        self._live.emit(ev.OutputAudioDelta(delta=delta, **self._where()))

    def viseme(self, offset_ms: float, viseme_id: int) -> None:
        """Send a mouth position of the speech, from ``offset_ms`` of the item's sound on.

        Raises:
            ResponseEnded: it was cancelled.
        """
        if self._live.ended:
            raise ResponseEnded
        where = self._where()
        self._live.emit(ev.AnimationVisemeDelta(audio_offset_ms=offset_ms, viseme_id=viseme_id, **where))

    def close(self, status: str) -> None:
        """Send the ends of the part and of the item.

        Raises:
            ResponseEnded: it was cancelled, and the item closed with it.
        """
        if self._live.ended:
            raise ResponseEnded
        text = "".join(self._text)
        self.entry.item.status = status
        if self._spoken:
            self._live.emit(ev.OutputAudioDone(**self._where()))
            self._live.emit(ev.OutputAudioTranscriptDone(transcript=text, **self._where()))
        else:
            self._live.emit(ev.OutputTextDone(text=text, **self._where()))
        self._live.emit(ev.ContentPartDone(part=self._shown_part(text), **self._where()))
        self._live.closed(self.entry, self._previous, self._output_index)

    def _where(self) -> dict[str, Any]:
        return {
            "response_id": self._live.id,
            "item_id": self.entry.id,
            "output_index": self._output_index,
            "content_index": 0,
        }

    def _shown_part(self, text: str) -> ContentPart:
        # In response.content_part.* the GA service kept the short names.
        return ContentPart(type="audio", transcript=text) if self._spoken else ContentPart(type="text", text=text)


class Call:
    """A function call whose arguments are being written."""

    def __init__(self, live: LiveResponse, added: tuple[Entry, str | None], output_index: int) -> None:
        self._live = live
        self.entry, self._previous = added
        self._output_index = output_index

    def write(self, delta: str) -> None:
        """Send a piece of the arguments' JSON."""
        self._live.spend(text=delta)
        item = self.entry.item
        item.arguments = (item.arguments or "") + delta
        self._live.emit(ev.FunctionCallArgumentsDelta(delta=delta, **self._where()))

    def close(self, status: str) -> None:
        """Send the arguments and the ends of the item.

        Raises:
            ResponseEnded: it was cancelled, and the item closed with it.
        """
        if self._live.ended:
            raise ResponseEnded
        item = self.entry.item
        item.status = status
        self._live.emit(ev.FunctionCallArgumentsDone(arguments=item.arguments or "", name=item.name, **self._where()))
        self._live.closed(self.entry, self._previous, self._output_index)

    def _where(self) -> dict[str, Any]:
        return {
            "response_id": self._live.id,
            "item_id": self.entry.id,
            "output_index": self._output_index,
            "call_id": self.entry.item.call_id,
        }


def as_error(kind: str, code: str | None, message: str) -> ErrorInfo:
    """The error inside a failed response."""
    return msgspec.convert({"type": kind, "code": code, "message": message}, ErrorInfo)
