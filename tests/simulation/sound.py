"""Sound as the models make and hear it: silent PCM whose first bytes say what it is. Real sound it is not."""

import base64
import struct
from typing import NamedTuple

BYTES_PER_MS = 48
SPEECH, SILENCE, VOICE = 1, 2, 3

# Kind, utterance, number: 12 bytes, which are 16 characters of base64, so that what follows them is always alike.
_LABEL = struct.Struct(">III")
_LABEL_CHARS = 16


class Sound(NamedTuple):
    """A labelled piece of sound: the user's (of an utterance, or silence) or the assistant's."""

    kind: int
    utterance: int
    number: int
    ms: int


def encode(sound: Sound) -> str:
    """Base64 of PCM16 at 24 kHz, as events carry it."""
    label = base64.b64encode(_LABEL.pack(sound.kind, sound.utterance, sound.number)).decode()
    return label + "A" * ((sound.ms * BYTES_PER_MS - _LABEL.size) // 3 * 4)


def decode(audio: str) -> Sound:
    """What ``encode`` made; only the label is decoded."""
    kind, utterance, number = _LABEL.unpack(base64.b64decode(audio[:_LABEL_CHARS]))
    return Sound(kind, utterance, number, len(audio) // 4 * 3 // BYTES_PER_MS)


def utterances(audio: str) -> list[int]:
    """The utterances in many pieces that were put together, each once, in order."""
    whole, at = base64.b64decode(audio), 0
    found: dict[int, None] = {}
    # Between the labels all is silence.
    while piece := whole[at:].lstrip(b"\0"):
        begin = len(whole) - len(piece) - 3
        kind, utterance, _ = _LABEL.unpack_from(whole, begin)
        if kind == SPEECH:
            found[utterance] = None
        at = begin + _LABEL.size
    return list(found)


# Captures: the first delta holds 100 ms, the second 150 ms, each further one 250 ms.
_DELTA_MS = (100, 150)
_LATER_DELTA_MS = 250


def delta_ms(number: int) -> int:
    """Milliseconds in the assistant's delta of this number; each carries one word."""
    return _DELTA_MS[number] if number < len(_DELTA_MS) else _LATER_DELTA_MS


def word_begins_ms(number: int) -> int:
    """Where in its item the word of this number begins."""
    return sum(delta_ms(before) for before in range(number))


def words_begun(ms: float) -> int:
    """How many words of an item have begun after so many milliseconds of it."""
    count = 0
    while word_begins_ms(count) < ms:
        count += 1
    return count
