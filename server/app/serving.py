"""A whole server, put together and run: from its settings to its last connection."""

import importlib.metadata
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog
import trio

from protocol.avatar.events import ProfileView
from protocol.conversation.limits import Limits
from protocol.endings import EndReason
from protocol.errors import ClientFault
from protocol.prices.book import PriceBook
from server.app.access import WebGate, open_access
from server.app.budgets import Budgets, recall_today, show_budgets
from server.app.cloud import open_cloud
from server.app.descriptors import make_room
from server.app.guarding import make_allowances, make_guard, warn_of_plain
from server.app.knowledge import open_knowledge
from server.app.oversight import LiveRegistry
from server.app.records import open_records
from server.app.telemetry import open_telemetry, show, show_records, tell_of_charges
from server.app.transcripts import open_transcript_guard
from server.app.upstream import open_deployments, transcription_model
from server.breaker import CircuitBreaker
from server.cluster.in_process import InProcessLimits
from server.cluster.in_process_budgets import InProcessBudgets
from server.edge.admission import Admission, ClientBounds
from server.edge.door import Door, DoorLimits, open_listeners
from server.edge.load import Load, memory_budget_bytes
from server.knowledge.base import KnowledgeCatalog, KnowledgeError, Profile, UnknownKnowledgeBase
from server.knowledge.cache import CachedCatalog
from server.knowledge.guard import GuardedCatalog
from server.lifecycle import Lifecycle
from server.prices.alarms import PriceAlarms
from server.security.principal import LOCAL
from server.security.refusals import Refusals
from server.session.base import Furnishing
from server.session.registry import SessionRegistry
from server.settings import Settings
from server.store.archive import Archive
from server.telemetry.base import Observer
from server.telemetry.exposition import Scrapes
from server.telemetry.health import Health
from server.tools.registry import ToolRegistry
from server.tools.search import search_tool
from server.upstream.link import UpstreamLink
from server.web.app import make_app
from server.web.live import Oversight

_log = structlog.get_logger("liveavatar.app")

# Of a tool's time a search may take so much.
_SEARCH_SHARE = 0.8
# Seconds that a tool which ignores its own deadline gets beyond it.
_TOOL_MARGIN_S = 5.0

# Seconds behind the grace for the last closing handshakes.
_CLOSING_S = 0.5
# Seconds that are left for closing after the second signal.
_LEAVE_NOW_S = 1.0

