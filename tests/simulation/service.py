"""The model service as a connector: its lines are in-memory WebSockets, each with a session of the model behind it.

Every connection that the server gets of it is watched: what was delivered on it is known exactly, and what was not.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property
from random import Random
from typing import Any

import msgspec
import trio

from protocol.conversation.actions import ToUpstream
from server.session.session import Session
from server.transport.errors import ConnectionLost
from server.transport.memory import memory_wire_pair
from server.transport.websocket import WebSocket, WebSocketOptions
from server.upstream.base import UpstreamRefused, UpstreamUnreachable
from server.upstream.websocket import WebSocketConnection
from tests.simulation.journal import Journal
from tests.simulation.meter import MODELS
from tests.simulation.mind import Json
from tests.simulation.observer import Observer
from tests.simulation.realtime import Habits, ServiceSession
from tests.simulation.wires import HeldWire
from tests.transport.peers import open_websocket

NAME = "the model service"
CLOSE_S = 2.0
# The server's own bounds of its connections; an oversized frame is one beyond these.
_OPTIONS = WebSocketOptions(
    max_message_bytes=256 * 1024,
    max_audio_ms=2000,
    audio_overflow="drop-oldest",
    ping_interval_s=20,
    pong_timeout_s=20,
    stall_s=10,
)
OVERSIZED_BYTES = 300 * 1024


class Line:
    """One connection, from the service's side.

    Attributes:
        owner: the server's session that uses it.
        connection: the session's number of it.
        delivered: frames that the server has received on it; heard_until: how many before it left the line.
        said: frames that were said on it, delivered or not.
        opened_at, used_at, lost_at: virtual seconds; it is used once somebody is heard or answered on it.
        ended_by_server: it was closed in order, by the other side.
        was_busy: when it was lost, an answer was under way, or somebody was speaking.
        silent: it says nothing for the time being; what it would say is kept.
    """

    def __init__(self, number: int, websocket: WebSocket, wire: HeldWire, journal: Journal) -> None:
        self.number = number
        self.name = f"line {number}"
        self.websocket, self.wire, self.journal = websocket, wire, journal
        self.owner: Session | None = None
        self.session: ServiceSession
        self.connection: int | None = None
        self.heard_until: int | None = None
        self.delivered: list[tuple[float, bytes]] = []
        self.received: list[tuple[float, bytes]] = []
        self.said: list[bytes] = []
        self.opened_at = trio.current_time()
        self.lost_at: float | None = None
        self.used_at: float | None = None
        self.was_busy = False
        self.ended_by_server = False
        self.silent = False
        self._kept: list[bytes] = []

    @property
    def is_open(self) -> bool:
        return self.lost_at is None

    @cached_property
    def placed(self) -> set[str]:
        """Items of which the server was told that they are in the conversation; only once the run is over."""
        return {event["item"]["id"] for event in self.told("conversation.item.added")}

    @cached_property
    def finished(self) -> set[str]:
        """Items of an answer of which the server was told that they are complete; only once the run is over."""
        return {event["item"]["id"] for event in self.told("response.output_item.done")}

    @cached_property
    def told_by_server(self) -> set[str]:
        """Items that the server itself put into the conversation; only once the run is over."""
        begin = b'{"type":"conversation.item.create"'
        created = [msgspec.json.decode(frame) for _, frame in self.received if frame.startswith(begin)]
        return {event["item"]["id"] for event in created if "id" in event["item"]}

    def asked(self) -> Iterator[Json]:
        """All that it was told, in order; only once the run is over."""
        for _, frame in self.received:
            with contextlib.suppress(msgspec.DecodeError):
                yield msgspec.json.decode(frame)

    def spoken(self, item_id: str) -> str:
        """All words that it has said of an item, cut off or not; or that it was told of it."""
        return self.session.words.get(item_id, "")

    def told(self, event_type: str) -> Iterator[Json]:
        """Events of one type that the server got on it; only once the run is over."""
        begin = b'{"type":"%s"' % event_type.encode()
        for _, frame in self.delivered[: self.heard_until]:
            if frame.startswith(begin):
                yield msgspec.json.decode(frame)

    def say(self, frame: bytes) -> None:
        """Says a frame, or keeps it while the line is silent."""
        if self.silent:
            self._kept.append(frame)
        elif self.is_open:
            self.journal.note(f"{self.name} >", frame)
            self.said.append(frame)
            self.websocket.send(frame)

    def speak_again(self) -> None:
        """Ends a silence: what was kept is said."""
        kept, self._kept, self.silent = self._kept, [], False
        for frame in kept:
            self.say(frame)


class WatchedConnection(WebSocketConnection):
    """The server's end of a line."""

    def __init__(self, websocket: WebSocket, line: Line, observer: Observer) -> None:
        super().__init__(websocket, NAME, CLOSE_S)
        self.line = line
        self._observer = observer

    async def receive(self) -> bytes:
        frame = await super().receive()
        self.line.delivered.append((trio.current_time(), frame))
        return frame

    def send(self, frame: bytes, *, audio_ms: float = 0.0) -> None:
        action = self._observer.action
        if self.line.owner is None and isinstance(action, ToUpstream):
            self.line.owner, self.line.connection = self._observer.acting, action.connection
        super().send(frame, audio_ms=audio_ms)


