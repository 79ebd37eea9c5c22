"""Ingestion: brings a knowledge base to what files and folders say now. It ranks nothing and runs no thread."""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from server.knowledge.base import Profile, require_kb_id
from server.knowledge.documents import BlockKind, Document
from server.knowledge.passages import cut
from server.knowledge.profiles import PROFILE_FILE, ProfileError, default_profile, read_profile
from server.knowledge.read_html import read_html
from server.knowledge.read_markdown import read_markdown
from server.knowledge.read_text import NotText, decode, read_text
from server.knowledge.sources import (
    HTML_SUFFIXES,
    MARKDOWN_SUFFIXES,
    Problem,
    Root,
    SourceFile,
    Walk,
    join,
    reason,
    root_of,
    shown,
)
from server.knowledge.stored import DocumentWriter, Fillable, StoredDocument
from server.knowledge.words import WORDS_VERSION

# A book is 1 MiB of text. What is larger is a dump of data that no one asks questions of.
MAX_FILE_BYTES = 10 * 1024 * 1024

# A change in how documents are read or cut makes stored passages stale: raise it, and they are read anew.
_READING_VERSION = 1
_MADE_BY = f"{_READING_VERSION}.{WORDS_VERSION}"
# A transaction holds at most about this much: some tenths of a second of work and a few MB of memory.
_BATCH_DOCUMENTS = 64
_BATCH_PASSAGES = 1_000


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an ingestion did to a knowledge base."""

    kb_id: str
    added: int
    changed: int
    unchanged: int
    removed: int
    skipped: int
    """Hidden and unsupported files and folders, which are left out silently."""
    passages: int
    """How many passages the knowledge base holds now."""
    problems: list[Problem]


class IngestProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an ingestion is; how much there is to come is not known."""

    documents: int
    """Files looked at so far."""
    path: str
    """The document that was looked at last."""


Progress = Callable[[IngestProgress], None]


