"""A person's page: connects, comes back when its connection is lost, plays what it gets, and tells what was played.

It does what a good page does and knows only what the wire says. What a person saw and heard of each session is its
story: the events in the order of arrival, each once.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import msgspec
import trio

from server.transport.client import handshake
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused
from server.transport.memory import MemoryWire
from server.transport.websocket import WebSocket, WebSocketOptions
from tests.simulation import sound
from tests.simulation.journal import Journal
from tests.simulation.mind import Json
from tests.simulation.player import Player
from tests.simulation.wires import HeldWire

HANDSHAKE_S = 10.0
MAX_VISITS = 12
BACK_OFF_S = (0.1, 0.5, 3.0, 4.0, 5.0)
# Close codes after which coming back with the same token makes no sense: anew, or not at all.
ANEW = frozenset({1011, 1013, 4410, 4502, 4504, 4402, 4429, 1001, 1012})
NEVER = frozenset({1000, 1002, 1003, 1007, 1009, 4000, 4401, 4403, 4404, 4408})
# Errors that are said before there is a session or instead of one, and to a connection that is no longer its: no
# session knows them, so nobody can resume from there.
NOT_OF_THE_SESSION = frozenset({"event_la_refused", "event_la_superseded"})
# What a connection says after another has taken its place.
STALE = "stale"


@dataclass(slots=True, eq=False)
class Visit:
    """One connection of a page.

    Attributes:
        init: the first frame.
        hello: the server's ``avatar.session``.
        events: everything that came, with its time.
        ended: how it ended: a close code, an HTTP status, or None for a connection that was lost.
    """

    number: int
    wire: HeldWire
    init: Json
    websocket: WebSocket | None = None
    hello: Json | None = None
    events: list[tuple[float, Json]] = field(default_factory=list)
    is_over: bool = False
    ended: int | None = None


@dataclass(slots=True)
class Story:
    """What a person saw of one session.

    Attributes:
        told: the events, each once, in the order of arrival; told_on: the connections they came on, and when.
        gaps: the places where the server said that it cannot recover what was before; cuts: those where it resumed.
        acknowledged: what the page told of having played.
    """

    session_id: str
    told: list[Json] = field(default_factory=list)
    told_on: list[tuple[Visit, float]] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    ids: dict[str, None] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)


def typed(words: str) -> bytes:
    """Words of the user, typed."""
    content = [{"type": "input_text", "text": words}]
    item = {"type": "message", "role": "user", "content": content}
    return msgspec.json.encode({"type": "conversation.item.create", "item": item})


class Page:
    """One page, from the first visit to the last."""

    def __init__(
        self,
        name: str,
        *,
        dial: Callable[[], MemoryWire],
        reach: Callable[[str, "Page"], None],
        journal: Journal,
        random: Random,
        path: str,
        key: str | None,
        acknowledges: bool,
    ) -> None:
        self.name, self.path = name, path
        self._dial, self._reach, self._journal, self._random = dial, reach, journal, random
        self._key, self._acknowledges = key, acknowledges
        self.visits: list[Visit] = []
        self.stories: list[Story] = []
        self.tokens: list[str] = []
        self.current: Visit | None = None
        self.player = Player()
        self.counts: Counter[str] = Counter()
        self.may_resume = True
        self.is_over = False
        self.is_hindered = False
        self._told_played: dict[str, list[tuple[float, float]]] = {}
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def story(self) -> Story | None:
        return self.stories[-1] if self.stories else None

    @property
    def is_open(self) -> bool:
        """Whether it is in a session, as far as it knows."""
        return self.current is not None and not self.current.is_over and self.current.websocket is not None

    @property
    def is_avatar(self) -> bool:
        return self.path == "/ws"

    # Coming and going

    async def live(self) -> None:
        """Visits until it is told to leave, or told not to come back."""
        async with trio.open_nursery() as self._nursery:
            if self._acknowledges and self.is_avatar:
                self._nursery.start_soon(self._acknowledge)
            failures = 0
            while not self.is_over and len(self.visits) < MAX_VISITS:
                visit = self.visit(self.init())
                while self._may_wait():
                    await self._news()
                self._abandon_rest()
                failures = 0 if visit.hello is not None else failures + 1
                if self._last_ended() in NEVER:
                    break
                with trio.move_on_after(self._random.choice(BACK_OFF_S[: failures + 3])):
                    while not self.is_over:
                        await self._news()
            self.is_over = True
            self._tell()
            self._abandon_rest()
            with trio.move_on_after(60):
                while not all(visit.is_over for visit in self.visits):
                    await self._news()
            self._nursery.cancel_scope.cancel()

    def _may_wait(self) -> bool:
        """Whether there is a connection left that it is served on, or that may yet be."""
        pending = [visit for visit in self.visits if not visit.is_over and visit.hello is None]
        return not self.is_over and (self.is_open or bool(pending))

    def _abandon_rest(self) -> None:
        for visit in self.visits:
            if visit.websocket is not None and not visit.is_over:
                visit.websocket.close(1000)

    def _last_ended(self) -> int | None:
        """What the page was told when the last of its connections ended."""
        return (self.current or self.visits[-1]).ended

    async def _news(self) -> None:
        await self._changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Waits until something holds that news from the server may bring about; False if it did not in time."""
        with trio.move_on_after(seconds):
            while not holds() and not self.is_over:
                await self._news()
        return holds()

    def leave(self) -> None:
        """Closes as a page does that is done."""
        self.is_over = True
        self._tell()

    def init(self, **resume: object) -> Json:
        """The first frame: with what is needed to resume, if there is something to resume. ``resume`` replaces it."""
        init: Json = {"type": "session.init", "kb_id": "museum"}
        if self._key is not None:
            init["token"] = self._key
        if resume:
            init["resume"] = resume
        elif self.may_resume and self.tokens and self.story is not None:
            last = next((id_ for id_ in reversed(self.story.ids) if id_ not in NOT_OF_THE_SESSION), None)
            init["resume"] = {"session_id": self.story.session_id, "token": self.tokens[-1], "last_event_id": last}
        return init

    def visit(self, init: Json) -> Visit:
        """Opens another connection, whatever becomes of those there are."""
        visit = Visit(len(self.visits), HeldWire(self._dial()), init)
        self.visits.append(visit)
        assert self._nursery is not None
        self._nursery.start_soon(self._stay, visit)
        return visit

    async def _stay(self, visit: Visit) -> None:
        self._reach("handshake", self)
        try:
            await self._converse(visit)
        except HandshakeRefused as refusal:
            visit.ended = refusal.status
        except (ConnectFailed, trio.TooSlowError):
            pass
        visit.is_over = True
        self._journal.note(self.name, f"visit {visit.number} is over: {visit.ended}")
        if visit.ended in ANEW and (visit.ended not in (1001, 1012)) and visit is self.current:
            self.may_resume = False
        if visit.hello is None and visit.init.get("resume") and visit.ended is not None:
            self.may_resume = False  # it was refused
        visit.wire.close()
        self._tell()

    async def _converse(self, visit: Visit) -> None:
        options = WebSocketOptions(max_message_bytes=2**22)
        with trio.fail_after(HANDSHAKE_S):
            headers = {"Authorization": f"Bearer {self._key}"} if self._key and not self.is_avatar else None
            websocket = await handshake(visit.wire, f"ws://localhost{self.path}", headers=headers, options=options)
        visit.websocket = websocket
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            try:
                if self.is_avatar:
                    self._send(visit, msgspec.json.encode(visit.init))
                    self._reach("auth", self)
                    if visit.init.get("resume"):
                        self._reach("resume replay", self)
                while True:
                    self._take(visit, (await websocket.receive()).data)
            except ConnectionLost as lost:
                visit.ended = lost.code if lost.by == "peer" else None
            finally:
                await websocket.aclose(2)  # noqa: ASYNC102 - shields itself, with a deadline
                nursery.cancel_scope.cancel()

    # Hearing

    def _take(self, visit: Visit, frame: bytes) -> None:
        now = trio.current_time()
        self._journal.note(f"{self.name}.{visit.number} <", frame)
        event = msgspec.json.decode(frame)
        visit.events.append((now, event))
        if event["type"] == "avatar.session":
            if self.is_open and self.current is not None and self.current.number > visit.number:
                visit.hello = event  # it comes too late: another has been opened since, and is served
            else:
                self._begin(visit, event)
        elif not self.is_avatar and visit.hello is None:
            self._begin(visit, {"session_id": f"{self.name}.{visit.number}"})
        if visit is self.current and self.story is not None:
            self._learn(self.story, visit, event, now)
        self._tell()

    def _begin(self, visit: Visit, hello: Json) -> None:
        older, self.current, visit.hello = self.current, visit, hello
        is_same = older is not None and older.hello is not None and older.hello["session_id"] == hello["session_id"]
        if is_same and older is not None and older is not visit and not older.is_over and older.websocket is not None:
            self._send(older, typed(f"u0 {STALE}"))
        if self.story is None or self.story.session_id != hello["session_id"]:
            self.stories.append(Story(hello["session_id"]))
            self.player.stop(trio.current_time())
            self.tokens.clear()
        elif hello.get("recovered") is False:
            assert self.story is not None
            self.story.gaps.append(len(self.story.told))
        else:
            self.story.cuts.append(len(self.story.told))
        if hello.get("resume_token"):
            self.tokens.append(hello["resume_token"])
            self.may_resume = True

    def _learn(self, story: Story, visit: Visit, event: Json, now: float) -> None:
        if event["event_id"] in story.ids:
            return
        story.ids[event["event_id"]] = None
        story.told.append(event)
        self.counts[event["type"]] += 1
        story.told_on.append((visit, now))
        if event["type"] == "response.output_audio.delta":
            self.player.take(event["item_id"], sound.decode(event["delta"]).ms, now)
        elif event["type"] == "input_audio_buffer.speech_started":
            self.player.stop(now)
            self.acknowledge()

    async def _acknowledge(self) -> None:
        while True:
            await trio.sleep(0.5)
            if self.player.is_playing(trio.current_time() - 0.5):
                self.acknowledge()

    def acknowledge(self) -> None:
        """Tells what was played of what is being played."""
        story = self.story
        if not (self._acknowledges and self.is_avatar and story is not None):
            return
        for item_id, ms in self.player.played(trio.current_time()).items():
            if ms > story.acknowledged.get(item_id, -1.0) and self.say(
                "avatar.playback", item_id=item_id, played_ms=ms
            ):
                story.acknowledged[item_id] = ms
                self._told_played.setdefault(item_id, []).append((trio.current_time(), ms))

    def heard_by(self, item_id: str, at: float) -> float | None:
        """What it had told of an item's being heard before a time; None if nothing, or if that may not have arrived."""
        told = self._told_played.get(item_id, [])
        is_known = any(told_at < at for told_at, _ in told) and len(self.visits) == 1 and not self.is_hindered
        return max(ms for told_at, ms in told if told_at <= at) if is_known else None

    # Saying

    def say(self, event_type: str, **fields: object) -> bool:
        """Says an event, if it is connected."""
        return self.utter(msgspec.json.encode({"type": event_type, **fields}))

    def utter(self, frame: bytes) -> bool:
        """Sends any text frame, if it is connected."""
        visit = self.current
        if visit is None or visit.is_over or visit.websocket is None:
            return False
        self._send(visit, frame)
        return True

    def _send(self, visit: Visit, frame: bytes) -> None:
        assert visit.websocket is not None
        self._journal.note(f"{self.name}.{visit.number} >", frame)
        visit.websocket.send(frame)

    def of(self, event_type: str) -> list[Json]:
        """What it has seen of a type, in all its sessions."""
        return [event for story in self.stories for event in story.told if event["type"] == event_type]
