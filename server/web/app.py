"""The HTTP side: the pages, their files and their API, and the health endpoints. WebSockets never reach it."""

from quart import Response, g, request
from quart_trio import QuartTrio

from protocol.errors import LiveAvatarError
from server.knowledge.base import KnowledgeCatalog
from server.security.minting import Mint
from server.telemetry.health import Health
from server.web.access import Denied, Gate, denied, visit_of
from server.web.assets import Asset, load
from server.web.costs_api import costs_operations
from server.web.knowledge_api import knowledge_operations
from server.web.live import Oversight
from server.web.metrics_page import METRICS_PATH, AnswerScrape, add_metrics_route
from server.web.minting_api import CLIENT_SECRET_PATHS, minting_operations
from server.web.openapi import openapi_operation
from server.web.operations import add_operations, unknown
from server.web.records_api import records_operations
from server.web.status_api import health_operations, status_operations

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
# Where it is asked who comes, beside the API.
_FOR_SOMEBODY = frozenset({"/health", METRICS_PATH, *CLIENT_SECRET_PATHS})
# Kept by browsers and asked for again each time (304): a new version of the server shows at once.
_CACHED = "no-cache"
_NOT_KEPT = "no-store"
# What a Host may consist of to be repeated in a header.
_HOST_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")


def make_app(
    health: Health,
    catalog: KnowledgeCatalog,
    mint: Mint,
    *,
    gate: Gate,
    default_kb: str,
    hears_speech: bool,
    answer_scrape: AnswerScrape | None = None,
    oversight: Oversight | None = None,
) -> QuartTrio:
    """The application.

    Args:
        mint: makes short-lived credentials.
        gate: says who asks.
        default_kb: the knowledge base of a session that names none.
        hears_speech: whether the Realtime service behind the server understands spoken words.
        answer_scrape: gives the metrics; None: there is no such page.
        oversight: what the dashboard and the API of records show; None: there are none.
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
        return unknown() if asset is None else _answer(asset)

    operations = [
        *health_operations(health),
        *knowledge_operations(catalog, default_kb=default_kb, hears_speech=hears_speech),
        *minting_operations(mint),
    ]
    if oversight is not None:
        operations += [
            *status_operations(health, oversight),
            *records_operations(oversight),
            *costs_operations(oversight.records),
        ]

        @app.get("/dashboard")
        async def dashboard() -> Response:
            return _answer(assets["dashboard.html"])

    add_operations(app, [*operations, openapi_operation(operations)])
    if answer_scrape is not None:
        add_metrics_route(app, answer_scrape)

    @app.errorhandler(404)
    async def nothing_there(_error: Exception) -> Response:
        return unknown()

    return app


def _add_access(app: QuartTrio, gate: Gate) -> None:
    """Lets nobody past whom the gate does not let in; says so where a route finds that somebody may not."""

    @app.before_request
    async def check_access() -> Response | None:
        if request.path in _PROBES:
            return None
        try:
            if request.path in _FOR_SOMEBODY or request.path.startswith("/api/"):
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
