"""Which passages an answer rests on: orders what was found by what was said. Searches nothing, and drops nothing.

A search finds what is near the question; what was answered may stand in the third passage. The spoken words tell: a
model quotes names, numbers and turns of phrase even where it rephrases. An answer in another language than its passages
shares only names and numbers with them, perhaps nothing; then the order of the search stays.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from protocol.avatar.events import Source
from protocol.conversation.actions import Evidence
from protocol.realtime.dialects.voicerag import Chunk, MiddleTierToolResponse, sources_result

_WORD = re.compile(r"\w+")
# Words that stand together are a quotation; one in common says little, three in a row say much.
_PHRASE_WORDS = 3
_PHRASE_WEIGHT = 2.0
# Enough for any spoken answer and any passage; bounds the work of a step to well under a millisecond.
_TEXT_MAX_CHARS = 4_000


def by_support(answer: str, evidence: Sequence[Evidence]) -> list[Source]:
    """The sources, best supported first; those that are supported alike in the order of the search."""
    told = _features(answer)
    held = [_features(f"{found.source.title} {found.text}") for found in evidence]
    # What every passage has says nothing about which of them was used.
    spread = Counter(feature for features in held for feature in features)
    support = [
        sum(_weight(feature) * math.log(1 + len(held) / spread[feature]) for feature in told & features)
        for features in held
    ]
    order = sorted(range(len(evidence)), key=lambda place: (-round(support[place], 3), place))
    return [evidence[place].source for place in order]


def tool_response(
    sources: Iterable[Source], evidence: Iterable[Evidence], tool_name: str, previous_item_id: str | None
) -> MiddleTierToolResponse:
    """The same for VoiceRAG's page, which shows the passages' whole text."""
    texts = {found.source.id: found.text for found in evidence}
    chunks = [Chunk(chunk_id=source.id, title=source.title, chunk=texts[source.id]) for source in sources]
    return MiddleTierToolResponse(
        previous_item_id=previous_item_id, tool_name=tool_name, tool_result=sources_result(chunks)
    )


def _features(text: str) -> set[tuple[str, ...]]:
    words = [word.casefold() for word in _WORD.findall(text[:_TEXT_MAX_CHARS])]
    singles = {(word,) for word in words}
    phrases = {tuple(words[at : at + _PHRASE_WORDS]) for at in range(len(words) - _PHRASE_WORDS + 1)}
    return singles | phrases


def _weight(feature: tuple[str, ...]) -> float:
    return 1.0 if len(feature) == 1 else _PHRASE_WEIGHT
