"""Watches the service: answers that do not begin, answers that stop in the middle, failures in a row. Only says so."""

import enum

from protocol.conversation.actions import SetDeadline
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import Outlet
from protocol.realtime.error_classes import ErrorClass, class_of_error
from protocol.realtime.response import Response

RESPONSE_DEADLINE = "response"
STALL_DEADLINE = "stall"


class Verdict(enum.Enum):
    """What to do about a service that does not do its part."""

    WAIT = "wait"
    ASK = "ask"  # for the answer to speech that the service should give by itself
    REPLACE = "replace"  # the connection
    GIVE_UP = "give up"  # what was asked for


class ServiceWatch:
    """What the service owes, since when, and how often it failed."""

    __slots__ = ("_failures", "_generating", "_limits", "_outlet", "_owing", "_tried", "heard_at")

    def __init__(self, outlet: Outlet, limits: Limits) -> None:
        self._outlet = outlet
        self._limits = limits
        self._owing = False
        self._generating = False
        self._failures = 0
        # What was tried already for the answer that is owed now.
        self._tried = Verdict.WAIT
        # When anything was last heard of the service.
        self.heard_at = 0.0

    def see(self, *, owes: bool, generating: bool) -> None:
        """After each step: whether an answer is owed, and whether one is being generated."""
        if not owes and self._outlet.is_open:
            # What was tried was for another answer. Between two connections nothing is owed, and it is the same one.
            self._tried = Verdict.WAIT
        if owes != self._owing:
            self._owing = owes
            self._outlet.do(
                SetDeadline(RESPONSE_DEADLINE, self._outlet.now + self._limits.response_s if owes else None)
            )
        if generating != self._generating:
            self._generating = generating
            if generating:
                self._tried = Verdict.WAIT
            self._outlet.do(
                SetDeadline(STALL_DEADLINE, self._outlet.now + self._limits.stall_s if generating else None)
            )

    def overdue(self, *, to_speech: bool) -> Verdict:
        """The answer that is owed did not begin in time."""
        if not self._owing:
            return Verdict.WAIT
        if to_speech and self._tried is Verdict.WAIT:
            self._tried = Verdict.ASK
        elif self._tried in (Verdict.WAIT, Verdict.ASK):
            self._tried = Verdict.REPLACE
        else:
            self._tried = Verdict.WAIT
            self._owing = False
            return Verdict.GIVE_UP
        self._outlet.do(SetDeadline(RESPONSE_DEADLINE, self._outlet.now + self._limits.response_s))
        return self._tried

    def stalled(self) -> bool:
        """Time to look whether an answer has stopped in the middle."""
        if not self._generating:
            return False
        due_at = self.heard_at + self._limits.stall_s
        if self._outlet.now < due_at:
            self._outlet.do(SetDeadline(STALL_DEADLINE, due_at))
            return False
        self._generating = False
        return True

    def ended(self, response: Response) -> ErrorClass:
        """A response ended: ``BENIGN`` for one that was none of the service's failures."""
        if response.status != "failed":
            self._failures = 0
            return ErrorClass.BENIGN
        details = response.status_details
        error = details.error if details else None
        return self.erred(error.type or None, error.code or None) if error else ErrorClass.BENIGN

    def erred(self, error_type: str | None, code: str | None) -> ErrorClass:
        """The service failed. ``RECYCLE`` also for the last of so many in a row: only another connection can help."""
        kind = class_of_error(error_type, code)
        if kind is not ErrorClass.RETRY:
            return kind
        self._failures += 1
        if self._failures < self._limits.failures:
            return kind
        self._failures = 0
        return ErrorClass.RECYCLE

    def connection_replaced(self) -> None:
        """Another connection has its own chance."""
        self._failures = 0
        self._generating = False
        self._outlet.do(SetDeadline(STALL_DEADLINE, None))
        if self._owing:
            self._outlet.do(SetDeadline(RESPONSE_DEADLINE, self._outlet.now + self._limits.response_s))
