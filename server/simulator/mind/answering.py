"""Finds the sentences of passages that answer a question, or finds that none does. Does not search."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from server.simulator.mind.evidence import Evidence, evidence, fitness
from server.simulator.mind.passages import Passage, Sentence, sentences
from server.simulator.mind.question import LIGHT_WEIGHT, Kind, Question, Term
from server.simulator.mind.words import (
    RELATED_MEANING,
    SAME,
    SAME_BEGINNING,
    SYNONYM,
    begin_alike,
    content_stems,
    is_superlative,
    meanings,
    near,
    stem,
    tokens,
)

# A share of the question's weight that the sentence and what stands around it must cover.
ANSWERS_FROM = 0.6
# What a word is worth that is not in the sentence itself but in its title, before it, or elsewhere in the passage.
_IN_TITLE = 0.9
_BEFORE = 0.65
_ELSEWHERE = 0.35
# A word of its own that the whole passage lacks says that the passage is about something else.
_OWN_WEIGHT = 0.6
_MISSING_FACTOR = 0.8
_MISSING_NAME_FACTOR = 0.35
# A word that many passages share tells them apart no longer: at most this much of its weight is lost.
_SHARED_LOSS = 0.5
_SHARED_FROM = 0.5
_SHARED_PASSAGES_MIN = 3
# "The oldest" is not any: a sentence without the question's superlative is about another.
_NO_SUPERLATIVE_FACTOR = 0.75
# A second sentence must be nearly as good as the first.
_SECOND_SHARE = 0.88
_ANSWER_WORDS_MAX = 60
_OTHER_SUBJECT_LOSS = 0.15
# A term that counts this much is what the question is about.
_SPECIFIC_WEIGHT = 0.9
# Who asks for the price of nothing in particular means an adult's.
_ADULT_BONUS = 0.25
_ADULTS = frozenset(("adult", "admission", "standard", "normal", "basic"))
# "Can I ...?" is answered by what is allowed or not.
_PERMISSION_BONUS = 0.12
_PERMISSION = frozenset(
    stem(word)
    for word in ("allowed", "permitted", "welcome", "forbidden", "prohibited", "must", "cannot", "banned", "accept")
)
_SENTENCES_CONSIDERED_MAX = 400
_LEAD_WORDS_MAX = 8
_REFERS_BACK = re.compile(
    r"^(?:\w+ ){0,3}(?:it|its|they|them|their|he|she|him|his|her|this|these|those)\b", re.IGNORECASE
)
_POINTS_BACK = re.compile(
    r"^(?:It|Its|They|Their|He|She|His|Her|This|These|That|Those|Here|There)\b(?! (?:is|are|was|were) (?:an?|no"
    r"|one|two)\b)"
)


class Answer(Struct, frozen=True):
    """What to say, and the ids of the passages it is from, the first sentence's first."""

    text: str
    used_ids: tuple[str, ...]
    score: float


class _Scored(Struct, frozen=True):
    sentence: Sentence
    coverage: float
    rank_score: float


def answer(question: Question, passages: Sequence[Passage]) -> Answer | None:
    """The sentences of `passages` (best first) that answer, at most 60 words; None when nothing there does."""
    if not passages or not question.terms:
        return None
    scored = sorted(_score_all(question, passages), key=lambda entry: -entry.rank_score)
    fitting = [entry for entry in scored if entry.coverage >= ANSWERS_FROM]
    if not fitting:
        return None
    best = fitting[0]
    chosen = [best]
    text = _aloud(best.sentence, question)
    for entry in fitting[1:]:
        if entry.rank_score < _SECOND_SHARE * best.rank_score:
            break
        addition = _aloud(entry.sentence, question, after=best.sentence)
        if _adds(entry.sentence, best.sentence) and _count(text) + _count(addition) <= _ANSWER_WORDS_MAX:
            chosen.append(entry)
            text = f"{text} {addition}"
            break
    ids = dict.fromkeys(entry.sentence.passage.id for entry in chosen if entry.sentence.passage.id)
    return Answer(_trimmed(text), tuple(ids), best.coverage)


def _score_all(question: Question, passages: Sequence[Passage]) -> Iterable[_Scored]:
    wholes = [evidence(f"{passage.title}. {passage.section}. {passage.text}") for passage in passages]
    terms = [_weighed(term, wholes) for term in question.terms]
    considered = 0
    for rank, (passage, whole) in enumerate(zip(passages, wholes, strict=True)):
        previous: Sentence | None = None
        for sentence in sentences(passage):
            considered += 1
            if considered > _SENTENCES_CONSIDERED_MAX:
                return
            yield _score(question, terms, sentence, previous, whole, rank)
            previous = sentence


