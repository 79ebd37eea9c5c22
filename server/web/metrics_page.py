"""`/metrics`, for whoever watches the server. What stands in it is made behind the port."""

from collections.abc import Awaitable, Callable

from quart import Response, request
from quart_trio import QuartTrio

from server.telemetry.exposition import Exposition
from server.web.access import require

__all__ = ["METRICS_PATH", "AnswerScrape", "add_metrics_route"]

METRICS_PATH = "/metrics"

AnswerScrape = Callable[[str], Awaitable[Exposition]]
"""The metrics in the form that an Accept header asks for."""


def add_metrics_route(app: QuartTrio, answer_scrape: AnswerScrape) -> None:
    """Adds the page. It is for who may see the details of `/health`: without credentials this machine, else a key.

    Not for any request from this machine where there are credentials: what a proxy here relays comes from this machine
    too, and what a service costs is nobody's business.
    """

    @app.get(METRICS_PATH)
    async def metrics() -> Response:
        require("administer")
        exposition = await answer_scrape(request.headers.get("Accept", ""))
        return Response(exposition.body, content_type=exposition.content_type)
