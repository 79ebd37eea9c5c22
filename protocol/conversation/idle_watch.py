"""Watches whether the person is still there: when to ask after a long silence, when to leave. Only says so."""

import enum

from protocol.conversation.actions import SetDeadline
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import Outlet

IDLE_DEADLINE = "idle"


class Silence(enum.Enum):
    """What to do about a silence."""

    BEAR = "bear"
    ASK = "ask"
    LEAVE = "leave"


class IdleWatch:
    """How long the person has said nothing. What the avatar says itself is no silence of the person's."""

    __slots__ = ("_asked", "_limits", "_outlet", "_since")

    def __init__(self, outlet: Outlet, limits: Limits) -> None:
        self._outlet = outlet
        self._limits = limits
        self._since = 0.0
        self._asked = False

    def start(self) -> None:
        """The session is ready for the person."""
        self.active()
        if self._limits.idle_prompt_s:
            self._outlet.do(SetDeadline(IDLE_DEADLINE, self._since + self._limits.idle_prompt_s))

    def active(self) -> None:
        """The person said or did something."""
        self._since, self._asked = self._outlet.now, False

    def look(self, *, busy: bool, heard_out_at: float) -> Silence:
        """Time to look. ``busy``: the avatar is answering; ``heard_out_at``: when all it said will have been heard."""
        if not self._limits.idle_prompt_s:
            return Silence.BEAR
        wait_s = self._limits.idle_end_s if self._asked else self._limits.idle_prompt_s
        since = max(self._since, heard_out_at)
        if busy:
            since = max(since, self._outlet.now)
        if self._outlet.now < since + wait_s:
            self._outlet.do(SetDeadline(IDLE_DEADLINE, since + wait_s))
            return Silence.BEAR
        if self._asked:
            # Should the person speak up during the goodbye, the watch goes on.
            self._outlet.do(SetDeadline(IDLE_DEADLINE, self._outlet.now + self._limits.idle_prompt_s))
            return Silence.LEAVE
        self._asked = True
        self._outlet.do(SetDeadline(IDLE_DEADLINE, self._outlet.now + self._limits.idle_end_s))
        return Silence.ASK
