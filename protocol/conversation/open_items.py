"""The items of answers that the client saw begin and not end, so that none is left half when a connection is lost."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from protocol.realtime.codec import Head

_PART_ADDED = "response.content_part.added"
_PART_DONE = "response.content_part.done"
# Ends of what a part is made of, before its own.
_ENDS = frozenset({"response.output_audio.done", "response.output_audio_transcript.done", "response.output_text.done"})
_WORDS = frozenset({"response.output_audio_transcript.delta", "response.output_text.delta"})
# The service's own end of an item comes with the response's, a moment later or never.
_WOUND_DOWN_KEPT = 32
_text_decoder = msgspec.json.Decoder(str)


class _Part(msgspec.Struct):
    type: str = ""


class _PartEvent(msgspec.Struct):
    response_id: str
    item_id: str
    content_index: int
    part: _Part


_part_decoder = msgspec.json.Decoder(_PartEvent)


@dataclass(slots=True)
class Part:
    """A content part: ``kind`` is ``audio`` or ``text``, ``words`` what came of it, ``ended`` the ends that came."""

    kind: str
    words: str = ""
    is_open: bool = True
    ended: set[str] = field(default_factory=set)


@dataclass(slots=True)
class OpenItem:
    """An item under way: ``item`` as it was added, and its parts by index.

    ``is_placed``: the client saw it placed in the conversation, and not end there.
    """

    response_id: str
    output_index: int
    item: dict[str, Any]
    is_placed: bool = False
    parts: dict[int, Part] = field(default_factory=dict)

    @property
    def is_written(self) -> bool:
        """Whether its words are read, not heard."""
        return any(part.kind == "text" for part in self.parts.values())


class OpenItems:
    """The open items of all responses that the client sees."""

    __slots__ = ("_items", "_wound_down")

    def __init__(self) -> None:
        self._items: dict[str, OpenItem] = {}
        self._wound_down: deque[str] = deque(maxlen=_WOUND_DOWN_KEPT)

    def added(self, response_id: str, output_index: int, item: dict[str, Any]) -> None:
        """The client saw an item begin."""
        if item_id := item.get("id"):
            self._items[str(item_id)] = OpenItem(response_id, output_index, item)

    def done(self, item_id: str | None) -> None:
        """The client saw an item end."""
        self._items.pop(item_id or "", None)

    def placed(self, item_id: str | None, *, ended: bool) -> None:
        """The client saw an item placed in the conversation, or its end there."""
        item = self._items.get(item_id or "")
        if item is not None:
            item.is_placed = not ended

    def saw(self, frame: bytes, head: Head) -> str | None:
        """An event of a response went to the client. Returns the words in it, if it brings some."""
        item = self._items.get(head.item_id or "")
        if head.type in _WORDS:
            words = _text(head)
            part = item.parts.get(head.content_index) if item is not None else None
            if part is not None:
                part.words += words
            return words
        if item is None:
            return None
        if head.type == _PART_ADDED:
            try:
                item.parts[head.content_index] = Part(_part_decoder.decode(frame).part.type)
            except msgspec.DecodeError:
                return None
        elif (part := item.parts.get(head.content_index)) is not None:
            if head.type == _PART_DONE:
                part.is_open = False
            elif head.type in _ENDS:
                part.ended.add(head.type)
        return None

    def response_of(self, item_id: str | None) -> str | None:
        """The response that an open item belongs to."""
        item = self._items.get(item_id or "")
        return item.response_id if item is not None else None

    def was_wound_down(self, item_id: str | None) -> bool:
        """Whether an item was ended here, so that the service's own end of it must not be seen."""
        return item_id in self._wound_down

    def of(self, response_id: str) -> dict[str, OpenItem]:
        """The open items of a response, in order."""
        return {item_id: item for item_id, item in self._items.items() if item.response_id == response_id}

    def forget(self, response_id: str) -> list[str]:
        """The service ended a response: what it left open of it will not be ended any more. Returns those items."""
        left = list(self.of(response_id))
        for item_id in left:
            del self._items[item_id]
        return left

    def wind_down(self, response_id: str) -> list[dict[str, Any]]:
        """The events (without ids of their own) that end a response's open items as incomplete; they are forgotten."""
        events: list[dict[str, Any]] = []
        for item_id, item in self.of(response_id).items():
            content: list[dict[str, Any]] = []
            for index, part in item.parts.items():
                spoken = part.kind == "audio"
                words = {"transcript" if spoken else "text": part.words}
                content.append({"type": "output_audio" if spoken else "output_text", **words})
                if not part.is_open:
                    continue
                place = {
                    "response_id": response_id,
                    "item_id": item_id,
                    "output_index": item.output_index,
                    "content_index": index,
                }
                ends: list[dict[str, Any]]
                if spoken:
                    ends = [
                        {"type": "response.output_audio.done", **place},
                        {"type": "response.output_audio_transcript.done", **place, **words},
                    ]
                else:
                    ends = [{"type": "response.output_text.done", **place, **words}]
                events += [end for end in ends if end["type"] not in part.ended]
                events.append({"type": _PART_DONE, **place, "part": {"type": part.kind, **words}})
            whole = {**item.item, "status": "incomplete"}
            if item.item.get("type") == "message":
                whole["content"] = content
            place = {"response_id": response_id, "output_index": item.output_index}
            if item.is_placed:
                events.append({"type": "conversation.item.done", "item": whole})
            events.append({"type": "response.output_item.done", **place, "item": whole})
            del self._items[item_id]
            self._wound_down.append(item_id)
        return events


def _text(head: Head) -> str:
    if isinstance(head.delta, msgspec.Raw):
        try:
            return _text_decoder.decode(head.delta)
        except msgspec.DecodeError:
            return ""
    return ""
