"""Finds the words of a question that name what is asked for: "hotel" in "is there a good hotel nearby?"."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from server.simulator.mind.words import content_stems, is_common, is_everyday, meanings, plain, stem

_ARTICLE = r"(?:a|an|any|some|the|your|my|our|still|also|one of the|another)"
# A phrase goes on until a word that begins another one.
_PHRASE = (
    r"((?:(?!(?:of|in|at|on|for|with|to|from|near|around|about|here|there|that|which|who|where|when|if|is|are|was|were"
    r"|do|does|did|can|could|have|has|had|will|would|should|must|may|i|you|we|they|he|she|it|and|or|but|by|into|out|up"
    r"|as|than|this|these|those|after|before|during|inside|next|close|nearby|left)\b)[\w'’-]+\s*){1,4})"
)
_OWNING = r"(?:have|sell|offer|own|show|serve|provide|got|know)"
_GETTING = r"(?:bring|buy|get|find|see|rent|hire|recommend|borrow)"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:is|are|was|were) there (?:{_ARTICLE} )*{_PHRASE}",
        rf"\b(?:do|does|did) (?:you|they|we|the museum) {_OWNING} (?:{_ARTICLE} )*{_PHRASE}",
        rf"\b(?:have|has) (?:you|they) got (?:{_ARTICLE} )*{_PHRASE}",
        rf"^(?:and |so |but )*(?:what|who|where) (?:is|are|was|were) (?:{_ARTICLE} )+{_PHRASE}",
        rf"\b(?:can|could|may) (?:i|we|you) (?:still |also )?{_GETTING} (?:me |us )?(?:{_ARTICLE} )*{_PHRASE}",
        rf"\bhow (?!many|much|do|does|did)\w+ (?:is|are|was|were) (?:{_ARTICLE} )*{_PHRASE}",
    )
)


_OTHER_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^(?:and |so |but )*(?:can|could|may|do|does|did) (?:i|we|you|one|visitors) (?:still |also )?([\w'’-]+)",
        r"\bwhere (?:can|could|do|may) (?:i|we|you) ([\w'’-]+)",
        r"\bhow (?:much|often) (?:do|does|did|would|can|could) .{1,40}? ([\w'’-]+)\W*$",
        r"\bhow (?:do|can|could|does) (?:i|we|you|one) ([\w'’-]+)",
        # The verb may follow at once: "how many workers died".
        r"\bhow many ((?:of your |of the |different |other )?[\w'’-]+)",
    )
)


class Focus(Struct, frozen=True):
    """The stems of the things whose being a question clause asks about, and of what is to be done or counted.

    Both are empty where the form of the question does not tell.
    """

    things: frozenset[str]
    others: frozenset[str]


def read_focus(clause: str) -> Focus:
    """What a question clause asks for."""
    opened = plain(clause)
    # "Can I come", "do you have": such verbs name nothing.
    others = (stemmed for stemmed in _found(_OTHER_PATTERNS, opened) if not is_common(stemmed))
    things = (stemmed for stemmed in _found(_PATTERNS, opened) if not is_everyday(stemmed))
    return Focus(frozenset(things), frozenset(others))


def _found(patterns: Iterable[re.Pattern[str]], opened: str) -> Iterator[str]:
    for pattern in patterns:
        match = pattern.search(opened)
        if match is not None:
            yield from content_stems(match.group(1))


# "From the hotel", "the mayor's greenhouse", "Lucia Perrin, a dentist": mentioned, but not what the sentence tells of.
_ASIDE_BEFORE = re.compile(
    r"(?:\b(?:from|in|at|by|with|of|to|on|for|into|near|behind|under|like|as|than|without)\s+(?:[\w'’-]+\s+){0,2}"
    r"|,\s+(?:an?|the)\s+(?:[\w-]+\s+)?)$",
    re.IGNORECASE,
)
_POSSESSIVE = re.compile(r"['’]s?\b")
_WORD = re.compile(r"[^\W_]+")
_LOOKED_BACK_CHARS = 40


def tells_of(text: str, stemmed: str) -> bool:
    """Whether a sentence is about a thing, and does not only mention it beside something else."""
    mine = meanings(stemmed)
    for word in _WORD.finditer(text):
        found = stem(word.group())
        if found != stemmed and not mine & meanings(found):
            continue
        is_aside = _ASIDE_BEFORE.search(text[max(0, word.start() - _LOOKED_BACK_CHARS) : word.start()])
        if is_aside is None and _POSSESSIVE.match(text, word.end()) is None:
            return True
    return False
