"""What the adapter is told: which knowledge base is where in which index, what the fields are called, how to search.

It reads no environment: the settings' names are here only so that every message can say where to look.
"""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from server.knowledge.azure_search.odata import Condition, is_field_name, is_text
from server.knowledge.base import InvalidKnowledgeBaseId, KnowledgeError, Profile, is_kb_id

ENDPOINT_SETTING = "AZURE_SEARCH_ENDPOINT"
KEY_SETTING = "AZURE_SEARCH_API_KEY"
INDEX_SETTING = "AZURE_SEARCH_INDEX"
SOURCES_SETTING = "LIVEAVATAR_SEARCH_SOURCES"
FIELDS_SETTING = "LIVEAVATAR_SEARCH_FIELDS"
FILTER_FIELD_SETTING = "LIVEAVATAR_SEARCH_FILTER_FIELD"
MODE_SETTING = "LIVEAVATAR_SEARCH_MODE"
SEMANTIC_SETTING = "LIVEAVATAR_SEARCH_SEMANTIC"
ANALYZER_SETTING = "LIVEAVATAR_SEARCH_ANALYZER"
EMBEDDING_ENDPOINT_SETTING = "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT"
EMBEDDING_KEY_SETTING = "LIVEAVATAR_SEARCH_EMBEDDING_API_KEY"
EMBEDDING_SETTING = "LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT"

DEFAULT_FILTER_FIELD = "kb_id"
# How settings say that a whole index is one knowledge base: an empty setting is one that was not made.
WHOLE_INDEX = "none"
# Of a turn of a conversation; whoever guards the knowledge base gives it a little longer.
DEADLINE_S = 4.0

Mode = Literal["keyword", "vector", "hybrid"]

# As the service allows names of indexes and aliases.
_INDEX_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,126}[a-z0-9])?")


class SearchConfigError(KnowledgeError):
    """The settings of the search cannot be used; the message names the one to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFields:
    """What the fields of an index are called. An empty name: the index has no such field.

    The defaults are those of an index that ``liveavatar ingest`` makes.
    """

    key: str = "id"
    """The key of a document, Edm.String."""
    content: str = "content"
    """The text of a passage, Edm.String, searchable."""
    title: str = "title"
    """The title of the document that it is from, Edm.String, searchable."""
    headings: str = "headings"
    """The headings above the passage, parted by `` > ``, Edm.String, searchable."""
    uri: str = "uri"
    """Where people find the document, Edm.String."""
    document: str = "path"
    """What tells one document of the knowledge base from another, Edm.String, filterable."""
    number: str = "number"
    """The passage's number in its document, Edm.Int32, filterable and sortable."""
    start: str = "start"
    """Where the passage begins in its document, in characters, Edm.Int32."""
    vector: str = "vector"
    """The embedding of the text, Collection(Edm.Single); asked for only in the modes that need it."""
    location: str = "location"
    """Where an ingested document was read from, Edm.String."""
    hash: str = "hash"
    """The hash of an ingested document, Edm.String."""

    def __post_init__(self) -> None:
        for name, value in self.named().items():
            if not is_field_name(value):
                raise SearchConfigError(f"{FIELDS_SETTING}: {value[:64]!r} cannot be the name of a field ({name})")
        for name in ("key", "content"):
            if not getattr(self, name):
                raise SearchConfigError(f"{FIELDS_SETTING} must say which field is {name}={name.upper()}")

    def named(self) -> dict[str, str]:
        """The fields that there are: what each is for, and what it is called."""
        return {item.name: value for item in dataclasses.fields(self) if (value := getattr(self, item.name))}

    @property
    def places(self) -> bool:
        """Whether the index tells in which document and where in it a passage stands."""
        return bool(self.document and self.number)

    @property
    def writable(self) -> bool:
        """Whether an index with these fields can be filled by ingestion."""
        return set(FIELD_ROLES) - {"vector"} <= self.named().keys()


FIELD_ROLES = tuple(item.name for item in dataclasses.fields(IndexFields))


def parse_fields(text: str) -> IndexFields:
    """The fields that a setting such as ``key=chunk_id, content=chunk, title=title`` names.

    Only those: what is left out is not in the index. Raises SearchConfigError.
    """
    named: dict[str, str] = {}
    for pair in text.split(","):
        role, equals, name = (part.strip() for part in pair.partition("="))
        if role not in FIELD_ROLES or not equals or role in named:
            raise SearchConfigError(f"{FIELDS_SETTING}: {pair.strip()[:64]!r} should be one of {_roles()}")
        named[role] = name
    return fields_of(named)


