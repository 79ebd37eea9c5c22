"""When things were said, and how long the parts of an answer took, for the record."""

import itertools

from protocol.conversation.actions import Record, Timed
from protocol.conversation.outlet import Outlet
from protocol.conversation.times import Times


class Clock:
    """Times at an outlet whose clock is moved by hand; it stands at 100."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self.outlet = Outlet(lambda: f"{next(numbers):04d}")
        self.outlet.now = 100.0
        self.times = Times(self.outlet)

    def after(self, seconds: float) -> Times:
        self.outlet.now += seconds
        return self.times

    def recorded(self) -> list[Timed]:
        entries = [action.entry for action in self.outlet.take() if isinstance(action, Record)]
        return [entry for entry in entries if isinstance(entry, Timed)]


def test_a_transcript_has_the_time_of_its_speech() -> None:
    clock = Clock()
    clock.times.item_began("item_1")
    clock.after(3).item_began("item_1")
    assert clock.times.onset("item_1") == 100.0
    assert clock.times.onset("item_2") == 103.0
    assert clock.times.onset(None) == 103.0


def test_what_is_remembered_of_items_is_bounded() -> None:
    clock = Clock()
    for number in range(1000):
        clock.after(1).item_began(f"item_{number}")
    assert clock.times.onset("item_999") == 1100.0
    assert clock.times.onset("item_0") == clock.outlet.now, "forgotten"


def test_an_answer_with_a_search() -> None:
    clock = Clock()
    clock.times.question_ended()
    clock.after(0.1).answer_began()
    clock.after(0.1).search_began()
    clock.after(0.2).search_began()
    clock.after(0.1).search_ended()
    clock.after(0.1).search_ended()
    clock.after(0.1).words("item_a")
    clock.after(0.05).sound("item_a")
    clock.after(0.05).sound("item_b")
    clock.after(1).answer_ended("resp_2", "completed")
    [timed] = clock.recorded()
    assert (timed.item_id, timed.response_id, timed.status, timed.at) == ("item_a", "resp_2", "completed", 100.0)
    assert (timed.search_began_ms, timed.search_ended_ms) == (200.0, 600.0)
    assert (timed.first_token_ms, timed.first_audio_ms, timed.ended_ms) == (700.0, 750.0, 1800.0)


def test_an_answer_that_nobody_asked_for_is_timed_from_its_beginning() -> None:
    clock = Clock()
    clock.after(5).answer_began()
    clock.after(0.3).sound("item_a")
    clock.after(0.7).answer_ended("resp_1", "cancelled")
    [timed] = clock.recorded()
    assert (timed.at, timed.first_audio_ms, timed.first_token_ms, timed.ended_ms) == (105.0, 300.0, None, 1000.0)


def test_an_answer_of_which_nothing_was_said_has_no_times_and_leaves_none_to_the_next() -> None:
    clock = Clock()
    clock.times.question_ended()
    clock.times.answer_began()
    clock.after(1).search_began()
    clock.after(1).answer_ended("resp_1", "failed")
    clock.after(1).answer_began()
    clock.after(1).words("item_b")
    clock.times.answer_ended("resp_2", "completed")
    [timed] = clock.recorded()
    assert (timed.item_id, timed.at, timed.search_began_ms) == ("item_b", 103.0, None)
