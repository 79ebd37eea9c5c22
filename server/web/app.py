"""The HTTP side: the pages, their files and their API, and the health endpoints. WebSockets never reach it."""

from typing import Any

from quart import Response, g, jsonify, request
from quart_trio import QuartTrio

from protocol.errors import LiveAvatarError
from server.knowledge.base import KnowledgeCatalog
from server.security.minting import Mint
from server.telemetry.health import Health
from server.web.access import Denied, Gate, denied, require, tell_refused, visit_of
from server.web.assets import Asset, load
from server.web.knowledge_api import add_knowledge_routes
from server.web.minting_api import CLIENT_SECRET_PATHS, add_minting_routes

# Everything comes from this server and nothing is inline. 'self' covers ws: and wss: of the same host and port in
# current browsers; Safari before 15.4 needs the WebSocket origins spelled out, so the Host that was asked for is added.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{sockets}; img-src 'self'; "
    "media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PROBES = frozenset({"/health/live", "/health/ready"})
# Kept by browsers and asked for again each time (304): a new version of the server shows at once.
_CACHED = "no-cache"
_NOT_KEPT = "no-store"
# What a Host may consist of to be repeated in a header.
_HOST_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")


def make_app(
    health: Health, catalog: KnowledgeCatalog, mint: Mint, *, gate: Gate, default_kb: str, hears_speech: bool
) -> QuartTrio:
    """The application. Probes are answered without asking anybody: they tell one word.

    Args:
        mint: makes short-lived credentials.
        gate: says who asks.
        default_kb: the knowledge base of a session that names none.
        hears_speech: whether the Realtime service behind the server understands spoken words.
    """
    app = QuartTrio(__name__, static_folder=None)
    assets = load()

    _add_access(app, gate)

    @app.after_request
    async def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY.format(sockets=_sockets(request.headers.get("Host", "")))
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", _NOT_KEPT)
        return response

    @app.get("/")
    async def page() -> Response:
        return _answer(assets["index.html"])

    @app.get("/embed")
    async def embed() -> Response:
        return _answer(assets["embed.html"])

    @app.get("/static/<name>")
    async def static(name: str) -> Response:
        asset = assets.get(name)
        return not_found() if asset is None else _answer(asset)

    add_knowledge_routes(app, catalog, default_kb=default_kb, hears_speech=hears_speech)
    add_minting_routes(app, mint)

    @app.get("/health")
    async def details() -> Response:
        require("administer")
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

    def not_found() -> Response:
        return _error(404, "not_found", "No such page.")

    @app.errorhandler(404)
    async def unknown(_error: Exception) -> Response:
        return not_found()

    @app.errorhandler(405)
    async def wrong_method(error: Any) -> Response:
        allowed = sorted(error.valid_methods or ())
        response = _error(405, "method_not_allowed", f"This takes {', '.join(allowed) or 'another method'}.")
        response.headers["Allow"] = ", ".join(allowed)
        return response

    return app


def _error(status: int, code: str, message: str) -> Response:
    tell_refused(code, None)
    response = jsonify({"error": {"type": "invalid_request_error", "code": code, "message": message}})
    response.status_code = status
    return response


def _add_access(app: QuartTrio, gate: Gate) -> None:
    """Lets nobody past whom the gate does not let in; says so where a route finds that somebody may not."""

    @app.before_request
    async def check_access() -> Response | None:
        if request.path in _PROBES:
            return None
        try:
            if request.path == "/health" or request.path.startswith("/api/") or request.path in CLIENT_SECRET_PATHS:
                g.principal = await gate.admit(visit_of(request))
            else:
                gate.check_page(visit_of(request))
        except Denied as refused:
            return denied(refused.denial)
        return None

    @app.errorhandler(LiveAvatarError)
    async def refuse(fault: LiveAvatarError) -> Response:
        return denied(gate.denial(fault))


def _answer(asset: Asset) -> Response:
    headers = {"ETag": f'"{asset.etag}"', "Cache-Control": _CACHED}
    if asset.etag in request.if_none_match:
        return Response(b"", status=304, headers=headers)  # without a body quart makes one that asks for asyncio
    return Response(asset.body, content_type=asset.content_type, headers=headers)


def _sockets(host: str) -> str:
    return f" ws://{host} wss://{host}" if host and _HOST_CHARS.issuperset(host) else ""
