"""The conversation as the service has it, kept so that it can be put into another connection. Decides nothing.

Items stand in the service's order, with what was typed, transcribed, spoken or heard, and tool calls with their
results. ``sync`` brings a connection from what it knows to this, in as few events as possible.
"""

import base64
import binascii
import contextlib
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from protocol.realtime.items import Item

# All text of a conversation: the services' contexts hold 28,672 to 128,000 tokens, about 0.1 to 0.5 MiB of text.
TEXT_MAX_BYTES = 1024 * 1024
# Sound and pictures that have no words yet (or never): sixteen seconds of speech.
MEDIA_MAX_BYTES = 1024 * 1024
# Speech is rarely faster; bounds what of a transcript can have been spoken in the sound that was sent.
_SPOKEN_CHARS_PER_S = 18.0
# What is longer without a space is no word: some scripts have no spaces.
_WORD_MAX_CHARS = 30

_UNTRANSCRIBED = "[speech that was not transcribed]"
_LEFT_OUT = '{"note":"This result is left out: the conversation has become long. Call the tool again if needed."}'
_GIVEN = frozenset({"input_audio", "input_image"})


@dataclass(slots=True, eq=False)
class Entry:
    """An item of the conversation.

    Attributes:
        item: what it is created from on another connection, contents apart.
        texts: its words, one for each content part that has some.
        media: content parts that are no words: pictures, and sound that a client put into an item.
        sounds: the frames of the person's speech, while it has no transcript.
        is_placed: the service placed it, and the client saw that if it may.
        is_ended: and said that it is whole.
        complete: it is finished; an unfinished one is not put into another connection.
        cut: its words are what was heard of it, and do not grow any more.
        heard_ms: so much sound its words stand for, once it was cut.
        version: another at every change, and of every item: one that is deleted and made again is not the same.
    """

    id: str
    item: dict[str, Any]
    role: str | None = None
    text: str = ""
    media: list[dict[str, Any]] = field(default_factory=list)
    sounds: list[bytes] = field(default_factory=list)
    is_placed: bool = False
    is_ended: bool = False
    complete: bool = True
    cut: bool = False
    heard_ms: float | None = None
    version: int = 0

    def size(self) -> int:
        """Bytes of its words, roughly."""
        return len(self.text) + len(str(self.item.get("output", ""))) + len(str(self.item.get("arguments", "")))

    def media_size(self) -> int:
        """Bytes of what is no words."""
        media = sum(len(str(part.get("audio") or part.get("image_url") or "")) for part in self.media)
        return media + sum(map(len, self.sounds))