def _weighed(term: Term, wholes: Sequence[Evidence]) -> Term:
    if len(wholes) < _SHARED_PASSAGES_MIN or term.is_name:
        return term
    share = sum(term.stem in whole.stems for whole in wholes) / len(wholes)
    loss = _SHARED_LOSS * max(0.0, share - _SHARED_FROM) / (1 - _SHARED_FROM)
    return Term(term.stem, term.weight * (1 - loss), is_context=term.is_context)


def credit(stemmed: str, found: Evidence) -> float:
    """How far a text covers a word: its own stem, a synonym, a form of it, or a related meaning."""
    if stemmed in found.stems:
        return SAME
    mine = meanings(stemmed)
    if mine & found.meanings or stemmed in found.implied:
        return SYNONYM
    if mine & found.implied:
        return SAME_BEGINNING + 0.1
    if any(begin_alike(stemmed, other) for other in found.stems):
        return SAME_BEGINNING
    if any(near(meaning) & found.meanings for meaning in mine):
        return RELATED_MEANING
    return 0.0


def _score(
    question: Question,
    terms: Sequence[Term],
    sentence: Sentence,
    previous: Sentence | None,
    whole: Evidence,
    rank: int,
) -> _Scored:
    own = evidence(f"{sentence.lead} {sentence.text}".strip())
    title = evidence(f"{sentence.passage.title} - {sentence.passage.section} - {sentence.heading}")
    before = evidence(previous.text) if previous else None
    before_share = _BEFORE if _REFERS_BACK.match(sentence.text) else _ELSEWHERE
    total = covered = in_sentence = 0.0
    factor = 1.0
    for term in terms:
        here = credit(term.stem, own)
        best = max(
            here, _IN_TITLE * credit(term.stem, title), before_share * credit(term.stem, before) if before else 0
        )
        if best < _ELSEWHERE:
            best = max(best, _ELSEWHERE * credit(term.stem, whole))
        total += term.weight
        covered += term.weight * best
        in_sentence += term.weight * here
        if best == 0:
            if term.is_name:
                factor *= _MISSING_NAME_FACTOR
            elif term.weight >= _OWN_WEIGHT and not term.is_context:
                factor *= _MISSING_FACTOR
    asked = frozenset(term.stem for term in terms)
    superlatives = [term.stem for term in terms if is_superlative(term.stem)]
    if superlatives and not any(credit(stemmed, own) >= SYNONYM for stemmed in superlatives):
        factor *= _NO_SUPERLATIVE_FACTOR
    fit = fitness(question.kind, own, asked)
    coverage = covered / total * factor * fit
    share = in_sentence / total
    if share < 0.1 and question.kind is not Kind.DEFINITION and not own.features:
        # Nothing of the question is in the sentence: its title alone does not make it an answer.
        coverage *= 0.7
    titled = _title_share(sentence, terms)
    rank_score = coverage + 0.15 * share + 0.12 * titled + 0.04 / (rank + 1)
    if question.kind is Kind.DEFINITION:
        rank_score += 0.16 / (sentence.index + 1) * titled
    elif question.kind is Kind.OTHER:
        rank_score += 0.06 / (sentence.index + 1)
    if question.kind is Kind.MONEY and not any(term.weight >= _SPECIFIC_WEIGHT for term in terms):
        rank_score += _ADULT_BONUS * bool(own.stems & _ADULTS)
    if any(word in own.stems for word in _PERMISSION) and question.is_permission:
        rank_score += _PERMISSION_BONUS
    if titled == 0 and _POINTS_BACK.match(sentence.text):
        # "It is open until six" speaks of the thing in its title, which was not asked about.
        rank_score -= _OTHER_SUBJECT_LOSS
    if sentence.text.endswith("?") or sentence.text.endswith(":"):
        rank_score -= 0.3
    return _Scored(sentence, coverage, rank_score)


def _title_share(sentence: Sentence, terms: Sequence[Term]) -> float:
    words = content_stems(sentence.passage.title)
    if not words:
        return 0.0
    asked = {term.stem for term in terms if term.weight > LIGHT_WEIGHT and (term.is_name or not term.is_context)}
    return sum(word in asked or any(meanings(word) & meanings(other) for other in asked) for word in words) / len(words)


def _aloud(sentence: Sentence, question: Question, after: Sentence | None = None) -> str:
    text = sentence.text
    if sentence.lead and _count(sentence.lead) <= _LEAD_WORDS_MAX:
        text = f"{sentence.lead.rstrip(':')}: {text}"
    elif _POINTS_BACK.match(text) and not _follows(sentence, after):
        title = sentence.passage.title
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
    return len(tokens(text))


def _trimmed(text: str) -> str:
    words = text.split()
    if len(words) <= _ANSWER_WORDS_MAX:
        return text
    kept = " ".join(words[:_ANSWER_WORDS_MAX])
    clause = max(kept.rfind(mark) for mark in (". ", "; ", ", "))
    if clause > len(kept) // 2:
        kept = kept[:clause]
    return kept.rstrip(" ,;:.") + "."
