"""The simulator's door: what every new connection passes, from its first byte to a session or a refusal.

Keeps one connection's trouble from all others.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from protocol.realtime import server_events as ev
from protocol.realtime.codec import encode
from server.simulator.admission import Admitted, admit, admit_issuing, service_of
from server.simulator.client_secrets import ClientSecrets
from server.simulator.configuration import Configuration
from server.simulator.connection import CLOSE_SECONDS, Connection
from server.simulator.credentials import Credentials
from server.simulator.faults import HANDSHAKE, ConnectionFaults, FaultSchedule
from server.simulator.hearing import Recogniser
from server.simulator.identifiers import Ids, random_ids, seeded_ids
from server.simulator.manners import Refused, Service, refused_over_http
from server.simulator.meter import Meter
from server.simulator.plain_http import METHOD, serve_request
from server.simulator.quota import Quota
from server.simulator.refusal import Refusal
from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import Think
from server.simulator.transcribing import TranscriptionConfiguration
from server.simulator.voice import Voice
from server.simulator.wire import Wire

_log = structlog.get_logger("liveavatar.simulator")

# The service takes 15 MiB of audio in one append: 20 MiB of base64, and what stands around it.
MESSAGE_MAX_BYTES = 24 * 1024 * 1024
# With a queue of one, two unread messages keep pongs and closes from being seen.
MESSAGE_QUEUE = 16
RECEIVE_BYTES = 64 * 1024
# For TLS and the first bytes, and as long again for the rest of a request's head.
HANDSHAKE_SECONDS = 10.0
_TOO_BIG = 1009
_BAD_REQUEST = 4000
# What somebody is told to wait who came while too many were connected, s.
_CROWDED_RETRY_SECONDS = 1


@dataclass(slots=True)
class Simulator:
    """A service that runs: where, and what came of it so far. All numbers count from its start."""

    addresses: list[tuple[str, int]]
    meter: Meter = field(default_factory=Meter)
    faults: FaultSchedule = field(default_factory=lambda: FaultSchedule(()))
    accepted: int = 0
    open_connections: int = 0
    secure: bool = False

    @property
    def base_url(self) -> str:
        """``ws://HOST:PORT`` (``wss://`` over TLS) of the first address; append a path and ``?model=``."""
        host, port = self.addresses[0]
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@dataclass(slots=True, kw_only=True)
class Door:
    """What every new connection passes. ``wall_clock`` gives Unix seconds."""

    settings: SimulatorSettings
    simulator: Simulator
    credentials: Credentials
    secrets: ClientSecrets
    tls: ssl.SSLContext | None
    think: Think
    voice: Voice
    recogniser: Recogniser | None
    quota: Quota
    wall_clock: Callable[[], float] = time.time

    async def connected(self, stream: trio.SocketStream) -> None:
        """Serve one TCP connection, whatever it turns out to be. Lets no exception out."""
        simulator = self.simulator
        simulator.accepted += 1
        nth = simulator.accepted
        wire = Wire(stream, self.settings.send_seconds, self.tls)
        simulator.open_connections += 1
        try:
            await self._served(wire, nth)
        except* Exception as group:  # noqa: BLE001
            # The one place that keeps a connection's trouble from the listener (a stock server dies of one bad
            # header, or of a ping during the close).
            _log.warning("simulator connection failed", connection=nth, error=_first(group))
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                await wire.aclose()
            simulator.open_connections -= 1

    async def _served(self, wire: Wire, nth: int) -> None:
        with trio.move_on_after(HANDSHAKE_SECONDS) as beginning:
            await wire.secure()
            method = await wire.peek(len(METHOD))
        if beginning.cancelled_caught:
            return
        if method == METHOD:
            await serve_request(wire, self._posted)
            return
        oversize = False
        async with trio.open_nursery() as nursery:
            request = await _handshake(nursery, wire)
            if request is not None:
                oversize = await self._requested(request, wire, nth)
            # What is left is trio-websocket's own reader.
            nursery.cancel_scope.cancel()
        if oversize:
            await wire.linger()

    def _posted(self, target: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, dict[str, object]]:
        verdict = admit_issuing(target, headers, self.settings, self.credentials)
        if isinstance(verdict, Refused):
            return verdict.status, verdict.body()
        return self.secrets.issue(verdict, body)

    async def _requested(self, request: WebSocketRequest, wire: Wire, nth: int) -> bool:
        """Serve a WebSocket request; True if it ended because a message was too big."""
        faults = self.simulator.faults.for_connection(nth)
        service = service_of(request.path, self.settings)
        if await _fault_at_handshake(request, wire, faults, service):
            return False
        if self.simulator.open_connections > self.settings.max_connections:
            crowded = "Too many connections are open. Please try again later."
            refused = refused_over_http(service, 429, message=crowded, retry_after=_CROWDED_RETRY_SECONDS)
            await _reject(request, refused)
            return False
        offered = request.proposed_subprotocols
        verdict = admit(request.path, request.headers, offered, self.settings, self.credentials, self.secrets)
        if isinstance(verdict, Refused):
            await _refuse(request, verdict)
            return False
        wait_seconds = self.quota.take(trio.current_time())
        if wait_seconds is not None:
            await _reject(request, refused_over_http(service, 429, retry_after=wait_seconds))
            return False
        # From here on it is one service's session.
        settings = msgspec.structs.replace(self.settings, service=service)
        ids = self._ids(nth)
        try:
            configuration = self._configuration(verdict, settings, ids)
        except Refusal as refusal:
            await _refuse(request, _refused_preset(service, refusal, verdict.subprotocol))
            return False
        websocket = await request.accept(subprotocol=verdict.subprotocol)
        connection = Connection(
            websocket,
            wire,
            configuration=configuration,
            settings=settings,
            ids=ids,
            think=self.think,
            voice=self.voice,
            recogniser=self.recogniser,
            faults=faults,
            meter=self.simulator.meter,
        )
        await connection.run()
        return websocket.closed is not None and websocket.closed.code == _TOO_BIG

    def _configuration(
        self, admitted: Admitted, settings: SimulatorSettings, ids: Ids
    ) -> Configuration | TranscriptionConfiguration:
        session_id, expires_at = ids("sess"), int(self.wall_clock() + settings.longest_seconds)
        configuration: Configuration | TranscriptionConfiguration = (
            TranscriptionConfiguration(session_id, expires_at)
            if admitted.transcription
            else Configuration(session_id, admitted.model, settings.voice, expires_at)
        )
        if admitted.preset is not None:
            configuration.update(admitted.preset, voice_locked=False)
        return configuration

    def _ids(self, nth: int) -> Ids:
        return random_ids if self.settings.seed is None else seeded_ids(f"{self.settings.seed}:{nth}")