class History:
    """The items of one conversation, in order."""

    __slots__ = ("_changes", "_entries", "_given", "_media_bytes", "_order", "_text_bytes")

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []
        # Content of items that clients created; the service's echo leaves sound out.
        self._given: dict[str, list[dict[str, Any]]] = {}
        self._text_bytes = 0
        self._media_bytes = 0
        self._changes = 0

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[item_id] for item_id in self._order)

    def get(self, item_id: str) -> Entry | None:
        """The entry of an item."""
        return self._entries.get(item_id)

    def last_words_of_person(self) -> str:
        """What the person said last, as far as its words are known."""
        said = (self._entries[item_id] for item_id in reversed(self._order))
        return next((entry.text for entry in said if entry.role == "user" and entry.text), "")

    def before(self, item_id: str, hidden: Container[str]) -> str | None:
        """The nearest item before another that is not hidden; None if there is none, or the other is not here."""
        place = self._order.index(item_id) if item_id in self._entries else 0
        return next((before for before in reversed(self._order[:place]) if before not in hidden), None)

    # What happens

    def given(self, item: dict[str, Any], item_id: str) -> None:
        """A client created this item, which is placed as ``item_id``: keeps the sound and pictures of it."""
        parts = item.get("content")
        media = [part for part in parts if isinstance(part, dict) and part.get("type") in _GIVEN] if parts else []
        if media:
            self._given[item_id] = media

    def spoken(self, item_id: str, frames: list[bytes]) -> None:
        """The person said this (frames of the sound); it is the item's content until its transcript comes.

        From now on it is part of the conversation, last, although the service has not placed it yet.
        """
        entry = self._entries.get(item_id)
        if not frames or (entry is not None and entry.text):
            return
        if entry is None:
            entry = self._entries[item_id] = Entry(item_id, {"type": "message", "role": "user"}, "user")
            self._order.append(item_id)
        entry.sounds = frames
        self._change(entry)
        self._media_bytes += entry.media_size()
        self._keep_bounds()

    def placed(self, item: Item, previous_item_id: str | None, *, first: bool = False) -> None:
        """The service placed an item, or told more of one. ``first``: it was put before all others."""
        if not item.id:
            return
        entry = self._entries.get(item.id)
        if entry is None:
            created = _creatable(item)
            if created is None:
                return
            self._insert(item.id, previous_item_id, first=first)
            entry = self._entries[item.id] = Entry(item.id, created, item.role or None)
            self._change(entry)
            self._text_bytes += entry.size()
            entry.complete = (item.status or "completed") != "in_progress"
        entry.is_placed = True
        self._fill(entry, item)
        self._keep_bounds()

    def _insert(self, item_id: str, previous_item_id: str | None, *, first: bool) -> None:
        if previous_item_id is not None and previous_item_id in self._entries:
            self._order.insert(self._order.index(previous_item_id) + 1, item_id)
        elif first:
            self._order.insert(0, item_id)
        else:
            self._order.append(item_id)

    def _fill(self, entry: Entry, item: Item) -> None:
        if (media := self._given.pop(entry.id, None)) is not None:
            self._media_bytes -= entry.media_size()
            entry.media = media
            self._media_bytes += entry.media_size()
        if (text := item.spoken_text()) and not entry.cut:
            self._set_text(entry, text)
        if item.type == "function_call" and item.arguments and item.arguments != entry.item.get("arguments"):
            self._text_bytes += len(item.arguments) - len(str(entry.item.get("arguments", "")))
            entry.item["arguments"] = item.arguments
            self._change(entry)

    def finished(self, item: Item) -> None:
        """An item is complete, as this says; it stands at the end if the service did not place it before."""
        if item.id not in self._entries:
            self.placed(item, None)
        entry = self._entries.get(item.id or "")
        if entry is None:
            return
        self._fill(entry, item)
        if item.type == "function_call" and item.status == "incomplete":
            # A call that was cut short cannot be answered.
            self.deleted(entry.id)
            return
        if not entry.complete:
            entry.complete = True
            self._change(entry)
        self._keep_bounds()

    def left(self, item_id: str) -> None:
        """The service ended a response without a word about this item of it: it stays as it is."""
        entry = self._entries.get(item_id)
        if entry is not None and not entry.complete:
            entry.complete = True
            self._change(entry)

    def grew(self, item_id: str, piece: str) -> None:
        """A piece of an answer's words came."""
        entry = self._entries.get(item_id)
        if entry is not None and not entry.complete and not entry.cut:
            entry.text += piece
            self._text_bytes += len(piece)

    def transcribed(self, item_id: str, text: str) -> None:
        """What the person said is known in words."""
        entry = self._entries.get(item_id)
        if entry is not None:
            self._set_text(entry, text)
            if self._drop_media(entry, [part for part in entry.media if part["type"] != "input_audio"]):
                self._change(entry)

    def cut_off(self, item_id: str, heard_ms: float, sent_ms: float) -> str:
        """Only ``heard_ms`` of what was sent were heard. Returns the words of it: an estimate, whole words.

        It may be cut again, further. A complete item of which no sound was sent is written text.
        """
        entry = self._entries.get(item_id)
        if entry is None or entry.role != "assistant":
            return ""
        whole_ms = sent_ms if entry.heard_ms is None else entry.heard_ms
        if whole_ms <= 0 and entry.complete:
            return entry.text
        heard_ms = max(0.0, min(heard_ms, whole_ms))
        chars = len(entry.text) * heard_ms / whole_ms if whole_ms > 0 else 0.0
        if not entry.complete and heard_ms >= whole_ms:
            # All of it that was sent; but words run ahead of the sound.
            chars = min(chars, heard_ms / 1000 * _SPOKEN_CHARS_PER_S)
        heard = _whole_words(entry.text, int(chars))
        self._set_text(entry, heard)
        entry.heard_ms = heard_ms
        entry.cut = entry.complete = True
        return heard

    def broken_off(self, item_id: str, sent_ms: float) -> str:
        """The connection was lost within this item. Returns the words of it that can have been heard.

        Transcripts run ahead of the sound, so words are believed only as far as there was time to say them. An item of
        which nothing was said is forgotten; ``sent_ms`` is infinite for written text.
        """
        entry = self._entries.get(item_id)
        if entry is None:
            return ""
        spoken = min(float(len(entry.text)), sent_ms / 1000 * _SPOKEN_CHARS_PER_S)
        said = entry.text if entry.cut else _whole_words(entry.text, int(spoken))
        if entry.item["type"] != "message" or not said:
            self.deleted(item_id)
            return ""
        self._set_text(entry, said)
        entry.cut = entry.complete = True
        return said

    def forget_unfinished(self) -> None:
        """The connection is gone: what it had begun and not finished will not come any more."""
        for item_id in [entry.id for entry in self if not entry.complete]:
            self.deleted(item_id)

    def unanswered_calls(self) -> list[Entry]:
        """The calls of tools that have no result."""
        answered = {entry.item["call_id"] for entry in self if entry.item["type"] == "function_call_output"}
        calls = [entry for entry in self if entry.item["type"] == "function_call"]
        return [entry for entry in calls if entry.item["call_id"] not in answered]

    def deleted(self, item_id: str) -> None:
        """An item is gone."""
        entry = self._entries.pop(item_id, None)
        if entry is not None:
            self._order.remove(item_id)
            self._text_bytes -= entry.size()
            self._media_bytes -= entry.media_size()

    # What another connection must be told

    def sync(self, known: dict[str, int], avoid: Container[str] = ()) -> list[dict[str, Any]]:
        """The client events (without ids of their own) that bring a connection to this.

        ``known`` is brought up to date by it: it has the version of each item that the connection holds. An item that
        changed is deleted and made again with the same id. Those in ``avoid`` are on their way by other means.
        """
        events: list[dict[str, Any]] = []
        held = {entry.id for entry in self if entry.complete}
        for gone in [item_id for item_id in known if item_id not in held]:
            del known[gone]
            events.append({"type": "conversation.item.delete", "item_id": gone})
        last_known = max((place for place, item_id in enumerate(self._order) if item_id in known), default=-1)
        before = "root"
        for place, item_id in enumerate(self._order):
            entry = self._entries[item_id]
            if item_id not in avoid and entry.complete and known.get(item_id) != entry.version:
                if item_id in known:
                    events.append({"type": "conversation.item.delete", "item_id": item_id})
                event = {"type": "conversation.item.create", "item": self.creation(entry)}
                if place < last_known:
                    event["previous_item_id"] = before
                known[item_id] = entry.version
                events.append(event)
            if item_id in known:
                before = item_id
        return events

    def made_again(self, item_id: str) -> list[dict[str, Any]]:
        """The events that put an item's present words in the place of those the connection holds."""
        place = self._order.index(item_id)
        create = {"type": "conversation.item.create", "item": self.creation(self._entries[item_id])}
        # Said also of the last: something may be on its way behind it.
        create["previous_item_id"] = self._order[place - 1] if place else "root"
        return [{"type": "conversation.item.delete", "item_id": item_id}, create]

    def creation(self, entry: Entry) -> dict[str, Any]:
        """The item as ``conversation.item.create`` takes it, with its own id."""
        if entry.role is None:
            return {"id": entry.id, **entry.item}
        if entry.role == "assistant":
            return {"id": entry.id, **entry.item, "content": [{"type": "output_text", "text": entry.text}]}
        words = [{"type": "input_text", "text": entry.text}] if entry.text else []
        content = [*words, *entry.media, *_sound(entry.sounds)] or [{"type": "input_text", "text": _UNTRANSCRIBED}]
        return {"id": entry.id, **entry.item, "content": content}

    def snapshot(self, hidden: Container[str]) -> list[dict[str, Any]]:
        """The conversation as a client may see it: messages with their words, in the wire's form of items."""
        seen: list[dict[str, Any]] = []
        for entry in self:
            nothing_heard = entry.role == "assistant" and entry.cut and not entry.text
            if entry.id in hidden or entry.role is None or entry.role == "system" or nothing_heard:
                continue
            kind = "output_audio" if entry.role == "assistant" else "input_text" if entry.text else "input_audio"
            words = "text" if kind == "input_text" else "transcript"
            status = "completed" if entry.complete else "in_progress"
            content = [{"type": kind, words: entry.text or None}]
            seen.append({"id": entry.id, **entry.item, "status": status, "content": content})
        return seen

    # Small things, and bounds

    def _change(self, entry: Entry) -> None:
        self._changes += 1
        entry.version = self._changes

    def _set_text(self, entry: Entry, text: str) -> None:
        if text != entry.text:
            self._text_bytes += len(text) - len(entry.text)
            entry.text = text
            self._change(entry)

    def _drop_media(self, entry: Entry, kept: list[dict[str, Any]]) -> bool:
        if len(kept) == len(entry.media) and not entry.sounds:
            return False
        self._media_bytes -= entry.media_size()
        entry.media, entry.sounds = kept, []
        self._media_bytes += entry.media_size()
        return True

    def _keep_bounds(self) -> None:
        """The oldest results of tools go first, then the oldest items: what the service forgets first, too.

        What is left out makes no new version: a connection that has the whole keeps it.
        """
        if self._media_bytes > MEDIA_MAX_BYTES:
            for entry in list(self):
                if self._media_bytes <= MEDIA_MAX_BYTES:
                    break
                self._drop_media(entry, [])
        if self._text_bytes <= TEXT_MAX_BYTES:
            return
        self._text_bytes = sum(entry.size() for entry in self)
        for entry in list(self):
            if self._text_bytes <= TEXT_MAX_BYTES:
                return
            output = entry.item.get("output")
            if isinstance(output, str) and len(output) > len(_LEFT_OUT):
                self._text_bytes -= len(output) - len(_LEFT_OUT)
                entry.item["output"] = _LEFT_OUT
        while self._text_bytes > TEXT_MAX_BYTES and len(self._order) > 1:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        """A call goes with its result: services take no result without its call."""
        oldest = self._entries[self._order[0]]
        self.deleted(oldest.id)
        if oldest.item["type"] == "function_call":
            call_id = oldest.item["call_id"]
            for entry in [entry for entry in self if entry.item.get("call_id") == call_id]:
                self.deleted(entry.id)


