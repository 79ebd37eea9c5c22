"""One client's session over its WebSocket: the tasks that read, send, write responses, ring alarms and ping.

When ``run`` is left, nothing of the session runs on.
"""

import math
from collections.abc import Callable
from typing import Any

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from protocol.realtime.codec import InvalidEvent, read_head
from server.simulator.alarms import Alarm, Alarms
from server.simulator.configuration import Configuration
from server.simulator.conversation import Entry
from server.simulator.faults import ConnectionFaults
from server.simulator.generation import Generator, Trouble
from server.simulator.hearing import Hearing, Recogniser
from server.simulator.identifiers import Ids
from server.simulator.meter import Meter, TokenRate
from server.simulator.mishaps import Mishaps
from server.simulator.outbox import Closing, Outbox
from server.simulator.response import LiveResponse
from server.simulator.session import Session
from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import Think
from server.simulator.transcribing import TranscriptionConfiguration
from server.simulator.voice import Voice
from server.simulator.wire import Wire

_log = structlog.get_logger("liveavatar.simulator")

# A client that does not answer a close frame is left after so long.
CLOSE_SECONDS = 2.0


class Connection:
    """A session's host: gives it time, tasks and a way out."""

    def __init__(
        self,
        websocket: WebSocketConnection,
        wire: Wire,
        *,
        configuration: Configuration | TranscriptionConfiguration,
        settings: SimulatorSettings,
        ids: Ids,
        think: Think,
        voice: Voice,
        recogniser: Recogniser | None,
        faults: ConnectionFaults,
        meter: Meter,
    ) -> None:
        self._websocket = websocket
        self._wire = wire
        self._settings = settings
        self._outbox = Outbox()
        self._alarms = Alarms()
        self._writing: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._trouble = trouble = Trouble()
        rate = TokenRate(settings.token_limit, self.now())
        self.session = Session(configuration, ids, self, Meter(meter), rate, settings)
        self._hears = recogniser is not None
        deployments = settings.models if settings.service == "azure" else ()
        self._hearing = Hearing(recogniser, trouble, self.session.meter, self.session.emit, deployments)
        self._generator = Generator(
            think=think,
            voice=voice,
            think_s=settings.think_ms / 1000,
            pace=settings.pace,
            trouble=trouble,
            ready=self._outbox.room,
            heard=self._hearing.settled,
        )
        self._mishaps = Mishaps(faults, self, self._outbox, wire, trouble)
        self._mishaps.concern(self.session)

    async def run(self) -> None:
        """Serve until either side ends the session."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.at(self.now() + self._settings.longest_seconds, self.session.expire)
            self.session.open()
            nursery.start_soon(self._send)
            nursery.start_soon(self._alarms.run)
            nursery.start_soon(self._ping)
            await self._read()
            nursery.cancel_scope.cancel()

    # -- the session's host ---------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds of trio's clock."""
        return trio.current_time()

    def send(self, event_type: str, frame: bytes) -> None:
        """Queue a frame."""
        self._outbox.put(event_type, frame)

    def end(self, code: int, reason: str) -> None:
        """Queue the close."""
        self._outbox.close(code, reason)

    def at(self, when: float, action: Callable[[], None]) -> Alarm:
        """Set an alarm of this connection."""
        return self._alarms.at(when, action)

    def generate(self, live: LiveResponse) -> None:
        """Start writing a response, in a task of its own."""
        scope = self._writing[live.id] = trio.CancelScope()
        self._spawned().start_soon(self._write, live, scope)

    def begins(self) -> bool:
        """Whether the next response is begun: not while a fault swallows it."""
        return not self._trouble.takes("unbegun")

    def stop(self, live: LiveResponse) -> None:
        """Stop writing it."""
        scope = self._writing.get(live.id)
        if scope is not None:
            scope.cancel()

    def transcribe(self, entry: Entry, audio_format: dict[str, Any], transcription: dict[str, Any] | None) -> None:
        """Listen to an item, in a task of its own."""
        if transcription is None and not self._hears:
            return
        self._hearing.expect(entry)
        self._spawned().start_soon(self._hearing.listen, entry, audio_format, transcription)

    # -- tasks ----------------------------------------------------------------------------------------------------

    def _spawned(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("the connection does not run yet")
        return self._nursery

    async def _read(self) -> None:
        while True:
            await self._mishaps.reading_held()
            # A client that asks and does not read is not listened to any further; the send's deadline ends it.
            await self._outbox.room()
            try:
                message = await self._websocket.get_message()
            except ConnectionClosed:
                return
            self._wire.message_arrived()
            await self._mishaps.before_receiving(_type_of(message))
            self.session.receive(message)

    async def _send(self) -> None:
        try:
            while True:
                outgoing = await self._outbox.take()
                if isinstance(outgoing, Closing):
                    await self._close(outgoing)
                    break
                following = await self._mishaps.before_sending(outgoing.event_type)
                if self._mishaps.mute:
                    continue
                if await self._mishaps.swapped(following, outgoing.frame):
                    continue
                await self._websocket.send_message(outgoing.frame.decode())
                self._mishaps.after_sending(following, outgoing)
        except ConnectionClosed:
            if self._wire.too_slow:
                _log.info("simulator client too slow", seconds=self._settings.send_seconds)
        self._spawned().cancel_scope.cancel()

    async def _close(self, closing: Closing) -> None:
        # Cancelling a close is harmless here: the wire is closed right after.
        with trio.move_on_after(CLOSE_SECONDS):
            await self._websocket.aclose(closing.code, closing.reason)

    async def _ping(self) -> None:
        seconds = self._settings.ping_seconds or math.inf
        while True:
            await trio.sleep(seconds)
            await self._mishaps.reading_held()
            # The ping that is cut off by this scope is the connection's last frame.
            with trio.move_on_after(seconds) as scope:
                try:
                    await self._websocket.ping()
                except ConnectionClosed:
                    return
            # A stalled service does not see the pong that it waits for.
            if scope.cancelled_caught and not self._mishaps.stalled:
                _log.info("simulator client mute", seconds=seconds)
                self._wire.reset()
                self._spawned().cancel_scope.cancel()

    async def _write(self, live: LiveResponse, scope: trio.CancelScope) -> None:
        with scope:
            await self._generator.write(live)
        self._writing.pop(live.id, None)


def _type_of(message: str | bytes) -> str:
    """The event type that faults go by; "" for a frame without one."""
    if isinstance(message, bytes):
        return ""
    try:
        return read_head(message.encode()).type
    except (InvalidEvent, UnicodeError):
        return ""
