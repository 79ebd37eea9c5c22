"""The passages that a search tool returned, read leniently, and their sentences. Does not rank them."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

_LISTS = ("passages", "sources", "results", "documents", "chunks", "hits", "value", "matches")
_TEXTS = ("text", "chunk", "content", "snippet", "body", "passage", "page_content")
_IDS = ("id", "chunk_id", "source_id", "passage_id", "reference", "key")
_TITLES = ("title", "name", "source", "heading")
_SECTIONS = ("section", "heading", "subtitle")

# The text form of search results in Microsoft's VoiceRAG sample: "[id]: text" with a rule between passages.
_MARKED_PASSAGE = re.compile(r"^\[([^\]\n]+)\]:\s*", re.MULTILINE)
_RULE = re.compile(r"\n-{3,}\s*(?=\n|$)")
_LIST_ITEM = re.compile(r"^\s*(?:[-*•–]|\d+[.)])\s+")
_TABLE_RULE = re.compile(r"^[\s|:-]+$")
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|!?\[([^\]]*)\]\([^)]*\)|<[^<>]{1,80}>")
_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s+["'“‘(\[]?[A-Z0-9À-ÞЀ-ӿ€$£]|\s*$)""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|no|vs|prof|approx|ca|e\.g|i\.e|etc|fig|vol|jr|sr|a\.m|p\.m|tel|max|min)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_OPENING = re.compile(r"\s+(?:The|It|On|In|We|A|There|Our|You|They|From)\b")
_REFERS_BACK = re.compile(
    r"^(?:\w+ ){0,3}(?:it|its|they|them|their|he|she|him|his|her|this|these|those)\b", re.IGNORECASE
)
# What is read of a result; the server sends a handful of passages of some hundred words.
_PASSAGES_MAX = 30
_PASSAGE_CHARS_MAX = 8_000
_TITLE_CHARS_MAX = 300
_HEADING_WORDS_MAX = 8
# A sentence longer than this is taken apart at its semicolons and bullets.
_LONG_WORDS = 40


class Passage(Struct, frozen=True):
    """A piece of a source as the search returned it."""

    id: str
    title: str
    section: str
    text: str
    score: float = 0.0
    """How well the search thinks that it answers, 0 to 1; 0 when it does not say."""


class Sentence(Struct, frozen=True):
    """A sentence of a passage, with the heading and the lead-in ("Tickets cost:") under which it stands."""

    passage: Passage
    text: str
    index: int
    heading: str
    lead: str

    @property
    def refers_back(self) -> bool:
        """Whether it speaks of something that the sentence before it names."""
        return _REFERS_BACK.match(self.text) is not None


class SearchFailure(Struct, frozen=True):
    """The tool answered with an error."""

    reason: str


def read_passages(output: str) -> list[Passage] | SearchFailure | None:
    """The passages in a tool's output, best first; None when it has no such form (any other tool's result)."""
    try:
        data = msgspec.json.decode(output)
    except msgspec.DecodeError:
        return _marked(output)
    if isinstance(data, list) and all(isinstance(entry, dict | str) for entry in data):
        return _listed(data) or None
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    for key in _LISTS:
        # An empty list beside an error is no finding.
        if isinstance(data.get(key), list) and (data[key] or not error):
            return _listed(data[key])
    if error:
        return SearchFailure(error if isinstance(error, str) else msgspec.json.encode(error).decode())
    return None


def plain_passages(output: str) -> list[Passage]:
    """An output of no known form as one passage."""
    return [_passage("", output)] if output.strip() else []


def _marked(output: str) -> list[Passage] | None:
    marks = list(islice(_MARKED_PASSAGE.finditer(output), _PASSAGES_MAX))
    if not marks:
        return None
    found: list[Passage] = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        text = output[mark.end() : following.start() if following else len(output)]
        found.append(_passage(mark.group(1), _RULE.sub("", text)))
    return found


def _listed(entries: list[Any]) -> list[Passage]:
    found: list[Passage] = []
    for place, entry in enumerate(entries[:_PASSAGES_MAX]):
        if isinstance(entry, str):
            found.append(_passage(str(place), entry))
        elif isinstance(entry, dict):
            text = _first(entry, _TEXTS)
            if text:
                title = _first(entry, _TITLES)
                section, score = _first(entry, _SECTIONS), entry.get("score")
                found.append(_passage(_first(entry, _IDS) or title, text, title, section, score))
    return found


def _passage(identity: str, text: str, title: str = "", section: str = "", score: object = None) -> Passage:
    # Other searches score from 0 to 100 or without bound; only a share means the same everywhere.
    share = float(score) if isinstance(score, int | float) and 0 <= score <= 1 else 0.0
    return Passage(identity, title[:_TITLE_CHARS_MAX], section[:_TITLE_CHARS_MAX], text[:_PASSAGE_CHARS_MAX], share)


def _first(entry: dict[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = entry.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int):
            return str(value)
    return ""


def sentences(passage: Passage) -> Iterator[Sentence]:
    """The sentences of a passage in order: paragraphs joined, list items and table rows apart, markup removed."""
    index, heading, lead = 0, passage.section, ""
    units = list(_units(passage.text))
    for place, (text, is_item) in enumerate(units):
        is_last = place + 1 == len(units)
        if text.startswith("#") or (not is_item and not is_last and _looks_like_heading(text)):
            heading, lead = _spoken(text.lstrip("# ")), ""
            continue
        for part in _split(_spoken(text)):
            if part:
                yield Sentence(passage, part, index, heading, lead if is_item else "")
                index += 1
        lead = _spoken(text) if text.endswith(":") else lead if is_item else ""


def _units(text: str) -> Iterator[tuple[str, bool]]:
    paragraph: list[str] = []
    is_item = False
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        starts_item = _LIST_ITEM.match(line) is not None
        is_row = stripped.startswith("|")
        if paragraph and (not stripped or starts_item or is_row or stripped.startswith("#")):
            yield " ".join(paragraph), is_item
            paragraph, is_item = [], False
        if is_row:
            if not _TABLE_RULE.match(stripped):
                yield ", ".join(cell.strip() for cell in stripped.strip("|").split("|") if cell.strip()), True
        elif stripped.startswith("#"):
            yield stripped, False
        elif stripped:
            is_item = is_item or starts_item
            paragraph.append(_LIST_ITEM.sub("", line).strip() if starts_item else stripped)


def _looks_like_heading(text: str) -> bool:
    return len(text.split()) <= _HEADING_WORDS_MAX and text[-1:] not in ".!?:;,…)\"'”"


def _spoken(text: str) -> str:
    return " ".join(_MARKUP.sub(lambda match: match.group(1) or "", text).split())


def _split(text: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(text):
        piece = text[start : match.end()]
        # "to 5 p.m. The" ends a sentence although "p.m." does not.
        begins_anew = re.search(r"[ap]\.m\.$", piece) and _OPENING.match(text, match.end())
        if match.end() < len(text) and _ABBREVIATION.search(piece) and not begins_anew:
            continue
        yield from _shortened(piece.strip())
        start = match.end()
    if text[start:].strip():
        yield from _shortened(text[start:].strip())


def _shortened(piece: str) -> Iterator[str]:
    if len(piece.split()) <= _LONG_WORDS:
        yield piece
    else:
        yield from (part.strip() for part in re.split(r";\s+|\s+[-•–|]\s+(?=[A-Z0-9])", piece) if part.strip())
