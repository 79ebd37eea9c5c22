"""A plain voice of vowels and consonant noise made from the spelling, for machines without eSpeak. Not intelligible.

It is audible wherever a real voice would be, with syllables, words, pauses and a falling sentence melody, and it is
deterministic: the same text gives the same bytes.
"""

import math
import random
import re
import sys
from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice, repeat

import trio

from server.simulator.voice.speech import (
    BYTES_PER_MS,
    SAMPLE_RATE_HZ,
    VOICES,
    Phone,
    Speech,
    Word,
    clamped_speed,
)

# Four syllables a second is the tempo of calm speech.
_SYLLABLE_MS = 250
_ONSET_MS = 60
_WORD_GAP_MS = 40
_CLAUSE_PAUSE_MS = 180
_SENTENCE_PAUSE_MS = 300
_FADE_MS = 20
_PEAK = 11_000
_NOISE_PEAK = 3_000
# Bounds the cache to some 5 MiB: ten voices use about thirty sounds each.
_CACHED_SOUNDS = 512
# Pitch is stepped so that sounds are found again in the cache.
_PITCH_STEP_HZ = 5

_BASE_PITCH_HZ = {
    "alloy": 165,
    "ash": 110,
    "ballad": 130,
    "cedar": 95,
    "coral": 205,
    "echo": 120,
    "marin": 190,
    "sage": 175,
    "shimmer": 225,
    "verse": 140,
}

# The first two formants of an adult's vowels, Hz (Peterson and Barney's averages, rounded).
_FORMANTS_HZ = {
    "ɑ": (730, 1090),
    "ɛ": (530, 1840),
    "ɪ": (390, 1990),
    "ɔ": (570, 840),
    "ʊ": (440, 1020),
    "ə": (500, 1500),
    "m": (250, 900),
}
_FORMANT_WIDTH_HZ = 120.0
_HIGHEST_HARMONIC_HZ = 4_000

_VOWELS = {"a": "ɑ", "e": "ɛ", "i": "ɪ", "o": "ɔ", "u": "ʊ", "y": "ɪ"}
_CONSONANTS = {"c": "k", "j": "dʒ", "q": "k", "r": "ɹ", "x": "ks", "g": "ɡ"}
_NOISY = frozenset("sczxfhtpkqgbdv")
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_SYLLABLE = re.compile(r"[^aeiouy]*[aeiouy]+(?:[^aeiouy]+$)?", re.IGNORECASE)


