"""The port of what keeps documents: a knowledge base being filled. It holds no implementation.

The embedded one is `server.knowledge.writer`; a hosted search service stands behind the same protocol. Writers are
used by one thread, which they may block.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from server.knowledge.base import Profile
from server.knowledge.documents import Document
from server.knowledge.passages import PassageText


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as a knowledge base keeps it."""

    location: str
    """Where it was read from, absolute: tells one document from another."""
    path: str
    """Its path inside the knowledge base."""
    hash: str
    """Of its content and of how it is read."""
    document: Document
    passages: list[PassageText]


class DocumentWriter(Protocol):
    """One knowledge base that is being changed. Every method raises KnowledgeUnavailable."""

    def close(self) -> None:
        """Ends it; what was not kept is gone."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All changes inside it are kept when it is left.

        After a failure, as much of them is kept as the implementation can promise: a document that is kept in part
        must be known by no hash, so that it is taken in again.
        """
        ...

    # What is there, with what was changed so far

    def hash_at(self, location: str) -> str | None:
        """The hash of the document read from `location`, or None."""
        ...

    def location_of(self, path: str) -> str | None:
        """Where the document with this path was read from, or None."""
        ...

    def locations_under(self, prefix: str) -> list[str]:
        """The locations of all documents that begin with `prefix`, sorted."""
        ...

    def passages(self) -> int:
        """How many passages the knowledge base holds."""
        ...

    def profile(self) -> Profile | None:
        """The stored profile, or None."""
        ...

    def profile_from(self) -> str:
        """The location of the file that the stored profile is from; empty for none."""
        ...

    # Changes; inside a transaction

    def set_profile(self, profile: Profile, profile_from: str) -> None:
        """Replaces the profile, which is from the file at `profile_from`, or the default where that is empty."""
        ...

    def put(self, stored: StoredDocument) -> None:
        """Adds a document, or replaces the one read from the same location. Its path must be free or its own."""
        ...

    def move(self, location: str, new_location: str) -> None:
        """Notes that a document is now read from elsewhere; nothing else of it changes."""
        ...

    def remove(self, location: str) -> bool:
        """Removes the document read from `location`; False if there is none."""
        ...

    def finish(self) -> None:
        """Brings what was written into good shape after many changes; outside a transaction."""
        ...


class Fillable(Protocol):
    """Knowledge bases that can be filled."""

    def writer(self, kb_id: str) -> DocumentWriter:
        """The knowledge base called `kb_id`, made if there is none. Raises KnowledgeError."""
        ...
