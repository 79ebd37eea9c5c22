"""Scores sentences as answers to a question, and tells which may answer at all. Puts no answer together."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

from server.simulator.mind.evidence import Evidence, evidence, fitness
from server.simulator.mind.focus import tells_of
from server.simulator.mind.kinds import Kind
from server.simulator.mind.lexicon import word_list
from server.simulator.mind.passages import Sentence
from server.simulator.mind.question import LIGHT_WEIGHT, Part, Term
from server.simulator.mind.relevance import Coverage, Document, cover, credit
from server.simulator.mind.words import (
    RELATED_MEANING,
    SAME,
    SAME_BEGINNING,
    WIDE_SYNONYM,
    content_stems,
    is_superlative,
    meanings,
    stem,
)

# Whether a sentence answers is told by how much of the question it covers in its place, whether it holds the sort of
# thing asked for, how many of the telling words its document has and lacks, and the search's score where there is
# one. The weights are those of logistic regressions over 600 questions inside and outside of several guides.
_COVERED_FROM = 0.18
_ANSWERS_FROM = 1.78
_COVERAGE_WORTH = 1.16
_FIT_WORTH = 0.69
_PRESENT_WORTH = 0.06
_LACKING_COST = 0.44
# "Is there a hotel near the tower?" is not answered by whatever is said of the tower.
_LACKING_THING_COST = 0.4
_TITLE_WORTH = 0.55
_TITLE_WEIGHT_MAX = 1.5
_TITLE_TERM_MIN = 0.4
_ANSWERS_UNSCORED_FROM = 0.80
_UNSCORED_FIT_WORTH = 0.255
_UNSCORED_PRESENT_WORTH = 0.05
_UNSCORED_LACKING_COST = 0.18
_FITS_FROM = 0.7
_FIGURE_BEHIND_MAX = 0.4
# The second half of a question is about the same thing as the first.
_SAME_DOCUMENT_BONUS = 0.25
# Words no heavier than this may be of the question's form ("how far").
_KIND_WEIGHT_MAX = 0.5
# Without a figure of their sort these are not answered.
STRICT = frozenset(
    (Kind.MONEY, Kind.WEIGHT, Kind.LENGTH, Kind.DISTANCE, Kind.SPEED, Kind.SIZE, Kind.AGE, Kind.CLOCK, Kind.YEAR)
)
# What was told beside a question that by itself names nothing.
_TOLD_WEIGHT = 0.7
_TELLING_WEIGHT_MIN = 0.4
_TELLING_WORDS_MAX = 3
# A word of its own that the whole document lacks says that the document is about something else.
_OWN_WEIGHT = 0.6
_MISSING_FACTOR = 0.85
_MISSING_NAME_FACTOR = 0.35
_MISSING_FOCUS_FACTOR = 0.65
# What a thing asked for is worth to a document that only mentions it.
_MENTIONED = 0.3
# What is only told beside the question need not be found; where it is not, this much of it counts as lacking.
_ASIDE_LACKING = 0.3
# A word that many passages share tells them apart no longer: at most this much of its weight is lost.
_SHARED_LOSS = 0.5
_SHARED_FROM = 0.5
_SHARED_PASSAGES_MIN = 3
_COMMON_LOSS = 0.7
# The search knows how rare words are and saw all documents: its order counts.
_RANK_BONUS = 0.12
_SCORE_BONUS = 0.9
_PASSAGE_SCORE_BONUS = 0.4
# Of sentences on the subject, the one that holds a time or a sum answers when a time or a sum was asked for.
_EVIDENCE_BONUS = 0.2
# "The oldest" is not any: a sentence without the question's superlative is about another.
_NO_SUPERLATIVE_FACTOR = 0.75
_OTHER_SUBJECT_LOSS = 0.15
# Asked about the house itself, a sentence that names it speaks of it and of none of its parts.
_HOUSE_BONUS = 0.3
_OF_HOUSE_KINDS = frozenset((Kind.CLOCK, Kind.WHEN, Kind.DAY, Kind.MONEY))
# A term that counts this much is what the question is about.
_SPECIFIC_WEIGHT = 0.9
# Who asks for the price of nothing in particular means an adult's.
_ADULT_BONUS = 0.25
_ADULTS = frozenset(("adult", "admission", "standard", "normal", "basic"))
# "Can I ...?" is answered by what is allowed or not.
_PERMISSION_BONUS = 0.12
# What is forbidden concerns more visitors than who is excepted.
_LIMIT_BONUS = 0.15
_LIMITS = frozenset(("not", "only", "cannot", "no", "never", "forbidden", "prohibit", "ban", "nobody", "without"))
_PERMISSION = frozenset(
    map(
        stem,
        word_list("""
        allowed permitted welcome forbidden prohibited must cannot banned accept necessary required need needed without
        anyone everyone nobody"""),
    )
)
_POINTS_BACK = re.compile(
    r"^(?:It|Its|They|Their|He|She|His|Her|This|These|That|Those|Here|There)\b(?! (?:is|are|was|were) (?:an?|no"
    r"|one|two)\b)"
)


class _About(Struct, frozen=True):
    """What a document has of a question: telling words that it has and that it lacks, and what is left of its worth."""

    present: int
    lacking: int
    lacks_thing: bool
    missing_factor: float
    title_share: float
    title_weight: float


class Scored(Struct, frozen=True, eq=False):
    """A sentence as an answer: how much of the question it covers in its place, and whether it holds the sort of thing
    that is asked for (`fit`, to 1). `here` and `placed` are as in a Coverage, one for each of `terms`.
    """

    sentence: Sentence
    coverage: float
    fit: float
    rank_score: float
    document: Document
    about: _About
    own: Evidence
    terms: Sequence[Term]
    here: tuple[float, ...]
    placed: tuple[float, ...]


def score_sentences(part: Part, documents: Sequence[Document]) -> list[Scored]:
    """Every sentence of the documents as an answer to one part of the question, best first."""
    terms = [_weighed(term, documents) for term in part.terms]
    found: list[Scored] = []
    if not terms:
        return found
    for document in documents:
        lines, whole = cover(document, terms)
        telling = _telling(terms, lines)
        about = _about(part.terms, whole, document)
        found.extend(_score(part, telling, coverage, document, about) for coverage in lines)
    return sorted(found, key=lambda entry: -entry.rank_score)


def may_answer(entry: Scored) -> bool:
    """Whether a sentence may answer at all."""
    if entry.coverage < _COVERED_FROM:
        return False
    about = entry.about
    if not entry.document.score:
        worth = entry.coverage + _UNSCORED_FIT_WORTH * entry.fit + _UNSCORED_PRESENT_WORTH * about.present
        return worth - _UNSCORED_LACKING_COST * about.lacking >= _ANSWERS_UNSCORED_FROM
    worth = entry.document.score + _COVERAGE_WORTH * entry.coverage + _FIT_WORTH * entry.fit
    worth += _PRESENT_WORTH * about.present + _TITLE_WORTH * about.title_weight
    return worth - _LACKING_COST * about.lacking - _LACKING_THING_COST * about.lacks_thing >= _ANSWERS_FROM


def has_evidence(part: Part, best: Scored, scored: Sequence[Scored]) -> bool:
    """Whether a sentence of the best one's document holds the figure, and by word or title what it is the figure of."""
    named = [place for place, term in enumerate(part.terms) if term.weight > _KIND_WEIGHT_MAX]
    return any(
        entry.document is best.document
        and entry.fit >= _FITS_FROM
        and (
            not named
            or any(entry.placed[place] >= RELATED_MEANING for place in named)
            or any(
                entry.here[place] >= SAME and term.weight >= _KIND_WEIGHT_MAX for place, term in enumerate(part.terms)
            )
        )
        for entry in scored
    )


