"""Passages out of what the service answers with, and the ids by which they are found again. It asks nothing.

A passage's id is ``<kb_id>/<document>#<number>``, from the fields that say so. In an index without such fields it is
``<kb_id>/<key>#1``: every passage is a document of its own there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from server.knowledge.azure_search.config import FIELDS_SETTING, KnowledgeBaseSource, Mode
from server.knowledge.azure_search.odata import is_text
from server.knowledge.azure_search.scores import rank, score
from server.knowledge.base import KnowledgeUnavailable, Passage
from server.knowledge.document_text import Piece
from server.knowledge.documents import clean, one_line
from server.knowledge.passages import sentences
from server.knowledge.questions import question
from server.knowledge.ranking import SNIPPET_CHARS, Ranking
from server.knowledge.words import stems

_log = structlog.get_logger("liveavatar.knowledge")

HEADING_SEPARATOR = " > "
# As the port writes them; some indexes count from 0.
_NUMBER = re.compile("0|[1-9][0-9]{0,8}")
# As the service allows keys.
_KEY = re.compile(r"[A-Za-z0-9_=-]{1,1024}")
_ONLY_NUMBER = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands: in which document (or under which key), and the how manieth it is there."""

    document: str
    number: int


def place_of(passage_id: str, source: KnowledgeBaseSource) -> Place | None:
    """What a passage id says; None for a text that can be no id of this knowledge base."""
    prefix = f"{source.kb_id}/"
    document, _, number = passage_id.removeprefix(prefix).rpartition("#")
    if not passage_id.startswith(prefix) or not _NUMBER.fullmatch(number) or not document or not is_text(document):
        return None
    if not source.fields.places and not (int(number) == _ONLY_NUMBER and _KEY.fullmatch(document)):
        return None
    return Place(document, int(number))


def selected(source: KnowledgeBaseSource) -> list[str]:
    """The fields that a passage is made of."""
    fields = source.fields
    wanted = (
        fields.key,
        source.filter_field,
        fields.content,
        fields.title,
        fields.headings,
        fields.uri,
        *((fields.document, fields.number) if fields.places else ()),
        fields.start,
    )
    return list(dict.fromkeys(name for name in wanted if name))


def own(results: Iterable[Mapping[str, Any]], source: KnowledgeBaseSource) -> list[Mapping[str, Any]]:
    """The results that belong to the knowledge base. The filter saw to that; another's passage is a fault somewhere."""
    if not source.filter_field:
        return list(results)
    kept: list[Mapping[str, Any]] = []
    for result in results:
        if result.get(source.filter_field) == source.value:
            kept.append(result)
        else:
            _log.error("search gave a passage of another knowledge base", kb_id=source.kb_id, index=source.index)
    return kept


def passages(
    results: Iterable[Mapping[str, Any]], source: KnowledgeBaseSource, query: str, mode: Mode
) -> list[Passage]:
    """The passages in a search's results, best first. Raises KnowledgeUnavailable for fields of another kind."""
    shown = Snippets(query)
    # Equal results come in whatever order; theirs is made the same each time.
    ordered = sorted(own(results, source), key=lambda result: (*(-part for part in rank(result)), _key(result, source)))
    found: list[Passage] = []
    least = 1.0
    for result in ordered:
        text = clean(_text(result, source.fields.content))
        if not text.strip():
            continue
        # What the semantic ranker did not look at stands behind what it did, whatever the first stage said.
        least = min(least, score(result, mode))
        place = _place(result, source)
        start = _number(result, source.fields.start, "start") if source.fields.start else 0
        found.append(
            Passage(
                id=f"{source.kb_id}/{place.document}#{place.number}",
                title=_title(result, source, place),
                uri=_text(result, source.fields.uri) or place.document,
                text=text,
                start=start,
                end=start + len(text),
                score=least,
                snippet=shown.of(text),
            )
        )
    return found


def piece(result: Mapping[str, Any], source: KnowledgeBaseSource) -> Piece:
    """A passage as documents are put together from them."""
    text = clean(_text(result, source.fields.content))
    headings = _text(result, source.fields.headings)
    start = _number(result, source.fields.start, "start") if source.fields.start else 0
    return Piece(
        number=_place(result, source).number,
        headings=tuple(headings.split(HEADING_SEPARATOR)) if headings else (),
        text=text,
        start=start,
        end=start + len(text),
    )


def document_title(result: Mapping[str, Any], source: KnowledgeBaseSource) -> str:
    """The title of the document that a result is from."""
    return one_line(_text(result, source.fields.title)) or _place(result, source).document


def document_uri(result: Mapping[str, Any], source: KnowledgeBaseSource) -> str:
    """Where people find the document that a result is from."""
    return _text(result, source.fields.uri) or _place(result, source).document


class Snippets:
    """Picks the sentences that answer one question."""

    def __init__(self, query: str) -> None:
        # All words weigh the same: how rare they are in the index, the service does not tell.
        self._ranking = Ranking(question(query, _alike), _alike, 1.0)

    def of(self, text: str) -> str:
        """The sentences around the best match in ``text``, in one line."""
        spans = sentences(text)
        if not spans:
            return one_line(text)[:SNIPPET_CHARS]
        roots = [stems(text[start:end]) for start, end in spans]
        written = " ".join(f"{start}-{end}-{len(found)}" for (start, end), found in zip(spans, roots, strict=True))
        return self._ranking.snippet(text, written, " ".join(root for found in roots for root in found))


def _alike(_: str) -> float:
    return 1.0


def _key(result: Mapping[str, Any], source: KnowledgeBaseSource) -> str:
    return _text(result, source.fields.key)


def _place(result: Mapping[str, Any], source: KnowledgeBaseSource) -> Place:
    if not source.fields.places:
        return Place(_key(result, source), _ONLY_NUMBER)
    document = _text(result, source.fields.document)
    return Place(document, _number(result, source.fields.number, "number"))


def _title(result: Mapping[str, Any], source: KnowledgeBaseSource, place: Place) -> str:
    title = one_line(_text(result, source.fields.title)) or place.document
    headings = one_line(_text(result, source.fields.headings))
    return f"{title}{HEADING_SEPARATOR}{headings}" if headings else title


def _text(result: Mapping[str, Any], name: str) -> str:
    """A text field; empty where there is none or it holds nothing."""
    value = result.get(name) if name else None
    return value if isinstance(value, str) else ""


def _number(result: Mapping[str, Any], name: str, role: str) -> int:
    value = result.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise KnowledgeUnavailable(f"look at {FIELDS_SETTING}, {role}={name}: that field holds no whole numbers")
    return value
