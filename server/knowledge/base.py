"""The port of the knowledge room: what a search answers with and what every knowledge base can do.

It holds no implementation. The embedded one is `server.knowledge.sqlite`; a hosted search service stands behind
the same two protocols, and both run the same conformance suite.

Cancellation, for every implementation: `search`, `document`, `open` and `profiles` are checkpoints and return promptly
when cancelled. Nothing of a cancelled call may reach a later one: an implementation that works in threads lets an
abandoned thread finish with a connection that no other thread uses.
"""

import re
from typing import Protocol

import msgspec

# Lower case, so that an id is the same thing in a file name, a URL and a header on every system.
KB_ID_PATTERN = r"[a-z0-9][a-z0-9_-]{0,63}"
_KB_ID = re.compile(KB_ID_PATTERN)

DEFAULT_LIMIT = 5
# A model reads a handful of passages; fifty is already more than a context should be asked to hold.
MAX_LIMIT = 50
# Longer than any spoken question. What comes after it is not looked at.
MAX_QUERY_CHARS = 2_000
# Ten minutes of reading. Of a longer document only what stands around the passage is shown.
MAX_DOCUMENT_CHARS = 40_000
# An id in an error message may come from a stranger.
_SHOWN_ID_CHARS = 64


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document that may answer a question.

    `score` is comparable between the answers of one knowledge base: 0 is no match, 1 a passage whose title and
    text hold everything that was asked for.
    """

    id: str
    """Stable name: `<kb_id>/<document path>#<number, from 1>`."""
    title: str
    """Document title, with the section headings if any: `Opening hours > Holidays`."""
    uri: str
    """Path (inside the knowledge base) or URL of the document, for people."""
    text: str
    """The passage: whole sentences, plain text."""
    start: int
    """Where the passage begins in the document's plain text, in characters."""
    end: int
    """Where it ends (exclusive), in characters."""
    score: float
    """How well it answers; higher is better."""
    snippet: str
    """The sentences around the best match, in one line of plain text."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks for a knowledge base: the persona that a session starts with."""

    kb_id: str
    title: str
    greeting: str = ""
    instructions: str = ""
    voice: str = ""
    """Name of the voice; empty: the server's default."""
    language: str = ""
    """BCP 47 tag such as `en` or `de-AT`; empty: whatever the visitor speaks."""
    sample_questions: list[str] = msgspec.field(default_factory=list)


class DocumentText(msgspec.Struct, frozen=True, kw_only=True):
    """A document, or the part of a long one around a passage, put together for people to read."""

    id: str
    """Of the passage that was asked for."""
    title: str
    """Of the document."""
    uri: str
    """Path (inside the knowledge base) or URL of the document."""
    text: str
    """Plain text; at most `MAX_DOCUMENT_CHARS` characters, unless the passage with its headings is longer."""
    start: int
    """Where the passage begins in `text`, in characters (code points)."""
    end: int
    """Where it ends (exclusive)."""
    headings: list[tuple[int, int]]
    """Where the headings stand in `text`, in order: begin and end of each."""
    cut_before: bool
    """Whether the document begins before `text` does."""
    cut_after: bool
    """Whether it goes on after it."""


class KnowledgeError(Exception):
    """Something is wrong with a knowledge base; the text is fit for an operator."""


class InvalidKnowledgeBaseId(KnowledgeError):
    """A knowledge base cannot have this id."""

    def __init__(self, kb_id: str) -> None:
        self.kb_id = kb_id
        super().__init__(
            f"{kb_id[:_SHOWN_ID_CHARS]!r} is no knowledge base id: a lower-case letter or digit, "
            "then up to 63 lower-case letters, digits, hyphens or underscores"
        )


class UnknownKnowledgeBase(KnowledgeError):
    """No knowledge base has this id. The message does not say which ids exist: a stranger may read it."""

    def __init__(self, kb_id: str) -> None:
        self.kb_id = kb_id
        super().__init__(f"there is no knowledge base {kb_id[:_SHOWN_ID_CHARS]!r}")


class UnknownPassage(KnowledgeError):
    """A knowledge base has no such passage, or none any more: it was ingested anew."""

    def __init__(self, passage_id: str) -> None:
        self.passage_id = passage_id
        super().__init__(f"there is no passage {passage_id[:_SHOWN_ID_CHARS]!r}")


class KnowledgeUnavailable(KnowledgeError):
    """The knowledge base exists but cannot be asked now."""


class KnowledgeBase(Protocol):
    """One knowledge base, open for questions."""

    @property
    def kb_id(self) -> str:
        """The id it was opened by."""
        ...

    @property
    def profile(self) -> Profile:
        """The persona as it was when the knowledge base was opened."""
        ...

    async def search(self, query: str, *, limit: int = DEFAULT_LIMIT) -> list[Passage]:
        """The passages that answer `query` best, best first, at most `limit` (1 to `MAX_LIMIT`).

        `query` is plain words, never a query language; no text in it can change what is asked. An empty list
        means that nothing matches. The same query to the same content gives the same answer.
        Raises KnowledgeUnavailable, or UnknownKnowledgeBase when it was removed meanwhile.
        """
        ...

    async def document(self, passage_id: str) -> DocumentText:
        """The document that a passage stands in, to read it in its place.

        Raises UnknownPassage (also for a text that can be no id), and what `search` raises.
        """
        ...


class KnowledgeCatalog(Protocol):
    """The knowledge bases that this server has."""

    async def open(self, kb_id: str) -> KnowledgeBase:
        """The knowledge base called `kb_id`.

        Raises UnknownKnowledgeBase (also for a text that can be no id) and KnowledgeUnavailable.
        """
        ...

    async def profiles(self) -> list[Profile]:
        """The profiles of all knowledge bases, by `kb_id`. One that cannot be read is left out and logged."""
        ...


def is_kb_id(text: str) -> bool:
    """Whether a knowledge base can be called `text`."""
    return _KB_ID.fullmatch(text) is not None


def require_kb_id(text: str) -> str:
    """`text` itself when it can be the id of a knowledge base; raises InvalidKnowledgeBaseId otherwise."""
    if not is_kb_id(text):
        raise InvalidKnowledgeBaseId(text)
    return text


def require_limit(limit: int) -> int:
    """`limit` itself when a search can be asked for so many passages; raises ValueError otherwise."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit must be from 1 to {MAX_LIMIT}, not {limit}")
    return limit
