"""Reads an HTML page into a Document: what a visitor of the page would read. It runs no script, loads nothing."""

import re
from html.parser import HTMLParser

from server.knowledge.documents import Document, DocumentBuilder, one_line, table_row
from server.knowledge.words import word_set

_DROPPED = word_set("script style template noscript svg math canvas iframe object nav select textarea button datalist")
_BLOCKS = word_set("""
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form header hgroup hr html legend li main menu ol optgroup option p pre section summary table tbody td
    tfoot th thead tr ul
    """)
_VOID = word_set("area base br col embed hr img input link meta param source track wbr")
# An element of these that was never closed ends where the next one of its kind begins.
_CLOSED_BY_SIBLING = word_set("p li dt dd option tr td th")
# The standard library's parser takes time in the square of the text for comments and tags that do not end (57 s for
# 60 KB of "<a "), so comments go first, and a "<" that no ">" follows, before another "<", is just a character.
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LOOSE_BRACKET = re.compile(r"<(?![A-Za-z/!?][^<>]{0,8000}>)")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


class _PageReader(HTMLParser):
    """Collects the text of a page block by block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.builder = DocumentBuilder()
        self.title = ""
        self.url = ""
        self._text: list[str] = []
        self._dropped = ""
        self._dropped_depth = 0
        self._in_title = False
        self._heading = 0
        self._preformatted = 0
        self._list_depth = 0
        self._items = 0
        self._header: list[str] = []
        self._cells: list[str] | None = None
        self._cell_open = False
        self._header_row = False
        self._rows = 0

    # What an element means

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens: it may hide what is inside it, end a block or begin one."""
        if self._dropped:
            if tag == self._dropped:
                if tag not in _CLOSED_BY_SIBLING:
                    self._dropped_depth += 1
                    return
                self._dropped = ""
            else:
                return
        given = dict(attrs)
        if tag in _DROPPED or (tag not in _VOID and _hidden(given)):
            self._end_block()
            self._dropped, self._dropped_depth = tag, 1
        elif tag in _HEADINGS:
            self._end_block()
            self._heading = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self._open_block(tag)
        elif tag == "title":
            self._in_title = not self.title
        elif tag == "br":
            self._text.append("\n" if self._preformatted else " ")
        elif tag == "img" and given.get("alt"):
            self._text.append(f" {given['alt']} ")
        elif tag == "link" and given.get("rel") == "canonical":
            address = given.get("href") or ""
            self.url = address if address.startswith(("https://", "http://")) else ""

    def handle_endtag(self, tag: str) -> None:
        """A tag closes."""
        if self._dropped:
            if tag == self._dropped:
                self._dropped_depth -= 1
                if self._dropped_depth == 0:
                    self._dropped = ""
            return
        if tag in _HEADINGS:
            self._end_block()
        elif tag in _BLOCKS:
            self._close_block(tag)
        elif tag == "title":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        """Characters between tags, entities already decoded."""
        if self._dropped:
            return
        if self._in_title:
            self.title += data
        else:
            self._text.append(data)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<div/>` is an opening tag in HTML; only in SVG, which is dropped, does it close itself."""
        if self._dropped:
            return
        if tag not in {"svg", "math"}:
            self.handle_starttag(tag, attrs)

    # Blocks

    def _open_block(self, tag: str) -> None:
        if tag in {"td", "th"}:
            if self._cells is None:
                self._end_block()
                self._cells = []
            self._end_cell()
            self._cell_open = True
            self._header_row = self._header_row or (tag == "th" and not self._cells and not self._header)
            if tag == "td":
                self._header_row = False
            return
        if self._cells is not None and tag not in {"tr", "table", "thead", "tbody", "tfoot"}:
            self._text.append(" ")
            return
        self._end_row()
        self._end_block()
        if tag == "table":
            self._header, self._rows = [], 0
        elif tag == "tr":
            self._header_row = False
        elif tag == "pre":
            self._preformatted += 1
        elif tag in {"ul", "ol", "dl", "menu"}:
            self._list_depth += 1
            if self._list_depth == 1:
                self._items = 0

    def _close_block(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._end_cell()
            return
        if self._cells is not None and tag not in {"tr", "table", "thead", "tbody", "tfoot"}:
            self._text.append(" ")
            return
        self._end_row()
        self._end_block()
        if tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)
        elif tag in {"ul", "ol", "dl", "menu"}:
            self._list_depth = max(0, self._list_depth - 1)
        elif tag == "table":
            self._header = []

    def _end_cell(self) -> None:
        if self._cells is not None and self._cell_open:
            self._cells.append(one_line("".join(self._text)))
        self._text.clear()
        self._cell_open = False

    def _end_row(self) -> None:
        if self._cells is None:
            return
        self._end_cell()
        cells, self._cells = self._cells, None
        if self._header_row and not self._rows:
            self._header = cells
        else:
            self.builder.line(table_row(self._header, cells), tight=self._rows > 0)
            self._rows += 1
        self._header_row = False

    def _end_block(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        level, self._heading = self._heading, 0
        if level:
            self.builder.heading(level, text)
        elif self._preformatted:
            lines = [line for line in text.split("\n") if line.strip()]
            for i, line in enumerate(lines):
                self.builder.line(line, tight=i > 0)
        elif text.strip():
            self.builder.prose(text, tight=self._list_depth > 0 and self._items > 0)
            self._items += 1 if self._list_depth else 0

    def finish(self) -> None:
        """Ends whatever the page left open."""
        self.close()
        self._end_row()
        self._end_block()


def _hidden(given: dict[str, str | None]) -> bool:
    """Whether a visitor does not see the element: text hidden from people is not knowledge."""
    style = (given.get("style") or "").replace(" ", "").lower()
    return (
        "hidden" in given
        or (given.get("aria-hidden") or "").lower() == "true"
        or "display:none" in style
        or "visibility:hidden" in style
    )


def read_html(text: str, *, fallback_title: str) -> Document:
    """An HTML page as a Document; its title is `<title>`, else the first `<h1>`, else `fallback_title`."""
    reader = _PageReader()
    reader.feed(_LOOSE_BRACKET.sub("&lt;", _COMMENT.sub(" ", text)))
    reader.finish()
    return reader.builder.document(title=reader.title, url=reader.url, fallback_title=fallback_title)
