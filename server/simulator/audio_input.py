"""``session.audio.input``: its shape, its defaults, and how a partial update merges into it. Holds no session."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from protocol.realtime.session import PCM16_RATE_HZ
from server.simulator import refusal, shape

Json: TypeAlias = dict[str, Any]

# What captures of the GA service's session.created show; the docs say 500 ms for the silence.
SERVER_VAD: Json = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
SEMANTIC_VAD: Json = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
LISTENING_SERVER_VAD: Json = {
    name: SERVER_VAD[name] for name in ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
}
EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
_text = shape.text()

_PCM = shape.obj({"type": shape.anything, "rate": shape.number(PCM16_RATE_HZ, PCM16_RATE_HZ, whole=True)})
_G711 = shape.obj({"type": shape.anything})
AUDIO_FORMAT = shape.tagged({"audio/pcm": _PCM, "audio/pcmu": _G711, "audio/pcma": _G711})
_MILLISECONDS = shape.number(0, 60_000, whole=True)
_SERVER_VAD: dict[str, shape.Check] = {
    "type": shape.anything,
    "threshold": shape.number(0, 1),
    "prefix_padding_ms": _MILLISECONDS,
    "silence_duration_ms": _MILLISECONDS,
}
_SEMANTIC_VAD: dict[str, shape.Check] = {
    "type": shape.anything,
    "eagerness": shape.one_of("low", "medium", "high", "auto"),
}
_RESPONDING: dict[str, shape.Check] = {"create_response": shape.boolean, "interrupt_response": shape.boolean}
_IDLE: dict[str, shape.Check] = {"idle_timeout_ms": shape.nullable(shape.number(5_000, 30_000, whole=True))}
_TRANSCRIPTION = shape.obj(
    {
        "model": _text,
        "language": _text,
        "prompt": _text,
        "languages": shape.array(_text),
        "keywords": shape.array(_text),
        "delay": shape.one_of(*EFFORTS),
    }
)


class Detections:
    """The kinds of turn detection that a session may have: what an update of each may say, and what it starts from."""

    def __init__(self, kinds: Mapping[str, tuple[Json, Mapping[str, shape.Check]]]) -> None:
        self._defaults = {kind: default for kind, (default, _) in kinds.items()}
        self._checks = {kind: shape.obj(fields) for kind, (_, fields) in kinds.items()}
        self._kind = shape.one_of(*kinds)
        # The type may be left out of a partial update: which fields go with it is checked after the merge.
        self._typeless = shape.obj(
            dict.fromkeys((name for _, fields in kinds.values() for name in fields), shape.anything)
        )

    def check(self, value: Any, path: str) -> None:
        """Refuse what fits no kind."""
        if isinstance(value, dict) and "type" not in value:
            self._typeless(value, path)
            return
        kind = value["type"] if isinstance(value, dict) else next(iter(self._checks))
        self._kind(kind, f"{path}.type")
        self._checks[kind](value, path)

    def merged(self, current: Json | None, changes: Json, path: str) -> Json:
        """The detection that an update makes of the current one; another type starts from its defaults.

        Raises:
            Refusal: there is no type to go by, or a field that does not go with it.
        """
        kind = changes.get("type", current and current["type"])
        if kind is None:
            raise refusal.missing(f"{path}.type")
        self._checks[kind](changes, path)
        base = current if current is not None and current["type"] == kind else self._defaults[kind]
        return base | changes


# A session that answers, and one that only listens and so has nothing to begin or to interrupt.
ANSWERING = Detections(
    {
        "server_vad": (SERVER_VAD, _SERVER_VAD | _IDLE | _RESPONDING),
        "semantic_vad": (SEMANTIC_VAD, _SEMANTIC_VAD | _RESPONDING),
    }
)
LISTENING = Detections(
    {
        "server_vad": (LISTENING_SERVER_VAD, _SERVER_VAD),
        "semantic_vad": ({"type": "semantic_vad", "eagerness": "auto"}, _SEMANTIC_VAD),
    }
)


def input_shape(detections: Detections) -> shape.Check:
    """What an update of ``session.audio.input`` may say."""
    noise = shape.obj({"type": shape.one_of("near_field", "far_field")}, required=("type",))
    return shape.obj(
        {
            "format": AUDIO_FORMAT,
            "transcription": shape.nullable(_TRANSCRIPTION),
            "noise_reduction": shape.nullable(noise),
            "turn_detection": shape.nullable(detections.check),
        }
    )


def default_input(turn_detection: Json) -> Json:
    """``session.audio.input`` of a new session."""
    return {
        "format": {"type": "audio/pcm", "rate": PCM16_RATE_HZ},
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": dict(turn_detection),
    }


def merged_input(current: Json, changes: Json, detections: Detections) -> Json:
    """``session.audio.input`` after an update that fits ``input_shape``: an absent key stays, null switches off.

    Raises:
        Refusal: fields of turn detection that do not go together.
    """
    merged = current | changes
    if "format" in changes:
        merged["format"] = full_format(changes["format"])
    if changes.get("transcription") is not None:
        merged["transcription"] = (current["transcription"] or {}) | changes["transcription"]
    if changes.get("turn_detection") is not None:
        path = "session.audio.input.turn_detection"
        merged["turn_detection"] = detections.merged(current["turn_detection"], changes["turn_detection"], path)
    return merged


def full_format(value: Json) -> Json:
    """A format with its rate spelled out, as the service shows it."""
    return {"type": "audio/pcm", "rate": PCM16_RATE_HZ} if value["type"] == "audio/pcm" else {"type": value["type"]}
