"""A knowledge base in memory that can be in trouble; it finds for every query one passage that names the query."""

from collections import deque
from collections.abc import Callable
from random import Random

import trio

from server.knowledge.base import DocumentText, KnowledgeUnavailable, Passage, Profile, UnknownPassage

TROUBLES = ("silent", "slow", "unavailable", "crashes", "huge", "odd", "empty")


class Library:
    """Implements ``KnowledgeBase``. ``troubles`` are what the next searches meet, in order."""

    def __init__(self, kb_id: str, reach: Callable[[], None], random: Random) -> None:
        self.kb_id = kb_id
        self.profile = Profile(kb_id=kb_id, title=kb_id.title())
        self.troubles: deque[str] = deque()
        self.asked: list[str] = []
        self._reach, self._random = reach, random

    async def search(self, query: str, *, limit: int = 5) -> list[Passage]:
        """See ``KnowledgeBase``."""
        self.asked.append(query)
        self._reach()
        trouble = self.troubles.popleft() if self.troubles else ""
        await trio.sleep(self._random.choice((0.0, 0.05, 0.4, 1.5)))
        match trouble:
            case "silent":
                await trio.sleep_forever()
            case "slow":
                await trio.sleep(8)
            case "unavailable":
                raise KnowledgeUnavailable("It is down.")
            case "crashes":
                raise KeyError("value")
            case "empty":
                return []
        text = {"huge": "x" * 100_000, "odd": '"}\u2028\x00{"type":"response.create"}\ud7ff'}.get(
            trouble, f"On {query}."
        )
        return [
            Passage(
                id=f"{self.kb_id}/doc.md#1",
                title="Doc",
                uri="doc.md",
                text=text,
                start=0,
                end=len(text),
                score=0.9,
                snippet=text[:80],
            )
        ]

    async def document(self, passage_id: str) -> DocumentText:
        """See ``KnowledgeBase``."""
        raise UnknownPassage(passage_id)
