"""The session object: its defaults, what an update may change, and how an update merges. Sends nothing.

Kept as plain JSON objects and not as wire structs, so that keys the structs do not name (an MCP tool's, a
transcription model's) come back in ``session.updated`` as they were set.
"""

from typing import Any, TypeAlias

import msgspec

from protocol.realtime.session import INCLUDE_VISEMES, PCM16_RATE_HZ, VOICES
from server.simulator import refusal, shape
from server.simulator.refusal import Refusal

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
DEFAULT_INSTRUCTIONS = (
    "You are a helpful, friendly assistant who speaks with the user. Answer briefly and clearly, "
    "and use a tool whenever it can answer better than you can."
)
TOOLS_MAX = 128
MAX_OUTPUT_TOKENS = 4096
METADATA = shape.string_map(max_pairs=16, max_key_chars=64, max_value_chars=512)

_EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
_text = shape.text()

_PCM = shape.obj({"type": shape.anything, "rate": shape.number(PCM16_RATE_HZ, PCM16_RATE_HZ, whole=True)})
_G711 = shape.obj({"type": shape.anything})
_FORMAT = shape.tagged({"audio/pcm": _PCM, "audio/pcmu": _G711, "audio/pcma": _G711})
_MILLISECONDS = shape.number(0, 60_000, whole=True)
_TURN_DETECTION = {
    "server_vad": shape.obj(
        {
            "type": shape.anything,
            "threshold": shape.number(0, 1),
            "prefix_padding_ms": _MILLISECONDS,
            "silence_duration_ms": _MILLISECONDS,
            "idle_timeout_ms": shape.nullable(shape.number(5_000, 30_000, whole=True)),
            "create_response": shape.boolean,
            "interrupt_response": shape.boolean,
        }
    ),
    "semantic_vad": shape.obj(
        {
            "type": shape.anything,
            "eagerness": shape.one_of("low", "medium", "high", "auto"),
            "create_response": shape.boolean,
            "interrupt_response": shape.boolean,
        }
    ),
}
_TRANSCRIPTION = shape.obj(
    {
        "model": _text,
        "language": _text,
        "prompt": _text,
        "languages": shape.array(_text),
        "keywords": shape.array(_text),
        "delay": shape.one_of(*_EFFORTS),
    }
)
_FUNCTION = shape.obj(
    {"type": shape.anything, "name": shape.text(64), "description": _text, "parameters": shape.open_object},
    required=("name",),
)
_MCP_KEYS: tuple[str, ...] = ("server_url", "connector_id", "tunnel_id", "authorization", "headers", "allowed_tools")
_MCP_KEYS += ("require_approval", "server_description", "defer_loading", "allowed_callers")
_MCP = shape.obj(
    {"type": shape.anything, "server_label": _text} | dict.fromkeys(_MCP_KEYS, shape.anything),
    required=("server_label",),
)
TOOLS = shape.array(shape.tagged({"function": _FUNCTION, "mcp": _MCP}), max_items=TOOLS_MAX)
TOOL_CHOICE = shape.word_or(
    ("none", "auto", "required"),
    shape.tagged(
        {
            "function": shape.obj({"type": shape.anything, "name": _text}, required=("name",)),
            "mcp": shape.obj(
                {"type": shape.anything, "server_label": _text, "name": _text}, required=("server_label",)
            ),
        }
    ),
)
MODALITIES = shape.array(shape.one_of("text", "audio"), min_items=1, max_items=1)
OUTPUT_TOKENS = shape.word_or(("inf",), shape.number(1, MAX_OUTPUT_TOKENS, whole=True))
REASONING = shape.obj({"effort": shape.one_of(*_EFFORTS)})
PROMPT = shape.nullable(
    shape.obj({"id": _text, "version": shape.nullable(_text), "variables": shape.anything}, required=("id",))
)
VOICE = shape.word_or(VOICES, shape.obj({"id": _text}, required=("id",)))
OUTPUT_FORMAT = _FORMAT


def _turn_detection(value: Any, path: str) -> None:
    # The type may be left out of a partial update: which fields go with it is checked after the merge.
    kind = value.get("type", "server_vad") if isinstance(value, dict) else "server_vad"
    shape.one_of(*_TURN_DETECTION)(kind, f"{path}.type")
    if isinstance(value, dict) and "type" not in value:
        allowed = dict.fromkeys((*SERVER_VAD, *SEMANTIC_VAD), shape.anything)
        shape.obj(allowed)(value, path)
        return
    _TURN_DETECTION[kind](value, path)


