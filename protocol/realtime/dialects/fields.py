"""Events taken apart one level at a time: fields as undecoded JSON, so that what is not touched stays as it came.

Nothing here raises: what cannot be read is None, and who asked leaves it as it is.
"""

import re
from typing import Any, TypeAlias, TypeVar

import msgspec

from protocol.realtime.codec import InvalidEvent, encode, read_head

Fields: TypeAlias = dict[str, msgspec.Raw]

# How services and clients begin an event: its type first, or behind its id. Whatever begins otherwise is read wholly.
_HEAD = re.compile(rb'\s*\{\s*(?:"event_id"\s*:\s*"[^"\\]*"\s*,\s*)?"type"\s*:\s*"([^"\\]*)"')
# Longer than any event's head that is not made to be long.
_HEAD_MAX_BYTES = 512

_fields_decoder = msgspec.json.Decoder(Fields)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_text_decoder = msgspec.json.Decoder(str)
_texts_decoder = msgspec.json.Decoder(list[str])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_T = TypeVar("_T")


class TypedFrame:
    """A frame whose type is known, and where in it the type stands; ``type`` is "" for what is no event."""

    __slots__ = ("_match", "frame", "type")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self._match = _HEAD.match(frame, 0, _HEAD_MAX_BYTES)
        self.type = str(self._match[1], "utf-8", "replace") if self._match is not None else _type_within(frame)

    def retyped(self, event_type: str) -> bytes:
        """The same event under another name. Its other fields are copied byte by byte, sound too."""
        match = self._match
        # Replacing copies the frame once, which pasting does twice; but an id may read like the type.
        if match is not None and self.frame.find(match[1]) == match.start(1):
            return self.frame.replace(match[1], event_type.encode(), 1)
        fields = self.fields()
        return self.frame if fields is None else encode({**fields, "type": event_type})

    def fields(self) -> Fields | None:
        """The event's fields."""
        return _read(_fields_decoder, self.frame)


def _type_within(frame: bytes) -> str:
    try:
        return read_head(frame).type
    except InvalidEvent:
        return ""


def fields_of(raw: msgspec.Raw | None) -> Fields | None:
    """The fields of an object."""
    return _read(_fields_decoder, raw)


def list_of(raw: msgspec.Raw | None) -> list[msgspec.Raw] | None:
    """The elements of an array."""
    return _read(_list_decoder, raw)


def text_of(raw: msgspec.Raw | None) -> str | None:
    """A string."""
    return _read(_text_decoder, raw)


def texts_of(raw: msgspec.Raw | None) -> list[str] | None:
    """An array of strings."""
    return _read(_texts_decoder, raw)


def _read(decoder: msgspec.json.Decoder[_T], raw: Any) -> _T | None:
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        return None
