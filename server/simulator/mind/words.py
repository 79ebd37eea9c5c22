"""English words reduced to what they have in common: tokens, stems, kinds of meaning. Knows no questions or answers."""

import re
from functools import lru_cache

from server.simulator.mind.lexicon import COMMON, EVERYDAY, IRREGULAR, LIGHT, PHRASES, STOP, word_list
from server.simulator.mind.thesaurus import ALIKE, RELATED, SYNONYMS

# How much of a question's word another word stands for.
SAME = 1.0
SYNONYM = 0.8
WIDE_SYNONYM = 0.7
SAME_BEGINNING = 0.7
RELATED_MEANING = 0.5

_TOKEN = re.compile(r"[^\W_]+(?:[.,:]\d+)*(?:['’][^\W\d_]+)?(?:-[^\W_]+)*")
# Spellings and phrases of one meaning, by the words of which a text must have one to be read for them.
_SPELLINGS = (
    ("", r"\b(what|where|who|when|how|why|that|there|it|he|she)['’]?s\b(?=\s)", r"\1 is"),
    ("i'm i’m", r"\bi['’]m\b", "I am"),
    ("", r"\b(you|we|they)['’]re\b", r"\1 are"),
    ("wi wi-fi", r"\bwi[- ]fi\b", "wifi"),
    ("e-mail", r"\be-mail\b", "email"),
    *PHRASES,
)
_READ_AS = tuple((re.compile(pattern, re.IGNORECASE), replacement) for _, pattern, replacement in _SPELLINGS)
_READ_FOR: dict[str, tuple[int, ...]] = {}
for _place, (_words, _, _) in enumerate(_SPELLINGS):
    for _word in _words.split():
        _READ_FOR[_word] = (*_READ_FOR.get(_word, ()), _place)
# A text may have a contraction of any word.
_ALWAYS = tuple(place for place, (words, _, _) in enumerate(_SPELLINGS) if not words)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SHORT = re.compile(r"[^aeiouy][aeiou][^aeiouwxy]")
_VOWEL = re.compile(r"[aeiouyà-ÿ]")
# Two stems with this much in common are taken for one word ("access", "accessibl").
_PREFIX_MIN = 5
_PREFIX_SHARE = 0.65
_COMPOUND_MIN = 4
_NARROW_WORDS_MAX = 14

_UNITS = word_list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
_UNITS += word_list("seventeen eighteen nineteen")
_TENS = word_list("twenty thirty forty fifty sixty seventy eighty ninety")
NUMBER_WORDS = {word: value for value, word in enumerate(_UNITS)}
NUMBER_WORDS |= {word: (place + 2) * 10 for place, word in enumerate(_TENS)}
NUMBER_WORDS |= {"hundred": 100, "thousand": 1000, "dozen": 12}


@lru_cache(maxsize=2048)
def plain(text: str) -> str:
    """The text with contractions opened, and spellings and phrases of one meaning made one."""
    lowered = text.lower()
    places = {place for word in set(_WORD.findall(lowered)) for place in _READ_FOR.get(word, ())}
    if "'" in text or "’" in text or "s " in lowered:
        places.update(_ALWAYS)
    for place in sorted(places):
        pattern, replacement = _READ_AS[place]
        text = pattern.sub(replacement, text)
    return text


