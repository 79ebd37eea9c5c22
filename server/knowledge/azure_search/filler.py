"""Fills knowledge bases in Azure AI Search from files and folders, making indexes where needed. It answers nothing."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import trio

from server.knowledge.azure_search.config import (
    EMBEDDING_SETTING,
    FIELDS_SETTING,
    FILTER_FIELD_SETTING,
    MODE_SETTING,
    SOURCES_SETTING,
    KnowledgeBaseSource,
    SearchConfig,
    SearchConfigError,
)
from server.knowledge.azure_search.embedding import Embedder
from server.knowledge.azure_search.index import Vectors, definition, require_fields
from server.knowledge.azure_search.service import SearchService
from server.knowledge.azure_search.writer import AzureSearchWriter
from server.knowledge.base import require_kb_id
from server.knowledge.ingest import MAX_FILE_BYTES, IngestProgress, IngestReport, Progress, ingest


class IndexFiller:
    """The knowledge bases of the settings, to be filled. Implements ``server.knowledge.stored.Fillable``.

    Args:
        analyzer: for an index that is made: one of the service's analyzers; empty: our own, for English.
        vectors: for an index that is made: how texts become vectors; None makes none.
        embedder: makes the vectors of passages; goes with ``vectors``.
    """

    def __init__(
        self,
        config: SearchConfig,
        service: SearchService,
        *,
        analyzer: str = "",
        vectors: Vectors | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._config = config
        self._service = service
        self._analyzer = analyzer
        self._vectors = vectors
        self._embedder = embedder
        # As with the embedded index, one at a time.
        self._thread = trio.CapacityLimiter(1)

    async def ingest(
        self,
        kb_id: str,
        paths: Iterable[Path],
        *,
        progress: Progress | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> IngestReport:
        """As ``server.knowledge.ingest.ingest``, in a worker thread, one at a time; makes the index if there is none.

        ``progress`` is called in that thread. Cancelled, it stops at the file or request it is at. No more than the
        changed documents of one batch are then partly there, and the next ingestion takes them in again.

        Raises SearchConfigError beside what that raises.
        """

        def step(state: IngestProgress) -> None:
            trio.from_thread.check_cancelled()
            if progress is not None:
                progress(state)

        work = partial(ingest, self, kb_id, list(paths), progress=step, max_file_bytes=max_file_bytes)
        return await trio.to_thread.run_sync(work, limiter=self._thread)

    def writer(self, kb_id: str) -> AzureSearchWriter:
        """As ``Fillable.writer``; in a worker thread of a Trio run. Raises SearchConfigError."""
        source = self._source(kb_id)
        trio.from_thread.run(self._make_index, source)
        return AzureSearchWriter(
            self._service,
            source,
            embedder=self._embedder,
            vectors_by=self._vectors.deployment if self._vectors is not None else "",
        )

    def _source(self, kb_id: str) -> KnowledgeBaseSource:
        source = self._config.source(require_kb_id(kb_id))
        if source is None:
            raise SearchConfigError(
                f"the settings of the search name no knowledge base {kb_id!r}: look at {SOURCES_SETTING}"
            )
        if not source.filter_field:
            raise SearchConfigError(
                f"{kb_id!r} is the whole of the index {source.index!r}; one that is filled here needs a field that "
                f"tells whose a passage is: look at {FILTER_FIELD_SETTING}"
            )
        if not source.fields.writable:
            raise SearchConfigError(
                f"{FIELDS_SETTING} leaves out fields that ingestion fills; leave it empty for an index of our own"
            )
        if self._config.mode != "keyword" and (self._embedder is None or self._vectors is None):
            raise SearchConfigError(
                f"{MODE_SETTING}={self._config.mode} searches vectors, which are made while ingesting: look at "
                f"{EMBEDDING_SETTING}"
            )
        return source

    async def _make_index(self, source: KnowledgeBaseSource) -> None:
        there = await self._service.index(source)
        if there is None:
            made = definition(source, semantic=self._config.semantic, analyzer=self._analyzer, vectors=self._vectors)
            await self._service.create(source, made)
        else:
            require_fields(there, source, vectors=self._vectors is not None)
