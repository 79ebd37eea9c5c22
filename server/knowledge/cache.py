"""A cache before knowledge bases: keeps answers for a while, and asks once for what many ask at the same time.

It keeps no errors, and no answer longer than its time: what changed in a knowledge base is seen after at most that. It
stands before the guard, so that an answer at hand is given also while the knowledge base is down.
"""

import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import trio

from server.knowledge.base import (
    DEFAULT_LIMIT,
    DocumentText,
    KnowledgeBase,
    KnowledgeCatalog,
    KnowledgeUnavailable,
    Passage,
    Profile,
    require_limit,
)

_Answer = TypeVar("_Answer")
_Key = tuple[str, ...]

# The same question again within a minute is a visitor who did not hear, or the next one in the queue.
TTL_S = 60.0
# Five passages of 900 characters are some 10 KB.
MAX_ENTRIES = 1_000
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Any
    until: float
    size: int


@dataclass(slots=True)
class _Flight:
    """A question on its way, and how many wait for its answer."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    landed: trio.Event = field(default_factory=trio.Event)
    waiting: int = 0
    answer: Any = None
    error: Exception | None = None
    traceback: TracebackType | None = None


class CachedCatalog:
    """A catalog whose knowledge bases answer a repeated question from memory. Implements ``KnowledgeCatalog``.

    Times are Trio's. Answers are counted in bytes as their texts take in memory; the one not asked for longest goes
    first when there are too many or too much.

    A question that is asked by several at once is asked once, in a task of ``nursery``: who is cancelled stops waiting
    and harms nobody else, and when nobody waits any more the question is cancelled.

    Args:
        nursery: must be open as long as questions are asked.
        ttl_s: seconds an answer is kept, from when it came; 0 keeps none, and still asks once for many.
    """

    def __init__(
        self,
        inner: KnowledgeCatalog,
        nursery: trio.Nursery,
        *,
        ttl_s: float = TTL_S,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._inner = inner
        self._nursery = nursery
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._flights: dict[_Key, _Flight] = {}

    @property
    def entries(self) -> int:
        """How many answers it holds."""
        return len(self._kept)

    @property
    def bytes_held(self) -> int:
        """How much memory their texts take."""
        return self._bytes

    async def open(self, kb_id: str) -> "CachedKnowledgeBase":
        """See ``KnowledgeCatalog``; not cached here."""
        return CachedKnowledgeBase(await self._inner.open(kb_id), self)

    async def profiles(self) -> list[Profile]:
        """See ``KnowledgeCatalog``; not cached here."""
        return await self._inner.profiles()

    async def answered(self, key: _Key, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The answer kept under ``key``, or that of ``ask``, which one task asks for all who want it now."""
        kept = self._kept.get(key)
        if kept is not None and trio.current_time() < kept.until:
            self._kept.move_to_end(key)
            await trio.lowlevel.checkpoint()
            answer: _Answer = kept.answer
            return answer
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            self._nursery.start_soon(self._fly, key, flight, ask)
        flight.waiting += 1
        try:
            await flight.landed.wait()
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.landed.is_set():
                # Whoever asks next must not board what is being ended.
                self._take_down(key, flight)
                flight.scope.cancel()
        if flight.error is not None:
            # One exception for several tasks: each begins with the way it had come, not with what others added.
            raise flight.error.with_traceback(flight.traceback)
        landed: _Answer = flight.answer
        return landed

    async def _fly(self, key: _Key, flight: _Flight, ask: Callable[[], Awaitable[_Answer]]) -> None:
        with flight.scope:
            try:
                flight.answer = await ask()
                self._keep(key, flight.answer)
            except Exception as error:  # noqa: BLE001 - belongs to those who wait, not to the nursery of all
                flight.error, flight.traceback = error, error.__traceback__
            finally:
                if flight.answer is None and flight.error is None:
                    # Cancelled: by the last who waited, or with the nursery, and then somebody may still wait.
                    flight.error = KnowledgeUnavailable("the server is stopping")
                self._take_down(key, flight)
                flight.landed.set()

    def _take_down(self, key: _Key, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _keep(self, key: _Key, answer: object) -> None:
        self._drop(key)
        size = _size(key) + _size(answer)
        if self._ttl_s <= 0 or size > self._max_bytes:
            return
        self._kept[key] = _Kept(answer, trio.current_time() + self._ttl_s, size)
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._kept) > self._max_entries:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size


class CachedKnowledgeBase:
    """A knowledge base that answers a repeated question from memory. Implements ``KnowledgeBase``."""

    def __init__(self, inner: KnowledgeBase, catalog: CachedCatalog) -> None:
        self._inner = inner
        self._catalog = catalog

    @property
    def kb_id(self) -> str:
        """See ``KnowledgeBase``."""
        return self._inner.kb_id

    @property
    def profile(self) -> Profile:
        """See ``KnowledgeBase``."""
        return self._inner.profile

    async def search(self, query: str, *, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        """See ``KnowledgeBase``."""
        # A mistake of the caller's is not sent on a flight with others.
        require_limit(limit)
        key = ("search", self.kb_id, str(limit), " ".join(query.split()))
        found = await self._catalog.answered(key, partial(self._inner.search, query, limit=limit))
        return list(found)

    async def document(self, passage_id: str) -> DocumentText:
        """See ``KnowledgeBase``."""
        key = ("document", self.kb_id, passage_id)
        return await self._catalog.answered(key, partial(self._inner.document, passage_id))


def _size(value: object) -> int:
    """Bytes that the texts and containers in ``value`` take."""
    size = sys.getsizeof(value)
    if isinstance(value, msgspec.Struct):
        return size + sum(_size(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, (list, tuple)):
        return size + sum(map(_size, value))
    return size
