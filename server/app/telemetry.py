"""Puts telemetry together: what is counted and traced, where gauges ask, and to whom it is exported if to anybody."""

import importlib.metadata
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import structlog

from protocol.conversation.actions import Charge
from server.breaker import BreakerState, CircuitBreaker
from server.edge.door import Door
from server.lifecycle import Lifecycle, State
from server.prices.alarms import PriceAlarms
from server.security.refusals import Refusals
from server.session.registry import SessionRegistry
from server.settings import Settings
from server.store.base import StoreHealth
from server.telemetry import logs
from server.telemetry.destinations import read_destinations
from server.telemetry.metrics import Metrics
from server.telemetry.watching import Watcher

__all__ = ["open_telemetry", "show", "show_records", "tell_of_charges"]

_log = structlog.get_logger("liveavatar.app")


@asynccontextmanager
async def open_telemetry(settings: Settings) -> AsyncIterator[Watcher]:
    """Whoever watches the server; what is to be exported is, until the block ends, and what is left then within 3 s.

    Raises:
        OperatorFault: it is to be exported in a way that there is not; the message names the setting.
    """
    metrics = Metrics()
    wanted = read_destinations(
        os.environ,
        endpoint=settings.otlp_endpoint,
        headers=settings.otlp_headers,
        azure=settings.azure_monitor,
        service_name=settings.otel_service_name,
        is_disabled=settings.otel_disabled,
    )
    if not wanted:
        yield Watcher(metrics)
        return
    # OpenTelemetry takes a quarter of a second to import: only who asked for it pays that.
    from server.telemetry.collector_health import libraries_speak_once
    from server.telemetry.otel import Export

    with libraries_speak_once():
        export = Export(wanted, metrics)
        _log.info("telemetry is exported", signals=sorted(export.signals))
        try:
            with logs.forwarded_to(export.log):
                yield Watcher(metrics, export.tracer)
        finally:
            await export.aclose()  # noqa: ASYNC102 - shields itself, with a deadline


def show_records(metrics: Metrics, health: Callable[[], StoreHealth]) -> None:
    """Lets the gauges ask how the records are kept."""
    metrics.ask("liveavatar_store_up", lambda: health().state == "ok")
    metrics.ask("liveavatar_journal_pending_bytes", lambda: health().journal_bytes)

    def lost() -> dict[tuple[str, ...], float]:
        now = health()
        return {("no_room",): float(now.lost), ("set_aside",): float(now.set_aside)}

    metrics.ask("liveavatar_records_lost_total", lost)


def tell_of_charges(alarms: PriceAlarms, watcher: Watcher) -> Callable[[Charge], None]:
    """What sessions tell of each charge, once: to the alarms about money, and to the metrics."""

    def charged(charge: Charge) -> None:
        alarms.charged(charge)
        watcher.charged(
            model=charge.model,
            deployment=charge.deployment,
            usd=charge.cost.usd,
            is_priced="unknown_model" not in charge.cost.doubts,
        )

    return charged


def show(
    metrics: Metrics,
    lifecycle: Lifecycle,
    registry: SessionRegistry,
    door: Door,
    refusals: Refusals,
    breakers: Callable[[], Iterable[CircuitBreaker]],
    *,
    deployments: Sequence[str],
    max_sessions: int,
) -> None:
    """Lets the gauges ask the rooms. `deployments` are the names of those that sessions may be served by."""
    version = importlib.metadata.version("rag-liveavatar")
    metrics.ask("liveavatar_info", lambda: {(version,): 1.0})
    metrics.ask("liveavatar_lifecycle", lambda: {(state.value,): float(lifecycle.state is state) for state in State})
    metrics.ask("liveavatar_connections", lambda: door.connections)
    metrics.ask("liveavatar_connections_accepted_total", lambda: door.accepted)
    metrics.ask("liveavatar_errors_total", lambda: {("internal", "connection_failed"): float(door.failures)})
    metrics.ask("liveavatar_refusals_total", lambda: {(code,): float(count) for code, count in refusals.counts.items()})
    metrics.ask("liveavatar_sessions_limit", lambda: max_sessions)

    def sessions() -> dict[tuple[str, ...], float]:
        census = registry.census()
        return {("attached",): float(census.attached), ("awaited",): float(census.awaited)}

    def connections() -> dict[tuple[str, ...], float]:
        open_now = registry.census().connections
        return {(name,): float(open_now.get(name, 0)) for name in {*deployments, *open_now}}

    def waiting() -> dict[tuple[str, ...], float]:
        census = registry.census()
        return {("client",): float(census.client_bytes), ("upstream",): float(census.upstream_bytes)}

    metrics.ask("liveavatar_sessions", sessions)
    metrics.ask("liveavatar_upstream_connections", connections)
    metrics.ask("liveavatar_outbox_bytes", waiting)
    metrics.ask(
        "liveavatar_breaker_state",
        lambda: {(one.name, state.value): float(one.state is state) for one in breakers() for state in BreakerState},
    )
    metrics.ask(
        "liveavatar_breaker_recoveries_total", lambda: {(one.name,): float(one.recoveries) for one in breakers()}
    )
