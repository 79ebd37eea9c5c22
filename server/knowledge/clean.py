"""The hygiene of text that strangers wrote: what cannot be seen is taken out. It does not judge what is said.

Nobody who reads a passage in its document sees the characters that are taken out here, and a model reads all of them:
instructions have been hidden in tags, variation selectors and joiners. Emoji that are glued with joiners fall apart
into their parts; scripts that write with joiners stay readable. Works for every adapter of the knowledge port alike.
"""

import functools
import itertools
import re
import unicodedata

import msgspec

from server.knowledge.base import DocumentText

# "Stream-Safe Text Format" (UAX #15): no text that anybody writes has more marks upon one letter. It also bounds what
# putting them in order costs, which is quadratic.
MARKS_MAX = 30
# Default_Ignorable_Code_Point of Unicode, as far as the general category does not tell: joiners among marks, fillers
# among letters, variation selectors, and what is reserved for more of the kind; U+2800 is a blank among symbols.
_IGNORABLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),
)
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs"})
_LINE_ENDS = frozenset("\n\v\f\r\x85\u2028\u2029")
# The marks that models' own formats begin with, such as <|im_start|>: a service should not read them in a text, and
# nobody's text has them.
_SPECIAL_TOKEN = re.compile(r"<(?=\|)")
# What comes before a colon where a URI begins; a single letter is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# Where documents are. Anything else ("javascript", "data") does something when a client makes a link of it.
_SCHEMES = frozenset({"http", "https", "ftp", "ftps", "sftp", "s3", "gs", "abfs", "abfss", "wasb", "wasbs"})
_BLANKS = re.compile(r"\s+")


def clean_text(text: str, *, max_chars: int) -> str:
    """``text`` as it may be quoted: composed (NFC), its lines ended by line feeds, and nothing in it invisible.

    Of a longer text only the beginning is looked at and returned, with an ellipsis for the rest.
    """
    # Twice as much, so that a text does not shrink to nothing for what is taken out of it.
    seen = _without_special_tokens(_composed(visible(text[: 2 * max_chars])))
    if len(seen) > max_chars or len(text) > 2 * max_chars:
        return seen[: max_chars - 1] + "…"
    return seen


def clean_line(text: str, *, max_chars: int) -> str:
    """``clean_text`` in one line: for titles and snippets."""
    return clean_text(_BLANKS.sub(" ", visible(text[: 2 * max_chars])).strip(), max_chars=max_chars)


def clean_id(text: str) -> str:
    """An id without what cannot be seen. It is not composed: it is what the document is asked for by."""
    return visible(text).replace("\n", "")


def clean_uri(text: str, *, max_chars: int) -> str:
    """A path or URL for people, in one line. Whoever makes a link of it must not run anything.

    The colon of a scheme that is no place of documents is written ``%3A``, which makes a path of it.
    """
    line = clean_id(text).strip()[:max_chars]
    scheme = _SCHEME.match(line)
    if scheme is None or scheme[1].lower() in _SCHEMES:
        return line
    return f"{scheme[1]}%3A{line[scheme.end() :]}"[:max_chars]


def clean_document(document: DocumentText) -> DocumentText:
    """A document as it may be shown, with its places where they belong after the cleaning."""
    places = {0, len(document.text), document.start, document.end}
    places.update(place for heading in document.headings for place in heading)
    ordered = sorted(place for place in places if 0 <= place <= len(document.text))
    moved = {0: 0}
    pieces: list[str] = []
    for start, end in itertools.pairwise(ordered):
        pieces.append(_composed(visible(document.text[start:end])))
        moved[end] = moved[start] + len(pieces[-1])
    return msgspec.structs.replace(
        document,
        title=clean_line(document.title, max_chars=len(document.title) + 1),
        uri=clean_uri(document.uri, max_chars=len(document.uri) + len("%3A")),
        text="".join(pieces),
        start=moved[document.start],
        end=moved[document.end],
        headings=[(moved[start], moved[end]) for start, end in document.headings],
    )


def visible(text: str) -> str:
    """``text`` without invisible characters; any blank is a space, any end of a line a line feed."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    instead = {ord(char): new for char in set(text) if (new := _instead(char)) != char}
    return text.translate(instead) if instead else text


@functools.lru_cache(maxsize=8192)
def _instead(char: str) -> str:
    """What stands for a character."""
    if char in _LINE_ENDS:
        return "\n"
    category = unicodedata.category(char)
    if category == "Zs" or char == "\t":
        return " "
    code = ord(char)
    # The last two of every plane, and 32 more, are no characters and never will be.
    is_none = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    if category in _INVISIBLE or is_none or any(first <= code <= last for first, last in _IGNORABLE):
        return ""
    return char


def _composed(text: str) -> str:
    if unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", _few_marks(text))


def _few_marks(text: str) -> str:
    marks = 0
    kept: list[str] = []
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MARKS_MAX:
            kept.append(char)
    return "".join(kept)


def _without_special_tokens(text: str) -> str:
    return _SPECIAL_TOKEN.sub("< ", text) if "<|" in text else text
