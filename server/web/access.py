"""Who may ask the HTTP side for what, as the pages and the API see it. Credentials are checked behind its port."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from quart import Request, Response, g, jsonify, request

from protocol.errors import LiveAvatarError
from server.security.base import lacks_scope
from server.security.principal import Principal, Scope
from server.security.refusals import REFUSED_IN_SCOPE, TellRefused

__all__ = ["Denial", "Denied", "Gate", "Visit", "denied", "principal", "require", "tell_refused", "visit_of"]


@dataclass(frozen=True, slots=True)
class Visit:
    """What is looked at in a request."""

    fields: list[tuple[str, str]]
    """The header fields."""
    query: Mapping[str, str]

    def __repr__(self) -> str:
        # Both hold credentials.
        return "Visit()"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is not answered."""

    status: int
    code: str
    body: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()
    why: str = ""
    """For the log alone."""


class Denied(Exception):
    """The request is not answered."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(f"status {denial.status}")
        self.denial = denial


class Gate(Protocol):
    """Lets requests in."""

    def check_page(self, visit: Visit) -> None:
        """For pages and their files, which tell nothing. Raises `Denied`."""

    async def admit(self, visit: Visit) -> Principal:
        """Who asks the API. Raises `Denied`."""
        ...

    def denial(self, fault: LiveAvatarError) -> Denial:
        """A fault as an answer."""
        ...


def visit_of(asked: Request) -> Visit:
    """What is looked at in a request."""
    return Visit([(name, value) for name, value in asked.headers.items()], asked.args.to_dict())


def principal() -> Principal:
    """Who asks: known in every route of the API."""
    found: Principal = g.principal
    return found


def require(*scopes: Scope) -> Principal:
    """Who asks, if they have one of these scopes.

    Raises:
        ClientFault: they have none of them.
    """
    asking = principal()
    if not any(map(asking.may, scopes)):
        raise lacks_scope(scopes[0])
    return asking


def tell_refused(code: str, why: str | None) -> None:
    """Tells the front door, which knows whom, that a request was refused; where ``why`` is None in numbers only."""
    # Our own words for the route: the path itself is the client's.
    route = request.url_rule.rule if request.url_rule is not None else ""
    tell = cast("TellRefused | None", request.scope.get(REFUSED_IN_SCOPE))
    if tell is not None:
        tell(code, why, route)


def denied(denial: Denial) -> Response:
    """The answer that says so; it is counted."""
    tell_refused(denial.code, denial.why or denial.code)
    response = jsonify(denial.body)
    response.status_code = denial.status
    response.headers.update(dict(denial.headers))
    return response
