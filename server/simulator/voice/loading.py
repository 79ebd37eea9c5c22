"""Chooses the voice that this machine can speak with. Does not speak."""

from typing import Literal

import structlog

from server.simulator.voice.espeak import ESpeakVoice
from server.simulator.voice.speech import Voice, VoiceUnavailableError
from server.simulator.voice.synthetic import SyntheticVoice

_log = structlog.get_logger("liveavatar.simulator")

Preference = Literal["auto", "espeak", "synthetic"]


def load_voice(prefer: Preference = "auto") -> Voice:
    """eSpeak NG where it is installed, else the synthetic voice.

    "espeak" insists and raises VoiceUnavailableError when it is missing; "synthetic" never loads the C library.
    Blocks for some 15 ms the first time.
    """
    if prefer == "synthetic":
        return SyntheticVoice()
    try:
        return ESpeakVoice()
    except VoiceUnavailableError as error:
        if prefer == "espeak":
            raise
        _log.info("voice falls back", voice=SyntheticVoice.name, reason=str(error))
        return SyntheticVoice()
