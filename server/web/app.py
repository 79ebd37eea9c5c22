"""The HTTP side: a page that says what runs here, and the health endpoints. WebSockets never reach it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quart import Response, jsonify, request
from quart_trio import QuartTrio

from server.telemetry.health import Health
from server.web.page import STYLE, render

# Nothing is loaded from anywhere and nothing runs: the page is text.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is not answered."""

    status: int
    body: dict[str, Any]


def make_app(health: Health, deny: Callable[[list[tuple[str, str]]], Denial | None]) -> QuartTrio:
    """The application.

    Args:
        deny: looks at a request's header fields and says why it is refused, or None. Health probes are not asked.
    """
    app = QuartTrio(__name__, static_folder=None)

    @app.before_request
    async def check_access() -> Response | None:
        if request.path.startswith("/health"):
            return None
        denial = deny([(name, value) for name, value in request.headers.items()])
        if denial is None:
            return None
        response = jsonify(denial.body)
        response.status_code = denial.status
        return response

    @app.get("/")
    async def page() -> Response:
        return Response(render(health.details()), content_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)

    @app.get("/style.css")
    async def style() -> Response:
        return Response(STYLE, content_type="text/css; charset=utf-8", headers=_PAGE_HEADERS)

    @app.get("/health")
    async def details() -> Response:
        response = jsonify(health.details())
        response.status_code = 200 if health.is_ready else 503
        return response

    @app.get("/health/live")
    async def live() -> Response:
        return jsonify({"status": "alive"})

    @app.get("/health/ready")
    async def ready() -> Response:
        response = jsonify({"ready": health.is_ready})
        response.status_code = 200 if health.is_ready else 503
        return response

    @app.errorhandler(404)
    async def unknown(_error: Exception) -> Response:
        response = jsonify(
            {"error": {"type": "invalid_request_error", "code": "not_found", "message": "No such page."}}
        )
        response.status_code = 404
        return response

    return app