# The persona of a knowledge base that has no instructions of its own.
_INSTRUCTIONS = (
    "You are {title}. For every question about facts call search_knowledge_base first, and answer only from the "
    "passages it returns, in one to three short spoken sentences. If they do not hold the answer, say that you do not "
    "know. Greetings and thanks need no search. Do not mention tools or passages."
)


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server: where it is reached, and what it stands on."""

    url: str
    upstream: str
    knowledge_bases: tuple[str, ...]


async def run(settings: Settings, *, task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED) -> None:
    """Serves until SIGTERM or SIGINT, or until cancelled. ``task_status`` gets a ``Serving`` once it does.

    Raises:
        OperatorFault: the data folder, or a file that the settings name, cannot be used; the message names the setting.
        CannotListen: the address or port is not to be had.
    """
    lifecycle = Lifecycle()
    make_room(settings)
    transcript_guard = open_transcript_guard(settings)
    # Given up before the tool is: a cancel from outside would tell the breaker nothing.
    search_s = min(settings.search_timeout, _SEARCH_SHARE * settings.tool_timeout)
    async with (
        _listening(settings) as listeners,
        open_cloud(settings) as cloud,
        open_telemetry(settings) as watcher,
        open_knowledge(settings, cloud, deadline_s=search_s) as catalog,
        open_records(settings) as archive,
        trio.open_nursery() as services,
    ):
        cloud.start(services)
        guarded = GuardedCatalog(catalog, deadline_s=search_s)
        # What is on this machine is quicker asked than remembered.
        remembers = settings.search_endpoint is not None
        knowledge = CachedCatalog(guarded, services, ttl_s=settings.search_cache_ttl) if remembers else guarded
        profiles = await _profiles(knowledge)
        if settings.default_kb not in {profile.kb_id for profile in profiles}:
            _log.warning(
                "there is no default knowledge base", setting="LIVEAVATAR_DEFAULT_KB", kb_id=settings.default_kb
            )
        access = open_access(settings, cloud, services)
        warn_of_plain(settings)
        shared, refusals = InProcessLimits(), Refusals()
        prices, price_alarms = settings.price_book(), PriceAlarms()
        guard = make_guard(settings, shared, refusals, local_pages=access.authenticator.anonymous is LOCAL)
        allowances = make_allowances(settings, shared, guard, of=access.authenticator.allowances)
        money = InProcessBudgets(wall=time.time)
        budgets = Budgets(settings, money, of=access.authenticator.allowances, wall=time.time)
        await recall_today(money, archive, wall=time.time)
        show_budgets(watcher.metrics, settings, money)
        deployments = await open_deployments(settings, cloud, services)
        upstream = UpstreamLink(*deployments, attempts=1, timeout_s=settings.connect_timeout).name
        async with trio.open_nursery() as sessions:
            registry = SessionRegistry(
                sessions,
                furnish=partial(_furnish, settings, knowledge, watcher),
                link=lambda: UpstreamLink(
                    *deployments,
                    attempts=settings.connect_attempts,
                    timeout_s=settings.connect_timeout,
                    observer=watcher,
                ),
                max_sessions=settings.max_sessions,
                tools_at_once=settings.tools_at_once,
                limits=_limits(settings),
                transcription_model=transcription_model(settings),
                visemes=settings.chosen_upstream == "embedded",
                guard=transcript_guard,
                prices=prices,
                records=archive,
                budgets=budgets.open,
                charged=tell_of_charges(price_alarms, watcher),
                objection=access.authenticator.objection,
                watch=watcher.session,
            )
            services.start_soon(access.watch, registry)

            def breakers() -> list[CircuitBreaker]:
                return [*(one.breaker for one in deployments), *guarded.breakers]

            facts = _facts(settings, upstream, registry, profiles, refusals, prices, price_alarms, archive)
            health = Health(lifecycle, facts, breakers)
            admission = Admission(access.policy, registry, _client_bounds(settings), allowances)
            door = Door(
                on_websocket=admission.on_websocket,
                app=make_app(
                    health,
                    knowledge,
                    access.authenticator.mint,
                    gate=WebGate(access),
                    default_kb=settings.default_kb,
                    hears_speech=settings.chosen_upstream != "embedded",
                    answer_scrape=Scrapes(watcher.metrics).answer,
                    oversight=Oversight(live=LiveRegistry(registry), records=archive),
                ),
                limits=DoorLimits(max_connections=settings.max_connections, head_s=settings.head_timeout),
                guard=guard,
                load=Load(
                    lag_max_s=settings.shed_lag,
                    memory_max_bytes=memory_budget_bytes(settings.memory_budget),
                    probed=partial(watcher.metrics.observe, "liveavatar_event_loop_lag_seconds"),
                ),
            )
            show_records(watcher.metrics, lambda: archive.health)
            show(
                watcher.metrics,
                lifecycle,
                registry,
                door,
                refusals,
                breakers,
                deployments=[one.name for one in deployments],
                max_sessions=settings.max_sessions,
            )
            await sessions.start(lifecycle.watch_signals)
            async with trio.open_nursery() as connections:
                await connections.start(door.serve, listeners)
                services.start_soon(_leave_when_told_twice, lifecycle, connections.cancel_scope)  # noqa: ASYNC111
                lifecycle.ready()
                serving = Serving(_url(settings, listeners), upstream, tuple(profile.kb_id for profile in profiles))
                _log.info("serving", url=serving.url, upstream=serving.upstream, knowledge_bases=len(profiles))
                task_status.started(serving)
                await lifecycle.wait_draining()
                # Sessions end with a word to their clients; the door returns when the last connection has ended.
                door.stop_accepting()
                connections.cancel_scope.deadline = trio.current_time() + settings.shutdown_grace + _CLOSING_S
                registry.drain(lifecycle.reason, lifecycle.reason.text, settings.shutdown_grace)
                admission.stop()
            sessions.cancel_scope.cancel()
        services.cancel_scope.cancel()
    lifecycle.stopped()
    _log.info("stopped")


async def _leave_when_told_twice(lifecycle: Lifecycle, connections: trio.CancelScope) -> None:
    await lifecycle.wait_leave_now()
    connections.cancel()
    # Closes that are under way shield themselves. Nothing is lost by not waiting for them, and somebody is in a hurry.
    await trio.sleep(_LEAVE_NOW_S)
    _log.warning("left without waiting for the last connections")
    os._exit(1)


@asynccontextmanager
async def _listening(settings: Settings) -> AsyncIterator[list[trio.SocketListener]]:
    """The listeners, opened before anything that takes long; closed also where the door never got them."""
    listeners = await open_listeners(settings.host, settings.port)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.socket.close()


async def _profiles(knowledge: KnowledgeCatalog) -> list[Profile]:
    """Who speaks for the knowledge bases, for people; a search service that is down does not stop the start."""
    try:
        return await knowledge.profiles()
    except KnowledgeError as error:
        _log.warning("knowledge bases cannot be listed", error=str(error))
        return []


async def _furnish(settings: Settings, catalog: KnowledgeCatalog, observer: Observer, kb_id: str | None) -> Furnishing:
    try:
        knowledge = await catalog.open(kb_id or settings.default_kb)
    except UnknownKnowledgeBase as error:
        reason = EndReason.UNKNOWN_KNOWLEDGE_BASE
        raise ClientFault(f"{error}.".capitalize(), code=reason.label, reason=reason) from None
    except KnowledgeError:
        _log.exception("knowledge base cannot be opened", kb_id=kb_id)
        text = "The knowledge base cannot be opened right now."
        raise ClientFault(text, code="knowledge_unavailable", reason=EndReason.INTERNAL) from None
    profile = knowledge.profile
    search = search_tool(knowledge, passages=settings.search_passages, observer=observer)
    tools = ToolRegistry([search], timeout_s=settings.tool_timeout, observer=observer)
    return Furnishing(
        kb_id=profile.kb_id,
        profile=ProfileView(
            title=profile.title,
            greeting=profile.greeting,
            voice=profile.voice,
            language=profile.language,
            sample_questions=profile.sample_questions,
        ),
        instructions=profile.instructions or _INSTRUCTIONS.format(title=profile.title),
        tools=tools,
    )


def _client_bounds(settings: Settings) -> ClientBounds:
    return ClientBounds(
        init_timeout_s=settings.init_timeout,
        ping_interval_s=settings.ping_interval,
        pong_timeout_s=settings.pong_timeout,
        send_timeout_s=settings.send_timeout,
        audio_backlog_ms=settings.client_audio_backlog * 1000,
        close_timeout_s=settings.close_timeout,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        response_s=settings.response_timeout,
        stall_s=settings.stall_timeout,
        failures=settings.max_failures,
        reconnect_s=settings.reconnect_timeout,
        rollover_s=settings.rollover_margin,
        connection_s=settings.connection_max_age,
        # The tool itself is given up a little earlier, with better words.
        tool_s=settings.tool_timeout + _TOOL_MARGIN_S,
        idle_prompt_s=settings.idle_prompt,
        idle_end_s=settings.idle_end,
        duration_s=settings.session_max,
        resume_s=settings.resume_window,
        replay_control_bytes=settings.resume_events * 1024,
        replay_audio_bytes=settings.resume_audio * 1024,
    )


def _facts(
    settings: Settings,
    upstream: str,
    registry: SessionRegistry,
    profiles: list[Profile],
    refusals: Refusals,
    prices: PriceBook,
    price_alarms: PriceAlarms,
    archive: Archive,
) -> Callable[[], dict[str, Any]]:
    version = importlib.metadata.version("rag-liveavatar")

    def facts() -> dict[str, Any]:
        return {
            "version": version,
            "upstream": upstream,
            "sessions": len(registry),
            "max_sessions": settings.max_sessions,
            "refused": refusals.counts,
            "prices": {
                "version": prices.version,
                "in_doubt": price_alarms.counts,
                "unknown_models": price_alarms.unknown_models(),
            },
            "records": {"accepts_sessions": archive.accepts_sessions, **msgspec.structs.asdict(archive.health)},
            "knowledge_bases": [{"kb_id": profile.kb_id, "title": profile.title} for profile in profiles],
        }

    return facts


def _url(settings: Settings, listeners: list[trio.SocketListener]) -> str:
    host, port = listeners[0].socket.getsockname()[:2]
    shown = {"127.0.0.1": "localhost", "::1": "localhost", "0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104
    scheme = "https" if settings.tls_cert is not None else "http"
    return f"{scheme}://{shown}:{port}"
