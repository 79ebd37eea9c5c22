"""What a voice makes: sound with the times of its phones and words. Does not make it, and knows no engine."""

from typing import Protocol

from msgspec import Struct

# The rate of the Realtime protocol's `audio/pcm` format.
SAMPLE_RATE_HZ = 24_000
BYTES_PER_SAMPLE = 2
BYTES_PER_MS = SAMPLE_RATE_HZ * BYTES_PER_SAMPLE // 1000

# The ten voices that the Realtime protocol names.
VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")

# The protocol's bounds of `audio.output.speed`.
SPEED_MIN = 0.25
SPEED_MAX = 1.5


class Phone(Struct, frozen=True):
    """One speech sound.

    `offset_ms` counts from the start of its Speech; `symbol` is IPA without stress marks, "" is a pause.
    """

    offset_ms: float
    symbol: str


class Word(Struct, frozen=True):
    """Where a word of the text begins in the sound: milliseconds, and characters of the text spoken."""

    offset_ms: float
    char_start: int
    char_len: int


class Speech(Struct, frozen=True):
    """One spoken phrase: PCM16 little-endian mono at 24 kHz, and the times in it, both ascending."""

    pcm: bytes
    phones: tuple[Phone, ...]
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> float:
        """How long it sounds."""
        return len(self.pcm) / BYTES_PER_MS


class VoiceUnavailableError(Exception):
    """This voice cannot speak on this machine; the message says what is missing."""


class Voice(Protocol):
    """Anything that turns text into Speech. Give it one phrase at a time, so that first audio comes fast."""

    @property
    def name(self) -> str:
        """What the engine is called in logs and health reports."""
        ...

    async def speak(self, text: str, *, voice: str, language: str, speed: float) -> Speech:
        """Say `text` (plain, no markup) as the protocol's `voice`.

        `language` is a two-letter code or a tag such as "de-AT"; `speed` is clamped to 0.25..1.5. An unknown
        voice or language falls back to a default. A text without anything to say gives a short pause.
        Cancelled while waiting for the engine, nothing is made; an engine at work finishes its phrase first
        (some milliseconds) and the result is dropped.
        """
        ...


def clamped_speed(speed: float) -> float:
    """The nearest speed that the protocol allows."""
    return min(SPEED_MAX, max(SPEED_MIN, speed))