async def _handshake(nursery: trio.Nursery, wire: Wire) -> WebSocketRequest | None:
    """The request that a connection makes; None if it made none in time, left, or spoke something else."""
    request: WebSocketRequest | None = None
    async with trio.open_nursery() as waiting:

        async def give_up() -> None:
            await wire.ended.wait()
            waiting.cancel_scope.cancel()

        waiting.start_soon(give_up)
        with trio.move_on_after(HANDSHAKE_SECONDS):
            request = await wrap_server_stream(
                nursery,
                wire,
                message_queue_size=MESSAGE_QUEUE,
                max_message_size=MESSAGE_MAX_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )
        waiting.cancel_scope.cancel()
    return request


async def _refuse(request: WebSocketRequest, refused: Refused) -> None:
    """Refuse as the service does: with HTTP, or after the upgrade with an error and a close."""
    if not refused.close_code:
        await _reject(request, refused)
        return
    websocket = await request.accept(subprotocol=refused.subprotocol)
    detail = ev.ErrorDetail(type=refused.kind, code=refused.code, message=refused.message)
    try:
        await websocket.send_message(encode(ev.Error(event_id=random_ids("event"), error=detail)).decode())
        with trio.move_on_after(CLOSE_SECONDS):
            await websocket.aclose(refused.close_code, refused.close_reason)
    except ConnectionClosed:
        return  # it did not stay to hear why


def _refused_preset(service: Service, refusal: Refusal, subprotocol: str | None) -> Refused:
    """The session of a client secret that the model of the handshake cannot have."""
    detail = refusal.detail
    close_code = _BAD_REQUEST if service == "openai" else 0
    return Refused(
        service=service,
        status=400,
        code=detail.code or None,
        message=detail.message,
        close_code=close_code,
        subprotocol=subprotocol,
    )


async def _reject(request: WebSocketRequest, refused: Refused) -> None:
    headers = [(b"Content-Type", b"application/json")]
    if refused.retry_after is not None:
        headers.append((b"Retry-After", str(refused.retry_after).encode()))
    await request.reject(refused.status, extra_headers=headers, body=encode(refused.body()))


async def _fault_at_handshake(
    request: WebSocketRequest, wire: Wire, faults: ConnectionFaults, service: Service
) -> bool:
    """Carry out what is due before the handshake is answered; True if it is thereby over."""
    actions: dict[str, Callable[[], None]] = {"drop": wire.drop, "reset": wire.reset}
    for rule in faults.due(HANDSHAKE):
        faults.fired(rule)
        if rule.do in actions:
            actions[rule.do]()
            return True
        if rule.do == "http":
            code = None if rule.code is None else str(rule.code)
            refused = refused_over_http(
                service, rule.status, code=code, message=rule.message, retry_after=rule.retry_after
            )
            await _reject(request, refused)
            return True
        if rule.ms is None:
            # A stall for good: until the client gives up.
            await wire.ended.wait()
            return True
        await trio.sleep(rule.ms / 1000)
    return False


def _first(group: BaseExceptionGroup[Exception]) -> str:
    """The type and wording of the first exception in a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
