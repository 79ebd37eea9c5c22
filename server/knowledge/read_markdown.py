"""Reads Markdown (CommonMark's everyday part, tables and front matter) into a Document. It renders nothing.

What it must keep is what can be read aloud: words, sections, list items, rows. What it need not keep is looks.
It works line by line in time linear in the text, so no input can make it slow.
"""

import html
import re

from server.knowledge.documents import Document, DocumentBuilder, one_line, table_row

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*\Z")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]+(?:\[[ xX]\][ \t]+)?|\Z)")
_QUOTE = re.compile(r"(?: {0,3}>[ \t]?)+")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")
_DEFINITION = re.compile(r" {0,3}\[(\^?)[^\]\n]{1,200}\]:[ \t]*")
_CELL_END = re.compile(r"(?<!\\)\|")

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_CODE = re.compile(r"(?<!`)(`{1,8})(?!`)([^`](?:[^`]|`(?!\1))*?)?(?<!`)\1(?!`)")
_IMAGE_OR_LINK = re.compile(
    r"!?\[([^\[\]]{0,500})\](?:\([^()\n]{0,1000}(?:\([^()\n]{0,500}\)[^()\n]{0,500})?\)|\[[^\[\]\n]{0,200}\])"
)
_FOOTNOTE_MARK = re.compile(r"\[\^[^\]\s]{1,64}\]")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000})>")
_BREAK = re.compile(r"<br\s{0,5}/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,1000}>")
_STRONG = re.compile(
    r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]{1,2000}?)(?<=\S)\1(?!\*)|(\*{1,3})(?=\S)([^*\n]{1,2000}?)(?<=\S)\3"
)
_UNDERSCORES = re.compile(r"(?<!\w)(_{1,3})(?=\S)([^_\n]{1,2000}?)(?<=\S)\1(?!\w)")
_STRIKE = re.compile(r"~~(?=\S)([^~\n]{1,2000}?)(?<=\S)~~")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
# Stand for an escaped character and a piece of code while marks are taken off; not characters of any text,
# because reading a file removes the private use area.
_HELD_BASE = 0xE000
_HELD_LAST = 0xF8FF
_HELD = re.compile("[\ue000-\uf8ff]")
_NESTED_LINKS = 3


def inline_text(text: str) -> str:
    """The words of a line of Markdown: marks, link targets and tags are gone, entities are characters."""
    held: list[str] = []

    def hold(words: str) -> str:
        if _HELD_BASE + len(held) > _HELD_LAST:
            return words
        held.append(words)
        return chr(_HELD_BASE + len(held) - 1)

    text = _ESCAPE.sub(lambda match: hold(match.group(1)), text)
    if "`" in text:
        text = _CODE.sub(lambda match: hold((match.group(2) or "").strip()), text)
    text = _AUTOLINK.sub(lambda match: match.group(1).removeprefix("mailto:"), text)
    text = _FOOTNOTE_MARK.sub("", text)
    for _ in range(_NESTED_LINKS):
        text, links = _IMAGE_OR_LINK.subn(lambda match: match.group(1), text)
        if not links:
            break
    text = _TAG.sub("", _BREAK.sub(" ", text))
    for _ in range(2):
        text = _STRONG.sub(lambda match: match.group(2) or match.group(4), text)
        text = _UNDERSCORES.sub(lambda match: match.group(2), text)
    text = _STRIKE.sub(lambda match: match.group(1), text)
    text = html.unescape(text)
    for _ in range(2):  # code may hold an escape that was held first
        text = _HELD.sub(lambda match: _held(held, match.group()), text)
    return one_line(text)


def _held(held: list[str], mark: str) -> str:
    place = ord(mark) - _HELD_BASE
    return held[place] if place < len(held) else ""


def _front_matter(lines: list[str]) -> tuple[dict[str, str], int]:
    """The plain `key: value` pairs between two `---` at the head of a file, and the line after them."""
    if not lines or lines[0].rstrip() != "---":
        return {}, 0
    values: dict[str, str] = {}
    for i, line in enumerate(lines[1:], start=1):
        if line.rstrip() in {"---", "..."}:
            return values, i + 1
        key, colon, value = line.partition(":")
        if colon and key == key.strip() and key:
            values[key.lower()] = value.strip().strip("\"'")
    return {}, 0


