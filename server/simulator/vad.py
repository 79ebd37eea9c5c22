"""Finds where the user speaks, by the energy of the sound. Works on stream time: it looks at no clock.

``semantic_vad`` is the same gate with the longest silence its eagerness allows: the simulator has no model of
what a finished sentence is.
"""

import math
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.simulator.voice import g711

# Short enough to place an onset, long enough to hold a period of a low voice.
FRAME_MS = 20
# A click is no speech: this much of it in a row begins a turn.
ONSET_MS = 60
# ``threshold`` 0..1 is laid over the range between a quiet room and loud speech, in dB of full scale.
QUIET_DBFS = -60.0
LOUD_DBFS = -20.0
# "low: max wait 8 s, medium 4 s, high 2 s; auto is medium".
SEMANTIC_SILENCE_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}
SEMANTIC_PREFIX_MS = 300
SEMANTIC_THRESHOLD = 0.5

_FULL_SCALE = 32_768.0
# The energy of every third sample is as good as that of all, for a third of the time.
_STRIDE = {"audio/pcm": 3, "audio/pcmu": 1, "audio/pcma": 1}
_BYTES_PER_MS = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}
_DECODE: dict[str, Callable[[bytes], bytes]] = {"audio/pcmu": g711.decode_mulaw, "audio/pcma": g711.decode_alaw}


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at ``onset_ms``; the turn starts earlier by the prefix padding, at ``start_ms``."""

    onset_ms: float
    start_ms: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The silence was long enough at ``end_ms``, which includes it."""

    end_ms: float


class VoiceActivity:
    """The gate. Feed it audio in any pieces; positions are those of the session's input audio."""

    def __init__(self, turn_detection: dict[str, Any], audio_format: str, at_ms: float) -> None:
        if turn_detection["type"] == "semantic_vad":
            threshold, self._prefix_ms = SEMANTIC_THRESHOLD, SEMANTIC_PREFIX_MS
            self._silence_ms = SEMANTIC_SILENCE_MS[turn_detection["eagerness"]]
        else:
            threshold, self._prefix_ms = turn_detection["threshold"], turn_detection["prefix_padding_ms"]
            self._silence_ms = turn_detection["silence_duration_ms"]
        decibels = QUIET_DBFS + (LOUD_DBFS - QUIET_DBFS) * threshold
        self._level = (_FULL_SCALE * math.pow(10.0, decibels / 20.0)) ** 2
        self._format = audio_format
        self._frame_bytes = FRAME_MS * _BYTES_PER_MS[audio_format]
        self._partial = bytearray()
        self._at_ms = at_ms
        self._loud_ms = 0
        self._quiet_ms = 0
        self._earliest_ms = at_ms
        self.speaking = False

    @property
    def keep_from_ms(self) -> float:
        """What lies before this position can no longer belong to a turn (while no one speaks)."""
        return max(self._earliest_ms, self._at_ms - self._loud_ms - self._prefix_ms)

    def feed(self, audio: bytes) -> list[SpeechStarted | SpeechStopped]:
        """The turns' edges in this piece, in order."""
        self._partial += audio
        found: list[SpeechStarted | SpeechStopped] = []
        whole = len(self._partial) - len(self._partial) % self._frame_bytes
        view = bytes(self._partial[:whole])
        del self._partial[:whole]
        for offset in range(0, whole, self._frame_bytes):
            edge = self._step(self._is_loud(view[offset : offset + self._frame_bytes]))
            if edge is not None:
                found.append(edge)
        return found

    def turn_ended(self, at_ms: float) -> None:
        """The audio up to here was committed or cleared: the next turn cannot reach back behind it."""
        self.speaking = False
        self._loud_ms = self._quiet_ms = 0
        self._earliest_ms = at_ms

    def _step(self, loud: bool) -> SpeechStarted | SpeechStopped | None:
        self._at_ms += FRAME_MS
        if self.speaking:
            self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
            if self._quiet_ms >= max(FRAME_MS, self._silence_ms):
                self.turn_ended(self._at_ms)
                return SpeechStopped(self._at_ms)
            return None
        self._loud_ms = self._loud_ms + FRAME_MS if loud else 0
        if self._loud_ms < ONSET_MS:
            return None
        onset_ms = self._at_ms - self._loud_ms
        start_ms = max(self._earliest_ms, onset_ms - self._prefix_ms)
        self.speaking = True
        self._loud_ms = self._quiet_ms = 0
        return SpeechStarted(onset_ms, start_ms)

    def _is_loud(self, frame: bytes) -> bool:
        decode = _DECODE.get(self._format)
        samples = array("h", decode(frame) if decode else frame)
        if sys.byteorder == "big":
            samples.byteswap()
        heard = samples[:: _STRIDE[self._format]]
        mean = sum(heard) / len(heard)
        # A constant offset is no sound.
        energy = sum(sample * sample for sample in heard) / len(heard) - mean * mean
        return energy >= self._level
