"""The embedded catalog: the async port over the SQLite knowledge bases. Queries run in worker threads."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import structlog
import trio

from server.knowledge.base import (
    DEFAULT_LIMIT,
    DocumentText,
    KnowledgeUnavailable,
    Passage,
    Profile,
    UnknownKnowledgeBase,
)
from server.knowledge.ingest import MAX_FILE_BYTES, IngestProgress, IngestReport, Progress, ingest
from server.knowledge.sqlite import KnowledgeIndex

_log = structlog.get_logger("liveavatar.knowledge")

# A query is a millisecond of work, half of it outside Python's lock; more threads only stand in each other's way.
_QUERY_THREADS = 4


class SqliteKnowledgeBase:
    """One embedded knowledge base. Implements `server.knowledge.base.KnowledgeBase`."""

    def __init__(self, index: KnowledgeIndex, profile: Profile, limiter: trio.CapacityLimiter) -> None:
        self._index = index
        self._profile = profile
        self._limiter = limiter

    @property
    def kb_id(self) -> str:
        """The id it was opened by."""
        return self._profile.kb_id

    @property
    def profile(self) -> Profile:
        """The persona as it was when the knowledge base was opened."""
        return self._profile

    async def search(self, query: str, *, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        """As `KnowledgeBase.search`. When cancelled it returns at once; its thread ends its query unseen and then
        gives back its connection and its place among the query threads, so abandoned queries cannot pile up.
        """
        return await trio.to_thread.run_sync(
            self._index.search, self.kb_id, query, limit, abandon_on_cancel=True, limiter=self._limiter
        )

    async def document(self, passage_id: str) -> DocumentText:
        """As `KnowledgeBase.document`. Cancelled, it returns at once, as `search` does."""
        return await trio.to_thread.run_sync(
            self._index.document, self.kb_id, passage_id, abandon_on_cancel=True, limiter=self._limiter
        )


class SqliteCatalog:
    """The embedded knowledge bases of a server. Implements `server.knowledge.base.KnowledgeCatalog`.

    It does not own `index`: whoever made that closes it.
    """

    def __init__(self, index: KnowledgeIndex) -> None:
        self._index = index
        self._query_threads = trio.CapacityLimiter(_QUERY_THREADS)
        # One file is written at a time: ingesting is bound by the processor, and searches must get some of it.
        self._ingest_thread = trio.CapacityLimiter(1)

    async def open(self, kb_id: str) -> SqliteKnowledgeBase:
        """As `KnowledgeCatalog.open`."""
        profile = await trio.to_thread.run_sync(
            self._index.profile, kb_id, abandon_on_cancel=True, limiter=self._query_threads
        )
        return SqliteKnowledgeBase(self._index, profile, self._query_threads)

    async def profiles(self) -> list[Profile]:
        """As `KnowledgeCatalog.profiles`."""
        return await trio.to_thread.run_sync(self._profiles, abandon_on_cancel=True, limiter=self._query_threads)

    def _profiles(self) -> list[Profile]:
        profiles: list[Profile] = []
        for kb_id in self._index.ids():
            try:
                profiles.append(self._index.profile(kb_id))
            except UnknownKnowledgeBase:
                continue  # just being made, or just deleted
            except KnowledgeUnavailable as error:
                _log.warning("knowledge base unreadable", kb_id=kb_id, error=str(error))
        return profiles

    async def ingest(
        self,
        kb_id: str,
        paths: Iterable[Path],
        *,
        progress: Progress | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> IngestReport:
        """As `server.knowledge.ingest.ingest`, in a worker thread, one at a time.

        `progress` is called in that thread. Cancelled, it stops after the file it is at and undoes the batch that
        was not yet written; it does not return before that.
        """

        def step(state: IngestProgress) -> None:
            trio.from_thread.check_cancelled()
            if progress is not None:
                progress(state)

        work = partial(ingest, self._index, kb_id, list(paths), progress=step, max_file_bytes=max_file_bytes)
        return await trio.to_thread.run_sync(work, limiter=self._ingest_thread)
