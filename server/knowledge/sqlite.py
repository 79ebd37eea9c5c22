"""The embedded knowledge bases: searches SQLite FTS5 files, one per knowledge base. It fills none itself.

`KnowledgeIndex` is synchronous and may be used from several threads at once; the async port over it is
`server.knowledge.catalog`, filling is `server.knowledge.ingest`.
"""

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from server.knowledge.base import (
    DEFAULT_LIMIT,
    DocumentText,
    KnowledgeUnavailable,
    Passage,
    Profile,
    UnknownKnowledgeBase,
    UnknownPassage,
    is_kb_id,
    require_limit,
)
from server.knowledge.document_text import NEIGHBOURS, Piece, put_together
from server.knowledge.questions import Concept, Question, question
from server.knowledge.ranking import Candidate, Ranking, idf
from server.knowledge.schema import FILE_SUFFIX, connect, is_ready
from server.knowledge.writer import IndexWriter

# What one full-text expression hands to the ranking: enough that a passage it undervalues is still there.
_CANDIDATES = 32
_RELATED = 12
# How many passages BM25 looks at in one search. It costs 1 to 3 us a passage, finding them a thirtieth of that.
_RANKED_ROWS = 600
_BM25_WEIGHTS = "bm25(4.0, 3.0, 1.0)"
# Connections kept open over all knowledge bases; one costs three descriptors and its cache.
_IDLE_CONNECTIONS = 16
# As the passage ids end, and as headings are stored in one column (server.knowledge.writer).
_PASSAGE_NUMBER = re.compile("[1-9][0-9]{0,8}")
_HEADING_SEPARATOR = " > "


@dataclass(frozen=True, slots=True)
class _Reader:
    connection: sqlite3.Connection
    kb_id: str
    inode: tuple[int, int]
    """Of the file it was opened on: another one may have taken its place."""


