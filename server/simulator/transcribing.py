"""The session object of a transcription session, which listens and never answers. Sends nothing."""

from typing import Any

import msgspec

from server.simulator import refusal, shape
from server.simulator.audio_input import LISTENING, LISTENING_SERVER_VAD, Json, default_input, input_shape, merged_input

# Streams its words itself, and leaves no room for turns to be detected.
_WITHOUT_DETECTION = "gpt-realtime-whisper"

_SESSION = shape.obj(
    {
        "type": shape.one_of("transcription", "realtime"),
        "audio": shape.obj({"input": input_shape(LISTENING)}),
        "include": shape.nullable(shape.array(shape.one_of("item.input_audio_transcription.logprobs"))),
    },
    required=("type",),
)


class TranscriptionConfiguration:
    """The effective transcription session of one connection, key order as documented."""

    def __init__(self, session_id: str, expires_at: int) -> None:
        self.session: Json = {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "expires_at": expires_at,
            "include": None,
            "audio": {"input": default_input(LISTENING_SERVER_VAD)},
        }

    @property
    def input(self) -> Json:
        """``session.audio.input``."""
        found: Json = self.session["audio"]["input"]
        return found

    @property
    def turn_detection(self) -> Json | None:
        """``session.audio.input.turn_detection``, every field filled in; None is push-to-talk."""
        found: Json | None = self.input["turn_detection"]
        return found

    def update(self, changes: Any, *, voice_locked: bool) -> None:  # noqa: ARG002 - there is no voice to lock
        """Apply a partial update wholly or not at all.

        Raises:
            Refusal: the update is invalid; nothing has changed.
        """
        if isinstance(changes, dict) and changes.get("type") == "realtime":
            message = "Passing a realtime session update event to a transcription session is not allowed."
            raise refusal.invalid(message, "session.type")
        _SESSION(changes, "session")
        merged = self.session | {key: value for key, value in changes.items() if key != "audio"}
        wanted = changes.get("audio", {}).get("input", {})
        merged["audio"] = {"input": merged_input(self.input, wanted, LISTENING)}
        _check_model(merged["audio"]["input"])
        self.session = msgspec.json.decode(msgspec.json.encode(merged))


def _check_model(configured: Json) -> None:
    model = (configured["transcription"] or {}).get("model")
    if model == _WITHOUT_DETECTION and configured["turn_detection"] is not None:
        message = f"Turn detection is not supported with the transcription model '{model}': set it to null."
        raise refusal.invalid(message, "session.audio.input.turn_detection")
