"""The simulator's listener: a Realtime service on a port, over TCP or TLS. Judges no connection; see ``door``.

Ends no session of its own accord; a cancelled ``serve`` takes its connections with it.
"""

import ssl
from functools import partial
from pathlib import Path

import structlog
import trio

from server.simulator.client_secrets import ClientSecrets
from server.simulator.credentials import Accepts, Credentials
from server.simulator.door import Door, Simulator
from server.simulator.faults import FaultSchedule
from server.simulator.hearing import Recogniser
from server.simulator.quota import Quota
from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import Think, by_rule
from server.simulator.tls import tls_context
from server.simulator.voice import Voice, load_voice

__all__ = ["Simulator", "serve"]

_log = structlog.get_logger("liveavatar.simulator")


async def serve(
    settings: SimulatorSettings,
    *,
    think: Think = by_rule,
    voice: Voice | None = None,
    recogniser: Recogniser | None = None,
    ssl_context: ssl.SSLContext | None = None,
    accepts: Accepts | None = None,
    task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and serve until cancelled. Reports the running ``Simulator`` once it listens.

    Args:
        settings: see there.
        think: what responses contain.
        voice: what speaks; chosen by ``settings.engine`` if None.
        recogniser: finds the words in PCM16 at 24 kHz; without one, audio is not understood and the simulator says so.
        ssl_context: serves TLS with it; in place of the settings' files.
        accepts: judges bearer tokens at Azure's path (an Entra token's audience, its time); with it a credential is
            needed. Called at every handshake that brings one; must not block.
        task_status: for ``nursery.start``.

    Raises:
        OSError: the address cannot be bound.
        TlsFilesError: the certificate or its key cannot be used.
        TokensFileError: the file of tokens cannot be read.
        VoiceUnavailableError: ``settings.engine`` insists on a voice that is not installed.
    """
    chosen = voice or load_voice(settings.engine)
    tls = ssl_context
    if tls is None and settings.tls_cert:
        tls = tls_context(settings.tls_cert, settings.tls_key)
    if settings.tokens_file:
        _check_tokens(settings.tokens_file)
    listeners = await trio.open_tcp_listeners(settings.port, host=settings.host or None)
    addresses = [listener.socket.getsockname()[:2] for listener in listeners]
    simulator = Simulator(addresses, faults=FaultSchedule(settings.faults), secure=tls is not None)
    door = Door(
        settings=settings,
        simulator=simulator,
        credentials=Credentials(settings.api_key, settings.tokens_file, accepts),
        secrets=ClientSecrets(settings),
        tls=tls,
        think=think,
        voice=chosen,
        recogniser=recogniser,
        quota=Quota(settings.quota),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, door.connected, listeners))
        _log.info("simulator listens", addresses=addresses, voice=chosen.name, service=settings.service)
        task_status.started(simulator)


class TokensFileError(ValueError):
    """The file of tokens cannot be read."""


def _check_tokens(name: str) -> None:
    try:
        Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokensFileError(f"file of tokens {name}: {error}") from error