def sum_beside(part: Part, best: Scored, scored: Sequence[Scored]) -> Scored | None:
    """The sentence of the best one's document that tells a sum, where one belongs to the answer and is not told yet."""
    if not part.is_of_money or fitness(Kind.MONEY, best.own, frozenset()) >= _FITS_FROM:
        return None
    asked = frozenset(term.stem for term in part.terms)
    sums = (
        entry
        for entry in scored
        if entry.document is best.document and fitness(Kind.MONEY, entry.own, asked) >= _FITS_FROM
    )
    return max(sums, key=lambda entry: entry.rank_score, default=None)


def _telling(terms: Sequence[Term], lines: Sequence[Coverage]) -> list[Term]:
    """The terms as they tell the sentences of one document apart: a word of every sentence does so no longer."""
    if len(lines) < _SHARED_PASSAGES_MIN:
        return list(terms)
    found: list[Term] = []
    for place, term in enumerate(terms):
        share = sum(coverage.here[place] >= WIDE_SYNONYM for coverage in lines) / len(lines)
        found.append(structs.replace(term, weight=term.weight * (1 - _COMMON_LOSS * share)))
    return found


def _weighed(term: Term, documents: Sequence[Document]) -> Term:
    passages: dict[int, bool] = {}
    for document in documents:
        for line in document.lines:
            key = id(line.sentence.passage)
            passages[key] = passages.get(key, False) or term.stem in line.own.stems or term.stem in line.above.stems
    if len(passages) < _SHARED_PASSAGES_MIN or term.is_name:
        return term
    share = sum(passages.values()) / len(passages)
    loss = _SHARED_LOSS * max(0.0, share - _SHARED_FROM) / (1 - _SHARED_FROM)
    return structs.replace(term, weight=term.weight * (1 - loss))


