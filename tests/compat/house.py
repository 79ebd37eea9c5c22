"""What clients are run against: server processes, one with a key and one without, each also behind TLS, and the service
behind them. The service is the simulator with ears: whatever it hears is the question about the museum.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from server.simulator.service import Simulator, serve
from server.simulator.settings import SimulatorSettings
from tests.compat.clients import Client
from tests.compat.tls import HOST, Authority, in_front_of
from tests.running import Process, quiet, serving_process

QUESTION = "Who founded the museum?"
# Answers take their time, so that somebody can interrupt them, but not that of the sound.
PACE = 20.0
DEPLOYMENT = "gpt-realtime"
# What clients transcribe with unless they are told otherwise must be deployed too.
DEPLOYMENTS = (DEPLOYMENT, "whisper-1", "gpt-4o-mini-transcribe", "gpt-realtime-whisper")


@dataclass(frozen=True)
class House:
    """Where the servers are. ``ports``: by whether there is a key, and whether there is TLS."""

    key: str
    authority: Authority
    ports: dict[tuple[bool, bool], int]

    def environ(self, client: Client) -> dict[str, str]:
        """What a client's script is told."""
        port = self.ports[not client.keyless, client.tls]
        return {
            "COMPAT_URL": f"{'https' if client.tls else 'http'}://{HOST}:{port}",
            "COMPAT_KEY": self.key,
            # Where systems keep the authorities they trust, for Python and for Node.
            "SSL_CERT_FILE": str(self.authority.file),
            "NODE_EXTRA_CA_CERTS": str(self.authority.file),
            **({"COMPAT_OPEN": "1"} if client.keyless else {}),
        }


async def _hear(_pcm: bytes) -> str:
    return QUESTION


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[House]:
    """All of it, for as long as the block lasts. ``folder`` takes the servers' data."""
    key, upstream_key = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    authority = Authority(folder)
    async with (
        _listening(SimulatorSettings(pace=PACE, api_key=upstream_key, models=DEPLOYMENTS)) as simulator,
        _serving(folder / "keyed", simulator, upstream_key, LIVEAVATAR_API_KEY=key) as keyed,
        _serving(folder / "open", simulator, upstream_key) as keyless,
        in_front_of(keyed.port, authority) as keyed_tls,
        in_front_of(keyless.port, authority) as keyless_tls,
    ):
        ports = {
            (True, False): keyed.port,
            (True, True): keyed_tls,
            (False, False): keyless.port,
            (False, True): keyless_tls,
        }
        yield House(key, authority, ports)


@asynccontextmanager
async def _listening(settings: SimulatorSettings) -> AsyncIterator[Simulator]:
    with quiet():
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve, settings, recogniser=_hear))
            nursery.cancel_scope.cancel()


def _serving(
    data_dir: Path, simulator: Simulator, upstream_key: str, **environ: str
) -> AbstractAsyncContextManager[Process]:
    return serving_process(
        data_dir,
        AZURE_OPENAI_ENDPOINT=f"http://{HOST}:{simulator.addresses[0][1]}",
        AZURE_OPENAI_API_KEY=upstream_key,
        AZURE_OPENAI_DEPLOYMENT=DEPLOYMENT,
        **environ,
    )
