"""The service: who may ask, what is asked for, what is answered; faults on demand."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from tests.knowledge.azure_search.stand_in.analysis import embed
from tests.knowledge.azure_search.stand_in.definitions import read_definition
from tests.knowledge.azure_search.stand_in.errors import Refused, invalid_request
from tests.knowledge.azure_search.stand_in.http import Request, Response
from tests.knowledge.azure_search.stand_in.index import Document, Index

API_VERSIONS = frozenset(("2024-07-01", "2025-09-01", "2026-04-01"))
ADMIN_KEY = "stand-in-admin-key-0123456789abcdef"
QUERY_KEY = "stand-in-query-key-0123456789abcdef"
TOKEN = "stand-in.entra.token"
_NAME = "stand-in"
_MAX_ACTIONS = 1_000
_MAX_BATCH_BYTES = 16 * 1024 * 1024
_ROUTE = re.compile(r"/indexes(?:\('(?P<index>[^']*)'\)(?P<rest>/docs.*)?)?")
_KEY = re.compile(r"/docs\('(?P<key>.*)'\)")
_ACTIONS = ("upload", "merge", "mergeOrUpload", "delete")


@dataclass
class Fault:
    """What is answered instead, a number of times."""

    times: int
    response: Response
    wanted: Callable[[Request], bool] = lambda _: True


@dataclass
class SearchStandIn:
    """Azure AI Search in memory, and an embedding model beside it. Use ``handle`` as the handler of an HttpServer."""

    indexes: dict[str, Index] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    delay_s: float = 0.0
    document_statuses: Callable[[str], int] = lambda _: 0
    """By key, the status that a document of a batch is refused with; 0: none."""
    dimensions: int = 32

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        if self.delay_s:
            await trio.sleep(self.delay_s)
        for fault in self.faults:
            if fault.times > 0 and fault.wanted(request):
                fault.times -= 1
                return fault.response
        try:
            if request.path == "/openai/v1/embeddings":
                return self._embeddings(request)
            return self._answer(request)
        except Refused as refused:
            return Response(refused.status, refused.body())

    def fail(
        self, status: int, *, times: int = 1, wanted: Callable[[Request], bool] = lambda _: True, **headers: str
    ) -> None:
        """The next requests are answered with ``status``; ``headers`` with underscores for hyphens."""
        body = Refused(status, "Something is wrong at the service.").body()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(times, Response(status, body, named), wanted))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was posted to searches, in order."""
        return [json.loads(request.body) for request in self.requests if request.path.endswith("search.post.search")]

    def _answer(self, request: Request) -> Response:
        version = request.query.get("api-version")
        if version not in API_VERSIONS:
            raise Refused(400, f"Invalid or missing api-version query string parameter: '{version}'.")
        may_write = _authorized(request)
        match = _ROUTE.fullmatch(request.path)
        if match is None:
            raise Refused(404, "Resource not found.")
        name, rest = match["index"], match["rest"]
        if rest is None:
            if not may_write:
                raise _forbidden()
            return self._definition(request, name)
        index = self.indexes.get(name)
        if index is None:
            raise Refused(404, f"The index '{name}' for service '{_NAME}' was not found.")
        if (request.method, rest) == ("POST", "/docs/search.post.search"):
            _only(request, "api-version")
            return _json(200, {"value": index.search(_object(request))})
        if (request.method, rest) == ("POST", "/docs/search.index"):
            if not may_write:
                raise _forbidden()
            _only(request, "api-version")
            return self._write(request, index)
        key = _KEY.fullmatch(rest)
        if request.method == "GET" and key is not None:
            _only(request, "api-version", "$select")
            return _look_up(index, key["key"], request.query.get("$select"))
        raise Refused(405, "Method not allowed.")

    def _definition(self, request: Request, name: str | None) -> Response:
        _only(request, "api-version")
        if request.method == "POST" and name is None:
            definition = read_definition(_object(request))
            if definition.name in self.indexes:
                raise Refused(409, f"Cannot create index '{definition.name}' because it already exists.")
            self.indexes[definition.name] = Index(definition)
            return _json(201, definition.raw)
        if name is None or request.method not in ("GET", "DELETE"):
            raise Refused(405, "Method not allowed.")
        index = self.indexes.get(name)
        if index is None:
            raise Refused(404, f"No index with the name '{name}' was found in the service '{_NAME}'.")
        if request.method == "DELETE":
            del self.indexes[name]
            return Response(204)
        return _json(200, index.definition.raw)

    def _write(self, request: Request, index: Index) -> Response:
        if len(request.body) > _MAX_BATCH_BYTES:
            raise Refused(413, "The request is too large.")
        body = _object(request)
        actions = body.get("value")
        if body.keys() != {"value"} or not isinstance(actions, list) or not 1 <= len(actions) <= _MAX_ACTIONS:
            raise invalid_request(f"parameters : 'value' must hold 1 to {_MAX_ACTIONS} actions.")
        for action in actions:
            if action.get("@search.action", "upload") not in _ACTIONS:
                raise invalid_request("parameters : Unknown action.")
        checked = [(action.get("@search.action", "upload"), index.checked(action)) for action in actions]
        results = [self._write_one(index, action, document) for action, document in checked]
        return _json(200 if all(result["status"] for result in results) else 207, {"value": results})

    def _write_one(self, index: Index, action: str, document: Document) -> dict[str, Any]:
        key = document[index.definition.key]
        status = self.document_statuses(key)
        before = index.documents.get(key)
        if not status and action == "merge" and before is None:
            status = 404
        if status:
            text = "Document not found." if status == 404 else "The document was not taken."
            return {"key": key, "status": False, "errorMessage": text, "statusCode": status}
        if action == "delete":
            index.documents.pop(key, None)
        elif action == "upload":
            index.documents[key] = document
        else:
            index.documents[key] = {**(before or {}), **document}
        created = before is None and action != "delete"
        return {"key": key, "status": True, "errorMessage": None, "statusCode": 201 if created else 200}

    def _embeddings(self, request: Request) -> Response:
        if request.headers.get("api-key") != ADMIN_KEY:
            raise Refused(401, "Access denied due to invalid subscription key.")
        body = _object(request)
        if body.keys() != {"model", "input", "dimensions"} or request.method != "POST" or request.query:
            raise Refused(400, "Unrecognized request argument supplied.")
        if body["model"] != "embedding":
            raise Refused(404, "The API deployment for this resource does not exist.", code="DeploymentNotFound")
        vectors = [embed(text, body["dimensions"]) for text in body["input"]]
        return _json(200, {"data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]})


def _authorized(request: Request) -> bool:
    """Whether the request may change something. Raises Refused for one that may do nothing."""
    key, bearer = request.headers.get("api-key"), request.headers.get("authorization")
    if key is not None and bearer is not None:
        raise Refused(400, "Only one kind of credential can be used.")
    if bearer is not None:
        if bearer != f"Bearer {TOKEN}":
            raise Refused(401, "The access token is invalid.")
        return True
    if key not in (ADMIN_KEY, QUERY_KEY):
        raise _forbidden()
    return key == ADMIN_KEY


def _forbidden() -> Refused:
    return Refused(403, "Access denied due to invalid or missing credentials.", code="Forbidden")


def _only(request: Request, *names: str) -> None:
    unknown = sorted(request.query.keys() - set(names))
    if unknown:
        raise Refused(400, f"The query string parameter '{unknown[0]}' is not valid for this operation.")


def _object(request: Request) -> dict[str, Any]:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refused(415, "The content type must be application/json.")
    try:
        value = json.loads(request.body)
    except ValueError:
        raise invalid_request("parameters : Invalid JSON.") from None
    if not isinstance(value, dict):
        raise invalid_request("parameters : An object is expected.")
    return value


def _look_up(index: Index, key: str, select: str | None) -> Response:
    names = index.selected(select)
    document = index.documents.get(key)
    return Response(404) if document is None else _json(200, index.shown(document, names))


def _json(status: int, value: object) -> Response:
    return Response(status, json.dumps(value).encode())