def ingest(
    index: Fillable,
    kb_id: str,
    paths: Iterable[Path],
    *,
    progress: Progress | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> IngestReport:
    """Takes in the Markdown, text and HTML files in `paths` (files and folders); blocks until it is done.

    Documents whose content changed are replaced, those that are gone from a given folder are removed; one that
    cannot be read now keeps its last content. A `profile.toml` at the top of a given folder becomes the profile.
    Whatever cannot be taken in is named in `problems`, and the rest goes on. Searches go on meanwhile. It works in
    transactions of up to 64 documents, so stopped at any moment (also by an exception from `progress`, which is
    called after each file) it leaves a sound knowledge base and can be run again.

    Raises InvalidKnowledgeBaseId, ProfileError (then nothing was changed) and KnowledgeUnavailable.
    """
    roots: list[Root] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            roots.append(root_of(path))
        except OSError as error:
            problems.append(Problem(shown(str(path)), f"cannot be read: {reason(error)}"))
    report = ingest_roots(index, kb_id, roots, progress=progress, max_file_bytes=max_file_bytes)
    return msgspec.structs.replace(report, problems=problems + report.problems)


def ingest_roots(
    index: Fillable,
    kb_id: str,
    roots: list[Root],
    *,
    profile_file: Path | None = None,
    progress: Progress | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> IngestReport:
    """As `ingest`, for roots with locations of their own and, with `profile_file`, a profile from elsewhere."""
    require_kb_id(kb_id)
    profile = _find_profile(kb_id, roots, profile_file)
    if not roots:
        # Nothing was found, so nothing is known: no knowledge base is made of that.
        return IngestReport(kb_id=kb_id, added=0, changed=0, unchanged=0, removed=0, skipped=0, passages=0, problems=[])
    with closing(index.writer(kb_id)) as writer:
        run = _Ingestion(writer, max_file_bytes, progress)
        run.keep_profile(kb_id, roots, profile)
        for root in roots:
            for source in run.walk.files(root):
                run.take(source)
        run.write_batch()
        run.remove_gone(roots)
        writer.finish()
        return IngestReport(
            kb_id=kb_id,
            added=run.added,
            changed=run.changed,
            unchanged=run.unchanged,
            removed=run.removed,
            skipped=run.walk.skipped,
            passages=writer.passages(),
            problems=run.walk.problems,
        )


def read_document(data: bytes, file_name: str) -> tuple[Document, str]:
    """The document in a file's bytes, read by what its name ends in, and what was wrong with it (or nothing).

    Raises NotText for binary content.
    """
    stem, suffix = os.path.splitext(file_name)
    title = stem.replace("-", " ").replace("_", " ").strip().capitalize() or file_name
    html = suffix.lower() in HTML_SUFFIXES
    decoded = decode(data, html=html)
    if html:
        return read_html(decoded.text, fallback_title=title), decoded.problem
    if suffix.lower() in MARKDOWN_SUFFIXES:
        return read_markdown(decoded.text, fallback_title=title), decoded.problem
    return read_text(decoded.text, fallback_title=title), decoded.problem


def _find_profile(kb_id: str, roots: list[Root], profile_file: Path | None) -> tuple[str, Profile] | None:
    """The profile that the roots bring, and where it is from. Raises ProfileError."""
    files = [(join(root.location, PROFILE_FILE), root.path / PROFILE_FILE) for root in roots if root.path.is_dir()]
    found = [(location, file) for location, file in files if file.is_file()]
    if profile_file is not None:
        found = [(shown(str(profile_file)), profile_file)]
    if len({location for location, _ in found}) > 1:
        raise ProfileError(found[1][1], f"a knowledge base has one profile, and {found[0][1]} is one already")
    return (found[0][0], read_profile(found[0][1], kb_id)) if found else None


class _Ingestion:
    """The state of one ingestion: what was counted, and the batch that is not yet written."""

    def __init__(self, writer: DocumentWriter, max_file_bytes: int, progress: Progress | None) -> None:
        self.walk = Walk()
        self.added = self.changed = self.unchanged = self.removed = 0
        self._writer = writer
        self._max_file_bytes = max_file_bytes
        self._progress = progress
        self._looked_at: set[str] = set()
        self._present: set[str] = set()
        self._batch: list[StoredDocument] = []
        self._moves: list[tuple[str, str]] = []

    def keep_profile(self, kb_id: str, roots: list[Root], found: tuple[str, Profile] | None) -> None:
        """Stores the profile found, or the default where there is none or its file is gone."""
        source = self._writer.profile_from()
        gone = any(source == join(root.location, PROFILE_FILE) for root in roots)
        if found is None and (self._writer.profile() is None or gone):
            found = ("", default_profile(kb_id))
        if found is not None and found != (source, self._writer.profile()):
            with self._writer.transaction():
                self._writer.set_profile(found[1], found[0])

    def take(self, source: SourceFile) -> None:
        """Looks at one file and puts it into the batch if it is new or changed."""
        if source.location in self._looked_at:
            return
        self._looked_at.add(source.location)
        self._compare(source)
        if len(self._batch) >= _BATCH_DOCUMENTS or sum(len(s.passages) for s in self._batch) >= _BATCH_PASSAGES:
            self.write_batch()
        if self._progress is not None:
            self._progress(IngestProgress(documents=len(self._looked_at), path=source.path))

    def _compare(self, source: SourceFile) -> None:
        try:
            data = self._read(source.file)
        except OSError as error:
            self.walk.cannot_read(source.file, source.location, error)
            return
        if data is None:
            self._problem(source, f"larger than {self._max_file_bytes:,} bytes")
            return
        digest = hashlib.blake2b(data, digest_size=16, key=_MADE_BY.encode()).hexdigest()
        known = self._writer.hash_at(source.location) or self._moved(source)
        if known == digest:
            self._present.add(source.location)
            self.unchanged += 1
            return
        try:
            document, problem = read_document(data, source.file.name)
        except NotText as error:
            self._problem(source, str(error))
            return
        if problem:
            self._problem(source, problem)
        passages = cut(document)
        if not passages:
            self._problem(source, "holds no text" if any_text(document) else "is empty")
            return
        self._present.add(source.location)
        self._batch.append(StoredDocument(source.location, source.path, digest, document, passages))
        self.added += known is None
        self.changed += known is not None

    def _read(self, file: Path) -> bytes | None:
        """The bytes of a file, or None when there are too many."""
        with file.open("rb") as opened:
            data = opened.read(self._max_file_bytes + 1)
        return data if len(data) <= self._max_file_bytes else None

    def _moved(self, source: SourceFile) -> str | None:
        """The hash of the document that this one was before its folder was moved, if it was."""
        before = self._writer.location_of(source.path)
        if before is None or before in self._looked_at or not before.startswith("/") or os.path.lexists(before):
            return None
        self._moves.append((before, source.location))
        return self._writer.hash_at(before)

    def write_batch(self) -> None:
        """Writes what was collected, in one transaction."""
        if not self._batch and not self._moves:
            return
        with self._writer.transaction():
            for before, location in self._moves:
                self._writer.move(before, location)
            for stored in self._batch:
                self._writer.put(self._placed(stored))
        self._batch.clear()
        self._moves.clear()

    def _placed(self, stored: StoredDocument) -> StoredDocument:
        """The document under a path that no other one has: `guide/index.md` where `index.md` is taken."""
        folder = os.path.basename(stored.location.removesuffix(stored.path).rstrip("/")) or "other"
        path = stored.path
        number = 1
        while (owner := self._writer.location_of(path)) is not None and owner != stored.location:
            path = join(folder if number == 1 else f"{folder}-{number}", stored.path)
            number += 1
        return StoredDocument(stored.location, path, stored.hash, stored.document, stored.passages)

    def remove_gone(self, roots: list[Root]) -> None:
        """Removes the documents of the roots that were not found again, but none that could not be looked at."""
        gone: list[str] = []
        for root in roots:
            known = [*self._writer.locations_under(join(root.location, "")), root.location]
            gone.extend(location for location in known if location not in self._present and not self._unread(location))
        for start in range(0, len(gone), _BATCH_DOCUMENTS):
            with self._writer.transaction():
                removed = [self._writer.remove(location) for location in gone[start : start + _BATCH_DOCUMENTS]]
            self.removed += sum(removed)

    def _unread(self, location: str) -> bool:
        return any(location == place or location.startswith(join(place, "")) for place in self.walk.unread)

    def _problem(self, source: SourceFile, text: str) -> None:
        self.walk.problems.append(Problem(shown(str(source.file)), text))


def any_text(document: Document) -> bool:
    """Whether there is anything in a document, be it only headings."""
    return any(block.kind is BlockKind.HEADING or block.text for block in document.blocks)
