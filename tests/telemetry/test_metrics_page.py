"""/metrics is for those who may see how the server fares, and says what it did."""

from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from quart_trio import QuartTrio

from server.lifecycle import Lifecycle
from server.prices.files import read_prices
from server.secret import Secret
from server.security.minting import Mint
from server.security.principal import LOCAL, PUBLIC, SCOPES, Principal, Scope
from server.security.ticket_store import MemoryTicketStore
from server.telemetry.catalogue import BY_NAME, CATALOGUE
from server.telemetry.exposition import Scrapes
from server.telemetry.health import Health
from server.telemetry.metrics import Metrics
from server.web.app import make_app
from tests.running import Running, serving
from tests.web.test_app import Porter, Shelf

KEY = "a-key-of-enough-characters"
NO_GAUGE = next(spec for spec in CATALOGUE if spec.kind != "gauge")


def app(principal: Principal, *, api_denied: bool = False, scrapes: Scrapes | None = None) -> QuartTrio:
    lifecycle = Lifecycle()
    lifecycle.ready()
    return make_app(
        Health(lifecycle, dict),
        Shelf(),
        Mint(MemoryTicketStore()),
        gate=Porter(principal, api_denied=api_denied),
        default_kb="museum",
        hears_speech=False,
        answer_scrape=(scrapes or Scrapes(Metrics())).answer,
    )


async def test_it_is_text_unless_open_metrics_is_asked_for() -> None:
    metrics = Metrics()
    metrics.add("liveavatar_resumes_total", by=3)
    client = app(LOCAL, scrapes=Scrapes(metrics)).test_client()
    response = await client.get("/metrics")
    assert (response.status_code, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nliveavatar_resumes_total 3.0\n" in await response.get_data()
    assert response.headers["Cache-Control"] == "no-store"
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert (await response.get_data(as_text=True)).endswith("# EOF\n")
    assert (await client.post("/metrics")).status_code == 405


@pytest.mark.parametrize("scope", SCOPES)
async def test_one_scope_opens_it(scope: Scope) -> None:
    principal = Principal(id="key:a", name="a", kind="key", scopes=frozenset({scope}))
    response = await app(principal).test_client().get("/metrics")
    assert response.status_code == (200 if scope == "administer" else 403)


async def test_strangers_do_not_see_it() -> None:
    assert (await app(PUBLIC).test_client().get("/metrics")).status_code == 403
    assert (await app(LOCAL, api_denied=True).test_client().get("/metrics")).status_code == 401


# What only a fault counts, or a budget; each has a test of its own beside the room that it happens in.
FAULTS = {
    "liveavatar_errors_total",
    "liveavatar_breaker_recoveries_total",
    "liveavatar_upstream_reconnects_total",
    "liveavatar_upstream_rollovers_total",
    "liveavatar_dropped_speech_seconds_total",
    "liveavatar_unknown_prices_total",
    "liveavatar_records_lost_total",
    "liveavatar_export_failures_total",
    "liveavatar_budget_left_usd",
    "liveavatar_budget_stages_total",
    "liveavatar_reservations_refused_total",
}
PRICES = """
[[price]]
models = ["liveavatar-simulator"]
unit = "1M tokens"
text = { input = 4, output = 16 }
audio = { input = 32, output = 64 }
"""


@pytest.mark.slow
async def test_a_server_feeds_every_metric_that_needs_no_fault(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    problems: list[str] = []
    own_prices = read_prices(tmp_path / "prices.toml", problems)
    assert problems == []
    async with serving(data_dir, own_prices=own_prices) as server:
        async with server.opened() as client:
            await client.type("Who founded the museum?")
            await client.send("response.create")
            await client.until("response.done", 20)
            hello = client.of("avatar.session")[0]
            await client.websocket._stream.aclose()
        resume = {"session_id": hello["session_id"], "token": hello["resume_token"]}
        async with server.client(init={"kb_id": "museum", "resume": resume}) as client:
            await client.until("avatar.session", 20)
        assert (await server.refused("/ws", Origin="https://evil.example"))[0] == 403
        samples = await ended(server)
    assert samples["liveavatar_sessions_started_total", "/ws"] == 1
    assert samples["liveavatar_searches_total", "found"] == 1
    assert samples["liveavatar_upstream_connects_total", "embedded", "connected"] == 1
    assert samples["liveavatar_first_audio_seconds_count", "question"] == 1
    assert samples["liveavatar_lifecycle", "ready"] == 1
    assert samples["liveavatar_breaker_state", "embedded", "closed"] == 1
    assert samples["liveavatar_store_up",] == 1
    assert samples["liveavatar_cost_usd_total", "embedded", "liveavatar-simulator"] > 0
    # A gauge is fed if it is there; what counts, if it has counted.
    fed = {name for (name, *_), value in samples.items() if value or BY_NAME.get(name, NO_GAUGE).kind == "gauge"}
    assert {name for name in BY_NAME if not {name, f"{name}_count"} & fed} == FAULTS


async def ended(server: Running) -> dict[tuple[str, ...], float]:
    """The samples of a server whose session is over, by name and labels."""
    with trio.fail_after(20):
        while True:
            status, _, body = await server.get("/metrics")
            assert status == 200
            samples = {
                (sample.name, *sample.labels.values()): sample.value
                for family in text_string_to_metric_families(body.decode())
                for sample in family.samples
            }
            if samples.get(("liveavatar_sessions_ended_total", "completed")):
                return samples
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_with_credentials_this_machine_needs_one_too(data_dir: Path) -> None:
    async with serving(data_dir, api_key=Secret(KEY)) as server:
        assert (await server.get("/metrics"))[0] == 401
        assert (await server.get("/metrics", Authorization="Bearer wrong"))[0] == 401
        assert (await server.get("/metrics", Authorization=f"Bearer {KEY}"))[0] == 200
    async with serving(data_dir) as server:
        assert (await server.get("/metrics"))[0] == 200
        assert (await server.get("/metrics", X_Forwarded_For="10.0.0.1"))[0] == 403
        assert (await server.get("/metrics", Host="evil.example"))[0] == 403
