"""Ranking: orders the candidates of a search and picks their snippets. It reads no index and no file.

BM25 finds candidates; it does not see that one passage holds all that was asked for and another one word of it
often, nor that an article is *about* the question. So a candidate's score is the share of the question that it
covers: by how often and where (title, heading, text) each concept occurs, weighted by how rare it is (BM25's
saturation), whether the concepts stand close together, and how much of the title was asked for. A part of the score
is that of its surroundings: people ask in words that an article says in different paragraphs.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from server.knowledge.questions import Concept, Question
from server.knowledge.words import stems

# How much an occurrence counts beside one in the text.
_TITLE_WEIGHT = 3.0
_HEADINGS_WEIGHT = 3.0
_BODY_WEIGHT = 1.0
# BM25's k1 and b. Small k1: in 120 words, once is nearly as good as thrice. Small b: passages are of like length.
_SATURATION = 0.8
_LENGTH_SHARE = 0.35
# Shares of the score; they add up to 1, and the hint comes on top.
_OCCURRENCE_SHARE = 0.47
_COVERAGE_SHARE = 0.25
_NEARNESS_SHARE = 0.15
_TITLE_SHARE = 0.13
_HINT_SHARE = 0.08
# Content words; about two sentences.
_NEAR_WORDS = 12
# How much of the score is what the passages around it hold of the question, and how many passages that are on either
# side. In a long document, what is further away is about something else.
_SURROUNDINGS_SHARE = 0.3
_SURROUNDINGS_PASSAGES = 4
# Digits a score is rounded to, so that ties are ties and the order of equal passages is that of the documents.
_SCORE_DIGITS = 4

# About three lines in a list of sources.
SNIPPET_CHARS = 240


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that matches, as its stems. Passages of a document have row ids in its order."""

    rowid: int
    document: int
    title: str
    headings: str
    body: str


def idf(passages: int, holding: int) -> float:
    """How much a stem says that `holding` of `passages` passages hold (BM25's, never negative)."""
    return math.log(1 + (passages - holding + 0.5) / (holding + 0.5))