def _share(terms: Sequence[Term], worths: Iterable[float]) -> float:
    """The share of the terms' weight that is covered."""
    covered = total = 0.0
    for term, worth in zip(terms, worths, strict=True):
        covered += term.weight * worth
        total += term.weight * (_ASIDE_LACKING + (1 - _ASIDE_LACKING) * worth if term.is_context else 1.0)
    return covered / total if total else 0.0


def _about(terms: Sequence[Term], whole: Sequence[float], document: Document) -> _About:
    factor = 1.0
    present = lacking = 0
    things = things_lacking = 0
    # Where a question has nothing but everyday words, they are what it is about.
    heaviest = max((term.weight for term in terms if not term.is_context), default=0.0)
    telling = max(min(_SPECIFIC_WEIGHT, heaviest), _TELLING_WEIGHT_MIN)
    for term, worth in zip(terms, whole, strict=True):
        if term.is_thing and worth >= SAME_BEGINNING and not _tells_of(document, term.stem):
            worth = _MENTIONED
        things += term.is_thing
        things_lacking += term.is_thing and worth < SAME_BEGINNING
        if term.weight >= telling and not term.is_context:
            present += worth >= SAME_BEGINNING
            lacking += worth <= RELATED_MEANING
        elif term.is_context and term.weight >= _TOLD_WEIGHT:
            present += worth >= SAME_BEGINNING
        if term.is_focus and worth < SAME_BEGINNING:
            # A related meaning is not enough for what is asked for: a price does not tell where to hire.
            factor *= _MISSING_FOCUS_FACTOR
        elif worth == 0:
            if term.is_name:
                factor *= _MISSING_NAME_FACTOR
            elif term.weight >= _OWN_WEIGHT and not term.is_context:
                factor *= _MISSING_FACTOR
    present, lacking = min(present, _TELLING_WORDS_MAX), min(lacking, _TELLING_WORDS_MAX)
    title = evidence(document.title)
    titled = sum(
        term.weight for term in terms if term.weight >= _TITLE_TERM_MIN and credit(term.stem, title) >= SAME_BEGINNING
    )
    share = _title_share(document.title, terms)
    lacks_thing = 0 < things == things_lacking
    return _About(present, lacking, lacks_thing, factor, share, min(titled, _TITLE_WEIGHT_MAX))


def _tells_of(document: Document, stemmed: str) -> bool:
    return any(
        credit(stemmed, line.above) >= SAME_BEGINNING
        or (credit(stemmed, line.own) >= SAME_BEGINNING and tells_of(line.sentence.text, stemmed))
        for line in document.lines
    )


