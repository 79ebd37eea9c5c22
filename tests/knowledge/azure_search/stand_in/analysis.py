"""How the words of a text are cut: the few analyzers and filters that tests need."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

from server.knowledge.stemming import stem
from server.knowledge.words import word_set

# Lucene's English stop words.
_STOP_WORDS = word_set("""
    a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to
    was will with
    """)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MARKS = re.compile("[\u0300-\u036f]+")

Analyzer = Callable[[str], list[str]]


def _lowercase(words: list[str]) -> list[str]:
    return [word.lower() for word in words]


def _fold(words: list[str]) -> list[str]:
    return [_MARKS.sub("", unicodedata.normalize("NFKD", word)) for word in words]


def _stop(words: list[str]) -> list[str]:
    return [word for word in words if word not in _STOP_WORDS]


def _stem(words: list[str]) -> list[str]:
    return [stem(word) if word.isascii() else word for word in words]


TOKEN_FILTERS: Mapping[str, Callable[[list[str]], list[str]]] = {
    "lowercase": _lowercase,
    "asciifolding": _fold,
    "stopwords": _stop,
    "porter_stem": _stem,
}
TOKENIZERS = frozenset({"standard_v2"})


def chain(filters: list[str]) -> Analyzer:
    @lru_cache(maxsize=20_000)
    def analyze(text: str) -> list[str]:
        words = _WORD.findall(text.replace("’", "'"))
        for name in filters:
            words = TOKEN_FILTERS[name](words)
        return words

    return analyze


BUILT_IN: Mapping[str, Analyzer] = {
    "standard.lucene": chain(["lowercase"]),
    "en.lucene": chain(["lowercase", "stopwords", "porter_stem"]),
    "en.microsoft": chain(["lowercase", "stopwords", "porter_stem"]),
    "de.microsoft": chain(["lowercase"]),
    "keyword": lambda text: [text],
}


def embed(text: str, dimensions: int) -> list[float]:
    """A vector that texts with the same words share."""
    vector = [0.0] * dimensions
    for word in chain(["lowercase", "asciifolding", "stopwords", "porter_stem"])(text):
        vector[sum(word.encode()) % dimensions] += 1.0
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector] if length else vector