_SESSION = shape.obj(
    {
        "type": shape.one_of("realtime", "transcription"),
        "model": _text,
        "instructions": _text,
        "output_modalities": MODALITIES,
        "audio": shape.obj(
            {
                "input": shape.obj(
                    {
                        "format": _FORMAT,
                        "transcription": shape.nullable(_TRANSCRIPTION),
                        "noise_reduction": shape.nullable(
                            shape.obj({"type": shape.one_of("near_field", "far_field")}, required=("type",))
                        ),
                        "turn_detection": shape.nullable(_turn_detection),
                    }
                ),
                "output": shape.obj({"format": _FORMAT, "voice": VOICE, "speed": shape.number(0.25, 1.5)}),
            }
        ),
        "tools": TOOLS,
        "tool_choice": TOOL_CHOICE,
        "parallel_tool_calls": shape.boolean,
        "reasoning": REASONING,
        "max_output_tokens": OUTPUT_TOKENS,
        "truncation": shape.word_or(
            ("auto", "disabled"),
            shape.tagged(
                {
                    "retention_ratio": shape.obj(
                        {
                            "type": shape.anything,
                            "retention_ratio": shape.number(0, 1),
                            "token_limits": shape.obj({"post_instructions": shape.number(0, 1_000_000, whole=True)}),
                        },
                        required=("retention_ratio",),
                    )
                }
            ),
        ),
        "tracing": shape.nullable(
            shape.word_or(("auto",), shape.obj({"workflow_name": _text, "group_id": _text, "metadata": shape.anything}))
        ),
        "include": shape.nullable(
            shape.array(shape.one_of("item.input_audio_transcription.logprobs", INCLUDE_VISEMES))
        ),
        "prompt": PROMPT,
    },
    required=("type",),
)


def full_format(value: Json) -> Json:
    """A format with its rate spelled out, as the service shows it."""
    return {"type": "audio/pcm", "rate": PCM16_RATE_HZ} if value["type"] == "audio/pcm" else {"type": value["type"]}


class Configuration:
    """The effective session of one connection, key order as on the wire."""

    def __init__(self, session_id: str, model: str, voice: str, expires_at: int) -> None:
        pcm = {"type": "audio/pcm", "rate": PCM16_RATE_HZ}
        self.session: Json = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": DEFAULT_INSTRUCTIONS,
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": dict(pcm),
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(SERVER_VAD),
                },
                "output": {"format": dict(pcm), "voice": voice, "speed": 1.0},
            },
            "include": None,
        }

    @property
    def input(self) -> Json:
        """``session.audio.input``."""
        found: Json = self.session["audio"]["input"]
        return found

    @property
    def output(self) -> Json:
        """``session.audio.output``."""
        found: Json = self.session["audio"]["output"]
        return found

    @property
    def turn_detection(self) -> Json | None:
        """``session.audio.input.turn_detection``, every field filled in; None is push-to-talk."""
        found: Json | None = self.input["turn_detection"]
        return found

    def update(self, changes: Any, *, voice_locked: bool) -> None:
        """Apply a partial update wholly or not at all.

        Raises:
            Refusal: the update is invalid; nothing has changed.
        """
        _SESSION(changes, "session")
        if changes["type"] != "realtime":
            message = "Passing a transcription session update event to a realtime session is not allowed."
            raise refusal.invalid(message, "session.type")
        if changes.get("model", self.session["model"]) != self.session["model"]:
            raise refusal.invalid("The model of a session cannot be changed.", "session.model")
        if (
            self.session["tracing"] is not None
            and changes.get("tracing", self.session["tracing"]) != (self.session["tracing"])
        ):
            raise refusal.invalid("Tracing cannot be changed once it is enabled.", "session.tracing")
        merged = dict(self.session)
        merged.update((key, value) for key, value in changes.items() if key != "audio")
        audio = changes.get("audio", {})
        merged["audio"] = {
            "input": self._merged_input(audio.get("input", {})),
            "output": self._merged_output(audio.get("output", {}), voice_locked=voice_locked),
        }
        # A copy: what the client sent must not be shared with what the next update merges into.
        self.session = msgspec.json.decode(msgspec.json.encode(merged))

    def _merged_input(self, changes: Json) -> Json:
        merged = self.input | changes
        if "format" in changes:
            merged["format"] = full_format(changes["format"])
        if changes.get("transcription") is not None:
            merged["transcription"] = (self.input["transcription"] or {}) | changes["transcription"]
        if changes.get("turn_detection") is not None:
            merged["turn_detection"] = self._merged_turn_detection(changes["turn_detection"])
        return merged

    def _merged_turn_detection(self, changes: Json) -> Json:
        path = "session.audio.input.turn_detection"
        current = self.turn_detection
        kind = changes.get("type", current and current["type"])
        if kind is None:
            raise refusal.missing(f"{path}.type")
        if current is None or current["type"] != kind:
            current = SERVER_VAD if kind == "server_vad" else SEMANTIC_VAD
        _TURN_DETECTION[kind](changes, path)
        return current | changes

    def _merged_output(self, changes: Json, *, voice_locked: bool) -> Json:
        if "voice" in changes:
            self.check_voice(changes["voice"], voice_locked=voice_locked)
        merged = self.output | changes
        if "format" in changes:
            merged["format"] = full_format(changes["format"])
        return merged

    def check_voice(self, voice: Any, *, voice_locked: bool) -> None:
        """Refuse another voice once the conversation holds assistant audio."""
        if voice_locked and voice != self.output["voice"]:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Refusal("cannot_update_voice", message, None)
