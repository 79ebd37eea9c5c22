"""The operations of the HTTP API: each is stated once, and its route and its description are both made from that.

It knows no operation; what they do stands in the modules whose names end in ``_api``.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
from msgspec import inspect
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

from protocol.errors import ClientFault
from server.security.principal import Scope
from server.web.access import require, tell_refused

__all__ = [
    "MAX_PATH_VALUE_CHARS",
    "Asked",
    "Nothing",
    "Operation",
    "Problem",
    "ProblemDetail",
    "add_operations",
    "answer",
    "problem",
    "unknown",
]

# A persona is a page or two of text, and tools have their schemas.
MAX_BODY_BYTES = 64 * 1024
# Longer than any name of a session, knowledge base or person.
MAX_PATH_VALUE_CHARS = 512

_JSON = "application/json"


class _Anything(BaseConverter):
    """A value that may have slashes in it, at its beginning, too."""

    regex = ".+"
    part_isolating = False


Q = TypeVar("Q")
B = TypeVar("B")
_T = TypeVar("_T")


class Nothing(msgspec.Struct, frozen=True):
    """A query or body in which nothing is looked for."""


class ProblemDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong: ``code`` is for programs, ``message`` for people."""

    type: str
    code: str
    message: str
    param: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not answered, in the shape of the Realtime services' own errors."""

    error: ProblemDetail


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """A request, after it was found valid."""

    path: Mapping[str, str]
    """The values in its path, by name."""
    query: Q
    body: B


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Q, B]):
    """Something that the API does.

    Attributes:
        path: with names in braces. A name that ends in ``:path`` takes slashes, too.
        name: unique; what generated clients call it.
        summary: one line for people.
        answer: does it. Raises ``LiveAvatarError``.
        reply: the type of the JSON that it answers with; None: it is some other type, in ``content_types``.
        scopes: one of these is needed; none: whoever is let in at all.
        is_open: nobody is asked for a credential.
        query: fields that are given more than once, unknown, or of the wrong type are refused; None ignores all.
        body: the JSON that is read; an absent body is an empty object.
        refusals: statuses that it answers with beside those that all have.
        replies_too: statuses beside 200 that have the same reply.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    name: str
    summary: str
    answer: Callable[[Asked[Q, B]], Awaitable[Response]]
    reply: Any
    content_types: tuple[str, ...] = (_JSON,)
    scopes: tuple[Scope, ...] = ()
    is_open: bool = False
    query: type[Q] | None = None
    body: type[B] | None = None
    refusals: tuple[HTTPStatus, ...] = ()
    replies_too: tuple[HTTPStatus, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names in its path."""
        return [part[1:-1].removesuffix(":path") for part in self.path.split("/") if part.startswith("{")]

    @property
    def shown_path(self) -> str:
        """Its path as OpenAPI writes it."""
        return self.path.replace(":path}", "}")

    @property
    def _rule(self) -> str:
        parts = (
            f"<anything:{part[1:-6]}>"
            if part.endswith(":path}")
            else f"<{part[1:-1]}>"
            if part.startswith("{")
            else part
            for part in self.path.split("/")
        )
        return "/".join(parts)

    async def run(self, **path: str) -> Response:
        """Answers the request at hand."""
        if not self.is_open and self.scopes:
            require(*self.scopes)
        if any(len(value) > MAX_PATH_VALUE_CHARS for value in path.values()):
            return unknown()
        query = Nothing() if self.query is None else _query(self.query)
        body = Nothing() if self.body is None else await _body(self.body)
        return await self.answer(Asked(path, cast("Q", query), cast("B", body)))

    def add_to(self, app: QuartTrio) -> None:
        """Makes its route."""
        app.add_url_rule(self._rule, self.name, self.run, methods=[self.method])
        for rule in app.url_map.iter_rules(self.name):
            # A redirection from a//b to a/b would lead to somebody else.
            rule.merge_slashes = False


def add_operations(app: QuartTrio, operations: Iterable[Operation[Any, Any]]) -> None:
    """Makes the routes of operations; what a route does not take is refused in JSON, too."""
    app.url_map.converters["anything"] = _Anything
    for operation in operations:
        operation.add_to(app)

    @app.errorhandler(MethodNotAllowed)
    async def not_allowed(error: MethodNotAllowed) -> Response:
        response = problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method.")
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response


def answer(body: Any, status: int = HTTPStatus.OK) -> Response:
    """An answer with a JSON body; decimals become texts, so that no reader rounds them."""
    return Response(msgspec.json.encode(body), status=status, content_type=_JSON)


def problem(status: HTTPStatus, code: str, message: str) -> Response:
    """A refusal; it is counted."""
    tell_refused(code, None)
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return answer(Problem(ProblemDetail(type=kind, code=code, message=message)), status)


def unknown(code: str = "not_found", message: str = "No such page.") -> Response:
    """The refusal of what is not there."""
    return problem(HTTPStatus.NOT_FOUND, code, message)


def _query(kind: type[_T]) -> _T:
    fields = request.args.to_dict(flat=False)
    for name, values in fields.items():
        if len(values) > 1:
            raise ClientFault(f"The query says {name[:40]!r} more than once.", code="invalid_value")
    numbers = _numbers(kind)
    given: dict[str, Any] = {}
    for name, (text,) in fields.items():
        given[name] = _number(text) if name in numbers else text
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        code = "missing_required_parameter" if "missing required" in str(error) else "invalid_value"
        raise ClientFault(f"The query is not valid: {error}.", code=code) from None


def _numbers(kind: type) -> frozenset[str]:
    """The fields of a query that are numbers. Only these are read out of texts, so that no number becomes a time."""
    described = cast("inspect.StructType", inspect.type_info(kind))
    return frozenset(field.name for field in described.fields if _is_number(field.type))


def _is_number(described: inspect.Type) -> bool:
    if isinstance(described, inspect.UnionType):
        return any(map(_is_number, described.types))
    return isinstance(described, inspect.IntType | inspect.FloatType)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(text, kind, strict=False)
    return text


def _whole(text: str) -> int | float:
    """A number as it is meant: to JSON Schema 2.0 is a whole one."""
    value = float(text)
    return int(value) if value.is_integer() else value


_decoder = msgspec.json.Decoder(float_hook=_whole)


async def _body(kind: type[_T]) -> _T:
    body = cast("bytes", await request.get_data())
    if len(body) > MAX_BODY_BYTES:
        raise ClientFault(f"The request is larger than {MAX_BODY_BYTES} bytes.", code="body_too_large")
    try:
        return msgspec.convert(_decoder.decode(body or b"{}"), kind)
    except msgspec.ValidationError as error:
        # The decoder's words name places and types, not what stood there.
        raise ClientFault(f"The request is not valid: {error}.", code="invalid_value") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ClientFault("The body of the request is not JSON.", code="invalid_json") from None