def _creatable(item: Item) -> dict[str, Any] | None:
    """What ``conversation.item.create`` takes for an item of this kind, contents apart; None for kinds it refuses."""
    match item.type:
        case "message":
            return {"type": "message", "role": item.role or "user"}
        case "function_call":
            return {
                "type": "function_call",
                "call_id": item.call_id or "",
                "name": item.name or "",
                "arguments": item.arguments or "",
            }
        case "function_call_output":
            output = item.output if isinstance(item.output, str) else ""
            return {"type": "function_call_output", "call_id": item.call_id or "", "output": output}
        case _:
            return None


class _Append(msgspec.Struct):
    audio: str


_append_decoder = msgspec.json.Decoder(_Append)


def _sound(frames: list[bytes]) -> list[dict[str, Any]]:
    """The sound of append events as one content part; what a service cannot have taken is left out."""
    pieces = []
    for frame in frames:
        with contextlib.suppress(msgspec.DecodeError, binascii.Error, ValueError):
            pieces.append(base64.b64decode(_append_decoder.decode(frame).audio, validate=True))
    whole = b"".join(pieces)
    return [{"type": "input_audio", "audio": base64.b64encode(whole).decode()}] if whole else []


def _whole_words(text: str, chars: int) -> str:
    """The words that lie wholly in the first so many characters."""
    if chars >= len(text):
        return text
    cut = text[:chars]
    if not text[chars].isspace():
        space = max((place for place, char in enumerate(cut) if char.isspace()), default=0)
        if chars - space <= _WORD_MAX_CHARS:
            cut = cut[:space]
    return cut.rstrip()
