"""The file of one knowledge base: its tables, its version and how it is opened. It searches and fills nothing.

One SQLite file per knowledge base, because FTS5 computes term rarity and average length over a whole table: in a
shared one, one tenant's documents would move another's ranking, and every query would walk through the matches of
all of them. So, too, one knowledge base can be written, copied or deleted without touching another.
"""

import sqlite3
from pathlib import Path

from server.knowledge.base import KnowledgeUnavailable

FILE_SUFFIX = ".sqlite3"
# Of the tables below. What the documents' content was made with is versioned by their hash (server.knowledge.ingest).
SCHEMA_VERSION = 1
# "LAKB": tells a knowledge base from any other SQLite file.
_APPLICATION_ID = 0x4C414B42
# How long a writer waits for another (a second `ingest` of the same knowledge base). Readers never wait.
_BUSY_TIMEOUT_MS = 10_000
# 16 MiB of pages per connection keeps an index of 5,000 passages in memory.
_READ_CACHE_KIB = 16 * 1024
_WRITE_CACHE_KIB = 64 * 1024

# `passage_fts` holds stems (server.knowledge.words), already cut and folded, hence the plainest tokenizer: every
# character beyond ASCII is part of a word. It keeps its own content, which a search re-ranks by.
# `sentences` says of each sentence of a passage where it begins, where it ends and how many stems of the body are
# its own: so a snippet is picked without cutting and stemming the text again.
# `term` counts in how many passages a stem occurs, which FTS5 knows but only tells by walking through them all.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE document (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL UNIQUE,
    uri TEXT NOT NULL,
    title TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TABLE passage (
    id INTEGER PRIMARY KEY,
    document_id INTEGER NOT NULL REFERENCES document (id),
    number INTEGER NOT NULL,
    headings TEXT NOT NULL,
    text TEXT NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    sentences TEXT NOT NULL
);
CREATE INDEX passage_document ON passage (document_id, number);
CREATE VIRTUAL TABLE passage_fts USING fts5 (title, headings, body, tokenize = 'ascii');
CREATE TABLE term (stem TEXT PRIMARY KEY, passages INTEGER NOT NULL) WITHOUT ROWID;
"""
_TABLE_NAMES = ("meta", "passage", "document", "passage_fts", "term")


class WrongIndexVersion(KnowledgeUnavailable):
    """The file was made by another version of this software and must be made anew from its sources."""


def connect(file: Path, *, create: bool = False) -> sqlite3.Connection:
    """A connection to a knowledge base's file, used by one thread at a time. Raises KnowledgeUnavailable.

    With `create` it may write and makes the file if there is none; otherwise it only reads.
    """
    mode = "rwc" if create else "rw"
    try:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_TIMEOUT_MS / 1000,
            cached_statements=64,
        )
    except sqlite3.Error as error:
        raise KnowledgeUnavailable(f"{file} cannot be opened: {error}") from error
    try:
        if create:
            connection.execute("PRAGMA journal_mode = WAL")
            # In WAL mode a power cut may lose the last batch, never the file's consistency; ingesting repairs it.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_WRITE_CACHE_KIB}")
            _ensure_tables(connection, file)
        else:
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA cache_size = -{_READ_CACHE_KIB}")
    except sqlite3.Error as error:
        connection.close()
        raise KnowledgeUnavailable(f"{file} cannot be used: {error}") from error
    except KnowledgeUnavailable:
        connection.close()
        raise
    return connection


def is_ready(connection: sqlite3.Connection, file: Path) -> bool:
    """Whether the file holds a knowledge base: False while one is just being made. Raises WrongIndexVersion."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        return False
    if version != SCHEMA_VERSION:
        raise WrongIndexVersion(
            f"{file} has index version {version}, not {SCHEMA_VERSION}: delete the file and ingest again"
        )
    return True


def _ensure_tables(connection: sqlite3.Connection, file: Path) -> None:
    if is_ready(connection, file):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have made them while this one waited for the lock.
        if not is_ready(connection, file):
            application: int = connection.execute("PRAGMA application_id").fetchone()[0]
            tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if tables and application != _APPLICATION_ID:
                raise KnowledgeUnavailable(f"{file} is a database of something else")
            _make_tables(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def reset(file: Path) -> None:
    """Empties a knowledge base's file, whatever version made it, in one transaction. Raises KnowledgeUnavailable."""
    try:
        connection = sqlite3.connect(file, isolation_level=None, timeout=_BUSY_TIMEOUT_MS / 1000)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for name in _TABLE_NAMES:
                connection.execute(f"DROP TABLE IF EXISTS {name}")
            _make_tables(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise KnowledgeUnavailable(f"{file} cannot be made anew: {error}") from error
