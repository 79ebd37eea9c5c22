"""How the simulator sounds: text to PCM16 with times of phones and words, visemes, G.711. Does not send anything."""

from server.simulator.voice.loading import Preference, load_voice
from server.simulator.voice.phrasing import Phrase, phrases
from server.simulator.voice.speech import (
    SAMPLE_RATE_HZ,
    VOICES,
    Phone,
    Speech,
    Voice,
    VoiceUnavailableError,
    Word,
)
from server.simulator.voice.visemes import Viseme, visemes

__all__ = [
    "SAMPLE_RATE_HZ",
    "VOICES",
    "Phone",
    "Phrase",
    "Preference",
    "Speech",
    "Viseme",
    "Voice",
    "VoiceUnavailableError",
    "Word",
    "load_voice",
    "phrases",
    "visemes",
]