class _MarkdownReader:
    """The state between lines: what block is open and what it has so far."""

    def __init__(self) -> None:
        self.builder = DocumentBuilder()
        self._open: list[str] = []
        self._tight = False
        self._in_list = False
        self._table: list[str] | None = None
        self._rows = 0

    def flush(self) -> None:
        """Ends the open paragraph or list item."""
        if self._open:
            self.builder.prose(inline_text("\n".join(self._open)), tight=self._tight)
            self._open.clear()
        self._tight = False

    def end_block(self) -> None:
        """Ends the open paragraph, list or table."""
        self.flush()
        self._in_list = False
        self._table = None

    def code(self, lines: list[str]) -> None:
        """A block of code: each line is kept as it is."""
        self.end_block()
        kept = [line for line in lines if line.strip()]
        for i, line in enumerate(kept):
            self.builder.line(line, tight=i > 0)

    def line(self, line: str, following: str) -> bool:
        """Takes one line outside code. Returns whether it took `following` with it."""
        quote = _QUOTE.match(line)
        line = line[quote.end() :] if quote else line
        if not line.strip():
            # The items of a list belong together though empty lines part them.
            in_list = self._in_list
            self.end_block()
            self._in_list = in_list
            return False
        if self._table is not None and "|" in line:
            self._row(line)
            return False
        taken = self._block_start(line, following)
        if taken == 0:
            self._text(line)
        return taken == 2

    def _block_start(self, line: str, following: str) -> int:
        """How many lines a heading or the head of a table takes here; 0: there is none."""
        atx = _ATX.match(line)
        if atx:
            self.end_block()
            self.builder.heading(len(atx.group(1)), inline_text(atx.group(2) or ""))
            return 1
        if "|" in line and _TABLE_RULE.match(following) and "-" in following and not self._open:
            self.end_block()
            self._table = _cells(line)
            self._rows = 0
            return 2
        setext = _SETEXT.match(following) if following else None
        if setext and not _ITEM.match(line) and not self._in_list:
            heading = inline_text("\n".join([*self._open, line]))
            self._open.clear()
            self.end_block()
            self.builder.heading(1 if setext.group(1)[0] == "=" else 2, heading)
            return 2
        return 0

    def _text(self, line: str) -> None:
        if _RULE.match(line) or (not self._open and _DEFINITION.match(line) and not line.lstrip().startswith("[^")):
            self.end_block()
            return
        self._table = None
        item = _ITEM.match(line)
        if item:
            self.flush()
            self._tight = self._in_list
            self._in_list = True
            self._open.append(line[item.end() :])
        else:
            if not self._open and self._in_list:
                # A further paragraph of an item when indented; else the list is over.
                self._in_list = self._tight = line.startswith((" ", "\t"))
            self._open.append(_DEFINITION.sub("", line))

    def _row(self, line: str) -> None:
        header = self._table or []
        self.builder.line(table_row(header, _cells(line)), tight=self._rows > 0)
        self._rows += 1


def _cells(line: str) -> list[str]:
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [inline_text(cell.replace("\\|", "|")) for cell in _CELL_END.split(line)]


def read_markdown(text: str, *, fallback_title: str) -> Document:
    """A Markdown text as a Document.

    The title is that of the front matter (`title:`), else the first heading of level 1, else `fallback_title`;
    the address is the front matter's `url:` when it is http or https.
    """
    lines = text.split("\n")
    matter, first = _front_matter(lines)
    lines = _COMMENT.sub("", "\n".join(lines[first:])).split("\n") if "<!--" in text else lines[first:]
    reader = _MarkdownReader()
    i = 0
    while i < len(lines):
        fence = _FENCE.match(lines[i])
        if fence:
            mark = fence.group(1)
            closing = re.compile(rf" {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*\Z")
            end = next((j for j in range(i + 1, len(lines)) if closing.match(lines[j])), len(lines))
            reader.code(lines[i + 1 : end])
            i = end + 1
            continue
        following = lines[i + 1] if i + 1 < len(lines) else ""
        i += 2 if reader.line(lines[i], following) else 1
    reader.end_block()
    url = matter.get("url", "")
    return reader.builder.document(
        title=matter.get("title", ""),
        url=url if url.startswith(("https://", "http://")) else "",
        fallback_title=fallback_title,
    )