class KnowledgeIndex:
    """The knowledge bases in `folder`, each in a file `<kb_id>.sqlite3`.

    All methods block on the disk and raise KnowledgeUnavailable when a file cannot be read. A reading connection
    belongs to one call from its first statement to its last, in whatever thread, and sees one state of the
    knowledge base however long another process goes on writing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []
        self._closed = False

    def file(self, kb_id: str) -> Path:
        """Where the knowledge base is, or would be."""
        return self.folder / f"{kb_id}{FILE_SUFFIX}"

    def writer(self, kb_id: str) -> IndexWriter:
        """What changes the knowledge base, whose file is made if there is none; see `server.knowledge.stored`."""
        return IndexWriter(self.file(kb_id))

    def ids(self) -> list[str]:
        """The ids of all knowledge bases, sorted."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KnowledgeUnavailable(f"{self.folder} cannot be listed: {error.strerror}") from error
        ids = (name.removesuffix(FILE_SUFFIX) for name in names if name.endswith(FILE_SUFFIX))
        return sorted(kb_id for kb_id in ids if is_kb_id(kb_id))

    def profile(self, kb_id: str) -> Profile:
        """The profile of a knowledge base. Raises UnknownKnowledgeBase."""
        with self._reader(kb_id) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'profile'").fetchone()
            if row is None:
                raise UnknownKnowledgeBase(kb_id)
            return msgspec.json.decode(row[0], type=Profile)

    def search(self, kb_id: str, query: str, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        """As `KnowledgeBase.search`. Raises UnknownKnowledgeBase, and ValueError for a limit out of range."""
        require_limit(limit)
        with self._reader(kb_id) as connection:
            return _search(connection, kb_id, query, limit)

    def document(self, kb_id: str, passage_id: str) -> DocumentText:
        """As `KnowledgeBase.document`. Raises UnknownKnowledgeBase and UnknownPassage."""
        path, _, written = passage_id.removeprefix(f"{kb_id}/").rpartition("#")
        if not _PASSAGE_NUMBER.fullmatch(written) or not passage_id.startswith(f"{kb_id}/") or not _is_text(path):
            raise UnknownPassage(passage_id)
        with self._reader(kb_id) as connection:
            return _document_text(connection, passage_id, path, int(written))

    def close(self) -> None:
        """Closes the connections that no call uses; the others close when their call ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.connection.close()

    @contextmanager
    def _reader(self, kb_id: str) -> Iterator[sqlite3.Connection]:
        """A connection of this call's own, inside a read transaction."""
        reader = self._take(kb_id)
        healthy = False
        try:
            if not is_ready(reader.connection, self.file(kb_id)):
                raise UnknownKnowledgeBase(kb_id)
            reader.connection.execute("BEGIN")
            yield reader.connection
            reader.connection.execute("COMMIT")
            healthy = True
        except sqlite3.Error as error:
            raise KnowledgeUnavailable(f"knowledge base {kb_id!r} cannot be read: {error}") from error
        finally:
            self._give_back(reader, healthy=healthy)

    def _take(self, kb_id: str) -> _Reader:
        if not is_kb_id(kb_id):
            raise UnknownKnowledgeBase(kb_id)
        file = self.file(kb_id)
        try:
            status = file.stat()
        except FileNotFoundError:
            raise UnknownKnowledgeBase(kb_id) from None
        except OSError as error:
            raise KnowledgeUnavailable(f"{file} cannot be read: {error.strerror}") from error
        inode = (status.st_dev, status.st_ino)
        stale: list[_Reader] = []
        found: _Reader | None = None
        with self._lock:
            for reader in reversed(self._idle):
                if reader.kb_id == kb_id:
                    self._idle.remove(reader)
                    if reader.inode == inode:
                        found = reader
                        break
                    stale.append(reader)
        for reader in stale:
            reader.connection.close()
        return found or _Reader(connect(file), kb_id, inode)

    def _give_back(self, reader: _Reader, *, healthy: bool) -> None:
        surplus = reader
        with self._lock:
            if healthy and not self._closed:
                self._idle.append(reader)
                if len(self._idle) <= _IDLE_CONNECTIONS:
                    return
                # The one that was not used for longest.
                surplus = self._idle.pop(0)
        surplus.connection.close()


def _search(connection: sqlite3.Connection, kb_id: str, query: str, limit: int) -> list[Passage]:
    meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('passages', 'words')"))
    passages = int(meta.get("passages", 0))
    if not passages:
        return []
    counts = _term_counts(connection)

    def rarity(stem: str) -> float:
        return idf(passages, counts(stem))

    asked = question(query, rarity)
    if not asked.concepts:
        return []
    ranking = Ranking(asked, rarity, int(meta["words"]) / passages)
    ordered = ranking.order(_candidates(connection, asked, counts))
    return [_passage(connection, kb_id, rowid, score, ranking) for score, rowid in ordered[:limit]]


def _document_text(connection: sqlite3.Connection, passage_id: str, path: str, number: int) -> DocumentText:
    document = connection.execute("SELECT id, title, uri FROM document WHERE path = ?", (path,)).fetchone()
    if document is None:
        raise UnknownPassage(passage_id)
    document_id, title, uri = document
    rows = connection.execute(
        'SELECT number, headings, text, start, "end" FROM passage '
        "WHERE document_id = ? AND number BETWEEN ? AND ? ORDER BY number",
        (document_id, number - NEIGHBOURS, number + NEIGHBOURS),
    ).fetchall()
    pieces = [
        Piece(number, tuple(headings.split(_HEADING_SEPARATOR)) if headings else (), text, start, end)
        for number, headings, text, start, end in rows
    ]
    place = next((place for place, piece in enumerate(pieces) if piece.number == number), None)
    if place is None:
        raise UnknownPassage(passage_id)
    last = connection.execute("SELECT max(number) FROM passage WHERE document_id = ?", (document_id,)).fetchone()[0]
    return put_together(pieces, place, last_number=last, passage_id=passage_id, title=title, uri=uri)


def _is_text(path: str) -> bool:
    """Whether SQLite can be asked for it: half a surrogate pair is no text."""
    return "\0" not in path and not any("\ud800" <= char <= "\udfff" for char in path)


def _term_counts(connection: sqlite3.Connection) -> Callable[[str], int]:
    """Tells in how many passages a stem occurs; asks the file once for each."""
    known: dict[str, int] = {}

    def count(stem: str) -> int:
        if stem not in known:
            row = connection.execute("SELECT passages FROM term WHERE stem = ?", (stem,)).fetchone()
            known[stem] = row[0] if row else 0
        return known[stem]

    return count


def _candidates(connection: sqlite3.Connection, asked: Question, counts: Callable[[str], int]) -> Iterator[Candidate]:
    """The passages worth ranking: by the words that were asked for, then by what may stand for them."""
    own = _present((stem for concept in asked.concepts for stem in _own(concept)), counts)
    every = [stem for concept in (*asked.concepts, *filter(None, (asked.hint,))) for stem in concept.variants]
    related = [stem for stem in _present(iter(every), counts) if stem not in own]
    seen: set[int] = set()
    left = _RANKED_ROWS
    for stems, most in ((own, _CANDIDATES), (related, _RELATED)):
        wanted = len(seen) + most
        for expression in _expressions(stems, counts):
            rows, ranked = _match(connection, expression, most, left)
            left -= ranked
            for row in rows:
                if row[0] not in seen and len(seen) < wanted:
                    seen.add(row[0])
                    yield Candidate(*row)
            if len(seen) == wanted:
                break


def _own(concept: Concept) -> list[str]:
    return [stem for stem, weight in concept.variants.items() if weight == 1.0]


def _present(stems: Iterator[str], counts: Callable[[str], int]) -> list[str]:
    """The stems that occur at all, rarest first, each once."""
    return sorted({stem for stem in stems if counts(stem)}, key=lambda stem: (counts(stem), stem))


def _expressions(stems: list[str], counts: Callable[[str], int]) -> list[str]:
    """Full-text expressions that together find the best passages for `stems` (rarest first), most telling first.

    Where the stems are rare, any of them will do and BM25 sorts the rest. Where they are common, that would rank
    half the knowledge base; then the passages are sought that hold all of them, all but the commonest, the two
    rarest, any of the rare ones, and those that have one in a title.
    """
    if not stems:
        return []
    if sum(counts(stem) for stem in stems) <= _RANKED_ROWS:
        return [_any_of(stems)]
    rungs = dict.fromkeys((len(stems), len(stems) - 1, 2))
    expressions = [_all_of(stems[:rung]) for rung in rungs if rung >= 2]
    rare = 1
    while rare < len(stems) and sum(counts(stem) for stem in stems[: rare + 1]) <= _RANKED_ROWS:
        rare += 1
    expressions.append(_any_of(stems[:rare]))
    expressions.append(f"{{title headings}} : ({_any_of(stems)})")
    return expressions


def _quoted(stem: str) -> str:
    # Stems are letters and digits only; the quotes keep AND, OR, NOT and NEAR from being operators.
    return '"' + stem.replace('"', '""') + '"'


def _any_of(stems: list[str]) -> str:
    return " OR ".join(map(_quoted, stems))


def _all_of(stems: list[str]) -> str:
    return " AND ".join(map(_quoted, stems))


def _match(
    connection: sqlite3.Connection, expression: str, most: int, left: int
) -> tuple[list[tuple[int, int, str, str, str]], int]:
    """The best `most` passages by BM25, and how many were ranked for that: none if there are more than `left`.

    Then it is the first ones of the index. FTS5 sorts by `rank` itself, and without reading the contents of what
    it then leaves out, only when nothing else is asked of the order; ties are in the order of its index.
    """
    (found,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM passage_fts WHERE passage_fts MATCH ? LIMIT ?)", (expression, left + 1)
    ).fetchone()
    document = "(SELECT document_id FROM passage WHERE passage.id = passage_fts.rowid)"
    columns = f"SELECT rowid, {document}, title, headings, body FROM passage_fts WHERE passage_fts MATCH ?"  # noqa: S608
    if found > left:
        return connection.execute(f"{columns} LIMIT ?", (expression, most)).fetchall(), 0
    if found <= most:
        return connection.execute(columns, (expression,)).fetchall(), 0
    ranked = f"{columns} AND rank MATCH ? ORDER BY rank LIMIT ?"
    return connection.execute(ranked, (expression, _BM25_WEIGHTS, most)).fetchall(), found


def _passage(connection: sqlite3.Connection, kb_id: str, rowid: int, score: float, ranking: Ranking) -> Passage:
    path, uri, title, number, headings, text, start, end, sentences, body = connection.execute(
        'SELECT path, uri, document.title, number, passage.headings, text, start, "end", sentences, body '
        "FROM passage JOIN document ON document.id = document_id JOIN passage_fts ON passage_fts.rowid = passage.id "
        "WHERE passage.id = ?",
        (rowid,),
    ).fetchone()
    return Passage(
        id=f"{kb_id}/{path}#{number}",
        title=f"{title} > {headings}" if headings else title,
        uri=uri,
        text=text,
        start=start,
        end=end,
        score=score,
        snippet=ranking.snippet(text, sentences, body),
    )
