"""What a run left behind, put in order for judgement: a session with its lines, what it sent, charged and recorded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from protocol.conversation.actions import Action, Close, ToClient, ToUpstream
from server.store.records import Record
from tests.simulation.mind import Json
from tests.simulation.observer import Observed
from tests.simulation.plan import Plan
from tests.simulation.service import Line

if TYPE_CHECKING:
    from tests.simulation.page import Page, Story
    from tests.simulation.world import World

OWN_EVENT = "event_la_"
# After these a connection may be of no use for longer than a session waits.
_ILLNESSES = frozenset(
    {"connect refused", "mute", "blackhole", "not reading", "stall mid-frame", "trickle", "bad event", "repeated event"}
)
HELLO = "avatar.session"


@dataclass(slots=True)
class Emitted:
    """An event that a session sent or kept for its client; ``number``: its place, ``end_ms``: where its sound ends."""

    number: int
    at: float
    event: Json
    audio_ms: float
    item_id: str | None
    end_ms: float


@dataclass(eq=False)
class Case:
    """One session of the server.

    Attributes:
        greeted_after: how much had been sent when a client was greeted with an event.
        records: what it handed over to be kept, as a journal holds it, in order.
        drained_at: when the server began to drain.
        is_service_ill: something happened that may leave it without a service.
    """

    observed: Observed
    plan: Plan
    lines: list[Line] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    greeted_after: dict[str, int] = field(default_factory=dict)
    drained_at: float | None = None
    page: "Page | None" = None
    is_service_ill: bool = False
    story: "Story | None" = None

    @property
    def name(self) -> str:
        return self.observed.name

    @property
    def actions(self) -> list[tuple[float, Action]]:
        return self.observed.actions

    @cached_property
    def closed_at(self) -> float:
        """When its machine asked for the end; infinity if it never did."""
        return next((at for at, action in self.actions if isinstance(action, Close)), float("inf"))

    @cached_property
    def ending(self) -> Close | None:
        return next((action for _, action in self.actions if isinstance(action, Close)), None)

    @cached_property
    def emitted(self) -> dict[str, Emitted]:
        """What it sent to its client, by event id, each once, in order."""
        emitted: dict[str, Emitted] = {}
        sent_ms: dict[str, float] = {}
        for at, action in self.actions:
            if isinstance(action, ToClient):
                event = msgspec.json.decode(action.frame)
                if event["type"] == HELLO:
                    self.greeted_after[event["event_id"]] = len(emitted)
                if event["event_id"] in emitted or event["type"] == HELLO:
                    continue
                item_id = action.item_id or ""
                sent_ms[item_id] = end_ms = sent_ms.get(item_id, 0.0) + action.audio_ms
                emitted[event["event_id"]] = Emitted(len(emitted), at, event, action.audio_ms, action.item_id, end_ms)
        return emitted

    def said(self, event_type: str) -> Iterator[tuple[float, Json]]:
        """What it asked to have sent to the service, of one type."""
        begin = b'{"type":"%s"' % event_type.encode()
        for at, action in self.actions:
            if isinstance(action, ToUpstream) and action.frame.startswith(begin):
                yield at, msgspec.json.decode(action.frame)

    def delivered(self, event_type: str) -> Iterator[tuple[float, Line, Json]]:
        """What the service's lines delivered, of one type; frames that are no JSON are passed over."""
        begin = b'{"type":"%s"' % event_type.encode()
        for line in self.lines:
            for at, frame in line.delivered:
                if frame.startswith(begin):
                    try:
                        yield at, line, msgspec.json.decode(frame)
                    except msgspec.DecodeError:
                        continue


def cases(world: "World") -> list[Case]:
    """All sessions of a run, with the lines and the pages that were theirs."""
    is_ill = world.is_draining or any(fault in _ILLNESSES for fault, _ in world.struck)
    made = {
        session_id: Case(
            observed,
            world.plan,
            records=world.records.of(session_id),
            drained_at=world.drained_at,
            is_service_ill=is_ill,
        )
        for session_id, observed in world.observer.sessions.items()
    }
    for line in world.service.lines:
        if line.owner is not None:
            made[line.owner.session_id].lines.append(line)
    for page in world.pages:
        for story in page.stories:
            case = made.get(story.session_id) or _by_first_event(made, story)
            if case is not None:
                case.page, case.story = page, story
    return list(made.values())


def _by_first_event(made: dict[str, Case], story: "Story") -> Case | None:
    """A drop-in client is not told its session's id."""
    first = next((event["event_id"] for event in story.told), None)
    return next((case for case in made.values() if first in case.emitted), None)