class ModelService:
    """Implements ``Connector``.

    Attributes:
        obstacles: what the next tries to connect meet, in order: an HTTP status, ``hangs`` or ``unreachable``.
        reach: called when a line comes to a phase of a conversation.
    """

    name = NAME

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        journal: Journal,
        observer: Observer,
        reach: Callable[[str, Line | None], None],
        wall: Callable[[], float],
        habits: Habits,
        random: Random,
        utterances: dict[int, str],
    ) -> None:
        self._nursery, self._journal, self._observer = nursery, journal, observer
        self._reach, self._wall, self._habits, self._random = reach, wall, habits, random
        self._utterances = utterances
        self._counts: dict[str, itertools.count[int]] = {}
        self.lines: list[Line] = []
        self.obstacles: deque[int | str] = deque()
        self.tries: list[float] = []
        observer.on_left = self._left

    def new_id(self, kind: str) -> str:
        """An id that this service gives once."""
        return f"{kind}{'' if kind == 'a' else '_'}{next(self._counts.setdefault(kind, itertools.count(1)))}"

    def _left(self, session: Session, connection: int) -> None:
        for line in self.lines:
            if line.owner is session and line.connection == connection and line.heard_until is None:
                line.heard_until = len(line.delivered)

    async def connect(self) -> WatchedConnection:
        """A new line, or what stands in its way."""
        self.tries.append(trio.current_time())
        self._reach("upstream connect", None)
        await trio.sleep(self._random.choice((0.0, 0.05, 0.3)))
        if self.obstacles:
            await self._meet(self.obstacles.popleft())
        near, far = memory_wire_pair()
        far_end = HeldWire(far)
        websocket = open_websocket(far_end, "server", WebSocketOptions(max_message_bytes=2**25))
        line = Line(len(self.lines), websocket, far_end, self._journal)
        self.lines.append(line)
        self._nursery.start_soon(self._serve, line)
        return WatchedConnection(open_websocket(near, "client", _OPTIONS), line, self._observer)

    async def _meet(self, obstacle: int | str) -> None:
        self._journal.note("service", f"connecting meets {obstacle}")
        if obstacle == "hangs":
            await trio.sleep_forever()
        if obstacle == "unreachable":
            raise UpstreamUnreachable("Nobody answers.", code="upstream_unreachable", retryable=True)
        status = int(obstacle)
        raise UpstreamRefused(
            f"Refused with {status}.",
            code=f"upstream_http_{status}",
            retryable=status not in (401, 403),
            retry_after_s=2.0 if status == 429 else None,
        )

    async def _serve(self, line: Line) -> None:
        async with trio.open_nursery() as nursery:
            expires_at = self._wall() + self._habits.lifetime_s

            def say(event: Json) -> None:
                event = {"type": event["type"], "event_id": self.new_id("event"), **event}
                if event["type"] == "response.done":
                    self._reach("billing", line)
                line.say(msgspec.json.encode(event))

            line.session = ServiceSession(
                say=say,
                reach=lambda phase: self._reach(phase, line),
                new_id=self.new_id,
                utterances=self._utterances,
                habits=self._habits,
                nursery=nursery,
                expires_at=expires_at,
                model=MODELS[line.number % len(MODELS)],
            )
            nursery.start_soon(line.websocket.run)
            nursery.start_soon(self._expire, line, say)
            line.session.greet()
            await self._read(line)
            line.lost_at, line.was_busy = trio.current_time(), line.session.is_busy
            self._journal.note(line.name, "has ended")
            await line.websocket.aclose(CLOSE_S)
            nursery.cancel_scope.cancel()

    async def _read(self, line: Line) -> None:
        try:
            while True:
                frame = (await line.websocket.receive()).data
                line.received.append((trio.current_time(), frame))
                self._journal.note(f"{line.name} <", frame)
                line.session.take(frame)
                if line.used_at is None and line.session.took_over:
                    line.used_at = trio.current_time()
        except ConnectionLost as lost:
            line.ended_by_server = lost.by == "peer"

    async def _expire(self, line: Line, say: Callable[[Json], None]) -> None:
        await trio.sleep(self._habits.lifetime_s)
        message = "Your session hit its maximum duration."
        if self._habits.warns_of_expiry:
            error: dict[str, Any] = {"type": "invalid_request_error", "code": "session_expired", "message": message}
            say({"type": "error", "error": {**error, "param": None, "event_id": None}})
        line.websocket.close(1001, message)
