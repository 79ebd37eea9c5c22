"""Whether the person is still there: when it is asked, when it is left, and what is no silence."""

import itertools

from protocol.conversation.actions import SetDeadline
from protocol.conversation.idle_watch import IDLE_DEADLINE, IdleWatch, Silence
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import Outlet


class Watched:
    """A watch that asks after 300 s and leaves 60 s later, with its clock at 100."""

    def __init__(self, prompt_s: float = 300.0) -> None:
        numbers = itertools.count()
        self.outlet = Outlet(lambda: str(next(numbers)))
        self.outlet.now = 100.0
        self.watch = IdleWatch(self.outlet, Limits(idle_prompt_s=prompt_s, idle_end_s=60.0))
        self.watch.start()
        self.due: float | None = None
        self.take()

    def take(self) -> None:
        for action in self.outlet.take():
            assert isinstance(action, SetDeadline)
            assert action.name == IDLE_DEADLINE
            self.due = action.at

    def look(self, *, busy: bool = False, heard_out_at: float = 0.0) -> tuple[float, Silence]:
        """The deadline passes; when that was, and what is to be done."""
        assert self.due is not None
        self.outlet.now, self.due = self.due, None
        silence = self.watch.look(busy=busy, heard_out_at=heard_out_at)
        at = self.outlet.now
        self.take()
        return at, silence

    def active(self, now: float) -> None:
        self.outlet.now = now
        self.watch.active()


def test_a_silent_person_is_asked_then_left() -> None:
    watched = Watched()
    assert watched.look() == (400, Silence.ASK)
    assert watched.look() == (460, Silence.LEAVE)


def test_who_says_something_is_asked_later() -> None:
    watched = Watched()
    watched.active(250)
    assert watched.look() == (400, Silence.BEAR)
    assert watched.look() == (550, Silence.ASK)


def test_who_answers_the_question_is_not_left() -> None:
    watched = Watched()
    assert watched.look() == (400, Silence.ASK)
    watched.active(410)
    assert watched.look() == (460, Silence.BEAR)
    assert watched.look() == (710, Silence.ASK)
    assert watched.look() == (770, Silence.LEAVE)


def test_the_question_itself_is_no_silence() -> None:
    watched = Watched()
    assert watched.look() == (400, Silence.ASK)
    assert watched.look(heard_out_at=405) == (460, Silence.BEAR)
    assert watched.look(heard_out_at=405) == (465, Silence.LEAVE)


def test_while_the_avatar_speaks_nobody_is_silent() -> None:
    watched = Watched()
    assert watched.look(heard_out_at=390) == (400, Silence.BEAR)
    assert watched.look(heard_out_at=390) == (690, Silence.ASK)
    watched = Watched()
    assert watched.look(heard_out_at=420) == (400, Silence.BEAR)
    assert watched.look(heard_out_at=420) == (720, Silence.ASK)


def test_while_something_is_under_way_nobody_is_silent() -> None:
    watched = Watched()
    assert watched.look(busy=True) == (400, Silence.BEAR)
    assert watched.look(busy=True) == (700, Silence.BEAR)
    assert watched.look() == (1000, Silence.ASK)


def test_who_speaks_up_after_the_goodbye_began_is_watched_as_before() -> None:
    watched = Watched()
    watched.look()
    assert watched.look() == (460, Silence.LEAVE)
    watched.active(465)
    assert watched.look() == (760, Silence.BEAR)
    assert watched.look() == (765, Silence.ASK)


def test_without_a_prompt_nothing_is_watched() -> None:
    watched = Watched(prompt_s=0.0)
    assert watched.due is None
    assert watched.watch.look(busy=False, heard_out_at=0) is Silence.BEAR
    watched.take()
    assert watched.due is None
