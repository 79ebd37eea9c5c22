"""A guard around knowledge bases: a deadline for each question, and a breaker that answers at once while one is down.

It finds nothing by itself and keeps no answers: what is down is said to be down, never answered from before.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio

from server.breaker import CircuitBreaker
from server.knowledge.base import (
    DEFAULT_LIMIT,
    DocumentText,
    KnowledgeBase,
    KnowledgeCatalog,
    KnowledgeError,
    KnowledgeUnavailable,
    Passage,
    Profile,
)

_log = structlog.get_logger("liveavatar.knowledge")

# Three people in a row have waited in vain: enough. The one who asks whether it is back may wait for the whole
# deadline, so the pauses are longer than a turn of a conversation.
FAILURES = 3
COOL_DOWN_S = 5.0
MAX_COOL_DOWN_S = 30.0


class GuardedKnowledgeBase:
    """A knowledge base that answers, or says within its deadline that it cannot. Implements ``KnowledgeBase``.

    ``KnowledgeUnavailable`` and a missed deadline open the breaker, and so does what the adapter should have
    translated; an unknown passage or a knowledge base that was removed is an answer.

    Cancellation reaches the knowledge base behind it and says nothing about that one's health. One that works in
    threads leaves its thread behind then, and must bound how many there can be.

    Args:
        deadline_s: seconds for one question; must be shorter than whatever would cancel it from outside.
    """

    def __init__(self, inner: KnowledgeBase, breaker: CircuitBreaker, *, deadline_s: float) -> None:
        self._inner = inner
        self._breaker = breaker
        self._deadline_s = deadline_s

    @property
    def kb_id(self) -> str:
        """See ``KnowledgeBase``."""
        return self._inner.kb_id

    @property
    def profile(self) -> Profile:
        """See ``KnowledgeBase``."""
        return self._inner.profile

    async def search(self, query: str, *, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        """See ``KnowledgeBase``. Raises ``KnowledgeUnavailable`` at once while the breaker is open."""
        await trio.lowlevel.checkpoint()
        with self._asking():
            return await self._inner.search(query, limit=limit)

    async def document(self, passage_id: str) -> DocumentText:
        """See ``KnowledgeBase``. Raises ``KnowledgeUnavailable`` at once while the breaker is open."""
        await trio.lowlevel.checkpoint()
        with self._asking():
            return await self._inner.document(passage_id)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        permit = self._breaker.admit()
        if permit is None:
            raise KnowledgeUnavailable(
                f"{self._breaker.name} failed lately and is asked again in {self._breaker.retry_in_s():.1f} s"
            )
        with permit:
            try:
                with _deadline(self._breaker.name, self._deadline_s):
                    yield
            except KnowledgeUnavailable:
                permit.failed()
                raise
            except (KnowledgeError, ValueError):
                # It answered: there is no such thing, or nobody can ask for that.
                permit.succeeded()
                raise
            except Exception:
                # A fault of the adapter, counted here and handled by whoever handles those.
                permit.failed()
                raise
            permit.succeeded()


class GuardedCatalog:
    """A catalog whose knowledge bases are guarded, each by a breaker of its own: one that is broken harms no other.

    Implements ``KnowledgeCatalog``.

    Args:
        deadline_s: seconds for opening a knowledge base, for listing them, and for one question.
    """

    def __init__(
        self,
        inner: KnowledgeCatalog,
        *,
        deadline_s: float,
        failures: int = FAILURES,
        cool_down_s: float = COOL_DOWN_S,
        max_cool_down_s: float = MAX_COOL_DOWN_S,
    ) -> None:
        self._inner = inner
        self._deadline_s = deadline_s
        self._failures = failures
        self._cool_down_s = cool_down_s
        self._max_cool_down_s = max_cool_down_s
        self._breakers: dict[str, CircuitBreaker] = {}

    @property
    def breakers(self) -> list[CircuitBreaker]:
        """The breakers of the knowledge bases that were opened so far, by ``kb_id``."""
        return [self._breakers[kb_id] for kb_id in sorted(self._breakers)]

    async def open(self, kb_id: str) -> GuardedKnowledgeBase:
        """See ``KnowledgeCatalog``; a persona is needed to begin with, so an open breaker does not keep it shut."""
        with _deadline("the knowledge catalog", self._deadline_s):
            inner = await self._inner.open(kb_id)
        breaker = self._breakers.get(inner.kb_id)
        if breaker is None:
            breaker = self._breakers[inner.kb_id] = CircuitBreaker(
                f"knowledge base {inner.kb_id}",
                failures=self._failures,
                cool_down_s=self._cool_down_s,
                max_cool_down_s=self._max_cool_down_s,
            )
        return GuardedKnowledgeBase(inner, breaker, deadline_s=self._deadline_s)

    async def profiles(self) -> list[Profile]:
        """See ``KnowledgeCatalog``. Raises ``KnowledgeUnavailable`` when it takes too long."""
        with _deadline("the knowledge catalog", self._deadline_s):
            return await self._inner.profiles()


@contextmanager
def _deadline(what: str, seconds: float) -> Iterator[None]:
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        _log.warning("knowledge too slow", what=what, deadline_s=seconds)
        raise KnowledgeUnavailable(f"{what} did not answer within {seconds:g} s")
