"""How many sessions may be opened a minute. Refuses nothing itself."""

import math
from collections import deque

WINDOW_SECONDS = 60.0


class Quota:
    """A sliding minute of handshakes; ``limit`` 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: deque[float] = deque()

    def take(self, now: float) -> int | None:
        """Take one at ``now`` (s of any clock that only goes forward): None, or the whole seconds to wait for one."""
        if not self._limit:
            return None
        while self._taken and self._taken[0] <= now - WINDOW_SECONDS:
            self._taken.popleft()
        if len(self._taken) < self._limit:
            self._taken.append(now)
            return None
        return max(1, math.ceil(round(self._taken[0] + WINDOW_SECONDS - now, 3)))
