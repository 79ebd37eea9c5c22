"""The items of a conversation in their order, and what retrieve, delete and truncate do to them. Sends nothing."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET

from protocol.realtime.items import ContentPart, Item
from server.simulator import refusal
from server.simulator.identifiers import Ids
from server.simulator.item_shape import base64_bytes
from server.simulator.refusal import Refusal

# Neither limit is the service's: they bound what one client can make the simulator hold.
ITEMS_MAX = 10_000
CONTENT_MAX_BYTES = 128 * 1024 * 1024


@dataclass(slots=True)
class Entry:
    """An item with what is not shown of it.

    ``audio`` are the user's bytes as they were sent, ``audio_ms`` the length of the item's audio, the assistant's
    included. ``words`` are (ms from the item's start, characters of the transcript before the word), ascending.
    ``idle`` marks a turn that the idle timeout made, without any speech.
    """

    item: Item
    audio: bytes = b""
    audio_ms: float = 0.0
    images: int = 0
    words: list[tuple[float, int]] = field(default_factory=list)
    idle: bool = False

    @property
    def id(self) -> str:
        """The item's identifier."""
        return self.item.id or ""

    def is_assistant_audio(self) -> bool:
        """Whether this is spoken output."""
        return self.item.role == "assistant" and any(part.type == "output_audio" for part in self.item.content or [])

    def is_unheard_audio(self) -> bool:
        """Whether this is the user's speech of which no words are known."""
        return (
            self.item.role == "user"
            and any(part.type == "input_audio" for part in self.item.content or [])
            and not self.item.spoken_text()
        )


def read_item(value: dict[str, Any], bytes_per_ms: int, path: str, ids: Ids) -> Entry:
    """The entry for a client's item that passed ``item_shape.ITEM``; a missing id is drawn.

    Raises:
        Refusal: its audio is not base64.
    """
    item = msgspec.convert({**value, "id": value.get("id") or ids("item"), "status": "completed"}, Item)
    item.object = UNSET
    entry = Entry(item)
    for index, part in enumerate(item.content or []):
        if part.type == "input_audio":
            entry.audio += base64_bytes(part.audio or "", f"{path}.content[{index}].audio")
            part.audio = UNSET
            part.transcript = part.transcript or None
        if part.type == "input_image":
            entry.images += 1
    entry.audio_ms = len(entry.audio) / bytes_per_ms
    if item.type == "function_call" and not item.call_id:
        item.call_id = ids("call")
    return entry


class Conversation:
    """The default conversation of a session."""

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.entries: list[Entry] = []
        self._by_id: dict[str, Entry] = {}
        self._bytes = 0

    def has_assistant_audio(self) -> bool:
        """Whether the voice is locked."""
        return any(entry.is_assistant_audio() for entry in self.entries)

    def find(self, item_id: str) -> Entry | None:
        """The entry with that id."""
        return self._by_id.get(item_id)

    def previous_of(self, entry: Entry) -> str | None:
        """The id of the item before this one; None for the first."""
        index = next(index for index, other in enumerate(self.entries) if other is entry)
        return self.entries[index - 1].id if index else None

    def last_id(self) -> str | None:
        """The id of the last item."""
        return self.entries[-1].id if self.entries else None

    def insert(self, entry: Entry, after: str | None = None) -> str | None:
        """Add an item: at the end, at the front (``after`` is "root") or after the item named; returns the previous id.

        Raises:
            Refusal: the id is taken, ``after`` is unknown, it is the output of an unknown call, or the conversation is
                full.
        """
        if entry.id in self._by_id:
            message = f"Error adding item: an item with ID '{entry.id}' already exists in the conversation."
            raise Refusal("item_create_duplicate_item_id", message, "item.id")
        if entry.item.type == "function_call_output" and not self._has_call(entry.item.call_id):
            raise Refusal("invalid_tool_call_id", f"Tool call ID '{entry.item.call_id}' not found in conversation.")
        if after is None:
            index = len(self.entries)
        elif after == "root":
            index = 0
        else:
            index = self._index(after, "invalid_value", "previous_item_id", "Error adding item: the previous item") + 1
        size = _size(entry)
        if len(self.entries) >= ITEMS_MAX or self._bytes + size > CONTENT_MAX_BYTES:
            raise refusal.invalid("Error adding item: the conversation holds as much as it can.", None)
        self.entries.insert(index, entry)
        self._by_id[entry.id] = entry
        self._bytes += size
        return self.entries[index - 1].id if index else None

    def retrieve(self, item_id: str) -> Entry:
        """The entry asked for.

        Raises:
            Refusal: there is none.
        """
        return self.entries[self._index(item_id, "item_retrieve_invalid_item_id", "item_id", "Error retrieving item")]

    def delete(self, item_id: str) -> Entry:
        """Remove an item.

        Raises:
            Refusal: there is none.
        """
        index = self._index(item_id, "item_delete_invalid_item_id", "item_id", "Error deleting item")
        entry = self.entries.pop(index)
        del self._by_id[item_id]
        self._bytes -= _size(entry)
        return entry

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut an assistant's audio, and its transcript where the cut falls.

        Raises:
            Refusal: no such item, no assistant audio there, or a cut past its end.
        """
        code = "item_truncate_invalid_item_id"
        entry = self.entries[self._index(item_id, code, "item_id", "Error truncating item")]
        if not entry.is_assistant_audio():
            message = "Error truncating item: only model output audio messages can be truncated."
            raise refusal.invalid(message, "item_id")
        if content_index != 0:
            raise refusal.invalid(
                f"Error truncating item: it has no content at index {content_index}.", "content_index"
            )
        if audio_end_ms < 0:
            raise refusal.invalid("Invalid 'audio_end_ms': expected a value >= 0.", "audio_end_ms")
        if audio_end_ms > entry.audio_ms:
            message = f"Audio content of {entry.audio_ms:.0f}ms is already shorter than {audio_end_ms}ms"
            raise refusal.invalid(message, "audio_end_ms")
        part = (entry.item.content or [])[0]
        part.transcript = _heard(entry, part.transcript or "", audio_end_ms)
        entry.audio_ms = float(audio_end_ms)
        entry.words = [word for word in entry.words if word[0] < audio_end_ms]

    def _has_call(self, call_id: object) -> bool:
        # From the end, because an output mostly follows its call.
        return any(
            entry.item.type == "function_call" and entry.item.call_id == call_id for entry in reversed(self.entries)
        )

    def _index(self, item_id: str, code: str, param: str, doing: str) -> int:
        entry = self._by_id.get(item_id)
        if entry is None:
            raise Refusal(code, f"{doing}: the item with id {refusal.quoted(item_id)} does not exist.", param)
        return next(index for index, other in enumerate(self.entries) if other is entry)


def _heard(entry: Entry, transcript: str, end_ms: int) -> str:
    """What of a transcript was spoken before the cut: whole words that had begun, else a share by time."""
    if entry.words:
        begun = [chars for start_ms, chars in entry.words if start_ms < end_ms]
        if len(begun) == len(entry.words):
            return transcript
        if not begun:
            return ""
        return transcript[: entry.words[len(begun)][1]].rstrip()
    share = end_ms / entry.audio_ms if entry.audio_ms else 0.0
    return transcript[: int(len(transcript) * share)].rstrip()


def shown(entry: Entry, *, with_audio: bool = False) -> Item:
    """The item as events show it: a copy, the user's audio left out unless asked for."""
    import base64

    item = msgspec.convert(msgspec.to_builtins(entry.item), Item)
    if with_audio and entry.audio:
        for part in item.content or []:
            if part.type == "input_audio":
                part.audio = base64.b64encode(entry.audio).decode("ascii")
                break
    return item


def audio_entry(item_id: str, audio: bytes, audio_ms: float) -> Entry:
    """The user item that committed audio becomes."""
    part = ContentPart(type="input_audio", transcript=None)
    item = Item(id=item_id, type="message", status="completed", role="user", content=[part])
    return Entry(item, audio=audio, audio_ms=audio_ms)


def _size(entry: Entry) -> int:
    return len(entry.audio) + len(msgspec.json.encode(entry.item))
