"""The Realtime services that the contract is tested against, reached as the server reaches them."""

import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

from server.app.cloud import Cloud, open_cloud
from server.app.upstream import listed_connector
from server.deployments import DeploymentSpec
from server.secret import Secret
from server.settings import Settings, SettingsError, load
from server.simulator.settings import SimulatorSettings
from server.upstream.base import Connector, UpstreamConnection
from tests.simulator.driver import simulator

Json = dict[str, Any]

LIVE = "live"
IS_LIVE = bool(os.environ.get("TESTS_LIVE"))

# A real model thinks; the simulator does not.
PATIENCE_S = 30.0 if IS_LIVE else 10.0
_ENV_FILE = Path(".env")
_KEY = "sk-contract-0123456789abcdef"
_WRONG_KEY = "sk-wrong-0123456789abcdefghij"
_NO_MODEL = "there-is-no-such-deployment"


def live_targets(environ: Mapping[str, str], env_file: Path | None) -> tuple[str, ...]:
    """A target for every deployment that is set up; ``live`` alone where there is none, whose tests say so."""
    try:
        deployments = load(environ, env_file).deployments
    except SettingsError:
        deployments = ()
    return tuple(f"{LIVE}-{spec.name}" for spec in deployments) or (LIVE,)


TARGETS = ("azure", "openai", *(live_targets(os.environ, _ENV_FILE) if IS_LIVE else ()))


class Wire:
    """A connection to a service, and everything it said."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self.events: list[Json] = []

    def send(self, event_type: str, **fields: Any) -> None:
        self._connection.send(msgspec.json.encode({"type": event_type, **fields}))

    async def receive(self) -> Json:
        event: Json = msgspec.json.decode(await self._connection.receive())
        self.events.append(event)
        return event

    async def until(self, *event_types: str, fits: Callable[[Json], bool] = lambda _: True) -> Json:
        """The next event of these types that fits."""
        seen = len(self.events)
        with trio.move_on_after(PATIENCE_S):
            while True:
                event = await self.receive()
                if event["type"] in event_types and fits(event):
                    return event
        told = [event if event["type"] == "error" else event["type"] for event in self.events[seen:]]
        raise AssertionError(f"no {' or '.join(event_types)} came within {PATIENCE_S:g} s, but {told}")

    async def reply(self, event_type: str, *replies: str, **fields: Any) -> Json:
        """Says an event, and gives what answers it, which may be an error."""
        self.send(event_type, **fields)
        return await self.until(*replies, "error")

    async def update(self, **session: Any) -> Json:
        """The effective session after an update that must succeed."""
        answer = await self.reply("session.update", "session.updated", session={"type": "realtime", **session})
        assert answer["type"] == "session.updated", answer
        effective: Json = answer["session"]
        return effective

    async def place(self, item: Json, **fields: Any) -> Json:
        """An item that must be taken, as the service shows it."""
        answer = await self.reply("conversation.item.create", "conversation.item.done", item=item, **fields)
        assert answer["type"] == "conversation.item.done", answer
        placed: Json = answer["item"]
        return placed

    async def refused(self, event_type: str, **fields: Any) -> Json:
        """The error that answers an event, which the connection outlives."""
        self.send(event_type, event_id="event_asked", **fields)
        error: Json = (await self.until("error"))["error"]
        return error

    async def respond(self, **response: Any) -> Json:
        """A whole response."""
        self.send("response.create", response=response)
        done: Json = (await self.until("response.done", "error")).get("response", {})
        assert done, self.events[-1]
        return done

    def of(self, event_type: str) -> list[Json]:
        return [event for event in self.events if event["type"] == event_type]


@dataclass(frozen=True, slots=True)
class Target:
    """A service to be tested.

    Attributes:
        manners: whose they are: ``azure`` or ``openai``.
    """

    name: str
    spec: DeploymentSpec
    settings: Settings
    cloud: Cloud

    @property
    def manners(self) -> str:
        return self.spec.service

    def connector(self, **changes: Any) -> Connector:
        """The way there; ``changes`` to what the settings say."""
        return listed_connector(self.settings, dataclasses.replace(self.spec, **changes), self.cloud)

    def with_a_wrong_key(self) -> Connector:
        return self.connector(key=Secret(_WRONG_KEY))

    def with_an_unknown_deployment(self) -> Connector:
        return self.connector(deployment=_NO_MODEL)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Wire]:
        """A connection before its first event."""
        connection = await self.connector().connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                yield Wire(connection)
            finally:
                await connection.aclose()
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def talking(self, **session: Any) -> AsyncIterator[Wire]:
        """A connection whose session is configured; by default it answers in text, which is cheap."""
        async with self.connected() as wire:
            await wire.until("session.created")
            quiet = {"input": {"turn_detection": None}}
            await wire.update(**{"output_modalities": ["text"], "audio": quiet, **session})
            yield wire


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Target]:
    """The target of this name, for as long as the block lasts."""
    if name.partition("-")[0] == LIVE:
        async with _target(name, load(os.environ, _ENV_FILE)) as target:
            yield target
        return
    service = SimulatorSettings(service=name, api_key=_KEY, models=("gpt-realtime",))  # type: ignore[arg-type]
    async with simulator(service) as running:
        base = f"http://127.0.0.1:{running.addresses[0][1]}"
        values = (
            {"AZURE_OPENAI_ENDPOINT": base, "AZURE_OPENAI_API_KEY": _KEY, "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime"}
            if name == "azure"
            else {"OPENAI_BASE_URL": f"{base}/v1", "OPENAI_API_KEY": _KEY}
        )
        async with _target(name, load(values)) as target:
            yield target


@asynccontextmanager
async def _target(name: str, settings: Settings) -> AsyncIterator[Target]:
    if not settings.deployments:
        raise AssertionError(
            "TESTS_LIVE is set, and no service is: set AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_DEPLOYMENT and a key or an "
            "identity, or OPENAI_API_KEY, or LIVEAVATAR_DEPLOYMENTS."
        )
    async with open_cloud(settings) as cloud, trio.open_nursery() as services:
        cloud.start(services)
        named = (spec for spec in settings.deployments if name == f"{LIVE}-{spec.name}")
        yield Target(name, next(named, settings.deployments[0]), settings, cloud)
        services.cancel_scope.cancel()
