"""Settings whose values differ between beta and GA: audio formats, modalities, no turn detection. Knows no events."""

from typing import Any, NoReturn

import msgspec

from protocol.realtime.codec import InvalidEvent
from protocol.realtime.dialects.fields import fields_of, text_of, texts_of
from protocol.realtime.server_events import ErrorDetail
from protocol.realtime.session import PCM16_RATE_HZ

# The names of formats, beta's first.
_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_BETA_FORMATS = {ga: beta for beta, ga in _FORMATS.items()}
# An audio answer always has its transcript: the beta says so, GA takes it for granted.
_MODALITIES = {frozenset({"text"}): ["text"], frozenset({"text", "audio"}): ["audio"]}
_BETA_MODALITIES: dict[tuple[str, ...], list[str]] = {("text",): ["text"], ("audio",): ["audio", "text"]}
# How much of a client's own value is quoted back.
_QUOTE_MAX_CHARS = 100


def ga_value(name: str, raw: msgspec.Raw, path: str) -> Any:
    """The GA value of a beta setting. ``path`` is named in errors.

    Raises:
        InvalidEvent: the beta has no such value. What the beta and GA have in common is left to the service to judge.
    """
    match name:
        case "modalities":
            return _ga_modalities(raw, path)
        case "input_audio_format" | "output_audio_format":
            return _ga_format(raw, path)
        case "turn_detection":
            return _ga_turn_detection(raw)
        case _:
            return raw


def beta_value(name: str, raw: msgspec.Raw) -> Any:
    """The beta's value of a GA setting; one that the beta has no word for stays as it is."""
    match name:
        case "modalities":
            return _BETA_MODALITIES.get(tuple(texts_of(raw) or ()), raw)
        case "input_audio_format" | "output_audio_format":
            kind = text_of((fields_of(raw) or {}).get("type"))
            return raw if kind is None else _BETA_FORMATS.get(kind, kind)
        case _:
            return raw


def _ga_modalities(raw: msgspec.Raw, path: str) -> list[str]:
    names = texts_of(raw)
    if names is None:
        refuse("invalid_type", f"Invalid type for '{path}': expected an array of strings.", path)
    modalities = _MODALITIES.get(frozenset(names)) if len(set(names)) == len(names) else None
    if modalities is None:
        said = _quoted(str(names))
        message = f"Invalid modalities: {said}. Supported combinations are: ['text'] and ['audio', 'text']."
        refuse("invalid_value", message, path)
    return modalities


def _ga_format(raw: msgspec.Raw, path: str) -> dict[str, Any]:
    name = text_of(raw)
    if name is None:
        refuse("invalid_type", f"Invalid type for '{path}': expected an audio format.", path)
    kind = _FORMATS.get(name)
    if kind is None:
        known = "'pcm16', 'g711_ulaw', and 'g711_alaw'"
        refuse("invalid_value", f"Invalid value: '{_quoted(name)}'. Supported values are: {known}.", path)
    return {"type": kind, "rate": PCM16_RATE_HZ} if kind == "audio/pcm" else {"type": kind}


def _ga_turn_detection(raw: msgspec.Raw) -> Any:
    """Azure's preview says ``{"type": "none"}`` for what is null everywhere else."""
    detection = fields_of(raw)
    return None if detection is not None and text_of(detection.get("type")) == "none" else raw


def _quoted(said: str) -> str:
    return said if len(said) <= _QUOTE_MAX_CHARS else said[:_QUOTE_MAX_CHARS] + "..."


def refuse(code: str, message: str, param: str) -> NoReturn:
    """Raises the service's error for a setting that cannot be taken."""
    raise InvalidEvent(ErrorDetail(type="invalid_request_error", code=code, message=message, param=param))
