"""When to ping a peer and when to hold it for dead; it sends nothing and reads no clock.

Proxies cut connections that are silent for 30 to 120 seconds, and a peer that lost its network says nothing at all.
"""

import enum
import math

__all__ = ["Due", "Keepalive"]

# After the deadline, one more look: this process may itself have been held up, with the answer waiting in the kernel.
LAST_LOOK_S = 1.0


class Due(enum.Enum):
    """What a look at the clock asks for."""

    NOTHING = "nothing"
    PING = "a ping is to be sent"
    DEAD = "the peer is to be held for dead"


class Keepalive:
    """The clockwork of one connection; any byte heard counts as life, a pong needs no matching."""

    __slots__ = ("_dead_at", "_heard", "_interval_s", "_last_look", "_ping_at", "_timeout_s")

    def __init__(self, now: float, interval_s: float, timeout_s: float) -> None:
        """Ping every `interval_s` seconds; a peer that says nothing for `timeout_s` after a ping is dead."""
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._ping_at = now + interval_s
        self._dead_at = math.inf
        self._heard = True
        self._last_look = False

    @property
    def next_at(self) -> float:
        """When to look again."""
        return min(self._ping_at, self._dead_at)

    def heard(self) -> None:
        """Note that something came from the peer."""
        self._heard = True

    def look(self, now: float, *, listening: bool) -> Due:
        """Return what is due; `listening` says whether this side is waiting for the peer's bytes right now.

        While it is not, silence says nothing about the peer, and nobody is declared dead.
        """
        if self._heard:
            self._dead_at = math.inf
        elif now >= self._dead_at:
            if self._last_look and listening:
                return Due.DEAD
            self._last_look = listening
            self._dead_at = now + LAST_LOOK_S
        if now < self._ping_at:
            return Due.NOTHING
        self._ping_at = now + self._interval_s
        if self._dead_at == math.inf:
            self._heard = False
            self._last_look = False
            self._dead_at = now + self._timeout_s
        return Due.PING
