"""An event as one line of JSON for programs and logs: sound cut to its length, secrets hidden. Prints nothing."""

from typing import Any

import msgspec

_AUDIO_DELTAS = frozenset({"response.output_audio.delta", "response.audio.delta"})
# Whoever has one of these can continue somebody else's conversation; output ends up in logs.
_SECRETS = frozenset({"resume_token", "client_secret", "token", "api_key"})
_HIDDEN = "***"


def event_line(frame: bytes, *, audio: bool) -> str:
    """The event in ``frame``; without ``audio`` its sound is shown as its length only.

    Raises:
        msgspec.DecodeError: the frame is no JSON.
    """
    event = msgspec.json.decode(frame)
    if not audio and isinstance(event, dict) and event.get("type") in _AUDIO_DELTAS:
        event["delta"] = _length(event.get("delta"))
    return msgspec.json.encode(_shown(event, audio=audio)).decode()


def _shown(value: Any, *, audio: bool) -> Any:
    if isinstance(value, dict):
        return {name: _field(name, part, audio=audio) for name, part in value.items()}
    if isinstance(value, list):
        return [_shown(part, audio=audio) for part in value]
    return value


def _field(name: str, value: Any, *, audio: bool) -> Any:
    if name in _SECRETS and value is not None:
        return _HIDDEN
    if name == "audio" and isinstance(value, str) and not audio:
        return _length(value)
    return _shown(value, audio=audio)


def _length(base64: Any) -> Any:
    return f"<{len(base64.rstrip('=')) * 3 // 4} bytes>" if isinstance(base64, str) else base64
