"""How well documents, and the sentences in them, cover the words of a question. Chooses no answer."""

from collections.abc import Sequence

from msgspec import Struct

from server.simulator.mind.evidence import Evidence, evidence
from server.simulator.mind.passages import Passage, Sentence, sentences
from server.simulator.mind.question import Term
from server.simulator.mind.words import (
    RELATED_MEANING,
    SAME,
    SAME_BEGINNING,
    begin_alike,
    ends_alike,
    meanings,
    near,
    synonym_credit,
)

# What a word is worth that is not in the sentence itself but in its title, in the sentence before it (the first if
# that is what "it" means), elsewhere in the passage, or elsewhere in the document.
_IN_TITLE = 0.9
_MEANT_BEFORE = 0.65
_BEFORE = 0.4
_IN_PASSAGE = 0.35
_IN_DOCUMENT = 0.3
# What is meant without being named, as Sunday is by "every day", is nearly as good as the word.
_IMPLIED = 0.92
_IMPLIED_KIND = SAME_BEGINNING + 0.1
_SENTENCES_MAX = 400


class Line(Struct, frozen=True):
    """A sentence and what it holds, the sentence before it in its passage, and what its title and headings hold."""

    sentence: Sentence
    own: Evidence
    above: Evidence
    before: "Line | None"


class Document(Struct, frozen=True):
    """The passages of one source that a search returned, as lines.

    `rank` is the place of the best of them, `score` its score, 0 where the search gives none; `standing` is the score
    in relation to that of the best document.
    """

    title: str
    rank: int
    score: float
    standing: float
    lines: tuple[Line, ...]


class Coverage(Struct, frozen=True):
    """How far a line covers each of some terms, by itself and with what stands around it; both from 0 to 1."""

    line: Line
    here: tuple[float, ...]
    placed: tuple[float, ...]


def read_documents(passages: Sequence[Passage]) -> list[Document]:
    """The documents that `passages` (best first) are of, in that order."""
    grouped: dict[str, list[Passage]] = {}
    for place, passage in enumerate(passages):
        key = passage.title.partition(" > ")[0] or passage.id.partition("#")[0] or str(place)
        grouped.setdefault(key, []).append(passage)
    ranks = {id(passage): rank for rank, passage in enumerate(passages)}
    best = max((passage.score for passage in passages), default=0.0)
    left = _SENTENCES_MAX
    found: list[Document] = []
    for title, parts in grouped.items():
        lines = [line for passage in parts for line in _lines(passage)][:left]
        left -= len(lines)
        score = max(part.score for part in parts)
        standing = score / best if best else 0.0
        found.append(Document(title, ranks[id(parts[0])], score, standing, tuple(lines)))
    return found


def _lines(passage: Passage) -> list[Line]:
    lines: list[Line] = []
    for sentence in sentences(passage):
        above = evidence(f"{passage.title} - {passage.section} - {sentence.heading}")
        own = evidence(f"{sentence.lead} {sentence.text}".strip())
        lines.append(Line(sentence, own, above, lines[-1] if lines else None))
    return lines


def credit(stemmed: str, found: Evidence) -> float:
    """How far a text covers a word: its own stem, a synonym, a form of it, or a related meaning."""
    if stemmed in found.stems:
        return SAME
    mine = meanings(stemmed)
    shared = mine & found.meanings
    if shared:
        return max(map(synonym_credit, shared))
    if found.implies(stemmed):
        return _IMPLIED
    if any(found.implies(meaning) for meaning in mine):
        return _IMPLIED_KIND
    if stemmed[:5] in found.beginnings and any(begin_alike(stemmed, other) for other in found.stems):
        return SAME_BEGINNING
    if any(near(meaning) & found.meanings for meaning in mine):
        return RELATED_MEANING
    if stemmed[-4:] in found.endings and any(ends_alike(stemmed, other) for other in found.stems):
        return RELATED_MEANING
    return 0.0


def cover(document: Document, terms: Sequence[Term]) -> tuple[list[Coverage], tuple[float, ...]]:
    """The coverage of `terms` by each line of a document, and by the document as a whole."""
    own = [[credit(term.stem, line.own) for term in terms] for line in document.lines]
    titles: dict[int, list[float]] = {}
    passages: dict[int, list[float]] = {}
    for line, here in zip(document.lines, own, strict=True):
        if id(line.above) not in titles:
            titles[id(line.above)] = [credit(term.stem, line.above) for term in terms]
        above = titles[id(line.above)]
        held = passages.setdefault(id(line.sentence.passage), [0.0] * len(terms))
        held[:] = map(max, held, here, above)
    whole = [max(values) for values in zip(*passages.values(), strict=True)] if passages else [0.0] * len(terms)
    found: list[Coverage] = []
    previous: list[float] = [0.0] * len(terms)
    for line, here in zip(document.lines, own, strict=True):
        before_share = _MEANT_BEFORE if line.sentence.refers_back else _BEFORE
        before = previous if line.before is not None else [0.0] * len(terms)
        above, held = titles[id(line.above)], passages[id(line.sentence.passage)]
        placed = tuple(
            max(
                here[i],
                _IN_TITLE * above[i],
                before_share * before[i],
                _IN_PASSAGE * held[i],
                _IN_DOCUMENT * whole[i],
            )
            for i in range(len(terms))
        )
        found.append(Coverage(line, tuple(here), placed))
        previous = here
    return found, tuple(whole)
