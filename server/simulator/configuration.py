"""The session object of a session that answers: its defaults, what an update may change, how it merges. Sends nothing.

Kept as plain JSON objects and not as wire structs, so that keys the structs do not name (an MCP tool's, a
transcription model's) come back in ``session.updated`` as they were set.
"""

import re
from typing import Any

import msgspec

from protocol.realtime.session import INCLUDE_VISEMES, PCM16_RATE_HZ, VOICES
from server.simulator import refusal, shape
from server.simulator.audio_input import (
    ANSWERING,
    AUDIO_FORMAT,
    EFFORTS,
    SERVER_VAD,
    Json,
    default_input,
    full_format,
    input_shape,
    merged_input,
)
from server.simulator.refusal import Refusal

DEFAULT_INSTRUCTIONS = (
    "You are a helpful, friendly assistant who speaks with the user. Answer briefly and clearly, "
    "and use a tool whenever it can answer better than you can."
)
# Models before gpt-realtime-2 neither reason nor know of parallel calls, and reject both settings. On Azure a model
# goes by its deployment's name, which may be any; only these names tell.
_WITHOUT_REASONING = re.compile(r"gpt-realtime(-mini|-1\.5)?(-\d{4}-\d\d-\d\d)?|gpt-4o(-mini)?-realtime.*")
_OF_REASONING_MODELS = ("reasoning", "parallel_tool_calls")
TOOLS_MAX = 128
MAX_OUTPUT_TOKENS = 4096
METADATA = shape.string_map(max_pairs=16, max_key_chars=64, max_value_chars=512)

_text = shape.text()

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
REASONING = shape.obj({"effort": shape.one_of(*EFFORTS)})
PROMPT = shape.nullable(
    shape.obj({"id": _text, "version": shape.nullable(_text), "variables": shape.anything}, required=("id",))
)
VOICE = shape.word_or(VOICES, shape.obj({"id": _text}, required=("id",)))

_SESSION = shape.obj(
    {
        "type": shape.one_of("realtime", "transcription"),
        "model": _text,
        "instructions": _text,
        "output_modalities": MODALITIES,
        "audio": shape.obj(
            {
                "input": input_shape(ANSWERING),
                "output": shape.obj({"format": AUDIO_FORMAT, "voice": VOICE, "speed": shape.number(0.25, 1.5)}),
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
                "input": default_input(SERVER_VAD),
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
        self.check_model(changes, "session")
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
            "input": merged_input(self.input, audio.get("input", {}), ANSWERING),
            "output": self._merged_output(audio.get("output", {}), voice_locked=voice_locked),
        }
        # A copy: what the client sent must not be shared with what the next update merges into.
        self.session = msgspec.json.decode(msgspec.json.encode(merged))

    def _merged_output(self, changes: Json, *, voice_locked: bool) -> Json:
        if "voice" in changes:
            self.check_voice(changes["voice"], voice_locked=voice_locked)
        merged = self.output | changes
        if "format" in changes:
            merged["format"] = full_format(changes["format"])
        return merged

    def check_model(self, wanted: Json, path: str) -> None:
        """Refuse what the session's model cannot do. The code is that of the vendors' HTTP API."""
        for name in _OF_REASONING_MODELS:
            if name in wanted and _WITHOUT_REASONING.fullmatch(self.session["model"]):
                message = f"Unsupported parameter: '{path}.{name}' is not supported with this model."
                raise Refusal("unsupported_parameter", message, f"{path}.{name}")

    def check_voice(self, voice: Any, *, voice_locked: bool) -> None:
        """Refuse another voice once the conversation holds assistant audio."""
        if voice_locked and voice != self.output["voice"]:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Refusal("cannot_update_voice", message, None)