def fields_of(named: dict[str, str]) -> IndexFields:
    """The fields called as ``named`` says, and no others. Raises SearchConfigError."""
    return IndexFields(**dict.fromkeys(FIELD_ROLES, "") | named)


def _roles() -> str:
    return ", ".join(f"{role}=FIELD" for role in FIELD_ROLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBaseSource:
    """Where a knowledge base is: an index, and a filter that every request to it carries."""

    kb_id: str
    index: str
    filter_field: str = DEFAULT_FILTER_FIELD
    """The field that tells whose a passage is, Edm.String, filterable. Empty or ``none``: the whole index is its."""
    filter_value: str = ""
    """What that field holds; empty: the id of the knowledge base."""
    fields: IndexFields = field(default_factory=IndexFields)
    profile: Profile | None = None
    """The persona; None: the one that was ingested, or the default."""

    def __post_init__(self) -> None:
        if not is_kb_id(self.kb_id):
            raise SearchConfigError(f"{SOURCES_SETTING}: {InvalidKnowledgeBaseId(self.kb_id)}")
        if not _INDEX_NAME.fullmatch(self.index):
            raise SearchConfigError(
                f"{INDEX_SETTING}: {self.index[:64]!r} cannot be the name of an index: lower-case letters, digits, "
                "hyphens inside"
            )
        if self.filter_field == WHOLE_INDEX:
            object.__setattr__(self, "filter_field", "")
        if self.filter_field and not is_field_name(self.filter_field):
            raise SearchConfigError(f"{FILTER_FIELD_SETTING}: {self.filter_field[:64]!r} cannot be the name of a field")
        if not is_text(self.filter_value):
            raise SearchConfigError(f"{SOURCES_SETTING}: the filter value of {self.kb_id!r} is no text to filter by")

    @property
    def value(self) -> str:
        """What the filter field holds in the passages of this knowledge base."""
        return self.filter_value or self.kb_id

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What every request for this knowledge base is filtered by; none if the whole index belongs to it."""
        return (Condition(self.filter_field, "eq", self.value),) if self.filter_field else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """How the service is asked. ``sources`` are all knowledge bases that there are."""

    endpoint: str
    sources: tuple[KnowledgeBaseSource, ...]
    mode: Mode = "keyword"
    semantic: str = ""
    """The semantic configuration to rank with; empty: none."""
    deadline_s: float = DEADLINE_S
    """Seconds for one question with all its tries."""

    def __post_init__(self) -> None:
        _require_endpoint(self.endpoint)
        if self.semantic and self.mode == "vector":
            # There the service has no text to rank by.
            raise SearchConfigError(f"{SEMANTIC_SETTING} goes with {MODE_SETTING}=keyword or hybrid, not vector")
        _require_apart(self.sources)
        if self.mode != "keyword":
            for source in self.sources:
                if not source.fields.vector:
                    raise SearchConfigError(
                        f"{MODE_SETTING}={self.mode} needs a vector field: {FIELDS_SETTING} (vector=FIELD) names none "
                        f"for {source.kb_id!r}"
                    )

    @property
    def host(self) -> str:
        """The service's name in the network."""
        return urlsplit(self.endpoint).netloc

    def source(self, kb_id: str) -> KnowledgeBaseSource | None:
        """Where a knowledge base is, or None."""
        return next((source for source in self.sources if source.kb_id == kb_id), None)


def _require_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.username:
        raise SearchConfigError(
            f"{ENDPOINT_SETTING} must be an address such as https://NAME.search.windows.net (a key is never sent "
            "without TLS)"
        )


def _require_apart(sources: Iterable[KnowledgeBaseSource]) -> None:
    """No knowledge base may hold another's passages."""
    known: dict[str, KnowledgeBaseSource] = {}
    for source in sources:
        if source.kb_id in known:
            raise SearchConfigError(f"{SOURCES_SETTING} names {source.kb_id!r} twice")
        for other in known.values():
            if other.index == source.index and not (other.filter_field and source.filter_field):
                raise SearchConfigError(
                    f"{SOURCES_SETTING}: {other.kb_id!r} and {source.kb_id!r} share the index {source.index!r}, so "
                    f"both need a filter field ({FILTER_FIELD_SETTING})"
                )
            if (other.index, other.filter_field, other.value) == (source.index, source.filter_field, source.value):
                raise SearchConfigError(
                    f"{SOURCES_SETTING}: {other.kb_id!r} and {source.kb_id!r} are the same passages of {source.index!r}"
                )
        known[source.kb_id] = source
