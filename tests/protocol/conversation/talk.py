"""A conversation under test: the machine between a scripted client and the model of the service, watched by the oracle.

Two wires of frames lie between machine and service, ``up`` and ``service.down``; a test says who reads when.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from protocol.avatar.events import Source
from protocol.conversation.actions import (
    Action,
    BudgetReached,
    Called,
    Charge,
    Check,
    Close,
    Connect,
    Disconnect,
    Evidence,
    Heard,
    Ignored,
    PurgeAudio,
    Record,
    Reservation,
    Reserve,
    RunTool,
    Said,
    SetDeadline,
    Stopped,
    Timed,
    ToClient,
    ToolResult,
    ToUpstream,
    Verdict,
)
from protocol.conversation.configuration import Configuration
from protocol.conversation.guard import GuardPolicy
from protocol.conversation.limits import Limits
from protocol.conversation.machine import Conversation
from protocol.endings import EndReason
from protocol.prices.terms import Terms
from server.prices.files import open_book
from tests.protocol.conversation.oracle import BY_CLIENT, Oracle
from tests.protocol.conversation.service import CLIENT_TOOL, SERVER_TOOL, Event, Service, Shape

BASE: Event = {"type": "realtime", "instructions": "You guide visitors.", "output_modalities": ["audio"]}
SOURCE = Source(id="p1", title="Hours", uri="hours.md", snippet="Open at nine.", score=1.5)


BOOK = open_book()
# Unix seconds at the beginning of the machine's clock.
WALL = 1_800_000_000.0


class Purse:
    """A budget of one session, as a tab answers for it."""

    def __init__(self, usd: str) -> None:
        self.usd = Decimal(usd)
        self.spent = self.held = Decimal(0)
        self.most = Decimal(0)

    def renew(self, asked: Reserve) -> Reservation:
        """Books what was spent, and sets aside what is asked for, if there is so much."""
        left = max(Decimal(0), self.held - (asked.spent - self.spent))
        self.spent = asked.spent
        fits = self.usd - self.spent >= asked.hold
        self.held = asked.hold if fits else min(left, asked.hold)
        self.most = max(self.most, self.held)
        return Reservation(
            spent=self.spent,
            held=self.held,
            refused_by="" if fits else "session",
            left=self.usd - self.spent,
            share=self.spent / self.usd,
        )


class Talk:
    """One conversation.

    Attributes:
        now: the machine's clock in seconds.
        seen: events that the client got, decoded.
        told: events that the machine sent to the service, decoded.
        actions: everything asked for.
        tools: calls that run, by call_id.
        checks: what is being looked at, by its id.
        deadlines: armed deadlines by name.
        terms: what a connection costs that opens.
    """

    def __init__(
        self,
        *shapes: Shape,
        avatar: bool = False,
        show_tools: bool = False,
        settable: frozenset[str] | None = None,
        interrupts: bool = True,
        answers_speech: bool = True,
        next_shape: Callable[[], Shape] | None = None,
        base: Event | None = None,
        opened: bool = True,
        limits: Limits | None = None,
        guard: GuardPolicy | None = None,
        purse: "Purse | None" = None,
    ) -> None:
        waiting = deque(shapes)
        self.service = Service(
            next_shape or (lambda: waiting.popleft() if waiting else ("say",)),
            interrupts=interrupts,
            answers_speech=answers_speech,
        )
        self._ids = 0
        self._client_events = 0
        self.configuration = Configuration(base or BASE, [SERVER_TOOL], settable=settable, show_tools=show_tools)
        self.configuration.guarded = guard is not None
        self.machine = Conversation(
            self.configuration,
            avatar_events=avatar,
            new_id=self._new_id,
            limits=limits,
            guard=guard,
            prices=BOOK,
            budgeted=purse is not None,
        )
        self.purse = purse
        self.reserves: deque[Reserve] = deque()
        self.oracle = Oracle(self.service.begun_by, show_tools=show_tools, interrupts=interrupts)
        self.now = 100.0
        self.terms = Terms(deployment="here", model="gpt-realtime")
        self.up: deque[bytes] = deque()
        self.seen: list[Event] = []
        self.told: list[Event] = []
        self.actions: list[Action] = []
        self.tools: dict[str, RunTool] = {}
        self.checks: dict[str, str] = {}
        self.deadlines: dict[str, float] = {}
        # The connections that were asked for and not opened; the one that is open, 0 for none; and those that stand by.
        self.asked_for: list[int] = []
        self.connection = 0
        self._perform(self.machine.on_start(self.now))
        if opened:
            self.open()
            self.settle()

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:06d}"

    def _perform(self, actions: list[Action]) -> list[Action]:
        self.reserves.extend(action for action in actions if isinstance(action, Reserve))
        self.oracle.owed_by_guard += sum(map(_asks_later, actions)) if self.purse is not None else 0
        self.oracle.check(actions)
        self.actions += actions
        for action in actions:
            match action:
                case ToClient(frame=frame):
                    self.seen.append(json.loads(frame))
                case ToUpstream(frame=frame, connection=connection):
                    if connection == self.connection:
                        self.up.append(frame)
                    self.told.append(json.loads(frame))
                case Connect(connection=connection):
                    self.asked_for.append(connection)
                case Disconnect(connection=connection):
                    if connection == self.connection:
                        self.connection = 0
                    if connection in self.asked_for:
                        self.asked_for.remove(connection)
                case RunTool(call_id=call_id):
                    self.tools[call_id] = action
                case Check(check_id=check_id, text=text):
                    self.checks[check_id] = text
                case SetDeadline(name=name, at=None):
                    self.deadlines.pop(name, None)
                case SetDeadline(name=name, at=float(at)):
                    self.deadlines[name] = at
        return actions

    # Inputs

    def open(self) -> list[Action]:
        """The connection that was asked for opens; after the first, the service knows nothing any more."""
        if not self.asked_for:
            return []
        self.oracle.something_else()
        self.connection = self.asked_for.pop(0)
        if self.connection > 1:
            self.up.clear()
            self.service = self.service.anew()
        wall = WALL + self.now
        return self._perform(self.machine.on_upstream_open(self.connection, self.now, wall=wall, terms=self.terms))

    def client(self, event: Event | bytes, *, is_text: bool = True) -> list[Action]:
        """The client sends an event; an object is marked as the client's."""
        if isinstance(event, dict):
            self._client_events += 1
            event = json.dumps({**event, BY_CLIENT: self._client_events}).encode()
        self.oracle.client_says(event if is_text else b"")
        if self.configuration.guarded and b"response.create" in event:
            self.oracle.owed_by_guard += 1
        return self._perform(self.machine.on_client(event, self.now, is_text=is_text))

    def upstream(self, event: Event | bytes) -> list[Action]:
        """A frame of the service arrives."""
        frame = event if isinstance(event, bytes) else json.dumps({"event_id": "event_x", **event}).encode()
        if (self.configuration.guarded or self.purse) and b"input_audio_buffer.committed" in frame:
            self.oracle.owed_by_guard += 1
        if self.connection:
            self.oracle.service_says(frame)
        else:
            self.oracle.something_else()
        return self._perform(self.machine.on_upstream(self.connection, frame, self.now))

    def dropped(self, dropped_ms: float) -> list[Action]:
        """The link dropped speech of the user's."""
        self.oracle.something_else()
        return self._perform(self.machine.on_audio_dropped(dropped_ms, self.now))

    def result(self, call_id: str, output: str = "Open at nine.", sources: Iterable[Source] = ()) -> list[Action]:
        """A tool's result arrives."""
        self.oracle.result_comes(call_id)
        self.tools.pop(call_id, None)
        return self._perform(
            self.machine.on_result(
                call_id, ToolResult(output, tuple(Evidence(source, source.snippet) for source in sources)), self.now
            )
        )

    def checked(self, *, passes: bool, rule: str = "") -> list[Action]:
        """The oldest look at what was said has its verdict."""
        check_id = next(iter(self.checks))
        del self.checks[check_id]
        self.oracle.something_else()
        return self._perform(self.machine.on_checked(check_id, Verdict(passes, rule), self.now))

    def pay(self) -> int:
        """The purse answers what was asked of it; returns how many that were."""
        answered = 0
        while self.reserves and self.purse is not None:
            answered += 1
            self.oracle.something_else()
            reservation = self.purse.renew(self.reserves.popleft())
            self._perform(self.machine.on_reserved(reservation, self.now))
        return answered

    def deadline(self, name: str) -> list[Action]:
        """A deadline fires."""
        self.deadlines.pop(name, None)
        self.oracle.deadline_passes(name)
        return self._perform(self.machine.on_deadline(name, self.now))

    def lose_upstream(self, reason: EndReason = EndReason.UPSTREAM_UNAVAILABLE) -> list[Action]:
        """The service's connection is gone."""
        self.oracle.something_else()
        self.up.clear()
        self.service.down.clear()
        lost, self.connection = self.connection or (self.asked_for or [0])[0], 0
        return self._perform(self.machine.on_upstream_lost(lost, reason, "gone", self.now))

    def end(self, reason: EndReason = EndReason.CLIENT_LOST) -> list[Action]:
        """The session must end."""
        self.oracle.something_else()
        return self._perform(self.machine.on_end(reason, "over", self.now))

    # The wires

    def pump(self, frames: int = 1) -> int:
        """The service reads frames of the machine; returns how many there were."""
        for count in range(frames):
            if not self.up:
                return count
            self.service.take(self.up.popleft())
        return frames

    def deliver(self, frames: int = 1) -> int:
        """The machine reads frames of the service; returns how many there were."""
        for count in range(frames):
            if not self.service.down:
                return count
            self.upstream(self.service.down.popleft())
        return frames

    def settle(self, *, generate: bool = True) -> None:
        """Lets everything run until nothing moves any more; tools stay unanswered."""
        while self.pump(1000) + (self.service.generate(1000) if generate else 0) + self.deliver(1000) + self.pay():
            pass

    def answer_tools(self) -> None:
        """Every tool gives its result, and everything settles, round after round."""
        self.settle()
        while self.tools:
            self.result(next(iter(self.tools)))
            self.settle()

    # What came of it

    def types(self, prefix: str = "") -> list[str]:
        """Types of what the client got, in order."""
        return [event["type"] for event in self.seen if event["type"].startswith(prefix)]

    def got(self, type_: str) -> list[Event]:
        """Events of a type that the client got."""
        return [event for event in self.seen if event["type"] == type_]

    def sent(self, type_: str) -> list[Event]:
        """Events of a type that the service was sent."""
        return [event for event in self.told if event["type"] == type_]

    def follow_ups(self) -> list[Event]:
        """The machine's own requests for a response."""
        return [event for event in self.sent("response.create") if BY_CLIENT not in event]

    def errors(self) -> list[Event]:
        """Errors that the client got."""
        return [event["error"] for event in self.got("error")]

    def lives(self) -> list[tuple[str, str]]:
        """What the client saw of responses: ``(id, in_progress)`` at the beginning, ``(id, status)`` at the end."""
        ends = [event["response"] for event in self.seen if event["type"] in ("response.created", "response.done")]
        return [(response["id"], response["status"]) for response in ends]

    def closings(self) -> list[Close]:
        """Close, if it was asked for."""
        return [action for action in self.actions if isinstance(action, Close)]

    def charges(self, kind: str = "response") -> list[Charge]:
        """What was billed."""
        return [action for action in self.actions if isinstance(action, Charge) and action.kind == kind]

    def purged(self) -> list[str]:
        """Items whose unsent sound was dropped."""
        return [action.item_id for action in self.actions if isinstance(action, PurgeAudio)]

    def ignored(self) -> list[Ignored]:
        """What was dropped by rule."""
        return [action for action in self.actions if isinstance(action, Ignored)]

    def record(self) -> list[Said | Heard | Timed | Called | Stopped]:
        """The record."""
        return [action.entry for action in self.actions if isinstance(action, Record)]

    def call(self) -> str:
        """The one call that runs."""
        (call_id,) = self.tools
        return call_id


def _asks_later(action: Action) -> bool:
    """Whether a request of the machine's own will follow from this, that it owes to its budget."""
    if isinstance(action, BudgetReached):
        return action.stage == "spent"  # a goodbye
    # What began without money is cancelled, and asked for when there is some.
    if not isinstance(action, ToUpstream) or b'"response.cancel"' not in action.frame:
        return False
    return b'"response_id"' in action.frame and BY_CLIENT.encode() not in action.frame


def ask(text: str | None = None, **params: Any) -> Event:
    """``response.create``; ``text`` is its event_id."""
    event: Event = {"type": "response.create"}
    if text is not None:
        event["event_id"] = text
    if params:
        event["response"] = params
    return event


def typed(text: str = "When does it open?", **more: Any) -> Event:
    """``conversation.item.create`` of a user's message."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return {"type": "conversation.item.create", "item": item, **more}


def with_client_tool(talk: Talk) -> Talk:
    """The client registers its tool."""
    talk.client({"type": "session.update", "session": {"type": "realtime", "tools": [CLIENT_TOOL]}})
    talk.settle()
    return talk
