"""How the server stands, over HTTP: health for probes and operators, and what lives now, which the dashboard polls."""

from http import HTTPStatus
from typing import Any

import msgspec
from quart import Response

from server.store.base import StoreHealth
from server.telemetry.health import Health
from server.web.access import principal
from server.web.live import LiveSession, Oversight
from server.web.operations import Asked, Nothing, Operation, answer

__all__ = ["ServerStatus", "health_operations", "status_operations"]


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Ready(msgspec.Struct, frozen=True):
    """Whether new clients should be sent here."""

    ready: bool


class BreakerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker of something the server depends on."""

    name: str
    state: str
    failures: int
    retry_in_s: float


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the server stands, and the sessions that live on it."""

    status: str
    version: str
    upstream: str
    max_sessions: int
    breakers: list[BreakerStatus]
    records: StoreHealth
    live: list[LiveSession]


def health_operations(health: Health) -> list[Operation[Any, Any]]:
    """The operations of `/health`. Probes are answered without asking anybody: they tell one word."""

    async def details(_asked: Asked[Nothing, Nothing]) -> Response:
        return answer(health.details(), _status_of(health))

    async def live(_asked: Asked[Nothing, Nothing]) -> Response:
        return answer(Alive("alive"))

    async def ready(_asked: Asked[Nothing, Nothing]) -> Response:
        return answer(Ready(health.is_ready), _status_of(health))

    return [
        Operation(
            method="GET",
            path="/health",
            name="read_health",
            summary="How the server stands, with everything it depends on; 503 while it is not ready",
            answer=details,
            reply=dict[str, Any],
            scopes=("administer",),
            replies_too=(HTTPStatus.SERVICE_UNAVAILABLE,),
        ),
        Operation(
            method="GET",
            path="/health/live",
            name="probe_live",
            summary="Whether the process answers",
            answer=live,
            reply=Alive,
            is_open=True,
        ),
        Operation(
            method="GET",
            path="/health/ready",
            name="probe_ready",
            summary="Whether new clients should be sent here; 503 if not",
            answer=ready,
            reply=Ready,
            is_open=True,
            replies_too=(HTTPStatus.SERVICE_UNAVAILABLE,),
        ),
    ]


def status_operations(health: Health, oversight: Oversight) -> list[Operation[Any, Any]]:
    """The operation that shows what happens now.

    It is to be asked again and again, every two seconds, rather than held open: the door serves one request to a
    connection, and a shutdown waits for those that are open.
    """

    async def status(_asked: Asked[Nothing, Nothing]) -> Response:
        asking, details = principal(), health.details()
        return answer(
            ServerStatus(
                status=details["status"],
                version=details.get("version", ""),
                upstream=details.get("upstream", ""),
                max_sessions=details.get("max_sessions", 0),
                breakers=msgspec.convert(details["breakers"], list[BreakerStatus]),
                records=oversight.records.health,
                live=[session for session in oversight.live.sessions() if asking.may_use(session.kb_id)],
            )
        )

    return [
        Operation(
            method="GET",
            path="/api/status",
            name="read_status",
            summary="How the server stands, and the sessions that live on it; to be polled",
            answer=status,
            reply=ServerStatus,
            scopes=("records", "administer"),
        )
    ]


def _status_of(health: Health) -> HTTPStatus:
    return HTTPStatus.OK if health.is_ready else HTTPStatus.SERVICE_UNAVAILABLE
