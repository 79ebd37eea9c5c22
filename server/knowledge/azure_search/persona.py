"""The persona of an ingested knowledge base, kept in the same index beside its passages. It holds no other settings.

It is one document that no search finds: its filter field holds ``<value>#persona``, which is nobody's, and every
request of a knowledge base is filtered by its own value.
"""

import hashlib

import msgspec

from server.knowledge.azure_search.config import KnowledgeBaseSource
from server.knowledge.azure_search.service import SearchService
from server.knowledge.base import KnowledgeUnavailable, Profile

_PERSONA_MARK = "#persona"
_KEY_BYTES = 20


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """The persona of a knowledge base as it was ingested."""

    profile: Profile
    profile_from: str = ""
    """The location of the profile file; empty for the default persona."""


def passage_key(source: KnowledgeBaseSource, document: str, number: int) -> str:
    """The key of a passage: the same each time, and another's in no other knowledge base. Hexadecimal digits."""
    content = msgspec.json.encode([source.value, document, number])
    return hashlib.blake2b(content, digest_size=_KEY_BYTES).hexdigest()


def persona_owner(source: KnowledgeBaseSource) -> str:
    """What the filter field holds in the document of the persona."""
    return source.value + _PERSONA_MARK


def persona_key(source: KnowledgeBaseSource) -> str:
    """The key of that document."""
    return passage_key(source, _PERSONA_MARK, 0)


async def stored(service: SearchService, source: KnowledgeBaseSource, *, deadline_s: float) -> Persona | None:
    """The persona in the index, or None. Raises KnowledgeUnavailable."""
    if not (source.fields.writable and source.filter_field):
        # Nobody can have ingested into such an index.
        return None
    content, owner = source.fields.content, source.filter_field
    found = await service.get(source, persona_key(source), select=[content, owner], deadline_s=deadline_s)
    if found is None or found.get(owner) != persona_owner(source):
        return None
    try:
        return msgspec.json.decode(found[content], type=Persona)
    except msgspec.DecodeError as error:
        raise KnowledgeUnavailable(f"the persona of {source.kb_id!r} in {source.index!r} cannot be read") from error
