"""One connection after the other: when the next is asked for, what it is told, when it takes over, when that ends."""

import itertools
import json
from typing import Any

import msgspec
import pytest

from protocol.conversation.actions import Connect, Disconnect, SetDeadline, ToUpstream
from protocol.conversation.configuration import Configuration
from protocol.conversation.history import History
from protocol.conversation.limits import Limits
from protocol.conversation.notes import ANCHOR
from protocol.conversation.outlet import Outlet
from protocol.conversation.succession import (
    FORCED_S,
    OPENING_DEADLINE,
    OPENING_DEADLINE_S,
    RECONNECT_DEADLINE,
    ROLLOVER_DEADLINE,
    STANDBY_OPENING_DEADLINE,
    Connection,
    Phase,
    Succession,
)
from protocol.conversation.visibility import HiddenItems
from protocol.realtime.codec import Head
from protocol.realtime.items import Item

# Unix seconds at the beginning of the machine's clock.
WALL = 1_800_000_000
LIMITS = Limits(rollover_s=120, reconnect_s=30)


class Line:
    """A succession with its clock, its deadlines and what was asked for."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        numbers = itertools.count()
        self.outlet = Outlet(lambda: f"{next(numbers):04d}")
        self.outlet.now = 100.0
        self.history, self.hidden = History(), HiddenItems()
        self.configuration = Configuration({"instructions": "Be kind."}, [])
        self.succession = Succession(self.outlet, self.configuration, self.history, self.hidden, limits)
        self.deadlines: dict[str, float] = {}
        self.asked: list[Connect] = []
        self.gone: list[int] = []
        self.told: dict[int, list[dict[str, Any]]] = {}
        self.succession.start()
        self.look()

    @property
    def current(self) -> Connection:
        assert self.succession.current is not None
        return self.succession.current

    def is_open(self) -> bool:
        return self.outlet.is_open

    @property
    def standby(self) -> Connection:
        assert self.succession.standby is not None
        return self.succession.standby

    def look(self) -> None:
        for action in self.outlet.take():
            match action:
                case SetDeadline(name=name, at=None):
                    self.deadlines.pop(name, None)
                case SetDeadline(name=name, at=float(at)):
                    self.deadlines[name] = at
                case Connect():
                    self.asked.append(action)
                case Disconnect(connection=number):
                    self.gone.append(number)
                case ToUpstream(frame=frame, connection=number):
                    self.told.setdefault(number, []).append(json.loads(frame))

    def was_confirmed(self) -> bool:
        return self.succession.was_confirmed

    def phase(self) -> Phase:
        return self.current.phase

    def can_take_over(self) -> bool:
        return self.succession.can_take_over

    def must_take_over(self) -> bool:
        return self.succession.must_take_over

    def at(self, now: float) -> None:
        self.outlet.now = now

    def after(self, seconds: float) -> None:
        self.outlet.now += seconds

    def opens(self, connection: Connection) -> None:
        self.succession.opened(connection, WALL + self.outlet.now)
        self.look()

    def confirms(self, *, expires_in: float | None = None) -> None:
        """The service confirms the current connection, and says when it ends."""
        if expires_in is not None:
            self.succession.expires(self.current, int(WALL + self.outlet.now + expires_in))
        assert self.succession.confirmed_own(self.current)
        self.look()

    def begins(self, **kwargs: Any) -> None:
        self.opens(self.current)
        self.confirms(**kwargs)

    def stands_by(self) -> None:
        """The standby connection opens, and holds all that it was told."""
        standby = self.standby
        self.opens(standby)
        self.succession.standing_by(standby, Head(type="session.updated"), None)
        self.succession.standing_by(standby, Head(type="conversation.item.added"), standby.last_told)
        self.look()

    def due(self) -> None:
        self.at(self.deadlines.pop(ROLLOVER_DEADLINE))
        self.succession.rollover_due()
        self.look()

    def loses(self) -> bool:
        found = self.succession.lost()
        self.look()
        return found

    def types(self, number: int) -> list[str]:
        return [event["type"] for event in self.told.get(number, [])]

    def says(self, item_id: str) -> None:
        raw = {"id": item_id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": item_id}]}
        self.history.placed(msgspec.convert(raw, Item), None)


# Opening


def test_a_connection_is_configured_and_has_its_time_to_confirm() -> None:
    line = Line()
    assert [(asked.connection, asked.patience_s) for asked in line.asked] == [(1, None)]
    line.opens(line.current)
    assert line.types(1) == ["session.update"]
    assert line.deadlines == {OPENING_DEADLINE: 100 + OPENING_DEADLINE_S}
    assert not line.was_confirmed()
    line.confirms()
    assert line.phase() is Phase.READY
    assert line.was_confirmed()
    assert line.deadlines == {}
    assert not line.succession.confirmed_own(line.current), "the next is the client's"


def test_what_is_heard_of_a_connection_that_is_over_is_nobodys() -> None:
    line = Line()
    line.begins()
    assert line.succession.of(1) is line.current
    assert line.succession.of(2) is None
    line.loses()
    assert line.succession.of(1) is None
    assert line.succession.of(2) is line.current


def test_another_connection_is_told_the_conversation_and_that_it_is_one() -> None:
    line = Line()
    line.begins()
    line.says("a")
    line.says("b")
    line.loses()
    line.opens(line.current)
    assert line.types(2) == ["session.update", *["conversation.item.create"] * 3]
    items = [event["item"] for event in line.told[2][1:]]
    assert [item["id"] for item in items[:2]] == ["a", "b"]
    assert items[2]["content"][0]["text"] == ANCHOR
    assert items[2]["id"] in line.hidden
    assert line.current.echoes == {item["id"] for item in items}


# When the next is asked for


@pytest.mark.parametrize(
    ("expires_in", "limits", "at"),
    [
        (None, LIMITS, None),
        (1800, LIMITS, 1780),
        (1800, Limits(rollover_s=120, connection_s=600), 700),
        (1800, Limits(rollover_s=120, connection_s=3600), 1780),
        (None, Limits(connection_s=600), 700),
        (100, LIMITS, 150),  # in its middle
        (-50, LIMITS, 100),  # at once
    ],
)
def test_a_successor_is_asked_for_in_time(expires_in: float | None, limits: Limits, at: float | None) -> None:
    line = Line(limits)
    line.begins(expires_in=expires_in)
    assert line.deadlines.get(ROLLOVER_DEADLINE) == at


def test_a_successor_stands_by_when_it_holds_all_that_it_was_told() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.says("a")
    line.due()
    assert [asked.connection for asked in line.asked] == [1, 2]
    assert line.deadlines == {ROLLOVER_DEADLINE: 1900 - FORCED_S}
    standby = line.standby
    line.opens(standby)
    assert line.deadlines[STANDBY_OPENING_DEADLINE] == 1780 + OPENING_DEADLINE_S
    anchor = standby.last_told
    for event_type, item_id in [("session.updated", None), ("conversation.item.added", "a"), ("rate_limits", None)]:
        line.succession.standing_by(standby, Head(type=event_type), item_id)
        assert not line.can_take_over()
    line.succession.standing_by(standby, Head(type="conversation.item.added"), anchor)
    assert line.can_take_over()
    line.look()
    assert STANDBY_OPENING_DEADLINE not in line.deadlines
    assert line.is_open()
    assert line.current.number == 1


def test_what_changed_meanwhile_is_told_when_it_takes_over() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.says("a")
    line.due()
    line.stands_by()
    line.says("b")
    line.history.deleted("a")
    line.configuration.asked("e", {"instructions": "Be brief."})
    line.configuration.confirmed()
    told = len(line.told[2])
    line.succession.expires(line.standby, int(WALL + line.outlet.now + 3600))
    line.succession.take_over()
    line.look()
    assert line.types(2)[told:] == ["session.update", "conversation.item.delete", "conversation.item.create"]
    assert line.told[2][told]["session"]["instructions"] == "Be brief."
    assert line.current.deletions == ["a"]
    assert line.gone == [1]
    assert (line.current.number, line.succession.standby) == (2, None)
    assert line.deadlines[ROLLOVER_DEADLINE] == 1780 + 3600 - 120
    assert line.succession.confirmed_own(line.current), "what it confirms next is ours"


def test_what_did_not_change_is_not_told_again() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.says("a")
    line.due()
    line.stands_by()
    told = len(line.told[2])
    line.succession.take_over()
    line.look()
    assert line.told[2][told:] == []


def test_shortly_before_the_end_nothing_is_waited_for() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.due()
    assert not line.must_take_over()
    line.due()
    assert line.outlet.now == 1900 - FORCED_S
    assert line.must_take_over()
    assert len(line.asked) == 2
    assert ROLLOVER_DEADLINE not in line.deadlines


def test_a_standby_that_fails_is_tried_again_less_and_less_often() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.due()
    waits = []
    for _ in range(6):
        line.succession.lose_standby("no")
        line.look()
        assert line.succession.standby is None
        waits.append(line.deadlines[ROLLOVER_DEADLINE] - line.outlet.now)
        line.due()
    assert waits == [5, 10, 20, 40, 60, 60]
    assert line.gone == list(range(2, 8))
    line.stands_by()
    line.succession.lose_standby("it was fine")
    line.look()
    assert line.deadlines[ROLLOVER_DEADLINE] - line.outlet.now == 5
    line.succession.lose_standby("there is none")
    line.look()
    assert len(line.gone) == 7


# Loss


def test_who_is_lost_is_followed_at_once_and_within_a_time() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.after(60)
    assert line.loses()
    assert line.asked[-1] == Connect(2, 30)
    assert line.gone == [1]
    assert line.deadlines == {}
    assert not line.is_open()


def test_connections_that_are_lost_at_once_are_followed_more_and_more_slowly_and_then_not_at_all() -> None:
    line = Line()
    line.begins()
    line.after(60)
    waits = []
    while line.loses():
        if RECONNECT_DEADLINE in line.deadlines:
            waits.append(round(line.deadlines[RECONNECT_DEADLINE] - line.outlet.now, 3))
            line.at(line.deadlines.pop(RECONNECT_DEADLINE))
            line.succession.reconnect()
            line.look()
            assert line.asked[-1].patience_s == pytest.approx(190 - line.outlet.now)
        line.begins()
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5]
    assert line.outlet.now <= 190


def test_one_that_lived_for_long_makes_good_what_was_before_it() -> None:
    line = Line()
    line.begins()
    for _ in range(20):
        line.after(20)
        assert line.loses()
        assert line.asked[-1].patience_s == 30
        line.begins()


def test_the_time_to_find_another_is_not_lengthened_by_one_that_is_lost_again() -> None:
    line = Line()
    line.begins()
    line.after(60)
    assert line.loses()
    line.after(29)
    line.begins()
    assert line.loses()
    line.after(2)
    line.succession.reconnect()
    line.look()
    assert line.asked[-1].patience_s == 0.1
    assert not line.loses()


def test_nobody_reconnects_who_is_connected() -> None:
    line = Line()
    line.begins()
    line.succession.reconnect()
    line.look()
    assert len(line.asked) == 1


def test_a_successor_that_is_on_its_way_is_taken_whatever_its_state() -> None:
    line = Line()
    line.begins(expires_in=1800)
    line.due()
    standby = line.standby
    assert line.loses()
    assert line.current is standby
    assert not line.is_open()
    assert len(line.asked) == 2
    line.begins()
    assert line.is_open()

    line = Line()
    line.begins(expires_in=1800)
    line.due()
    standby = line.standby
    line.opens(standby)
    assert line.loses()
    assert line.current is standby
    assert line.is_open()
    assert line.deadlines[OPENING_DEADLINE] == line.outlet.now + OPENING_DEADLINE_S
    assert STANDBY_OPENING_DEADLINE not in line.deadlines
    line.confirms()
    assert line.phase() is Phase.READY


def test_what_was_not_settled_is_said_to_the_next() -> None:
    line = Line()
    line.begins()
    line.outlet.send_event({"type": "response.create", "event_id": "ask"})
    line.loses()
    line.outlet.send_event({"type": "response.cancel", "event_id": "cancel"})
    line.opens(line.current)
    assert line.types(2)[-2:] == ["response.create", "response.cancel"]
