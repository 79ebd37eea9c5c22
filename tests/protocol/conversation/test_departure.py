"""A session that is about to end waits for what is being said and heard, but not for long."""

import itertools

from protocol.conversation.actions import SetDeadline
from protocol.conversation.departure import DEPARTURE_DEADLINE, Departure
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.endings import EndReason

IDLE = EndReason.IDLE_TIMEOUT
RESTART = EndReason.RESTARTING


class Leaving:
    """A departure with its clock at 100."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self.outlet = Outlet(lambda: str(next(numbers)))
        self.outlet.now = 100.0
        self.playback = Playback()
        self.departure = Departure(self.outlet, self.playback)

    def announce(self, reason: EndReason, within_s: float) -> float | None:
        self.departure.announce(reason, reason.text, within_s)
        return self.deadline()

    def deadline(self) -> float | None:
        (action,) = self.outlet.take()
        assert isinstance(action, SetDeadline)
        assert action.name == DEPARTURE_DEADLINE
        return action.at

    def due(self, now: float, *, at_rest: bool = True) -> EndReason | None:
        self.outlet.now = now
        due = self.departure.due(at_rest=at_rest)
        if due is not None:
            assert due[1] == due[0].text
        return due[0] if due else None


def test_nobody_leaves_unannounced() -> None:
    leaving = Leaving()
    assert leaving.due(1e9) is None
    assert not leaving.departure.is_set


def test_when_nothing_is_said_or_heard_the_session_ends_at_once() -> None:
    leaving = Leaving()
    assert leaving.announce(IDLE, 15) == 115
    assert leaving.departure.is_set
    assert leaving.due(100) is IDLE


def test_an_answer_may_be_finished_and_heard_out() -> None:
    leaving = Leaving()
    leaving.playback.sent("a", 0, 4000, 100)
    leaving.announce(IDLE, 15)
    assert leaving.due(101, at_rest=False) is None
    assert leaving.due(102) is None
    assert leaving.deadline() == 104, "it is looked again when it has been heard"
    assert leaving.due(104) is IDLE


def test_but_not_for_longer_than_there_is_time() -> None:
    leaving = Leaving()
    leaving.playback.sent("a", 0, 60_000, 100)
    leaving.announce(IDLE, 15)
    assert leaving.due(102) is None
    assert leaving.deadline() == 115
    assert leaving.due(114.9, at_rest=False) is None
    assert leaving.due(115, at_rest=False) is IDLE


def test_a_second_reason_can_only_make_it_sooner() -> None:
    leaving = Leaving()
    leaving.announce(IDLE, 15)
    assert leaving.announce(RESTART, 30) == 115
    assert leaving.announce(RESTART, 5) == 105
    assert leaving.due(104, at_rest=False) is None
    assert leaving.due(105, at_rest=False) is IDLE


def test_who_is_there_after_all_is_not_left() -> None:
    leaving = Leaving()
    leaving.announce(IDLE, 15)
    leaving.departure.revoke(IDLE)
    assert leaving.deadline() is None
    assert not leaving.departure.is_set
    assert leaving.due(1e9) is None
    leaving.departure.revoke(IDLE)
    assert leaving.outlet.take() == []


def test_other_reasons_stand_whoever_is_there() -> None:
    leaving = Leaving()
    leaving.announce(RESTART, 5)
    leaving.departure.revoke(IDLE)
    assert leaving.outlet.take() == []
    assert leaving.due(105, at_rest=False) is RESTART


def test_who_is_there_after_all_does_not_stop_the_server_from_leaving() -> None:
    leaving = Leaving()
    leaving.announce(IDLE, 5)
    leaving.announce(RESTART, 8)
    leaving.departure.revoke(IDLE)
    assert leaving.deadline() == 108
    assert leaving.due(107, at_rest=False) is None
    assert leaving.due(108, at_rest=False) is RESTART
