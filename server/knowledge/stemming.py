"""The Porter stemmer: brings the forms of an English word to one stem. It knows no other language.

The algorithm is M. F. Porter's "An algorithm for suffix stripping" (1980) with the two departures that his own
reference implementation makes (`abli` became `bli`, and `logi` is added); a test compares it with SQLite's.
"""

from functools import lru_cache

# As in SQLite's porter tokenizer: shorter words have no suffix to lose, longer ones are not words.
_MIN_CHARS = 3
_MAX_CHARS = 64
# A vocabulary of 65,536 forms covers any knowledge base of normal size (about 10 MB when full).
_CACHED_WORDS = 65_536

# Frequent forms that no suffix rule reaches.
_IRREGULAR = {
    "ate": "eat", "eaten": "eat", "began": "begin", "begun": "begin", "bought": "buy", "built": "build",
    "came": "come", "children": "child", "drew": "draw", "drawn": "draw", "feet": "foot", "gave": "give",
    "given": "give", "goes": "go", "gone": "go", "held": "hold", "kept": "keep", "knew": "know",
    "known": "know", "lent": "lend", "made": "make", "men": "man", "mice": "mouse", "paid": "pay",
    "sold": "sell", "spoke": "speak", "spoken": "speak", "taken": "take", "took": "take", "taught": "teach",
    "teeth": "tooth", "went": "go", "women": "woman", "wrote": "write", "written": "write",
}  # fmt: skip

_STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("logi", "log"),
    ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"),
    ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"),
    ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
)  # fmt: skip
_STEP_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


def _consonant(word: str, i: int) -> bool:
    letter = word[i]
    if letter in "aeiou":
        return False
    return letter != "y" or i == 0 or not _consonant(word, i - 1)


def _measure(stem: str) -> int:
    """Porter's m: how many times a vowel is followed by a consonant."""
    m = 0
    after_vowel = False
    consonant = True
    for i, letter in enumerate(stem):
        if letter in "aeiou":
            consonant = False
        elif letter == "y":
            consonant = i == 0 or not consonant
        else:
            consonant = True
        if consonant and after_vowel:
            m += 1
        after_vowel = not consonant
    return m


def _has_vowel(stem: str) -> bool:
    return any(not _consonant(stem, i) for i in range(len(stem)))


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _consonant(word, len(word) - 1)


def _ends_cvc(word: str) -> bool:
    n = len(word)
    return (
        n > 2
        and _consonant(word, n - 1)
        and not _consonant(word, n - 2)
        and _consonant(word, n - 3)
        and word[-1] not in "wxy"
    )


def _step_1(word: str) -> str:
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        if _measure(word[:-3]) > 0:
            word = word[:-1]
    else:
        for suffix in ("ed", "ing"):
            if word.endswith(suffix):
                stem = word[: -len(suffix)]
                if _has_vowel(stem):
                    word = _restore(stem)
                break
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    return word


def _restore(stem: str) -> str:
    """What is left of a word after -ed or -ing, made a word again: hop(p), hat(e), fil(e)."""
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    if _ends_double(stem) and stem[-1] not in "lsz":
        return stem[:-1]
    if _measure(stem) == 1 and _ends_cvc(stem):
        return stem + "e"
    return stem


def _replace_suffix(word: str, rules: tuple[tuple[str, str], ...]) -> str:
    for suffix, replacement in rules:
        if word.endswith(suffix):
            stem = word[: -len(suffix)]
            return stem + replacement if _measure(stem) > 0 else word
    return word


def _step_4(word: str) -> str:
    if word.endswith(("sion", "tion")):
        stem = word[:-3]
        return stem if _measure(stem) > 1 else word
    for suffix in _STEP_4:
        if word.endswith(suffix):
            stem = word[: -len(suffix)]
            return stem if _measure(stem) > 1 else word
    return word


def _step_5(word: str) -> str:
    if word.endswith("e"):
        stem = word[:-1]
        m = _measure(stem)
        if m > 1 or (m == 1 and not _ends_cvc(stem)):
            word = stem
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def porter(word: str) -> str:
    """The stem of a lower-case word of ASCII letters; any other text comes back as it is."""
    if not _MIN_CHARS <= len(word) <= _MAX_CHARS or not (word.isascii() and word.isalpha()):
        return word
    word = _step_1(word)
    word = _replace_suffix(word, _STEP_2)
    word = _replace_suffix(word, _STEP_3)
    return _step_5(_step_4(word))


@lru_cache(maxsize=_CACHED_WORDS)
def stem(word: str) -> str:
    """The stem by which a folded word is indexed and looked up."""
    return porter(_IRREGULAR.get(word, word))
