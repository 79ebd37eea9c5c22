"""Uploads: sends changes of documents in batches and sees to each of them. It knows no passages, only documents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import structlog
import trio
from azure.search.documents import IndexDocumentsBatch
from azure.search.documents.models import IndexAction, IndexingResult

from server.knowledge.azure_search.config import KnowledgeBaseSource
from server.knowledge.azure_search.service import SearchService
from server.knowledge.base import KnowledgeUnavailable

_log = structlog.get_logger("liveavatar.knowledge")

Kind = Literal["upload", "merge", "delete"]

# The service takes 1,000 documents or 16 MB at once ("Load data into a search index", Microsoft Learn). Half of the one
# and a quarter of the other: a batch that fails is not so much to send again, and proxies allow less.
BATCH_DOCUMENTS = 500
BATCH_BYTES = 4 * 1024 * 1024
# What a document of a batch may answer in passing: changed at the same time, index being rebuilt, overloaded.
_PASSING_STATUSES = frozenset((409, 422, 429, 503))
_TRIES = 6
_FIRST_PAUSE_S = 0.5
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one document."""

    kind: Kind
    document: Mapping[str, Any]
    """Its fields; for ``delete`` the key alone."""
    name: str
    """What people call it."""


async def upload(service: SearchService, source: KnowledgeBaseSource, changes: Mapping[str, Change]) -> None:
    """Makes the changes, by key. New and changed documents go first: what is deleted is missed by nobody then.

    Raises KnowledgeUnavailable, with the names of documents that the service refused; the others are changed.
    """
    waiting = {key: change for key, change in changes.items() if change.kind != "delete"}
    leaving = {key: change for key, change in changes.items() if change.kind == "delete"}
    refused: list[str] = []
    for part in (waiting, leaving):
        refused += await _send(service, source, part)
        if refused:
            more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
            raise KnowledgeUnavailable(
                f"the index {source.index!r} refused {len(refused)} of {len(part)} passages: "
                + "; ".join(refused[:_NAMED])
                + more
            )


async def _send(service: SearchService, source: KnowledgeBaseSource, changes: Mapping[str, Change]) -> list[str]:
    """Sends changes until each is made or refused; the refused ones, by name and with the service's reason."""
    waiting = dict(changes)
    refused: list[str] = []
    for number in range(_TRIES):
        again: dict[str, Change] = {}
        for batch in batches(waiting):
            for result in await service.write(source, _batch(batch)):
                change = batch.get(result.key)
                if change is None or result.succeeded:
                    continue
                if result.status_code in _PASSING_STATUSES and number < _TRIES - 1:
                    again[result.key] = change
                else:
                    refused.append(f"{change.name} ({_reason(result)})")
        if not again:
            break
        _log.info("documents are sent again", index=source.index, documents=len(again))
        await trio.sleep(_FIRST_PAUSE_S * 2**number)
        waiting = again
    return refused


def batches(changes: Mapping[str, Change]) -> Iterator[dict[str, Change]]:
    """The changes in batches of bounded number and size, in their order. A document is never larger than a batch."""
    batch: dict[str, Change] = {}
    held = 0
    for key, change in changes.items():
        size = len(msgspec.json.encode(change.document))
        if batch and (len(batch) >= BATCH_DOCUMENTS or held + size > BATCH_BYTES):
            yield batch
            batch, held = {}, 0
        batch[key] = change
        held += size
    if batch:
        yield batch


def _batch(changes: Mapping[str, Change]) -> IndexDocumentsBatch:
    actions = [IndexAction({"@search.action": change.kind, **change.document}) for change in changes.values()]
    return IndexDocumentsBatch(actions=actions)


def _reason(result: IndexingResult) -> str:
    return f"{result.status_code}: {' '.join((result.error_message or 'no message').split())[:200]}"
