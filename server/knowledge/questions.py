"""A question as the search understands it: concepts, each with the stems that express it. It reads no index.

Stop words are gone, the number of concepts is capped, and what the form of a question implies ("how much",
"where") has become a hint that can lift a passage but is never required of it.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from server.knowledge.base import MAX_QUERY_CHARS
from server.knowledge.stemming import stem
from server.knowledge.synonyms import HINTS, PHRASES, synonyms
from server.knowledge.words import STOP_WORDS, joined, parts, tokens, word_set

# The most concepts one search asks for: beyond eight, more words cost time and find nothing better.
MAX_CONCEPTS = 8
# The parts of a hyphenated word, when the whole was asked for.
_PART_WEIGHT = 0.6
# What is said before or after a question ("I am here with my two sons.") says a little about what is asked.
_ASIDE_WEIGHT = 0.5
# The same when the question points back to it.
_ASIDE_MEANT_WEIGHT = 0.8
_POINTERS = word_set("it its he she him her they them their one this that")
# Words that carry a little meaning and turn up everywhere.
_WEAK_WEIGHT = 0.2
_WEAK_WORDS = word_set("""
    able absolutely actual actually afraid ago allow allowed amaze anyway apparently away become believe bit bring
    brother call called came check come correct course curious dad day definitely easily else enjoy especially
    everybody exactly excited fact famous father favourite feel find friend funny get give glad go good got
    grandfather grandma grandmother grandpa great happen happens happy hear heard help honest hope huge husband
    idea imagine information interested issue keen know known last later leave left let like little look lot love
    lovely main man matter may mean mention moment mother mum need nice normal normally notice offer old partner
    people person place possible possibly pretty probably put question ready real remember right said say see seem
    show sister somebody someone sort specific start stay stuff suppose sure surely take tell terrible thing
    things think thought time times today told tomorrow tonight tried try turn understand use usually visit
    visitor visitors wait want way weird went wife wondered wonderful work works wrong year years yesterday
""")
_WEAK = frozenset(stem(word) for word in _WEAK_WORDS)
_PHRASES = tuple((tuple(map(stem, phrase)), implied) for phrase, implied in PHRASES)
# A point inside a number or an abbreviation ends nothing.
_SENTENCE = re.compile(r".+?(?:[.!?]+(?=\s|$)|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that is asked for: stems that express it, each with a weight from 0 to 1."""

    variants: dict[str, float]
    weight: float
    """How much this concept counts beside the others, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for. Without concepts there is nothing to search."""

    concepts: tuple[Concept, ...]
    hint: Concept | None
    """What the form of the question implies; never required."""


def _words(query: str) -> tuple[list[str], list[Concept]]:
    """All words of the query in order, and the concepts among them, in order and without repetition."""
    words: list[str] = []
    concepts: dict[str, Concept] = {}
    for sentence, share in _sentences(query[:MAX_QUERY_CHARS]):
        own = tokens(sentence)
        said = [part for token in own for part in parts(token)]
        words.extend(said)
        meant, idle = _phrases(said)
        # "How long" asks for a duration or a length, which the hint says.
        idle.update(word for before, word in itertools.pairwise(said) if before == "how")
        for token in own:
            token_parts = parts(token)
            whole = joined(token)
            if whole is not None and len(token_parts) > 1:
                variants = {stem(part): _PART_WEIGHT for part in token_parts if part not in STOP_WORDS}
                variants[stem(whole)] = 1.0
                _add(concepts, stem(whole), Concept(synonyms(stem(whole)) | variants, share))
                continue
            for part in token_parts:
                if part not in STOP_WORDS:
                    root = stem(part)
                    weight = _WEAK_WEIGHT if root in _WEAK or part in idle else 1.0
                    _add(concepts, root, Concept({**synonyms(root), root: 1.0}, weight * share))
        for root in map(stem, meant):
            _add(concepts, root, Concept({**synonyms(root), root: 1.0}, share))
    return words, list(concepts.values())


def _add(concepts: dict[str, Concept], root: str, concept: Concept) -> None:
    """Adds a concept; one that only says again what another says ("how big was the giant ...") becomes part of it."""
    for other, known in concepts.items():
        if other == root or root in known.variants:
            variants = {**concept.variants, **known.variants, root: 1.0}
            concepts[other] = Concept(variants, max(known.weight, concept.weight))
            return
    concepts[root] = concept


def _sentences(query: str) -> list[tuple[str, float]]:
    """The sentences of a query, each with how much its words count: those that ask count more than the others."""
    sentences = [sentence for sentence in _SENTENCE.findall(query) if sentence.strip()]
    if not any(sentence.rstrip().endswith("?") for sentence in sentences):
        return [(query, 1.0)]
    asking = " ".join(sentence for sentence in sentences if sentence.rstrip().endswith("?"))
    # "We came on bicycles. Where can we leave them?"
    aside = _ASIDE_MEANT_WEIGHT if _POINTERS.intersection(tokens(asking)) else _ASIDE_WEIGHT
    return [(sentence, 1.0 if sentence.rstrip().endswith("?") else aside) for sentence in sentences]


def _phrases(words: list[str]) -> tuple[list[str], set[str]]:
    """What the phrases among `words` mean, and the words that say no more beside it."""
    meant: list[str] = []
    idle: set[str] = set()
    roots = [stem(word) for word in words]
    for phrase, implied in _PHRASES:
        for start in range(len(roots) - len(phrase) + 1):
            if roots[start] == phrase[0] and tuple(roots[start : start + len(phrase)]) == phrase:
                meant.extend(implied)
                idle.update(words[start : start + len(phrase)])
    return meant, idle


def _hint(words: list[str]) -> Concept | None:
    for phrase, implied in HINTS:
        if all(word in words for word in phrase):
            return Concept({stem(word): 1.0 for word in implied}, 1.0)
    return None


def question(query: str, rarity: Callable[[str], float]) -> Question:
    """What `query` asks for. `rarity` tells how much a stem says (higher: rarer); it decides what the cap keeps."""
    words, concepts = _words(query)
    hint = _hint(words)
    if len(concepts) > MAX_CONCEPTS:
        order = {id(concept): i for i, concept in enumerate(concepts)}

        def worth(concept: Concept) -> tuple[float, int]:
            own = max(rarity(root) for root, weight in concept.variants.items() if weight == 1.0)
            return (-own * concept.weight, order[id(concept)])

        kept = sorted(concepts, key=worth)[:MAX_CONCEPTS]
        concepts = sorted(kept, key=lambda concept: order[id(concept)])
    if not concepts and hint is not None:
        return Question((hint,), None)
    return Question(tuple(concepts), hint)
