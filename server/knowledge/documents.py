"""A document: its title and its plain text in blocks under headings. It reads no format and cuts no passages."""

import re
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum

# Enough for any title a person would write; a "heading" longer than this is a paragraph in disguise.
MAX_TITLE_CHARS = 200


class BlockKind(Enum):
    """How the text of a block may be cut."""

    PROSE = "prose"
    """Sentences."""
    LINE = "line"
    """One row of a table or one line of code: never cut."""
    HEADING = "heading"
    """A heading: belongs to no passage's text."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item, row or heading, as plain text without line breaks at its ends."""

    text: str
    kind: BlockKind
    headings: tuple[str, ...]
    """The section headings above it, outermost first, without the document's title."""
    tight: bool
    """Whether only a line break (and not an empty line) parts it from the block before."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as people read it."""

    title: str
    url: str
    """Where the document says it is published; empty when it does not say."""
    blocks: tuple[Block, ...]

    def plain_text(self) -> str:
        """The text that the offsets of passages count in."""
        return "".join(separator(block, i) + block.text for i, block in enumerate(self.blocks))


def separator(block: Block, position: int) -> str:
    """What stands before the `position`-th block in the plain text."""
    if position == 0:
        return ""
    return "\n" if block.tight else "\n\n"


# Cc and Cf: control, invisible and direction-changing characters, which can hide text from the people who check
# it; Co and Cs: private use and halves of characters; the tag characters spell hidden ASCII.
_REMOVED_CATEGORIES = frozenset(("Cc", "Cf", "Co", "Cs"))
_LAST_BMP = 0xFFFF
_INVISIBLE = re.compile(
    "["
    + "".join(
        re.escape(chr(code))
        for code in range(_LAST_BMP + 1)
        if chr(code) not in "\t\n" and unicodedata.category(chr(code)) in _REMOVED_CATEGORIES - {"Co", "Cs"}
    )
    + "\ufe00-\ufe0f\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]+"
)
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_SPACES = re.compile("[^\\S\n]+")


def clean(text: str) -> str:
    """`text` with plain line ends, without control and invisible characters, in composed form (NFC)."""
    text = _LINE_ENDS.sub("\n", text)
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


def one_line(text: str) -> str:
    """`text` with every run of white space as one space."""
    return " ".join(text.split())


def squeeze(text: str) -> str:
    """`text` with every run of spaces as one; line breaks stay."""
    return _SPACES.sub(" ", text).strip()


class DocumentBuilder:
    """Collects what a reader of some format finds, in order, and makes a Document of it."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._headings: list[tuple[int, str]] = []
        self._first_title = ""

    def heading(self, level: int, text: str) -> None:
        """A heading of `level` (1 is the highest). The first of level 1 is the title, if nothing else gives one."""
        text = one_line(text)
        if not text:
            return
        if level == 1 and not self._first_title:
            self._first_title = text
            self._headings = []
        else:
            self._headings = [(above, title) for above, title in self._headings if above < level]
            self._headings.append((level, text[:MAX_TITLE_CHARS]))
        self._add(text, BlockKind.HEADING, tight=False)

    def prose(self, text: str, *, tight: bool = False) -> None:
        """A paragraph or list item; `tight`: part of the same list or paragraph as the block before."""
        self._add(one_line(text), BlockKind.PROSE, tight=tight)

    def line(self, text: str, *, tight: bool = False) -> None:
        """A row or a line of code, which is never cut."""
        self._add(squeeze(text), BlockKind.LINE, tight=tight)

    def _add(self, text: str, kind: BlockKind, *, tight: bool) -> None:
        if text:
            headings = tuple(title for _, title in self._headings)
            self._blocks.append(Block(text, kind, headings, tight))

    def document(self, *, title: str, url: str, fallback_title: str) -> Document:
        """The document; its title is `title`, else its first heading of level 1, else `fallback_title`.

        Where the title only adds to that heading ("Opening hours | City Museum") the heading is the title. Where
        it says something else, the heading is a section.
        """
        chosen = one_line(title) or self._first_title or one_line(fallback_title)
        blocks = self._blocks
        first = self._first_title
        if first and first.casefold() in chosen.casefold():
            chosen = first
        elif first:
            start = next(i for i, block in enumerate(blocks) if block.text == first)
            above = (first[:MAX_TITLE_CHARS],)
            blocks = blocks[:start] + [replace(block, headings=above + block.headings) for block in blocks[start:]]
        return Document(chosen[:MAX_TITLE_CHARS], url, tuple(blocks))


def table_row(header: list[str], cells: list[str]) -> str:
    """A row of a table as something that can be read aloud: `Adult: Price 14 euros, Members free.`"""
    if not any(cells):
        return ""
    label, rest = cells[0], cells[1:]
    pairs: list[str] = []
    for i, cell in enumerate(rest, start=1):
        if cell:
            name = header[i] if i < len(header) else ""
            pairs.append(f"{name} {cell}".strip())
    if not pairs:
        return _ended(label)
    row = ", ".join(pairs)
    return _ended(f"{label}: {row}" if label else row)


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "。")) else text + "."
