"""Frames to events and back. Decodes audio frames only as far as their head; the audio's bytes stay as they came.

Every failure to decode is an ``InvalidEvent`` whose detail is the error the service itself would send
(reference: the services' error codes ``invalid_json``, ``invalid_event``, ``invalid_value``, ``invalid_type`` and
``missing_required_parameter``).
"""

import json
import re
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from protocol.realtime.client_events import CLIENT_EVENTS, EVENT_ID_MAX_CHARS, ClientEvent
from protocol.realtime.server_events import SERVER_EVENTS, ErrorDetail, ServerEvent

_INVALID_REQUEST = "invalid_request_error"
# How msgspec words its complaints; a test notices when it changes its words.
_MISSING = re.compile(r"missing required field `([^`]+)`(?: - at `([^`]+)`)?")
_QUOTE = ord('"')
# How deep an event may nest where it is rewritten. Tool schemas need a tenth of it; the parser alone would go to the
# interpreter's limit of recursion, which is nearer for whoever writes the event again from deeper in the stack.
NESTING_MAX_LEVELS = 100
_AT = re.compile(r" - at `([^`]+)`$")


class InvalidEvent(Exception):
    """A frame that is no event the receiver accepts; ``detail`` is the service's error for it."""

    def __init__(self, detail: ErrorDetail) -> None:
        super().__init__(detail.message)
        self.detail = detail


class Head(msgspec.Struct):
    """The fields that place a frame without reading its contents. ``audio`` and ``delta`` are undecoded JSON."""

    type: str
    event_id: str | None = None
    response_id: str | None = None
    item_id: str | None = None
    content_index: int = 0
    audio: msgspec.Raw | UnsetType = UNSET
    delta: msgspec.Raw | UnsetType = UNSET


class _Type(msgspec.Struct):
    type: Any = UNSET
    event_id: Any = None


_head_decoder = msgspec.json.Decoder(Head)
_type_decoder = msgspec.json.Decoder(_Type)
_object_decoder = msgspec.json.Decoder(dict[str, Any])
_client_decoders = {name: msgspec.json.Decoder(event) for name, event in CLIENT_EVENTS.items()}
_server_decoders = {name: msgspec.json.Decoder(event) for name, event in SERVER_EVENTS.items()}
_encoder = msgspec.json.Encoder()


def encode(event: object) -> bytes:
    """The JSON text frame of an event struct or a plain object, as UTF-8."""
    return _encoder.encode(event)