class Ranking:
    """What one question makes of candidates. `rarity` tells how much a stem says in this knowledge base."""

    def __init__(self, question: Question, rarity: Callable[[str], float], average_words: float) -> None:
        self._average_words = max(average_words, 1.0)
        # A concept says as much as its own word, even if only a synonym of it is in the knowledge base.
        self._worth = [concept.weight * _own_rarity(concept, rarity) for concept in question.concepts]
        self._total = sum(self._worth) or 1.0
        self._lookup: dict[str, list[tuple[int, float]]] = {}
        for i, concept in enumerate(question.concepts):
            for root, weight in concept.variants.items():
                self._lookup.setdefault(root, []).append((i, weight))
        # The hint goes last and has no worth of its own: nothing is lost where it is missing.
        for root in question.hint.variants if question.hint else ():
            self._lookup.setdefault(root, []).append((len(self._worth), 1.0))
        self._titles: dict[str, tuple[list[float], list[float], float]] = {}

    def order(self, candidates: Iterable[Candidate]) -> list[tuple[float, int]]:
        """Scores from 0 to 1 (how much of the question is covered) and row ids, best first.

        Equal passages stand in the order in which they were indexed; so the answer is always the same.
        """
        documents: dict[int, list[tuple[int, float, list[float]]]] = {}
        for candidate in candidates:
            value, best = self._score(candidate)
            documents.setdefault(candidate.document, []).append((candidate.rowid, value, best))
        scored: list[tuple[float, int]] = []
        for passages in documents.values():
            for rowid, value, _ in passages:
                near = [best for other, _, best in passages if abs(other - rowid) <= _SURROUNDINGS_PASSAGES]
                held = sum(worth * max(best[i] for best in near) for i, worth in enumerate(self._worth)) / self._total
                mixed = (1 - _SURROUNDINGS_SHARE) * value + _SURROUNDINGS_SHARE * held
                scored.append((round(min(mixed, 1.0), _SCORE_DIGITS), rowid))
        return sorted(scored, key=lambda pair: (-pair[0], pair[1]))

    def _score(self, candidate: Candidate) -> tuple[float, list[float]]:
        """How much of the question the candidate covers, and how well each of its concepts (last: the hint)."""
        amount, best, title_share = self._above(candidate.title, candidate.headings)
        body = candidate.body.split()
        lookup = self._lookup
        places: list[tuple[int, int, float]] = []
        for place, word in [(place, word) for place, word in enumerate(body) if word in lookup]:
            for i, weight in lookup[word]:
                amount[i] += _BODY_WEIGHT * weight
                if weight > best[i]:
                    best[i] = weight
                places.append((place, i, weight))
        damping = _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * len(body) / self._average_words)
        occurrence = coverage = 0.0
        for i, worth in enumerate(self._worth):
            occurrence += worth * amount[i] / (amount[i] + damping)
            coverage += worth * best[i]
        hint = amount[-1]
        value = (
            (_OCCURRENCE_SHARE * occurrence + _COVERAGE_SHARE * coverage + _NEARNESS_SHARE * self._nearness(places))
            / self._total
            + _TITLE_SHARE * title_share
            + _HINT_SHARE * hint / (hint + 1.0)
        )
        return value, best

    def _above(self, title: str, headings: str) -> tuple[list[float], list[float], float]:
        """What title and headings hold of each concept (last: of the hint), and how much of the title was asked for:
        "Opening hours" is nearer to "when is it open" than "Café opening hours".
        """
        known = self._titles.get(title)
        if known is None:
            known = self._titles[title] = self._read_title(title.split())
        amount, best, share = known
        amount, best = amount.copy(), best.copy()
        for word in dict.fromkeys(headings.split()):
            for i, weight in self._lookup.get(word, ()):
                amount[i] += _HEADINGS_WEIGHT * weight * weight
                best[i] = max(best[i], weight)
        return amount, best, share

    def _read_title(self, words: list[str]) -> tuple[list[float], list[float], float]:
        amount = [0.0] * (len(self._worth) + 1)
        best = amount.copy()
        asked = 0.0
        for word in dict.fromkeys(words):
            most = 0.0
            for i, weight in self._lookup.get(word, ()):
                # Squared: a synonym in the title is no better than the very word in the text.
                amount[i] += _TITLE_WEIGHT * weight * weight
                best[i] = max(best[i], weight)
                if i < len(self._worth):
                    most = max(most, weight)
            asked += most
        return amount, best, asked / len(words) if words else 0.0

    def _nearness(self, places: list[tuple[int, int, float]]) -> float:
        """The most of the question that stands within `_NEAR_WORDS` words of the text."""
        most = 0.0
        worth = self._worth
        for first, (start, _, _) in enumerate(places):
            if first and places[first - 1][0] == start:
                continue
            held = [0.0] * (len(worth) + 1)
            for place, i, weight in places[first:]:
                if place - start >= _NEAR_WORDS:
                    break
                if weight > held[i]:
                    held[i] = weight
            value = 0.0
            for i, share in enumerate(worth):
                value += share * held[i]
            if value > most:
                most = value
        return most

    def snippet(self, text: str, sentences: str, body: str) -> str:
        """The sentence of `text` that covers most of the question, with its neighbours as far as they fit.

        One line. `sentences` and `body` are as the index keeps them.
        """
        stems = body.split()
        spans: list[tuple[int, int]] = []
        values: list[float] = []
        place = 0
        for sentence in sentences.split():
            start, end, count = map(int, sentence.split("-"))
            spans.append((start, end))
            values.append(self._covered(stems[place : place + count]))
            place += count
        best = max(range(len(spans)), key=lambda i: (values[i], -i))
        first = last = best
        while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] <= SNIPPET_CHARS:
            last += 1
        while first > 0 and spans[last][1] - spans[first - 1][0] <= SNIPPET_CHARS:
            first -= 1
        shown = " ".join(text[spans[first][0] : spans[last][1]].split())
        return shown if len(shown) <= SNIPPET_CHARS else self._excerpt(shown)

    def _covered(self, words: list[str]) -> float:
        """How much of the question some stems hold; the hint decides between texts that are otherwise equal."""
        held: dict[int, float] = {}
        lookup = self._lookup
        for root in words:
            if root in lookup:
                for i, weight in lookup[root]:
                    if weight > held.get(i, 0.0):
                        held[i] = weight
        return sum((self._worth[i] if i < len(self._worth) else _HINT_SHARE) * held[i] for i in sorted(held))

    def _excerpt(self, sentence: str) -> str:
        """The part of a long sentence around most of its matches, cut between words where there are any."""
        room = SNIPPET_CHARS - 4
        words = [match.span() for match in re.finditer(r"\S+", sentence)]
        matches = [start for start, end in words if self._covered(stems(sentence[start:end]))]
        first = max(
            matches, key=lambda start: (sum(start <= other < start + room for other in matches), -start), default=0
        )
        first = min(first, max(0, len(sentence) - room))
        # A little of what comes before, from the beginning of a word.
        start = next((start for start, _ in words if start >= first - room // 8), first)
        end = max((end for _, end in words if start < end <= start + room), default=start + room)
        return f"{'… ' if start else ''}{sentence[start:end]}{' …' if end < len(sentence) else ''}"


def _own_rarity(concept: Concept, rarity: Callable[[str], float]) -> float:
    return max(rarity(root) for root, weight in concept.variants.items() if weight == 1.0)
