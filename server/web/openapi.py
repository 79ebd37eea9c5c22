"""The OpenAPI document: made from the same operations as the routes, so that it says what there is."""

import importlib.metadata
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from quart import Response

from server.web.operations import MAX_PATH_VALUE_CHARS, Asked, Nothing, Operation, Problem

__all__ = ["OPENAPI_PATH", "openapi_document", "openapi_operation"]

OPENAPI_PATH = "/api/openapi.json"
_REFS = "#/components/schemas/{name}"
_ABOUT = (
    "Records, costs and the state of a LiveAvatar server, its knowledge bases, and short-lived credentials for pages. "
    "Conversations are held over WebSockets, which are not described here."
)
# What any operation may be answered with, beside the refusals of its own.
_REFUSALS = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_GUARDED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a token of the issuer."},
    "key": {"type": "apiKey", "in": "header", "name": "api-key"},
}


def openapi_operation(operations: Sequence[Operation[Any, Any]]) -> Operation[Any, Any]:
    """The operation that answers with the description of these and of itself."""
    document = b""

    async def describe(_asked: Asked[Nothing, Nothing]) -> Response:
        return Response(document, content_type="application/json")

    itself: Operation[Any, Any] = Operation(
        method="GET",
        path=OPENAPI_PATH,
        name="describe_api",
        summary="This description",
        answer=describe,
        reply=dict[str, Any],
    )
    document = msgspec.json.encode(openapi_document([*operations, itself]))
    return itself


def openapi_document(operations: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """The description of operations, as OpenAPI 3.1."""
    described = list(operations)
    kinds: list[Any] = [Problem]
    for operation in described:
        kinds += [kind for kind in (operation.query, operation.body, operation.reply) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFS)
    by_kind = dict(zip(map(id, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in described:
        entry = _entry(operation, by_kind, components)
        paths.setdefault(operation.shown_path, {})[operation.method.lower()] = entry
    for operation in described:
        if operation.query is not None:
            # It is in the parameters.
            components.pop(operation.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LiveAvatar",
            "version": importlib.metadata.version("rag-liveavatar"),
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _entry(
    operation: Operation[Any, Any], schemas: dict[int, dict[str, Any]], components: dict[str, Any]
) -> dict[str, Any]:
    said = {"description": "Done."}
    content = {name: {"schema": schemas.get(id(operation.reply), {})} for name in operation.content_types}
    refusals = [*operation.refusals, *_REFUSALS, *(() if operation.is_open else _GUARDED)]
    if operation.query is not None or operation.body is not None:
        refusals.append(HTTPStatus.BAD_REQUEST)
    if operation.names:
        refusals.append(HTTPStatus.NOT_FOUND)
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*map(_path_parameter, operation.names), *_query_parameters(operation, components)],
        "responses": {
            "200": said | {"content": content},
            **{str(status.value): _refusal(status, schemas) for status in sorted(set(refusals))},
            **{
                str(status.value): {"description": status.phrase, "content": content}
                for status in operation.replies_too
            },
        },
        # Of this machine no credential is asked where none is set up.
        "security": [{}] if operation.is_open else [{name: list(operation.scopes)} for name in _SCHEMES] + [{}],
    }
    if operation.body is not None:
        entry["requestBody"] = {"content": {"application/json": {"schema": schemas[id(operation.body)]}}}
    return entry


def _refusal(status: HTTPStatus, schemas: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {"description": status.phrase, "content": {"application/json": {"schema": schemas[id(Problem)]}}}


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_PATH_VALUE_CHARS}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation[Any, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    described = components[operation.query.__name__]
    required = described.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in described["properties"].items()
    ]
