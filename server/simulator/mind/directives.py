"""What a response's instructions order beyond an answer: to go on with a broken one, or to say one sentence.

Understands the sentences by their key words, in English; knows no history and decides nothing.
"""

import re
from typing import Final

from msgspec import Struct

from server.simulator.mind.phrasebook import phrase


class Remark(Struct, frozen=True):
    """Say the phrase of this key, and nothing else."""

    key: str


class GoOn(Struct, frozen=True):
    """Give the last answer again from behind the words that were `heard`: all of them, or the last few."""

    heard: str


Directive = Remark | GoOn

# Each is at the end of the instructions, whatever stands before. Another language is another line here.
_GO_ON: Final = (
    re.compile(
        r"cut off by .{0,40}\bfault\b.{0,60}\bup to\W*?[\"“](.*)[\"”][^\"”]{0,120}\Z", re.IGNORECASE | re.DOTALL
    ),
)
_REMARKS: Final = tuple(
    (key, re.compile(rf"{pattern}[^\n]*\Z", re.IGNORECASE))
    for key, pattern in (
        ("fault", r"cut off by [^\n]{0,40}\bfault\b[^\n]*\bask\b[^\n]*\brepeat"),
        ("still_there", r"said nothing\b[^\n]*\bstill there"),
        ("goodbye", r"conversation ends now\W+because\b[^\n]*\bgoodbye"),
    )
)
# Fewer words than these are found anywhere, so they tell a place only if they are all that was heard.
_TELLING_WORDS = 3
_WORD = re.compile(r"\S+")
_UNSPOKEN = re.compile(r"[^\w]+")


def read_directive(instructions: str | None) -> Directive | None:
    """What the end of a response's instructions orders, if anything."""
    text = (instructions or "").rstrip()
    # First, because the words that it quotes may be anything.
    for pattern in _GO_ON:
        match = pattern.search(text)
        if match is not None:
            return GoOn(match.group(1))
    return next((Remark(key) for key, pattern in _REMARKS if pattern.search(text)), None)


def go_on(answer: str, heard: str, language: str, *, spoken: str = "") -> str:
    """What of `answer` was not heard yet, or a closing word if nothing is left.

    `spoken` is the broken answer as the history has it: it tells which place is meant when the heard words occur more
    than once. An answer that does not contain the heard words is given in full.
    """
    words = [(_plain(match.group()), match) for match in _WORD.finditer(answer)]
    words = [(word, match) for word, match in words if word]
    known = [word for match in _WORD.finditer(heard) if (word := _plain(match.group()))]
    ends = _ends([word for word, _ in words], known)
    if not ends:
        return answer
    length = sum(1 for match in _WORD.finditer(spoken) if _plain(match.group()))
    end = length if length in ends else ends[0]
    if end == len(words):
        return phrase("no_more", language)
    return answer[words[end][1].start() :]


def _ends(words: list[str], known: list[str]) -> list[int]:
    """Where in `words` the known ones end: all of them, else as many of the last as are found."""
    if not known:
        return []
    for length in range(len(known), min(_TELLING_WORDS, len(known)) - 1, -1):
        tail = known[-length:]
        found = [place for place in range(length, len(words) + 1) if _alike(words[place - length : place], tail)]
        if found:
            return found
        # The last word may have been cut off in its middle: it is said again.
        half = [
            place - 1
            for place in range(length, len(words) + 1)
            if _alike(words[place - length : place - 1], tail[:-1]) and words[place - 1].startswith(tail[-1])
        ]
        if half and length > 1:
            return half
    return []


def _alike(words: list[str], known: list[str]) -> bool:
    """Whether words are the known ones, the first of which may lack its beginning."""
    return words == known or (len(known) > 1 and words[1:] == known[1:] and words[0].endswith(known[0]))


def _plain(word: str) -> str:
    return _UNSPOKEN.sub("", word).casefold()