@lru_cache(maxsize=_CACHED_SOUNDS)
def _vowel(symbol: str, pitch_hz: int, length_ms: int) -> bytes:
    period = SAMPLE_RATE_HZ // pitch_hz
    harmonics = range(1, _HIGHEST_HARMONIC_HZ // pitch_hz)
    weights = [
        sum(1 / (1 + ((n * pitch_hz - formant) / _FORMANT_WIDTH_HZ) ** 2) for formant in _FORMANTS_HZ[symbol])
        / math.sqrt(n)
        for n in harmonics
    ]
    wave = [
        sum(weight * math.sin(2 * math.pi * n * at / period) for n, weight in zip(harmonics, weights, strict=True))
        for at in range(period)
    ]
    loudest = max(map(abs, wave))
    cycle = [round(_PEAK * value / loudest) for value in wave]
    count = length_ms * SAMPLE_RATE_HZ // 1000
    return _faded(list(islice(chain.from_iterable(repeat(cycle)), count)))


@lru_cache(maxsize=_CACHED_SOUNDS)
def _noise(letter: str, length_ms: int) -> bytes:
    source = random.Random(letter)  # noqa: S311 - the same hiss every time, no secret
    count = length_ms * SAMPLE_RATE_HZ // 1000
    return _faded([source.randint(-_NOISE_PEAK, _NOISE_PEAK) for _ in range(count)])


def _faded(samples: list[int]) -> bytes:
    """The samples with soft edges, as PCM16LE."""
    fade = min(_FADE_MS * SAMPLE_RATE_HZ // 1000, len(samples) // 2)
    for at in range(fade):
        samples[at] = samples[at] * at // fade
        samples[-1 - at] = samples[-1 - at] * at // fade
    words = array("h", samples)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


class _Sounds:
    """The sounds of one phrase in the making, and the times in them."""

    def __init__(self, pitch_hz: int, speed: float) -> None:
        self._pitch_hz = pitch_hz
        self._speed = speed
        self._parts: list[bytes] = []
        self._at_ms = 0
        self._phones: list[Phone] = []
        self._words: list[Word] = []

    def _length(self, ms: int) -> int:
        return max(5, round(ms / self._speed))

    def _add(self, symbol: str, pcm: bytes) -> None:
        self._phones.append(Phone(float(self._at_ms), symbol))
        self._parts.append(pcm)
        self._at_ms += len(pcm) // BYTES_PER_MS

    def pause(self, ms: int) -> None:
        self._add("", bytes(self._length(ms) * BYTES_PER_MS))

    def word(self, match: re.Match[str], melody: float) -> None:
        self._words.append(Word(float(self._at_ms), match.start(), len(match.group())))
        for index, syllable in enumerate(_syllables(match.group().lower())):
            # The first syllable stands a little higher, as a stress.
            pitch_hz = self._pitch_hz * melody * (1.08 if index == 0 else 1.0)
            stepped = max(_PITCH_STEP_HZ, round(pitch_hz / _PITCH_STEP_HZ) * _PITCH_STEP_HZ)
            self._syllable(syllable, stepped)

    def _syllable(self, letters: str, pitch_hz: int) -> None:
        vowel = next((_VOWELS[char] for char in letters if char in _VOWELS), "ə")
        onset = letters[0] if letters[0] not in _VOWELS else ""
        length_ms = _SYLLABLE_MS
        if onset:
            length_ms -= _ONSET_MS
            symbol = _CONSONANTS.get(onset, onset if onset.isascii() and onset.isalpha() else "ə")
            if onset in _NOISY:
                self._add(symbol, _noise(onset, self._length(_ONSET_MS)))
            else:
                self._add(symbol, _vowel("m", pitch_hz, self._length(_ONSET_MS)))
        self._add(vowel, _vowel(vowel, pitch_hz, self._length(length_ms)))

    def speech(self) -> Speech:
        return Speech(b"".join(self._parts), tuple(self._phones), tuple(self._words))


def _syllables(word: str) -> Iterator[str]:
    found = _SYLLABLE.findall(word)
    if found:
        yield from found
    elif word.isdigit():
        # A digit is about a syllable when read aloud.
        yield from word
    else:
        yield word


def _speak(text: str, pitch_hz: int, speed: float) -> Speech:
    sounds = _Sounds(pitch_hz, speed)
    matches = list(_WORD.finditer(text))
    for index, match in enumerate(matches):
        after = text[match.end() : matches[index + 1].start() if index + 1 < len(matches) else len(text)]
        # The voice falls by a fifth over the phrase, and rises at the end of a question.
        melody = 1.1 - 0.2 * index / len(matches)
        if "?" in after:
            melody = 1.2
        sounds.word(match, melody)
        if any(mark in after for mark in ".!?\n"):
            sounds.pause(_SENTENCE_PAUSE_MS)
        elif any(mark in after for mark in ",;:–—"):
            sounds.pause(_CLAUSE_PAUSE_MS)
        else:
            sounds.pause(_WORD_GAP_MS)
    if not matches:
        sounds.pause(_WORD_GAP_MS)
    return sounds.speech()


class SyntheticVoice:
    """A `Voice` that needs nothing installed; one of its words costs about as much as copying its bytes."""

    name = "synthetic"

    async def speak(self, text: str, *, voice: str, language: str, speed: float) -> Speech:  # noqa: ARG002
        """See `Voice.speak`; every language sounds the same. Computed at once: no thread, one checkpoint first."""
        await trio.lowlevel.checkpoint()
        pitch_hz = _BASE_PITCH_HZ.get(voice, _BASE_PITCH_HZ[VOICES[0]])
        return _speak(text, pitch_hz, clamped_speed(speed))
