"""Words: cuts text into the stems by which passages are indexed and questions are asked. It ranks nothing.

Index and query both go through here, so what was written and what was asked meet whatever the accents, the case
or the form of a word. Text of scripts without spaces (Chinese, Japanese, Korean) is cut into pairs of characters.
"""

import re
import unicodedata

from server.knowledge.stemming import stem

# A change in what this module makes of a text makes old indexes wrong: raise it, and documents are indexed anew.
WORDS_VERSION = 1


def word_set(text: str) -> frozenset[str]:
    """The words of a text between white space: how this package writes down its word lists."""
    return frozenset(text.split())


# Words that say nothing about what a passage is about. Question words are among them: "when" is in every text.
STOP_WORDS = word_set("""
    a about above after again against all also am an and any anybody anyone anything are aren as at be because been
    before being below between both but by can cannot could couldn did didn do does doesn doing don down during each
    else etc ever every everything few for from further had hadn has hasn have haven having he hello her here hers
    herself hey hi him himself his how however i if in into is isn it its itself just kindly let like me might
    more most much many must mustn my myself no nor not of off ok okay on once only or other ought our ours ourselves
    out over own perhaps please quite rather really same shall she should shouldn so some somebody someone
    something such tell than thank thanks that the their theirs them themselves then there these they this those
    through to too under until up upon us very want was wasn we were weren what whatever when where whether which
    while who whom whose why will with within without would wouldn yes you your yours yourself yourselves
    wonder wondering
    """)

# Single words longer than this are keys, hashes and base64, which nobody asks for by voice.
_MAX_WORD_CHARS = 64
# "wi-fi" is also "wifi", but a sentence strung together with hyphens is no word.
_MAX_JOINED_CHARS = 24

_TOKEN = re.compile(r"[^\W_]+(?:['’\-‐‑][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_UNSPACED = re.compile("[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_ENGLISH_ENDINGS = frozenset(("s", "t", "d", "m", "re", "ll", "ve"))


def fold(text: str) -> str:
    """`text` without the differences of case, accent and compatibility form; not a display form."""
    if text.isascii():
        return text.lower()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", plain).casefold()


def tokens(text: str) -> list[str]:
    """The folded words of `text` in order, as written: `wi-fi` and `monday's` are one token each."""
    return _TOKEN.findall(fold(text))


def parts(token: str) -> list[str]:
    """The words a token is made of, unstemmed: `monday's` is monday, `wi-fi` is wi and fi, 博物館 is 博物, 物館."""
    found = _PART.findall(token)
    if token.endswith(("n't", "n’t")):
        return []
    if len(found) > 1:
        found = [found[0]] + [part for part in found[1:] if part not in _ENGLISH_ENDINGS]
    if token.isascii():
        return [part for part in found if len(part) <= _MAX_WORD_CHARS]
    cut: list[str] = []
    for part in found:
        cut.extend(_cut_unspaced(part))
    return cut


def joined(token: str) -> str | None:
    """The one word that a hyphenated token also is (`wifi`), or None."""
    if token.isalnum() or "'" in token or "’" in token:
        return None
    word = "".join(_PART.findall(token))
    return word if word.isalpha() and len(word) <= _MAX_JOINED_CHARS else None


def _cut_unspaced(part: str) -> list[str]:
    cut: list[str] = []
    position = 0
    for run in _UNSPACED.finditer(part):
        if run.start() > position:
            cut.append(part[position : run.start()])
        characters = run.group()
        if len(characters) == 1:
            cut.append(characters)
        else:
            cut.extend(characters[i : i + 2] for i in range(len(characters) - 1))
        position = run.end()
    if position < len(part):
        cut.append(part[position:])
    return [word for word in cut if len(word) <= _MAX_WORD_CHARS]


def stems(text: str) -> list[str]:
    """The stems by which `text` is found, in order, without stop words."""
    found: list[str] = []
    for token in tokens(text):
        if token.isalnum() and token.isascii():
            if token not in STOP_WORDS and len(token) <= _MAX_WORD_CHARS:
                found.append(stem(token))
            continue
        found.extend(stem(part) for part in parts(token) if part not in STOP_WORDS)
        whole = joined(token)
        if whole is not None:
            found.append(stem(whole))
    return found
