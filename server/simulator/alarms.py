"""Things that will happen later in one connection, all in one task. Does not wait for what they do."""

import heapq
import itertools
import math
from collections.abc import Callable

import trio


class Alarm:
    """One action at one time; cancelled it never happens."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the action."""
        self._action = None

    def ring(self) -> None:
        """Do it now, unless cancelled."""
        if self._action is not None:
            self._action()


class Alarms:
    """Actions by time of trio's clock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self._sooner = trio.Event()

    def at(self, when: float, action: Callable[[], None]) -> Alarm:
        """Call ``action`` at ``when``; those of one time are called in the order of this call."""
        alarm = Alarm(action)
        heapq.heappush(self._waiting, (when, next(self._order), alarm))
        if self._waiting[0][2] is alarm:
            self._sooner.set()
        return alarm

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            self._sooner = trio.Event()
            when = self._waiting[0][0] if self._waiting else math.inf
            with trio.move_on_at(when):
                await self._sooner.wait()
            while self._waiting and self._waiting[0][0] <= trio.current_time():
                heapq.heappop(self._waiting)[2].ring()
