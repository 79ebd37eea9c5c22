"""The two shapes of the Realtime wire as a client of the openai package writes and reads them."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

WEATHER: Json = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
VOICE = "sage"
TRANSCRIBER = "whisper-1"
SERVER_VAD: Json = {"type": "server_vad", "silence_duration_ms": 300}


@dataclass(frozen=True)
class Dialect:
    """Names of events and contents, and the shapes of session and response.

    ``foreign`` are beginnings of event types that only the other dialect has.
    """

    name: str
    text: str
    audio: str
    transcript: str
    text_content: str
    audio_content: str
    item_begins: tuple[str, ...]
    foreign: tuple[str, ...]

    def session(self, *, tools: list[Json], turn_detection: Json | None) -> Json:
        """What ``session.update`` sends."""
        if self is GA:
            audio = {
                "input": {"turn_detection": turn_detection, "transcription": {"model": TRANSCRIBER}},
                "output": {"voice": VOICE},
            }
            return {"type": "realtime", "tools": tools, "audio": audio, "max_output_tokens": 2000}
        return {
            "modalities": ["text", "audio"],
            "voice": VOICE,
            "tools": tools,
            "turn_detection": turn_detection,
            "input_audio_transcription": {"model": TRANSCRIBER},
            "max_response_output_tokens": 2000,
            # The GA service has none: it is taken, not applied, and which number is shown says nothing.
            "temperature": 0.7,
        }

    def settings(self, session: Json) -> Json:
        """What of an effective session can be compared, under one set of names."""
        if self is GA:
            hearing, speech = session["audio"]["input"], session["audio"]["output"]
            return {
                "turn_detection": hearing["turn_detection"],
                "transcriber": (hearing["transcription"] or {}).get("model"),
                "input": hearing["format"]["type"],
                "voice": speech["voice"],
                "output": speech["format"]["type"],
                "modalities": session["output_modalities"],
                "max_tokens": session["max_output_tokens"],
            }
        return {
            "turn_detection": session["turn_detection"],
            "transcriber": (session["input_audio_transcription"] or {}).get("model"),
            "input": session["input_audio_format"],
            "voice": session["voice"],
            "output": session["output_audio_format"],
            "modalities": sorted(session["modalities"]),
            "max_tokens": session["max_response_output_tokens"],
            "temperature": type(session["temperature"]),
        }

    def text_only(self) -> Json:
        """Parameters of a response in writing."""
        return {"output_modalities": ["text"]} if self is GA else {"modalities": ["text"]}

    @property
    def effective(self) -> Json:
        """The settings after ``session(...)`` was applied, but for its turn detection."""
        if self is GA:
            return {
                "transcriber": TRANSCRIBER, "input": "audio/pcm", "output": "audio/pcm", "voice": VOICE,
                "modalities": ["audio"], "max_tokens": 2000,
            }  # fmt: skip
        return {
            "transcriber": TRANSCRIBER, "input": "pcm16", "output": "pcm16", "voice": VOICE,
            "modalities": ["audio", "text"], "max_tokens": 2000, "temperature": float,
        }  # fmt: skip


GA = Dialect(
    name="ga",
    text="response.output_text",
    audio="response.output_audio",
    transcript="response.output_audio_transcript",
    text_content="output_text",
    audio_content="output_audio",
    item_begins=("conversation.item.added", "conversation.item.done"),
    foreign=("response.text.", "response.audio.", "response.audio_transcript.", "conversation.item.created",
             "conversation.created"),
)  # fmt: skip
BETA = Dialect(
    name="beta",
    text="response.text",
    audio="response.audio",
    transcript="response.audio_transcript",
    text_content="text",
    audio_content="audio",
    item_begins=("conversation.item.created",),
    foreign=("response.output_text.", "response.output_audio", "conversation.item.added", "conversation.item.done"),
)
