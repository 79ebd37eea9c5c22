"""Tries what the settings name beyond this machine, once each, and says what came of it. Changes nothing there."""

from collections.abc import Callable
from contextlib import AsyncExitStack

import trio

from protocol.errors import LiveAvatarError, OperatorFault, UpstreamFault
from protocol.realtime.codec import InvalidEvent, decode_server, read_head
from protocol.realtime.server_events import Error, SessionCreated
from server.app.cloud import Cloud, open_cloud, secrets_by_reference
from server.app.knowledge import Search, open_search
from server.app.upstream import listed_connector
from server.deployments import DeploymentSpec
from server.settings import Settings
from server.upstream.base import UpstreamConnection

Tell = Callable[[str, str], None]

# Seconds for a service's first word, after it let us in: it makes a session meanwhile.
_GREETING_S = 10.0


async def probe(settings: Settings, tell: Tell) -> int:
    """Looks secrets up, opens a connection to every deployment, asks each knowledge base; the number of problems.

    Args:
        tell: is told ``ok`` or ``PROBLEM``, and a sentence that names the setting to look at.
    """
    try:
        async with open_cloud(settings) as cloud:
            for name, secret in secrets_by_reference(settings).items():
                tell("ok", f"{name}: looked up at {secret.reference}")
            async with AsyncExitStack() as stack:
                search = None
                if settings.search_endpoint is not None:
                    opened = open_search(settings, cloud, deadline_s=settings.search_timeout)
                    search = await stack.enter_async_context(opened)
                await stack.enter_async_context(cloud.running())
                problems = await _deployments(settings, cloud, tell)
                if search is not None:
                    problems += await _knowledge(settings, search, tell)
                return problems
    except OperatorFault as fault:
        for line in fault.message.splitlines():
            tell("PROBLEM", line)
        return len(fault.message.splitlines())


async def _deployments(settings: Settings, cloud: Cloud, tell: Tell) -> int:
    problems = 0
    book = settings.price_book()

    async def one(spec: DeploymentSpec) -> None:
        nonlocal problems
        where = f"deployment {spec.name}"
        try:
            model = await _greeting(settings, cloud, spec)
            tell("ok", f"{where}: answers, as {model}")
            if spec.model is None and spec.rates is None and not book.knows(model, "conversation"):
                tell("WARNING", f"{where}: there is no price for {model}. Look at LIVEAVATAR_PRICES; see docs/costs.md")
        except LiveAvatarError as fault:
            problems += 1
            tell("PROBLEM", f"{where}: {fault.message}")
        except Exception as error:  # noqa: BLE001 - one that cannot be tried must not keep the others from it
            problems += 1
            tell("PROBLEM", f"{where}: could not be tried ({type(error).__name__}); this is our fault")

    async with trio.open_nursery() as nursery:
        for spec in settings.deployments:
            nursery.start_soon(one, spec)
    return problems


async def _knowledge(settings: Settings, search: Search, tell: Tell) -> int:
    problems = 0
    for kb_id, problem in (await search.catalog.check()).items():
        where = f"knowledge base {kb_id} in {search.config.host}"
        tell("PROBLEM" if problem else "ok", f"{where}: {problem or 'answers'}")
        problems += bool(problem)
    if settings.default_kb not in {source.kb_id for source in search.config.sources}:
        problems += 1
        tell("PROBLEM", f"LIVEAVATAR_DEFAULT_KB is {settings.default_kb}, which is none of those")
    return problems


async def _greeting(settings: Settings, cloud: Cloud, spec: DeploymentSpec) -> str:
    connection = await listed_connector(settings, spec, cloud).connect()
    said, fault = "", None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        try:
            said = await _first_word(connection, spec)
        except UpstreamFault as error:
            # Raised again outside of the nursery, which would make a group of it.
            fault = error
        finally:
            await connection.aclose()  # noqa: ASYNC102 - shields itself, within its own deadline
            nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault
    return said


async def _first_word(connection: UpstreamConnection, spec: DeploymentSpec) -> str:
    with trio.move_on_after(_GREETING_S):
        frame = await connection.receive()
        try:
            event = decode_server(frame, read_head(frame))
        except InvalidEvent:
            raise UpstreamFault("It speaks, but not the Realtime protocol.", code="upstream_protocol") from None
        match event:
            case SessionCreated():
                return event.session.model or "a model that it does not name"
            case Error():
                code = event.error.code or event.error.type
                text = f"It refused the session ({code}). Look at {spec.deployment_name} and {spec.key_name}."
                raise UpstreamFault(text, code="upstream_refused")
        raise UpstreamFault("It does not greet as a Realtime service does.", code="upstream_protocol")
    raise UpstreamFault(f"It let us in and said nothing within {_GREETING_S:g} seconds.", code="upstream_timeout")
