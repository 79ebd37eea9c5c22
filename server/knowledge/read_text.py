"""Reads files as text: bytes to characters, and plain text to a Document. It knows no markup."""

import codecs
import re
from dataclasses import dataclass

from server.knowledge.documents import Document, DocumentBuilder, clean

# UTF-16 only counts with its mark: without one, any binary file could be it.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What older files in Western languages are nearly always written in.
_FALLBACK = "windows-1252"
_LOOKED_AT_BYTES = 8_192
# More than one control byte in thirty is no text in any single-byte encoding.
_MAX_CONTROL_SHARE = 1 / 30
_CONTROL = bytes(set(range(32)) - {8, 9, 10, 12, 13, 27})
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_MAX_TITLE_LINE_CHARS = 80
# A shorter line was ended on purpose (a list, an address, opening hours); a longer one was wrapped.
_FULL_LINE_CHARS = 50
_BULLET = re.compile(r"\s*[-*•–]\s+")


class NotText(ValueError):
    """The bytes are no text."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Characters, and what was wrong with the bytes (empty: nothing)."""

    text: str
    problem: str


def looks_binary(data: bytes) -> bool:
    """Whether the first bytes of a file are no text in UTF-8 or a single-byte encoding."""
    head = data[:_LOOKED_AT_BYTES]
    return b"\0" in head or len(head) - len(head.translate(None, _CONTROL)) > len(head) * _MAX_CONTROL_SHARE


def _declared(data: bytes) -> str | None:
    head = data[:_LOOKED_AT_BYTES]
    match = _META_CHARSET.search(head) or _XML_ENCODING.search(head)
    if match is None:
        return None
    try:
        name = codecs.lookup(match.group(1).decode("ascii")).name
    except LookupError:
        return None
    # A page that declares UTF-16 in ASCII bytes is not in UTF-16; codecs such as "hex" are no encodings of text.
    return None if name.startswith(("utf-16", "utf-32")) or not _is_text_codec(name) else name


def _is_text_codec(name: str) -> bool:
    try:
        b"a".decode(name)
    except (LookupError, UnicodeError):
        return False
    return True


def decode(data: bytes, *, html: bool = False) -> Decoded:
    """The text of a file. UTF-8 or what a byte order mark (or, for `html`, the page) says; else Windows-1252.

    Raises NotText for binary content.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return Decoded(clean(data[len(mark) :].decode(encoding)), "")
            except UnicodeDecodeError:
                text = data[len(mark) :].decode(encoding, "replace")
                return Decoded(
                    clean(text), f"not the {encoding.upper()} that its byte order mark says; damaged places marked"
                )
    if looks_binary(data):
        raise NotText("binary content")
    declared = _declared(data) if html else None
    for name in filter(None, ("utf-8", declared)):
        try:
            return Decoded(clean(data.decode(name)), "")
        except UnicodeDecodeError:
            continue
    return Decoded(clean(data.decode(_FALLBACK, "replace")), "not UTF-8; read as Windows-1252")


def _unwrap(paragraph: str) -> list[str]:
    """The lines of a paragraph with those joined that were only broken because the line was full."""
    lines: list[str] = []
    full = False
    for line in paragraph.strip().split("\n"):
        if full and not _BULLET.match(line):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.strip())
        full = len(line) >= _FULL_LINE_CHARS
    return [_BULLET.sub("", line) for line in lines]


def read_text(text: str, *, fallback_title: str) -> Document:
    """A plain text: paragraphs parted by empty lines. A short first line that stands alone is its title."""
    builder = DocumentBuilder()
    paragraphs = [lines for lines in re.split(r"\n[^\S\n]*\n", text) if lines.strip()]
    title = ""
    if len(paragraphs) > 1:
        first = paragraphs[0].strip()
        if "\n" not in first and len(first) <= _MAX_TITLE_LINE_CHARS and first[-1] not in ".:;,!?":
            title = first
            builder.heading(1, first)
            paragraphs = paragraphs[1:]
    for paragraph in paragraphs:
        for i, line in enumerate(_unwrap(paragraph)):
            builder.prose(line, tight=i > 0)
    return builder.document(title=title, url="", fallback_title=fallback_title)
