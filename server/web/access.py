"""Who may ask the HTTP side for what, as the pages and the API see it. Credentials are checked behind its port."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from quart import Request, Response, g, jsonify

from protocol.errors import LiveAvatarError
from server.security.base import lacks_scope
from server.security.principal import Principal, Scope

__all__ = ["Denial", "Denied", "Gate", "Visit", "denied", "principal", "require", "visit_of"]


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
    body: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


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


def visit_of(request: Request) -> Visit:
    """What is looked at in a request."""
    return Visit([(name, value) for name, value in request.headers.items()], request.args.to_dict())


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


def denied(denial: Denial) -> Response:
    """The answer that says so."""
    response = jsonify(denial.body)
    response.status_code = denial.status
    response.headers.update(dict(denial.headers))
    return response
