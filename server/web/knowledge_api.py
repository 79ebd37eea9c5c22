"""What pages may ask of the knowledge bases: which there are, and the document that a passage stands in."""

from http import HTTPStatus
from typing import Any

import msgspec
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from server.knowledge.base import KnowledgeCatalog, KnowledgeUnavailable, UnknownKnowledgeBase, UnknownPassage
from server.knowledge.clean import clean_document
from server.web.access import require

# Longer than any path in a knowledge base.
_MAX_PASSAGE_ID_CHARS = 4_096


def add_knowledge_routes(app: QuartTrio, catalog: KnowledgeCatalog, *, default_kb: str, hears_speech: bool) -> None:
    """Adds `/api/knowledge-bases` and what is below it, each for those who may use the knowledge base.

    Args:
        default_kb: the knowledge base of a session that names none.
        hears_speech: whether the Realtime service behind the server understands spoken words.
    """

    @app.get("/api/knowledge-bases")
    async def knowledge_bases() -> Response:
        asking = require("talk", "mint")
        try:
            profiles = await catalog.profiles()
        except KnowledgeUnavailable:
            text = "The knowledge bases cannot be read right now."
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "knowledge_unavailable", text)
        shown = [
            {
                "kb_id": profile.kb_id,
                "title": profile.title,
                "greeting": profile.greeting,
                "language": profile.language,
                "sample_questions": profile.sample_questions,
            }
            for profile in profiles
            if asking.may_use(profile.kb_id)
        ]
        first = asking.choose(None) or default_kb
        return jsonify({"knowledge_bases": shown, "default_kb_id": first, "hears_speech": hears_speech})

    @app.get("/api/knowledge-bases/<kb_id>/passages")
    async def passage(kb_id: str) -> Response:
        require("talk", "mint").choose(kb_id)
        passage_id = request.args.get("id", "")
        if not passage_id or len(passage_id) > _MAX_PASSAGE_ID_CHARS:
            text = "Say which passage: ?id=KB/PATH%23NUMBER."
            return _error(HTTPStatus.BAD_REQUEST, "missing_required_parameter", text)
        try:
            knowledge = await catalog.open(kb_id)
            document = await knowledge.document(passage_id)
        except UnknownKnowledgeBase:
            return _error(HTTPStatus.NOT_FOUND, "unknown_knowledge_base", "There is no such knowledge base.")
        except UnknownPassage:
            text = "There is no such passage (any more)."
            return _error(HTTPStatus.NOT_FOUND, "unknown_passage", text)
        except KnowledgeUnavailable:
            text = "The knowledge base cannot be read right now."
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "knowledge_unavailable", text)
        return jsonify(msgspec.to_builtins(clean_document(document)))


def _error(status: HTTPStatus, code: str, message: str) -> Response:
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    detail: dict[str, Any] = {"type": kind, "code": code, "message": message}
    response = jsonify({"error": detail})
    response.status_code = status
    return response