def tokens(text: str, *, opened: bool = True) -> list[str]:
    """The words and numbers of `text`, hyphenated ones whole; with `opened` as `plain` reads it."""
    return _TOKEN.findall(plain(text) if opened else text)


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The part of a word that its forms share: "opening", "opened" and "opens" are "open"."""
    word = word.lower().replace("’", "'")
    word = word.partition("'")[0] or word
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 3 or not word.isalpha():
        return word
    word = _without_plural(word)
    word = _without_ending(word)
    if word.endswith("e") and len(word) > 4:
        word = word[:-1]
    if word.endswith("y") and len(word) > 2:
        word = word[:-1] + "i"
    return IRREGULAR.get(word, word)


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= 3 and _VOWEL.search(rest):
            if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz":
                return rest[:-1]
            # "Making" is of "make", as "caring" is of "care" and not of "car".
            return f"{rest}e" if _SHORT.fullmatch(rest) else rest
    for ending, least in (("ation", 4), ("ate", 4), ("ion", 4), ("ment", 4), ("ly", 4), ("ness", 4), ("ful", 4)):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= least:
            if ending == "ion" and rest[-1] not in "st":
                continue
            return rest
    return word


def is_content(word: str) -> bool:
    """Whether a word carries meaning of its own."""
    lowered = word.lower().replace("’", "'")
    return lowered not in STOP and lowered.partition("'")[0] not in STOP


def parts(word: str) -> tuple[str, ...]:
    """A hyphenated word joined and in its parts, any other as it is: "audio-guide" is also "audio" and "guide"."""
    if "-" not in word:
        return (word,)
    if word[0].isdigit():
        # "12-year-old" and "10-18" are their first number.
        return (word.partition("-")[0],)
    return (word.replace("-", ""), *word.split("-"))


def content_stems(text: str, *, opened: bool = True) -> list[str]:
    """The stems of the meaningful words in order, each once."""
    found = (stem(part) for word in tokens(text, opened=opened) for part in parts(word) if is_content(part))
    return list(dict.fromkeys(found))


def weight(word: str) -> float:
    """How much a word of a question must be answered for: names of things fully, "find" hardly."""
    stemmed = stem(word)
    if stemmed in _LIGHT:
        return 0.2
    if stemmed in _COMMON or stemmed in _EVERYDAY:
        return 0.5
    return 1.0


def is_common(stemmed: str) -> bool:
    """Whether a stem is so general that it names nothing: "come", "thing"."""
    return stemmed in _COMMON or stemmed in _LIGHT


def is_everyday(stemmed: str) -> bool:
    """Whether a stem is one of the everyday verbs and adjectives."""
    return stemmed in _EVERYDAY


_SUPERLATIVES = frozenset(
    word_list("""
    oldest eldest youngest newest largest biggest smallest tallest highest longest shortest heaviest strongest
    deepest widest earliest latest fastest slowest nearest cheapest richest rarest finest greatest steepest
    hottest coldest""")
)
_LIGHT = frozenset(map(stem, LIGHT))
_COMMON = frozenset(map(stem, COMMON))
_EVERYDAY = frozenset(map(stem, EVERYDAY))
_MEANINGS: dict[str, frozenset[str]] = {}
for _meaning, _line in SYNONYMS.items():
    for _word in _line.split():
        _MEANINGS[stem(_word)] = _MEANINGS.get(stem(_word), frozenset()) | {_meaning}


_PREFIXES = ("re", "un", "in")
# "Indoor" is no door.
_PREFIXED_MIN = 7


def meanings(stemmed: str) -> frozenset[str]:
    """The kinds of meaning that a stem belongs to, named as in the lexicon."""
    found = _MEANINGS.get(stemmed)
    if found is None:
        # "Rediscovered" is about discovery, "inaccurate" about accuracy.
        found = next(
            (
                _MEANINGS.get(stemmed[2:])
                for prefix in _PREFIXES
                if stemmed.startswith(prefix) and len(stemmed) >= _PREFIXED_MIN
            ),
            None,
        )
    return found or frozenset()


def synonym_credit(meaning: str) -> float:
    """What another word of the same meaning is worth: less where the meaning is wide."""
    narrow = len(SYNONYMS[meaning].split()) <= _NARROW_WORDS_MAX and not meaning.startswith(ALIKE)
    return SYNONYM if narrow else WIDE_SYNONYM


def near(meaning: str) -> frozenset[str]:
    """Meanings that often answer for this one ("price" for "entry")."""
    return RELATED.get(meaning, frozenset())


def is_superlative(stemmed: str) -> bool:
    """Whether a stem says that something is the most of its sort."""
    return stemmed in ("first", "last") or (stemmed.endswith("est") and stemmed in _SUPERLATIVES)


def begin_alike(one: str, other: str) -> bool:
    """Whether two stems are probably forms of one word."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < _PREFIX_MIN or shorter[:_PREFIX_MIN] != longer[:_PREFIX_MIN]:
        return False
    shared = next((at for at, char in enumerate(shorter) if char != longer[at]), len(shorter))
    return shared >= _PREFIX_SHARE * len(longer) and shared >= len(shorter) - 2


def ends_alike(one: str, other: str) -> bool:
    """Whether one of two stems is probably a compound of the other: "bookshop" of "shop"."""
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= _COMPOUND_MIN and len(longer) >= len(shorter) + 3 and longer.endswith(shorter)


def number(word: str) -> float | None:
    """The value of a numeral or a number word, None for any other word."""
    if word.lower() in NUMBER_WORDS:
        return float(NUMBER_WORDS[word.lower()])
    digits = word.replace(",", "")
    try:
        return float(digits) if digits[:1].isdigit() else None
    except ValueError:
        return None