def _score(part: Part, terms: Sequence[Term], coverage: Coverage, document: Document, about: _About) -> Scored:
    sentence, own = coverage.line.sentence, coverage.line.own
    fit = factor = fitness(part.kind, own, frozenset(term.stem for term in terms))
    superlatives = [term.stem for term in terms if is_superlative(term.stem)]
    if superlatives and not any(credit(stemmed, own) >= WIDE_SYNONYM for stemmed in superlatives):
        factor *= _NO_SUPERLATIVE_FACTOR
    topical = _share(terms, coverage.placed)
    placed = topical * factor
    share = _share(terms, coverage.here)
    rank_score = placed + 0.15 * share + 0.12 * about.title_share + _standing(document, sentence)
    if part.kind not in (Kind.OTHER, Kind.DEFINITION):
        rank_score += _EVIDENCE_BONUS * factor
    if part.kind is Kind.DEFINITION:
        rank_score += 0.16 / (sentence.index + 1) * about.title_share
    elif part.kind is Kind.OTHER:
        rank_score += 0.06 / (sentence.index + 1)
    if part.kind is Kind.MONEY and not any(term.weight >= _SPECIFIC_WEIGHT for term in terms):
        rank_score += _ADULT_BONUS * bool(own.stems & _ADULTS)
    if part.is_permission and not own.stems.isdisjoint(_PERMISSION):
        rank_score += _PERMISSION_BONUS
        if not own.stems.isdisjoint(_LIMITS):
            rank_score += _LIMIT_BONUS
    if part.house and part.kind in _OF_HOUSE_KINDS and about.title_share < 1:
        # Who asks when "you" close does not ask about a part of the house that is named in neither question nor title.
        rank_score += _HOUSE_BONUS if own.stems & part.house else 0.0
    if about.title_share == 0 and points_back(sentence.text):
        # "It is open until six" speaks of the thing in its title, which was not asked about.
        rank_score -= _OTHER_SUBJECT_LOSS
    if sentence.text.endswith(("?", ":")):
        rank_score -= 0.3
    return Scored(
        sentence=sentence,
        coverage=placed * about.missing_factor,
        fit=fit,
        rank_score=rank_score,
        document=document,
        about=about,
        own=own,
        terms=terms,
        here=coverage.here,
        placed=coverage.placed,
    )


def _standing(document: Document, sentence: Sentence) -> float:
    """What the search's opinion is worth: by its scores, or by the document's place where it gives none."""
    if not document.score:
        return _RANK_BONUS / (document.rank + 1)
    return document.standing * (_SCORE_BONUS + _PASSAGE_SCORE_BONUS * sentence.passage.score / document.score)


def _title_share(title: str, terms: Sequence[Term]) -> float:
    words = content_stems(title)
    if not words:
        return 0.0
    asked = {term.stem for term in terms if term.weight > LIGHT_WEIGHT and (term.is_name or not term.is_context)}
    return sum(word in asked or any(meanings(word) & meanings(other) for other in asked) for word in words) / len(words)


def best_of(part: Part, fitting: Sequence[Scored], same: Document | None) -> Scored:
    """The sentence to begin with; of a document that answered the part before it, if it is nearly as good.

    Where a figure is asked for, it is the sentence that holds it, and not a better one about the thing itself.
    """
    best = max(fitting, key=lambda entry: entry.rank_score + _SAME_DOCUMENT_BONUS * (entry.document is same))
    if part.kind not in STRICT or best.fit >= _FITS_FROM:
        return best
    figures = (entry for entry in fitting if entry.document is best.document and entry.fit >= _FITS_FROM)
    figure = max(figures, key=lambda entry: entry.rank_score, default=best)
    return figure if figure.rank_score >= best.rank_score - _FIGURE_BEHIND_MAX else best


def points_back(text: str) -> bool:
    """Whether a sentence begins with a word for something that was named before it."""
    return _POINTS_BACK.match(text) is not None
