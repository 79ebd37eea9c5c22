"""The simulator's listener: accepts connections, judges handshakes, and keeps one connection's trouble from all others.

Ends no session of its own accord; a cancelled ``serve`` takes its connections with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from protocol.realtime import server_events as ev
from protocol.realtime.codec import encode
from server.simulator.admission import Refused, admit
from server.simulator.connection import CLOSE_SECONDS, Connection
from server.simulator.faults import HANDSHAKE, ConnectionFaults, FaultRule, FaultSchedule
from server.simulator.hearing import Recogniser
from server.simulator.identifiers import Ids, random_ids, seeded_ids
from server.simulator.meter import Meter
from server.simulator.refusal import INVALID_REQUEST
from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import Think, by_rule
from server.simulator.voice import Voice, load_voice
from server.simulator.wire import Wire

_log = structlog.get_logger("liveavatar.simulator")

# The service takes 15 MiB of audio in one append: 20 MiB of base64, and what stands around it.
MESSAGE_MAX_BYTES = 24 * 1024 * 1024
# With a queue of one, two unread messages keep pongs and closes from being seen.
MESSAGE_QUEUE = 16
RECEIVE_BYTES = 64 * 1024
HANDSHAKE_SECONDS = 10.0
_TOO_BIG = 1009


@dataclass(slots=True)
class Simulator:
    """A service that runs: where, and what came of it so far. All numbers count from its start."""

    addresses: list[tuple[str, int]]
    meter: Meter = field(default_factory=Meter)
    faults: FaultSchedule = field(default_factory=lambda: FaultSchedule(()))
    accepted: int = 0
    open_connections: int = 0

    @property
    def base_url(self) -> str:
        """``ws://HOST:PORT`` of the first address; append one of ``admission.PATHS`` and ``?model=``."""
        host, port = self.addresses[0]
        return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


async def serve(
    settings: SimulatorSettings,
    *,
    think: Think = by_rule,
    voice: Voice | None = None,
    recogniser: Recogniser | None = None,
    task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and serve until cancelled. Reports the running ``Simulator`` once it listens.

    Args:
        settings: see there.
        think: what responses contain.
        voice: what speaks; chosen by ``settings.engine`` if None.
        recogniser: finds the words in PCM16 at 24 kHz; without one, audio is not understood and the simulator says so.
        task_status: for ``nursery.start``.

    Raises:
        OSError: the address cannot be bound.
        VoiceUnavailableError: ``settings.engine`` insists on a voice that is not installed.
    """
    chosen = voice or load_voice(settings.engine)
    listeners = await trio.open_tcp_listeners(settings.port, host=settings.host or None)
    addresses = [listener.socket.getsockname()[:2] for listener in listeners]
    simulator = Simulator(addresses, faults=FaultSchedule(settings.faults))
    door = _Door(settings, simulator, think, chosen, recogniser)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, door.connected, listeners))
        _log.info("simulator listens", addresses=addresses, voice=chosen.name, service=settings.service)
        task_status.started(simulator)


@dataclass(slots=True)
class _Door:
    """What every new connection passes."""

    settings: SimulatorSettings
    simulator: Simulator
    think: Think
    voice: Voice
    recogniser: Recogniser | None

    async def connected(self, stream: trio.SocketStream) -> None:
        """Serve one TCP connection, whatever it turns out to be. Lets no exception out."""
        simulator = self.simulator
        simulator.accepted += 1
        nth = simulator.accepted
        wire = Wire(stream, self.settings.send_seconds)
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
        oversize = False
        async with trio.open_nursery() as nursery:
            request = await _handshake(nursery, wire)
            if request is not None:
                oversize = await self._requested(request, wire, nth)
            # What is left is trio-websocket's own reader.
            nursery.cancel_scope.cancel()
        if oversize:
            await wire.linger()

    async def _requested(self, request: WebSocketRequest, wire: Wire, nth: int) -> bool:
        """Serve a WebSocket request; True if it ended because a message was too big."""
        faults = self.simulator.faults.for_connection(nth)
        if await _fault_at_handshake(request, wire, faults):
            return False
        if self.simulator.open_connections > self.settings.max_connections:
            refused = Refused(429, "too_many_connections", "Too many connections are open. Try again later.")
            await _reject(request, refused, retry_after=1)
            return False
        verdict = admit(request.path, request.headers, request.proposed_subprotocols, self.settings)
        if isinstance(verdict, Refused):
            await self._refuse(request, verdict)
            return False
        websocket = await request.accept(subprotocol=verdict.subprotocol)
        connection = Connection(
            websocket,
            wire,
            model=verdict.model,
            settings=self.settings,
            ids=self._ids(nth),
            think=self.think,
            voice=self.voice,
            recogniser=self.recogniser,
            faults=faults,
            meter=self.simulator.meter,
        )
        await connection.run()
        return websocket.closed is not None and websocket.closed.code == _TOO_BIG

    def _ids(self, nth: int) -> Ids:
        return random_ids if self.settings.seed is None else seeded_ids(f"{self.settings.seed}:{nth}")

    async def _refuse(self, request: WebSocketRequest, refused: Refused) -> None:
        if self.settings.service == "azure" or not refused.close_code:
            await _reject(request, refused)
            return
        websocket = await request.accept(subprotocol=refused.subprotocol)
        detail = ev.ErrorDetail(type=INVALID_REQUEST, code=refused.code, message=refused.message)
        try:
            await websocket.send_message(encode(ev.Error(event_id=random_ids("event"), error=detail)).decode())
            with trio.move_on_after(CLOSE_SECONDS):
                await websocket.aclose(refused.close_code, refused.close_reason)
        except ConnectionClosed:
            return  # it did not stay to hear why


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


async def _reject(request: WebSocketRequest, refused: Refused, retry_after: int | None = None) -> None:
    headers = [(b"Content-Type", b"application/json")]
    if retry_after is not None:
        headers.append((b"Retry-After", str(retry_after).encode()))
    body = encode({"error": {"code": refused.code, "message": refused.message}})
    await request.reject(refused.status, extra_headers=headers, body=body)


async def _fault_at_handshake(request: WebSocketRequest, wire: Wire, faults: ConnectionFaults) -> bool:
    """Carry out what is due before the handshake is answered; True if it is thereby over."""
    actions: dict[str, Callable[[], None]] = {"drop": wire.drop, "reset": wire.reset}
    for rule in faults.due(HANDSHAKE):
        faults.fired(rule)
        if rule.do in actions:
            actions[rule.do]()
            return True
        if rule.do == "http":
            await _reject(request, _scripted(rule), rule.retry_after)
            return True
        if rule.ms is None:
            # A stall for good: until the client gives up.
            await wire.ended.wait()
            return True
        await trio.sleep(rule.ms / 1000)
    return False


def _scripted(rule: FaultRule) -> Refused:
    return Refused(rule.status, "simulated_fault", "The simulator was told to refuse this handshake.")


def _first(group: BaseExceptionGroup[Exception]) -> str:
    """The type and wording of the first exception in a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
