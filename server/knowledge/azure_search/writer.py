"""The writing side of one knowledge base in an index: documents in, documents out. It reads no sources.

The service knows no transactions. What is there is read once, at the beginning; changes are collected and sent when a
transaction ends. Each passage carries the hash of its document and how many passages that has, so a document of which
only a part arrived is known by no hash, and the next ingestion takes it in again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from server.knowledge.azure_search.config import KnowledgeBaseSource
from server.knowledge.azure_search.embedding import Embedder
from server.knowledge.azure_search.passages import HEADING_SEPARATOR
from server.knowledge.azure_search.persona import Persona, passage_key, persona_key, persona_owner, stored
from server.knowledge.azure_search.service import WRITE_DEADLINE_S, SearchService
from server.knowledge.azure_search.upload import Change, upload
from server.knowledge.base import KnowledgeUnavailable, Profile
from server.knowledge.passages import PassageText
from server.knowledge.stored import StoredDocument

_MARK_SEPARATOR = "."


@dataclass(slots=True)
class _Kept:
    """A document as the index has it."""

    path: str
    keys: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)


class AzureSearchWriter:
    """Changes one knowledge base. Implements ``server.knowledge.stored.DocumentWriter``.

    Used in a worker thread of a Trio run, whose event loop sends its requests; cancelling that task ends them.

    Args:
        embedder: makes the vectors of passages; None stores none.
        vectors_by: the name of the model behind ``embedder``; another name makes every document a changed one.
    """

    def __init__(
        self, service: SearchService, source: KnowledgeBaseSource, *, embedder: Embedder | None, vectors_by: str
    ) -> None:
        self._service = service
        self._source = source
        self._embedder = embedder
        self._vectors_by = vectors_by if embedder is not None else ""
        self._kept: dict[str, _Kept] = {}
        self._location_of: dict[str, str] = {}
        self._changes: dict[str, Change] = {}
        self._texts: dict[str, str] = {}
        self._persona: Persona | None = None
        trio.from_thread.run(self._read)

    def close(self) -> None:
        """Forgets what was not sent."""
        self._forget()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As ``DocumentWriter.transaction``: sends the changes when it is left, and none of them after a failure."""
        try:
            yield
            trio.from_thread.run(self._send)
        finally:
            self._forget()

    # What is there

    def hash_at(self, location: str) -> str | None:
        """As ``DocumentWriter.hash_at``. A document that arrived in part has a hash that is nobody's."""
        kept = self._kept.get(location)
        if kept is None:
            return None
        marks = {_unmarked(mark, len(kept.keys), self._vectors_by) for mark in kept.marks}
        return marks.pop() if len(marks) == 1 else ""

    def location_of(self, path: str) -> str | None:
        """As ``DocumentWriter.location_of``."""
        return self._location_of.get(path)

    def locations_under(self, prefix: str) -> list[str]:
        """As ``DocumentWriter.locations_under``."""
        return sorted(location for location in self._kept if location.startswith(prefix))

    def passages(self) -> int:
        """As ``DocumentWriter.passages``."""
        return sum(len(kept.keys) for kept in self._kept.values())

    def profile(self) -> Profile | None:
        """As ``DocumentWriter.profile``."""
        return None if self._persona is None else self._persona.profile

    def profile_from(self) -> str:
        """As ``DocumentWriter.profile_from``."""
        return "" if self._persona is None else self._persona.profile_from

    # Changes; inside a transaction

    def set_profile(self, profile: Profile, profile_from: str) -> None:
        """As ``DocumentWriter.set_profile``."""
        self._persona = Persona(profile=profile, profile_from=profile_from)
        key = persona_key(self._source)
        document = {
            self._source.fields.key: key,
            self._source.filter_field: persona_owner(self._source),
            self._source.fields.content: msgspec.json.encode(self._persona).decode(),
        }
        self._changes[key] = Change("upload", document, "the persona")

    def put(self, stored: StoredDocument) -> None:
        """As ``DocumentWriter.put``."""
        self.remove(stored.location)
        kept = _Kept(stored.path)
        mark = _marked(stored.hash, len(stored.passages), self._vectors_by)
        kept.marks.add(mark)
        for passage in stored.passages:
            key = passage_key(self._source, stored.path, passage.number)
            kept.keys.add(key)
            name = f"{stored.path}#{passage.number}"
            self._changes[key] = Change("upload", self._document(key, stored, passage, mark), name)
            self._texts[key] = "\n".join((stored.document.title, *passage.headings, passage.text))
        self._kept[stored.location] = kept
        self._location_of[stored.path] = stored.location

    def move(self, location: str, new_location: str) -> None:
        """As ``DocumentWriter.move``."""
        kept = self._kept.pop(location, None)
        if kept is None:
            return
        self._kept[new_location] = kept
        self._location_of[kept.path] = new_location
        for key in kept.keys:
            before = self._changes.get(key)
            document = dict(before.document) if before else {self._source.fields.key: key}
            document[self._source.fields.location] = new_location
            self._changes[key] = Change(before.kind if before else "merge", document, kept.path)

    def remove(self, location: str) -> bool:
        """As ``DocumentWriter.remove``."""
        kept = self._kept.pop(location, None)
        if kept is None:
            return False
        if self._location_of.get(kept.path) == location:
            del self._location_of[kept.path]
        for key in kept.keys:
            self._changes[key] = Change("delete", {self._source.fields.key: key}, kept.path)
            self._texts.pop(key, None)
        return True

    def finish(self) -> None:
        """Nothing: the service keeps its indexes in shape."""

    # Inside the event loop

    async def _read(self) -> None:
        fields = self._source.fields
        select = [fields.key, fields.document, fields.location, fields.hash, self._source.filter_field]
        after: str | None = None
        while page := await self._service.page(self._source, after, select=select):
            for result in page:
                self._note(result)
            after = str(page[-1][fields.key])
        self._persona = await stored(self._service, self._source, deadline_s=WRITE_DEADLINE_S)

    def _note(self, result: dict[str, Any]) -> None:
        fields = self._source.fields
        if result.get(self._source.filter_field) != self._source.value:
            raise KnowledgeUnavailable(f"the index {self._source.index!r} answers with another's passages")
        path, location = str(result[fields.document]), str(result[fields.location])
        kept = self._kept.setdefault(location, _Kept(path))
        if kept.path != path:
            # Half of a document that was moved inside its knowledge base: what is left of both goes at the next put.
            kept.marks.add("")
        kept.keys.add(str(result[fields.key]))
        kept.marks.add(str(result[fields.hash]))
        self._location_of[path] = location

    async def _send(self) -> None:
        if self._embedder is not None and self._texts:
            await self._add_vectors(self._embedder)
        await upload(self._service, self._source, self._changes)

    async def _add_vectors(self, embedder: Embedder) -> None:
        keys = list(self._texts)
        vectors: Sequence[list[float]] = await embedder.embed([self._texts[key] for key in keys])
        for key, vector in zip(keys, vectors, strict=True):
            change = self._changes[key]
            document = {**change.document, self._source.fields.vector: vector}
            self._changes[key] = Change(change.kind, document, change.name)

    def _document(self, key: str, stored: StoredDocument, passage: PassageText, mark: str) -> dict[str, Any]:
        fields = self._source.fields
        return {
            fields.key: key,
            self._source.filter_field: self._source.value,
            fields.document: stored.path,
            fields.number: passage.number,
            fields.title: stored.document.title,
            fields.headings: HEADING_SEPARATOR.join(passage.headings),
            fields.content: passage.text,
            fields.uri: stored.document.url or stored.path,
            fields.start: passage.start,
            fields.location: stored.location,
            fields.hash: mark,
        }

    def _forget(self) -> None:
        self._changes.clear()
        self._texts.clear()


def _marked(hash_: str, passages: int, vectors_by: str) -> str:
    return _MARK_SEPARATOR.join((hash_, str(passages), vectors_by))


def _unmarked(mark: str, passages: int, vectors_by: str) -> str:
    """The hash in a mark, or nothing if the document is not there as the mark says."""
    hash_, _, rest = mark.partition(_MARK_SEPARATOR)
    return hash_ if rest == f"{passages}{_MARK_SEPARATOR}{vectors_by}" else ""
