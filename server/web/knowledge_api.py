"""What pages may ask of the knowledge bases: which there are, and the document that a passage stands in."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import Response

from server.knowledge.base import (
    DocumentText,
    KnowledgeCatalog,
    KnowledgeUnavailable,
    UnknownKnowledgeBase,
    UnknownPassage,
)
from server.knowledge.clean import clean_document
from server.web.access import principal
from server.web.operations import Asked, Nothing, Operation, answer, problem, unknown

__all__ = ["knowledge_operations"]

# Longer than any path in a knowledge base.
_MAX_PASSAGE_ID_CHARS = 4_096


class PassageQuery(msgspec.Struct, frozen=True):
    """Which passage: KB/PATH#NUMBER."""

    id: Annotated[str, Meta(min_length=1, max_length=_MAX_PASSAGE_ID_CHARS)]


class KnowledgeBaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A knowledge base, without its instructions."""

    kb_id: str
    title: str
    greeting: str
    language: str
    sample_questions: list[str]


class KnowledgeBases(msgspec.Struct, frozen=True, kw_only=True):
    """The knowledge bases that may be used. ``hears_speech``: spoken questions are understood."""

    knowledge_bases: list[KnowledgeBaseView]
    default_kb_id: str
    hears_speech: bool


def knowledge_operations(
    catalog: KnowledgeCatalog, *, default_kb: str, hears_speech: bool
) -> list[Operation[Any, Any]]:
    """The operations on knowledge bases, each for those who may use them.

    Args:
        default_kb: the knowledge base of a session that names none.
        hears_speech: whether the Realtime service behind the server understands spoken words.
    """

    async def knowledge_bases(_asked: Asked[Nothing, Nothing]) -> Response:
        asking = principal()
        try:
            profiles = await catalog.profiles()
        except KnowledgeUnavailable:
            return _unavailable("The knowledge bases cannot be read right now.")
        shown = [
            KnowledgeBaseView(
                kb_id=profile.kb_id,
                title=profile.title,
                greeting=profile.greeting,
                language=profile.language,
                sample_questions=profile.sample_questions,
            )
            for profile in profiles
            if asking.may_use(profile.kb_id)
        ]
        first = asking.choose(None) or default_kb
        return answer(KnowledgeBases(knowledge_bases=shown, default_kb_id=first, hears_speech=hears_speech))

    async def passage(asked: Asked[PassageQuery, Nothing]) -> Response:
        kb_id = asked.path["kb_id"]
        principal().choose(kb_id)
        try:
            knowledge = await catalog.open(kb_id)
            document = await knowledge.document(asked.query.id)
        except UnknownKnowledgeBase:
            return unknown("unknown_knowledge_base", "There is no such knowledge base.")
        except UnknownPassage:
            return unknown("unknown_passage", "There is no such passage (any more).")
        except KnowledgeUnavailable:
            return _unavailable("The knowledge base cannot be read right now.")
        return answer(clean_document(document))

    return [
        Operation(
            method="GET",
            path="/api/knowledge-bases",
            name="list_knowledge_bases",
            summary="The knowledge bases that may be used",
            answer=knowledge_bases,
            reply=KnowledgeBases,
            scopes=("talk", "mint"),
        ),
        Operation(
            method="GET",
            path="/api/knowledge-bases/{kb_id}/passages",
            name="read_passage",
            summary="The document that a passage stands in, or the part of it around the passage",
            answer=passage,
            reply=DocumentText,
            scopes=("talk", "mint"),
            query=PassageQuery,
        ),
    ]


def _unavailable(message: str) -> Response:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "knowledge_unavailable", message)
