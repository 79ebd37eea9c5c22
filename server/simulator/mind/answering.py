"""Puts an answer together from the sentences of passages, or finds that none answers. Does not score or search."""

from collections.abc import Sequence

from msgspec import Struct

from server.simulator.mind.passages import Passage, Sentence
from server.simulator.mind.question import Question
from server.simulator.mind.relevance import credit, read_documents
from server.simulator.mind.scoring import (
    STRICT,
    Scored,
    best_of,
    has_evidence,
    may_answer,
    points_back,
    score_sentences,
    sum_beside,
)
from server.simulator.mind.words import content_stems

# More sentences are added that are nearly as good as the first, while the answer is still short.
_MORE_SHARE = 0.85
_NEW_WORDS_BONUS = 0.8
_NEW_FIT_BONUS = 0.4
_SENTENCES_MAX = 3
_MORE_WORDS_MAX = 50
_ANSWER_WORDS_MAX = 60
_LEAD_WORDS_MAX = 8


class Answer(Struct, frozen=True):
    """What to say, and the ids of the passages it is from, the first sentence's first."""

    text: str
    used_ids: tuple[str, ...]
    score: float


def answer(question: Question, passages: Sequence[Passage]) -> Answer | None:
    """The sentences of `passages` (best first) that answer, at most 60 words; None when nothing there does."""
    if not passages or not question.terms:
        return None
    documents = read_documents(passages)
    chosen: list[Scored] = []
    others: list[tuple[Scored, Scored]] = []
    for part in question.parts:
        scored = score_sentences(part, documents)
        fitting = [entry for entry in scored if may_answer(entry)]
        if not fitting or (part.kind in STRICT and not has_evidence(part, fitting[0], scored)):
            continue
        best = best_of(part, fitting, chosen[0].document if chosen else None)
        if all(entry.sentence is not best.sentence for entry in chosen):
            chosen.append(best)
            beside = sum_beside(part, best, scored)
            if beside is not None and len(chosen) < _SENTENCES_MAX:
                chosen.append(beside)
        others.extend((entry, best) for entry in scored if entry is not best and entry.document is best.document)
    if not chosen:
        return None
    said = [_aloud(chosen[0].sentence, question)]
    said.extend(_aloud(entry.sentence, question, after=chosen[0].sentence) for entry in chosen[1:])
    while len(chosen) < _SENTENCES_MAX:
        more = _next(others, chosen, _MORE_WORDS_MAX - sum(map(_count, said)))
        if more is None:
            break
        said.append(_aloud(more.sentence, question, after=chosen[-1].sentence))
        chosen.append(more)
    ids = dict.fromkeys(entry.sentence.passage.id for entry in chosen if entry.sentence.passage.id)
    return Answer(_trimmed(" ".join(said)), tuple(ids), chosen[0].coverage)


def _next(others: Sequence[tuple[Scored, Scored]], chosen: Sequence[Scored], words_left: int) -> Scored | None:
    """The sentence that adds most to those chosen: by words of the question that they lack, or by what it asks for."""
    found: tuple[float, Scored] | None = None
    for entry, best in others:
        if _count(entry.sentence.text) > words_left:
            continue
        if not all(_adds(entry.sentence, known.sentence) for known in chosen):
            continue
        worth = (
            entry.rank_score
            + _NEW_WORDS_BONUS * _newly(entry, chosen)
            + _NEW_FIT_BONUS * max(0.0, entry.fit - best.fit)
        )
        if worth >= _MORE_SHARE * best.rank_score and (found is None or worth > found[0]):
            found = (worth, entry)
    return found[1] if found else None


def _newly(entry: Scored, chosen: Sequence[Scored]) -> float:
    """The share of the question's words that `entry` says and none of `chosen` does."""
    new = total = 0.0
    for place, (term, credited) in enumerate(zip(entry.terms, entry.here, strict=True)):
        known = max(
            other.here[place] if other.terms is entry.terms else credit(term.stem, other.own) for other in chosen
        )
        new += term.weight * max(0.0, credited - known)
        total += term.weight
    return new / total if total else 0.0


def _aloud(sentence: Sentence, question: Question, after: Sentence | None = None) -> str:
    text = sentence.text
    if sentence.lead and _count(sentence.lead) <= _LEAD_WORDS_MAX:
        text = f"{sentence.lead.rstrip(':')}: {text}"
    elif points_back(text) and not _follows(sentence, after):
        title = sentence.passage.title.partition(" > ")[0]
        asked = {term.stem for term in question.terms}
        # Whoever asked about the tower knows what "it" is; whoever did not is told.
        if title and not asked & set(content_stems(title)):
            text = f"{title}: {text[0].lower()}{text[1:]}"
    text = text.rstrip(" ,;:")
    return text if text[-1:] in ".!?…”\"')" else f"{text}."


def _follows(sentence: Sentence, after: Sentence | None) -> bool:
    return after is not None and after.passage is sentence.passage and after.index + 1 == sentence.index


def _adds(candidate: Sentence, first: Sentence) -> bool:
    """Whether a sentence says anything that the first did not."""
    known, new = set(content_stems(first.text)), set(content_stems(candidate.text))
    return len(new - known) >= 0.3 * max(1, len(new))


def _count(text: str) -> int:
    return len(text.split())


def _trimmed(text: str) -> str:
    words = text.split()
    if len(words) <= _ANSWER_WORDS_MAX:
        return text
    kept = " ".join(words[:_ANSWER_WORDS_MAX])
    clause = max(kept.rfind(mark) for mark in (". ", "; ", ", "))
    if clause > len(kept) // 2:
        kept = kept[:clause]
    return kept.rstrip(" ,;:.") + "."