def base64_size(raw: msgspec.Raw | UnsetType) -> int:
    """Bytes that an undecoded JSON base64 string holds, without decoding it; 0 when it is absent or no string."""
    if raw is UNSET:
        return 0
    # Only a string ends with a quote; looking at its end alone keeps this at half a microsecond for any length.
    size = len(raw)
    end = bytes(memoryview(raw)[max(0, size - 3) :])
    if size < 2 or end[-1] != _QUOTE:
        return 0
    return max(0, (size - 2) * 3 // 4 - end.count(b"="))


def read_head(frame: bytes) -> Head:
    """The head of a frame from either side.

    Raises:
        InvalidEvent: the frame is no JSON object, or has no string ``type``.
    """
    try:
        return _head_decoder.decode(frame)
    except msgspec.ValidationError:
        return _read_odd_head(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(_no_json(error)) from None


def _read_odd_head(frame: bytes) -> Head:
    """A head whose lesser fields have unexpected types: the type alone decides what becomes of the frame."""
    try:
        odd = _type_decoder.decode(frame)
    except msgspec.ValidationError:
        raise InvalidEvent(_detail("invalid_event", "An event must be a JSON object.")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(_no_json(error)) from None
    event_id = odd.event_id if isinstance(odd.event_id, str) else None
    if odd.type is UNSET:
        raise InvalidEvent(
            _detail("missing_required_parameter", "Missing required parameter: 'type'.", "type", event_id)
        )
    if not isinstance(odd.type, str):
        raise InvalidEvent(_detail("invalid_type", "Invalid type for 'type': expected a string.", "type", event_id))
    return Head(type=odd.type, event_id=event_id)


def decode_client(frame: bytes, head: Head) -> ClientEvent:
    """A client's event, typed. Unknown fields are left out of the struct.

    Raises:
        InvalidEvent: with the service's own error for an unknown type, a wrong type or a missing field.
    """
    decoder = _client_decoders.get(head.type)
    if decoder is None:
        supported = ", ".join(f"'{name}'" for name in CLIENT_EVENTS)
        raise InvalidEvent(
            _detail(
                "invalid_value",
                f"Invalid value: '{head.type[:100]}'. Supported values are: {supported}.",
                "type",
                head.event_id,
            )
        )
    event = decode_with(decoder, frame, head.event_id)
    if isinstance(event.event_id, str) and len(event.event_id) > EVENT_ID_MAX_CHARS:
        message = f"Invalid 'event_id': at most {EVENT_ID_MAX_CHARS} characters."
        raise InvalidEvent(_detail("invalid_value", message, "event_id", None))
    return event


def decode_server(frame: bytes, head: Head) -> ServerEvent | None:
    """The service's event, typed; None for a type that this protocol version does not know.

    Raises:
        InvalidEvent: a known type whose fields do not fit. A relay passes such a frame on unread.
    """
    decoder = _server_decoders.get(head.type)
    return None if decoder is None else decode_with(decoder, frame, head.event_id)


def decode_object(frame: bytes) -> dict[str, Any]:
    """The whole of an event as a plain object, for rewriting: fields that this version does not know survive.

    Raises:
        InvalidEvent: what a struct's decoder skips can still be no JSON, a number out of range, or nested too deep.
    """
    value = decode_with(_object_decoder, frame)
    _check_nesting(value)
    return value


_E = TypeVar("_E")


def decode_with(decoder: msgspec.json.Decoder[_E], frame: bytes, event_id: str | None = None) -> _E:
    """What ``decoder`` reads, its errors translated.

    Raises:
        InvalidEvent: the frame is no JSON, or does not fit; ``event_id`` is named in the error.
    """
    try:
        return decoder.decode(frame)
    except msgspec.ValidationError as error:
        raise InvalidEvent(detail_of(error, event_id)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(_no_json(error)) from None


class _RepeatedKey(ValueError):
    pass


def refuse_repeated_keys(frame: bytes, event_id: str | None = None) -> None:
    """Refuses an event in which an object has a key twice, however it is written.

    Which of the two counts, parsers do not agree upon; so what is checked here could be another thing than what the
    service reads. Raises ``InvalidEvent``.
    """
    try:
        json.loads(frame, object_pairs_hook=_no_key_twice)
    except _RepeatedKey as repeated:
        message = f"The key {str(repeated)[:100]!r} stands twice in one object."
        raise InvalidEvent(_detail("invalid_json", message, None, event_id)) from None
    except (ValueError, RecursionError) as error:
        # What one parser takes and the other does not.
        raise InvalidEvent(_no_json(error)) from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _RepeatedKey(key)
        seen.add(key)


def _check_nesting(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(NESTING_MAX_LEVELS):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if not level:
            return
    raise InvalidEvent(_detail("invalid_json", f"The event nests deeper than {NESTING_MAX_LEVELS} levels."))


def detail_of(error: msgspec.ValidationError, event_id: str | None = None) -> ErrorDetail:
    """The service's error for what msgspec found wrong, with the dotted path as ``param``."""
    text = str(error)
    if missing := _MISSING.search(text):
        param = _dotted(missing[2], missing[1])
        return _detail("missing_required_parameter", f"Missing required parameter: '{param}'.", param, event_id)
    at = _AT.search(text)
    path = _dotted(at[1]) if at else None
    said = _AT.sub("", text).replace("`", "'")
    is_type = said.startswith("Expected") and ", got" in said
    code, what = ("invalid_type", "Invalid type") if is_type else ("invalid_value", "Invalid value")
    where = f" for '{path}'" if path else ""
    return _detail(code, f"{what}{where}: {said}.", path, event_id)


def _dotted(path: str | None, field: str | None = None) -> str:
    inner = (path or "$").removeprefix("$").removeprefix(".")
    return ".".join(part for part in (inner, field) if part)


def _no_json(error: Exception) -> ErrorDetail:
    return _detail("invalid_json", f"The frame is not valid JSON: {error}")


def _detail(code: str, message: str, param: str | None = None, event_id: str | None = None) -> ErrorDetail:
    return ErrorDetail(type=_INVALID_REQUEST, code=code, message=message, param=param, event_id=event_id)
