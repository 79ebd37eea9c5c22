"""Cuts an answer into phrases to be spoken one after the other. Does not speak them."""

import re

from msgspec import Struct

# About 20 s of speech: bounds what one uncancellable call to an engine makes, and its memory.
PHRASE_CHARS_MAX = 240

_BREAK = re.compile(r"""[.!?…。！？]+["'”’)\]]*(?=\s|$)\s*|\n+\s*""")
# A point after these does not end a sentence.
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|no|vs|prof|approx|ca|e\.g|i\.e|etc|fig|vol|jr|sr)|\b[A-Z])\.\s*$", re.IGNORECASE
)


class Phrase(Struct, frozen=True):
    """A part of a text, and the character at which it starts there."""

    start: int
    text: str


def phrases(text: str) -> tuple[Phrase, ...]:
    """The sentences of `text` in order, long ones cut at a comma or a space.

    Together they are exactly the text, spaces included, so that transcripts can be sent piece by piece.
    """
    found: list[Phrase] = []
    start = 0
    for match in _BREAK.finditer(text):
        piece = text[start : match.end()]
        # "etc." may well end a sentence, but a phrase too long is heard less than one cut after "Dr.".
        if match.end() < len(text) and "\n" not in match.group() and _is_abbreviated(piece):
            continue
        found.extend(_cut(start, piece))
        start = match.end()
    if start < len(text):
        found.extend(_cut(start, text[start:]))
    return tuple(found)


def _is_abbreviated(piece: str) -> bool:
    match = _ABBREVIATION.search(piece)
    if match is None:
        return False
    # One capital letter is an initial ("J. Doe") only when it is not the pronoun that ends "So do I."
    return match.group().strip().lower() != "i."


def _cut(start: int, piece: str) -> list[Phrase]:
    parts: list[Phrase] = []
    while len(piece) > PHRASE_CHARS_MAX:
        room = piece[:PHRASE_CHARS_MAX]
        at = max(room.rfind(", "), room.rfind("; "), room.rfind(": ")) + 2
        if at < PHRASE_CHARS_MAX // 3:
            at = room.rfind(" ") + 1 or PHRASE_CHARS_MAX
        parts.append(Phrase(start, piece[:at]))
        start += at
        piece = piece[at:]
    parts.append(Phrase(start, piece))
    return parts
