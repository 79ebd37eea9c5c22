"""Makes the deployments that the settings list: each with its connector, its credential and the names to look at."""

import structlog
import trio

from protocol.prices.book import EMBEDDED_MODEL
from protocol.prices.terms import Terms
from server.app.cloud import Cloud
from server.deployments import DeploymentSpec
from server.settings import Settings
from server.simulator.service import serve as serve_simulator
from server.simulator.settings import SimulatorSettings
from server.upstream.base import Connector
from server.upstream.connectors import SettingNames, azure_connector, embedded_connector, openai_connector
from server.upstream.credentials import Credential, KeyCredential, TokenCredential
from server.upstream.deployment import Deployment, deployment
from server.upstream.websocket import ConnectionBounds

_log = structlog.get_logger("liveavatar.app")

_EMBEDDED_TERMS = Terms(deployment="embedded", model=EMBEDDED_MODEL, transcription_model=EMBEDDED_MODEL)


async def open_deployments(settings: Settings, cloud: Cloud, services: trio.Nursery) -> list[Deployment]:
    """Everybody whom sessions may be served by. Without any listed, the embedded simulator is started."""
    listed = [_breakable(settings, listed_connector(settings, spec, cloud), spec=spec) for spec in settings.deployments]
    if listed:
        return listed
    simulator = SimulatorSettings(max_connections=settings.max_sessions + 1)
    running = await services.start(serve_simulator, simulator)
    _log.info("no Realtime service is set up: the embedded simulator answers", address=running.base_url)
    connector = embedded_connector(running.addresses[0][1], settings.model, _bounds(settings))
    return [_breakable(settings, connector)]


def listed_connector(settings: Settings, spec: DeploymentSpec, cloud: Cloud) -> Connector:
    """The way to one deployment."""
    names = SettingNames(
        endpoint=spec.endpoint_name,
        deployment=spec.deployment_name,
        credential=spec.key_name if spec.key is not None else f"{spec.key_name} and LIVEAVATAR_AZURE_AUTH",
    )
    credential: Credential
    if spec.service == "openai":
        if spec.key is None:
            raise AssertionError("the settings refuse an OpenAI deployment without a key")
        credential = KeyCredential(spec.key, name="Authorization", prefix="Bearer ")
        return openai_connector(spec.endpoint, spec.deployment, credential, _bounds(settings), names)
    if spec.key is not None:
        credential = KeyCredential(spec.key, name="api-key")
    else:
        credential = TokenCredential(cloud.tokens(settings.azure_scope))
    return azure_connector(spec.endpoint, spec.deployment, credential, _bounds(settings), names)


def transcription_model(settings: Settings) -> str | None:
    """What sessions are configured with; a deployment of its own name for it says so when a connection goes there."""
    if settings.transcription_model is not None:
        return settings.transcription_model
    return next((spec.transcription_model for spec in settings.deployments if spec.transcription_model), None)


def _breakable(settings: Settings, connector: Connector, *, spec: DeploymentSpec | None = None) -> Deployment:
    return deployment(
        connector,
        name=spec.name if spec else "embedded",
        region=spec.region if spec else "",
        priority=spec.priority if spec else 1,
        weight=spec.weight if spec else 1.0,
        transcription_model=spec.transcription_model if spec else None,
        terms=spec.terms if spec else _EMBEDDED_TERMS,
        failures=settings.breaker_failures,
        cool_down_s=settings.breaker_cool_down,
        max_cool_down_s=settings.breaker_max_cool_down,
    )


def _bounds(settings: Settings) -> ConnectionBounds:
    return ConnectionBounds(
        # A try that is swallowed without an answer must leave time for another.
        attempt_timeout_s=settings.connect_timeout / 2,
        send_timeout_s=settings.send_timeout,
        ping_interval_s=settings.ping_interval,
        pong_timeout_s=settings.pong_timeout,
        audio_backlog_ms=settings.upstream_audio_backlog * 1000,
        close_timeout_s=settings.close_timeout,
    )
