"""The end of a session that is known beforehand: who speaks may finish, within a time, and the person hears it out."""

from protocol.conversation.actions import SetDeadline
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.endings import EndReason

DEPARTURE_DEADLINE = "departure"


class Departure:
    """When and why the session will end, once that is known."""

    __slots__ = ("_leave_at", "_outlet", "_playback", "_reason")

    def __init__(self, outlet: Outlet, playback: Playback) -> None:
        self._outlet = outlet
        self._playback = playback
        self._reason: tuple[EndReason, str] | None = None
        self._leave_at = 0.0

    @property
    def is_set(self) -> bool:
        """Whether the session is about to end."""
        return self._reason is not None

    def announce(self, reason: EndReason, message: str, within_s: float) -> None:
        """The session ends for this reason when what is being said is over, at latest after ``within_s`` seconds.

        A second announcement can only make it sooner; the first reason counts.
        """
        leave_at = self._outlet.now + within_s
        if self._reason is None:
            self._reason, self._leave_at = (reason, message), leave_at
        self._leave_at = min(self._leave_at, leave_at)
        self._outlet.do(SetDeadline(DEPARTURE_DEADLINE, self._leave_at))

    def revoke(self, reason: EndReason) -> None:
        """The person is there after all, if that was the reason."""
        if self._reason is not None and self._reason[0] is reason:
            self._reason = None
            self._outlet.do(SetDeadline(DEPARTURE_DEADLINE, None))

    def due(self, *, at_rest: bool) -> tuple[EndReason, str] | None:
        """The reason, if the time has come: nothing is being said or heard any more, or it has taken too long."""
        if self._reason is None:
            return None
        now = self._outlet.now
        if now >= self._leave_at:
            return self._reason
        if not at_rest:
            return None
        heard_at = self._playback.heard_out_at(now)
        if heard_at <= now:
            return self._reason
        self._outlet.do(SetDeadline(DEPARTURE_DEADLINE, min(heard_at, self._leave_at)))
        return None
