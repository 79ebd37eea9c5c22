"""The writing side of one knowledge base's file: documents in, documents out. It reads no sources.

Everything between two commits is one transaction: readers see all of it or nothing, and so does whoever comes
after a crash.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from server.knowledge.base import KnowledgeUnavailable, Profile
from server.knowledge.schema import connect
from server.knowledge.stored import StoredDocument
from server.knowledge.words import stems

# Merging the full-text index after a large change makes searches two to three times faster and takes about as
# long as a tenth of the ingestion.
_OPTIMIZE_FROM_PASSAGES = 2_000
_META_PROFILE_FROM = "profile_from"


class IndexWriter:
    """One connection that changes one knowledge base; used by one thread. Raises KnowledgeUnavailable.

    Implements `server.knowledge.stored.DocumentWriter`; its transactions are kept wholly or not at all.
    """

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KnowledgeUnavailable(f"{file.parent} cannot be made: {error.strerror}") from error
        self._connection = connect(file, create=True)
        self._terms: Counter[str] = Counter()
        self._passages = 0
        self._words = 0
        self._written = 0

    def close(self) -> None:
        """Ends the connection; what was not committed is gone."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside it are kept together, or none of them."""
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._store_counts()
            self._execute("COMMIT")
        except BaseException:
            self._forget_counts()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # What is there

    def hash_at(self, location: str) -> str | None:
        """The hash of the document read from `location`, or None."""
        row = self._execute("SELECT hash FROM document WHERE location = ?", location).fetchone()
        return None if row is None else str(row[0])

    def location_of(self, path: str) -> str | None:
        """Where the document with this path was read from, or None."""
        row = self._execute("SELECT location FROM document WHERE path = ?", path).fetchone()
        return None if row is None else str(row[0])

    def locations_under(self, prefix: str) -> list[str]:
        """The locations of all documents that begin with `prefix`, sorted."""
        rows = self._execute(
            "SELECT location FROM document WHERE substr(location, 1, ?) = ? ORDER BY location", len(prefix), prefix
        )
        return [str(row[0]) for row in rows]

    def passages(self) -> int:
        """How many passages the knowledge base holds."""
        row = self._execute("SELECT value FROM meta WHERE key = 'passages'").fetchone()
        return 0 if row is None else int(row[0])

    def meta(self, key: str) -> str | None:
        """A value kept beside the documents, or None."""
        row = self._execute("SELECT value FROM meta WHERE key = ?", key).fetchone()
        return None if row is None else str(row[0])

    def profile(self) -> Profile | None:
        """The stored profile, or None."""
        value = self.meta("profile")
        return None if value is None else msgspec.json.decode(value, type=Profile)

    def profile_from(self) -> str:
        """The location of the file that the stored profile is from; empty for none."""
        return self.meta(_META_PROFILE_FROM) or ""

    # Changes; inside a transaction

    def set_meta(self, key: str, value: str) -> None:
        """Keeps a value beside the documents."""
        self._execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)

    def set_profile(self, profile: Profile, profile_from: str) -> None:
        """Replaces the profile, which is from the file at `profile_from`, or the default where that is empty."""
        self.set_meta(_META_PROFILE_FROM, profile_from)
        self.set_meta("profile", msgspec.json.encode(profile).decode())

    def put(self, stored: StoredDocument) -> None:
        """Adds a document, or replaces the one read from the same location. Its path must be free or its own."""
        self.remove(stored.location)
        document = stored.document
        document_id = self._execute(
            "INSERT INTO document (location, path, uri, title, hash) VALUES (?, ?, ?, ?, ?)",
            stored.location,
            stored.path,
            document.url or stored.path,
            document.title,
            stored.hash,
        ).lastrowid
        title = stems(document.title)
        for passage in stored.passages:
            headings = stems(" ".join(passage.headings))
            of_sentences = [stems(passage.text[start:end]) for start, end in passage.sentences]
            body = [stem for sentence in of_sentences for stem in sentence]
            spans = zip(passage.sentences, of_sentences, strict=True)
            rowid = self._execute(
                'INSERT INTO passage (document_id, number, headings, text, start, "end", sentences) '
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                document_id,
                passage.number,
                " > ".join(passage.headings),
                passage.text,
                passage.start,
                passage.end,
                " ".join(f"{start}-{end}-{len(own)}" for (start, end), own in spans),
            ).lastrowid
            self._execute(
                "INSERT INTO passage_fts (rowid, title, headings, body) VALUES (?, ?, ?, ?)",
                rowid,
                " ".join(title),
                " ".join(headings),
                " ".join(body),
            )
            self._count((title, headings, body), 1)
            self._written += 1

    def move(self, location: str, new_location: str) -> None:
        """Notes that a document is now read from elsewhere; nothing else of it changes."""
        self._execute("UPDATE document SET location = ? WHERE location = ?", new_location, location)

    def remove(self, location: str) -> bool:
        """Removes the document read from `location`; False if there is none."""
        row = self._execute("SELECT id FROM document WHERE location = ?", location).fetchone()
        if row is None:
            return False
        rows = self._execute(
            "SELECT passage.id, title, passage_fts.headings, body "
            "FROM passage JOIN passage_fts ON passage_fts.rowid = passage.id WHERE document_id = ?",
            row[0],
        ).fetchall()
        for rowid, *fields in rows:
            self._count([field.split(" ") if field else [] for field in fields], -1)
            self._execute("DELETE FROM passage_fts WHERE rowid = ?", rowid)
            self._written += 1
        self._execute("DELETE FROM passage WHERE document_id = ?", row[0])
        self._execute("DELETE FROM document WHERE id = ?", row[0])
        return True

    def finish(self) -> None:
        """Brings the file into good shape after many changes; outside a transaction."""
        if self._written >= _OPTIMIZE_FROM_PASSAGES:
            self._execute("INSERT INTO passage_fts (passage_fts) VALUES ('optimize')")
        if self._written:
            # Readers that hold an older state make this do less; it never waits for them.
            self._execute("PRAGMA wal_checkpoint (PASSIVE)").fetchall()

    # Counts that the ranking needs

    def _count(self, fields: Iterable[list[str]], sign: int) -> None:
        title, headings, body = fields
        for stem in {*title, *headings, *body}:
            self._terms[stem] += sign
        self._passages += sign
        self._words += sign * len(body)

    def _store_counts(self) -> None:
        changed = [(stem, change) for stem, change in self._terms.items() if change]
        try:
            self._connection.executemany(
                "INSERT INTO term VALUES (?, ?) ON CONFLICT DO UPDATE SET passages = passages + excluded.passages",
                changed,
            )
            self._connection.executemany(
                "DELETE FROM term WHERE stem = ? AND passages <= 0", [(stem,) for stem, change in changed if change < 0]
            )
        except sqlite3.Error as error:
            raise KnowledgeUnavailable(f"the index cannot be written: {error}") from error
        for key, change in (("passages", self._passages), ("words", self._words)):
            if change:
                self.set_meta(key, str(int(self.meta(key) or 0) + change))
        self._forget_counts()

    def _forget_counts(self) -> None:
        self._terms.clear()
        self._passages = self._words = 0

    def _execute(self, statement: str, *values: str | int | None) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise KnowledgeUnavailable(f"the index cannot be written: {error}") from error
