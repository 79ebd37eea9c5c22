"""When the service does not do its part: what is tried, in which order, and when it is given up."""

import itertools

import pytest

from protocol.conversation.actions import SetDeadline
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import Outlet
from protocol.conversation.service_watch import RESPONSE_DEADLINE, STALL_DEADLINE, ServiceWatch, Verdict
from protocol.realtime.error_classes import ErrorClass
from protocol.realtime.response import ErrorInfo, Response, StatusDetails

LIMITS = Limits(response_s=10, stall_s=30, failures=3)


class Watched:
    """A watch, its clock and its deadlines."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self.outlet = Outlet(lambda: str(next(numbers)))
        self.outlet.open_upstream(1)
        self.watch = ServiceWatch(self.outlet, LIMITS)
        self.deadlines: dict[str, float] = {}
        self.at(100.0)

    def at(self, now: float) -> None:
        self.outlet.now = now

    def see(self, *, owes: bool = False, generating: bool = False) -> None:
        self.watch.see(owes=owes, generating=generating)
        self.look()

    def look(self) -> None:
        for action in self.outlet.take():
            assert isinstance(action, SetDeadline)
            if action.at is None:
                self.deadlines.pop(action.name, None)
            else:
                self.deadlines[action.name] = action.at

    def overdue(self, *, to_speech: bool = False) -> Verdict:
        self.at(self.deadlines.pop(RESPONSE_DEADLINE, self.outlet.now))
        verdict = self.watch.overdue(to_speech=to_speech)
        self.look()
        return verdict

    def stalls(self) -> bool:
        self.at(self.deadlines.pop(STALL_DEADLINE, self.outlet.now))
        stalled = self.watch.stalled()
        self.look()
        return stalled

    def replaced(self) -> None:
        """The connection is lost, and another is there a second later."""
        self.outlet.lose_upstream()
        self.watch.connection_replaced()
        self.see()
        self.at(self.outlet.now + 1)
        self.outlet.open_upstream(2)
        self.watch.connection_replaced()
        self.look()


def ended(status: str, error_type: str | None = "server_error") -> Response:
    error = ErrorInfo(type=error_type) if error_type is not None else None
    return Response(id="r", status=status, status_details=StatusDetails(type=status, error=error))


def test_an_answer_is_waited_for_from_when_it_is_owed_until_it_begins() -> None:
    watched = Watched()
    watched.see(owes=True)
    assert watched.deadlines == {RESPONSE_DEADLINE: 110}
    watched.at(105)
    watched.see(owes=True)
    assert watched.deadlines == {RESPONSE_DEADLINE: 110}, "not from the last step on"
    watched.see(generating=True)
    assert watched.deadlines == {STALL_DEADLINE: 135}
    watched.see()
    assert watched.deadlines == {}


def test_an_answer_to_speech_is_asked_for_then_another_connection_then_it_is_given_up() -> None:
    watched = Watched()
    watched.see(owes=True)
    assert watched.overdue(to_speech=True) is Verdict.ASK
    assert watched.deadlines == {RESPONSE_DEADLINE: 120}
    assert watched.overdue() is Verdict.REPLACE
    watched.replaced()
    watched.see(owes=True)
    assert watched.deadlines == {RESPONSE_DEADLINE: 131}
    assert watched.overdue() is Verdict.GIVE_UP
    watched.see()
    assert watched.deadlines == {}


def test_an_answer_that_was_asked_for_needs_no_asking() -> None:
    watched = Watched()
    watched.see(owes=True)
    assert watched.overdue() is Verdict.REPLACE
    watched.see(owes=True)
    assert watched.overdue() is Verdict.GIVE_UP


def test_who_is_asked_for_the_answer_to_speech_is_asked_once() -> None:
    watched = Watched()
    watched.see(owes=True)
    assert watched.overdue(to_speech=True) is Verdict.ASK
    assert watched.overdue(to_speech=True) is Verdict.REPLACE


def test_a_deadline_that_passes_when_nothing_is_owed_means_nothing() -> None:
    watched = Watched()
    assert watched.overdue() is Verdict.WAIT
    assert not watched.stalls()


def test_every_answer_has_all_its_chances() -> None:
    watched = Watched()
    watched.see(owes=True)
    assert watched.overdue() is Verdict.REPLACE
    watched.replaced()
    watched.see(owes=True)
    watched.see(generating=True)
    watched.see()
    watched.see(owes=True)
    assert watched.overdue(to_speech=True) is Verdict.ASK


def test_what_was_tried_for_an_answer_that_was_refused_is_not_held_against_the_next() -> None:
    watched = Watched()
    watched.see(owes=True)
    assert watched.overdue() is Verdict.REPLACE
    watched.replaced()
    watched.see(owes=True)
    watched.see()  # the service refused it
    watched.see(owes=True)
    assert watched.overdue() is Verdict.REPLACE


def test_given_up_is_once() -> None:
    watched = Watched()
    watched.see(owes=True)
    watched.overdue()
    watched.overdue()
    assert watched.overdue() is Verdict.WAIT


def test_a_stall_counts_from_what_was_heard_last() -> None:
    watched = Watched()
    watched.watch.heard_at = 100
    watched.see(generating=True)
    watched.watch.heard_at = 120
    assert not watched.stalls()
    assert watched.deadlines == {STALL_DEADLINE: 150}
    assert watched.stalls()
    assert watched.outlet.now == 150
    assert not watched.stalls(), "the connection is being replaced"


def test_another_connection_may_be_silent_for_as_long() -> None:
    watched = Watched()
    watched.see(owes=False, generating=True)
    watched.at(125)
    watched.replaced()
    assert watched.deadlines == {}
    watched.see(generating=True)
    assert watched.deadlines == {STALL_DEADLINE: 156}


@pytest.mark.parametrize(
    ("course", "verdicts"),
    [
        ("fff", "rrx"),
        ("ffcff", "rrbrr"),
        ("ffcfff", "rrbrrx"),
        ("ffxff", "rrbrr"),  # cancelled is a good end, too
        ("ffiff", "rrbxr"),  # a response that is refused for another reason counts as none
        ("fef", "rrx"),  # an error outside a response counts as well
        ("flf", "rrx"),  # and so does a limit
        ("fof", "rbr"),
        ("ffffff", "rrxrrx"),
        ("qf", "xr"),
        ("k", "F"),
    ],
)
def test_failures_in_a_row_are_counted(course: str, verdicts: str) -> None:
    watch = Watched().watch
    steps = {
        "f": lambda: watch.ended(ended("failed")),
        "c": lambda: watch.ended(ended("completed", None)),
        "x": lambda: watch.ended(ended("cancelled", None)),
        "i": lambda: watch.ended(ended("failed", "invalid_request_error")),
        "e": lambda: watch.erred("server_error", None),
        "l": lambda: watch.erred("rate_limit_error", None),
        "o": lambda: watch.erred("invalid_request_error", None),
        "q": lambda: watch.erred("invalid_request_error", "insufficient_quota"),
        "k": lambda: watch.erred(None, "invalid_api_key"),
    }
    letters = {ErrorClass.BENIGN: "b", ErrorClass.RETRY: "r", ErrorClass.RECYCLE: "x", ErrorClass.FATAL: "F"}
    assert "".join(letters[steps[step]()] for step in course) == verdicts


def test_failures_of_another_connection_do_not_count() -> None:
    watched = Watched()
    for _ in range(2):
        watched.watch.ended(ended("failed"))
    watched.replaced()
    assert watched.watch.ended(ended("failed")) is ErrorClass.RETRY


def test_a_failure_without_details_is_not_the_services() -> None:
    watch = Watched().watch
    for response in [ended("failed", None), Response(id="r", status="failed")] * 3:
        assert watch.ended(response) is ErrorClass.BENIGN
