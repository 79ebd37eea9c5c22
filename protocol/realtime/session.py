"""The session object of the GA protocol: what ``session.update`` may say and what ``session.*`` events show."""

from typing import Any

from protocol.realtime.base import UNSET, Maybe, Wire

# Bytes of audio per millisecond, mono: 24 kHz * 16 bit, and G.711's 8 kHz * 8 bit.
PCM16_BYTES_PER_MS = 48
G711_BYTES_PER_MS = 8
# Sample rate of "audio/pcm" in Hz; the services accept no other.
PCM16_RATE_HZ = 24_000

# What a session's ``include`` says to be sent mouth positions; understood by our simulator.
INCLUDE_VISEMES = "response.animation_viseme"

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")


class AudioFormat(Wire, kw_only=True):
    """``audio/pcm`` (16 bit little-endian mono, 24 kHz), ``audio/pcmu`` or ``audio/pcma`` (G.711, 8 kHz)."""

    type: str
    rate: Maybe[int] = UNSET

    @property
    def bytes_per_ms(self) -> int:
        """Bytes of one millisecond of audio in this format."""
        return PCM16_BYTES_PER_MS if self.type == "audio/pcm" else G711_BYTES_PER_MS


class Transcription(Wire, kw_only=True):
    """How the service transcribes the user's audio. On Azure ``model`` names a deployment."""

    model: Maybe[str] = UNSET
    language: Maybe[str] = UNSET
    prompt: Maybe[str] = UNSET


class NoiseReduction(Wire, kw_only=True):
    """``near_field`` or ``far_field``."""

    type: str


class TurnDetection(Wire, kw_only=True):
    """``server_vad`` or ``semantic_vad``; times in ms, ``threshold`` 0..1. Null in its place is push-to-talk."""

    type: str
    threshold: Maybe[float] = UNSET
    prefix_padding_ms: Maybe[int] = UNSET
    silence_duration_ms: Maybe[int] = UNSET
    idle_timeout_ms: Maybe[int | None] = UNSET
    eagerness: Maybe[str] = UNSET
    create_response: Maybe[bool] = UNSET
    interrupt_response: Maybe[bool] = UNSET


class AudioInput(Wire, kw_only=True):
    """The input half of ``session.audio``."""

    format: Maybe[AudioFormat] = UNSET
    transcription: Maybe[Transcription | None] = UNSET
    noise_reduction: Maybe[NoiseReduction | None] = UNSET
    turn_detection: Maybe[TurnDetection | None] = UNSET


class AudioOutput(Wire, kw_only=True):
    """The output half of ``session.audio``. ``voice`` is a name or ``{"id": ...}``; ``speed`` 0.25..1.5."""

    format: Maybe[AudioFormat] = UNSET
    voice: Maybe[Any] = UNSET
    speed: Maybe[float] = UNSET


class Audio(Wire, kw_only=True):
    """``session.audio``."""

    input: Maybe[AudioInput] = UNSET
    output: Maybe[AudioOutput] = UNSET


class Tool(Wire, kw_only=True):
    """A function tool (``parameters`` is a JSON schema) or an MCP server (``server_label`` and more)."""

    type: str
    name: Maybe[str] = UNSET
    description: Maybe[str] = UNSET
    parameters: Maybe[Any] = UNSET
    server_label: Maybe[str] = UNSET


class SessionParams(Wire, kw_only=True):
    """The fourteen keys that GA ``session.update`` accepts; ``type`` is required there and cannot change later."""

    type: Maybe[str] = UNSET
    model: Maybe[str] = UNSET
    instructions: Maybe[str] = UNSET
    output_modalities: Maybe[list[str]] = UNSET
    audio: Maybe[Audio] = UNSET
    tools: Maybe[list[Tool]] = UNSET
    tool_choice: Maybe[Any] = UNSET
    parallel_tool_calls: Maybe[bool] = UNSET
    reasoning: Maybe[Any] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    truncation: Maybe[Any] = UNSET
    tracing: Maybe[Any] = UNSET
    include: Maybe[list[str] | None] = UNSET
    prompt: Maybe[Any] = UNSET


class Session(SessionParams, kw_only=True):
    """The effective session, as ``session.created`` and ``session.updated`` show it. ``expires_at`` in Unix seconds."""

    object: Maybe[str] = UNSET
    id: Maybe[str] = UNSET
    expires_at: Maybe[int | None] = UNSET
