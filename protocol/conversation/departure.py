"""The end of a session that is known beforehand: who speaks may finish, within a time, and the person hears it out."""

from protocol.conversation.actions import SetDeadline
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.endings import EndReason

DEPARTURE_DEADLINE = "departure"
# Seconds between looks whether all was heard: a client may leave the last thousandth unacknowledged.
_LOOK_AGAIN_S = 0.1


class Departure:
    """When and why the session will end, once that is known."""

    __slots__ = ("_announced", "_outlet", "_playback")

    def __init__(self, outlet: Outlet, playback: Playback) -> None:
        self._outlet = outlet
        self._playback = playback
        # Reason, message, and when it ends at the latest; the first reason counts.
        self._announced: list[tuple[EndReason, str, float]] = []

    @property
    def is_set(self) -> bool:
        """Whether the session is about to end."""
        return bool(self._announced)

    @property
    def _leave_at(self) -> float:
        return min(leave_at for _, _, leave_at in self._announced)

    def announce(self, reason: EndReason, message: str, within_s: float) -> None:
        """The session ends for this reason when what is being said is over, at latest after ``within_s`` seconds.

        A second announcement can only make it sooner; the first reason counts.
        """
        self._announced.append((reason, message, self._outlet.now + within_s))
        self._outlet.do(SetDeadline(DEPARTURE_DEADLINE, self._leave_at))

    def revoke(self, reason: EndReason) -> None:
        """The person is there after all, if that was the reason."""
        left = [announced for announced in self._announced if announced[0] is not reason]
        if len(left) != len(self._announced):
            self._announced = left
            self._outlet.do(SetDeadline(DEPARTURE_DEADLINE, self._leave_at if left else None))

    def due(self, *, at_rest: bool) -> tuple[EndReason, str] | None:
        """The reason, if the time has come: nothing is being said or heard any more, or it has taken too long."""
        if not self._announced:
            return None
        now = self._outlet.now
        reason, message, _ = self._announced[0]
        if now >= self._leave_at:
            return reason, message
        if not at_rest:
            return None
        heard_at = self._playback.heard_out_at(now)
        if heard_at <= now:
            return reason, message
        self._outlet.do(SetDeadline(DEPARTURE_DEADLINE, min(max(heard_at, now + _LOOK_AGAIN_S), self._leave_at)))
        return None
