"""What waits to be sent on one connection, in order. Bounded by its writers: they wait for room before the next piece.

An event that answers a client event never waits (it is written synchronously); instead the next client event is not
read before there is room. So at most one event's answers and one delta per response are queued beyond ``ROOM_BYTES``.
"""

from collections import deque
from dataclasses import dataclass

import trio

# Some twenty deltas of audio: enough to keep a socket busy, little enough that a barge-in overtakes almost nothing.
ROOM_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A text frame; ``event_type`` "" for one that is no event of the session (a fault's)."""

    event_type: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """The end: a close frame."""

    code: int
    reason: str


class Outbox:
    """A queue with one reader."""

    def __init__(self) -> None:
        self._queue: deque[Outgoing | Closing] = deque()
        self._bytes = 0
        self._closing = False
        self._filled = trio.Event()
        self._room = trio.lowlevel.ParkingLot()

    def put(self, event_type: str, frame: bytes) -> None:
        """Queue a frame; nothing is queued behind a close."""
        if self._closing:
            return
        self._queue.append(Outgoing(event_type, frame))
        self._bytes += len(frame)
        self._filled.set()

    def put_first(self, frame: bytes) -> None:
        """Queue a fault's frame before everything that waits."""
        self._queue.appendleft(Outgoing("", frame))
        self._bytes += len(frame)
        self._filled.set()

    async def put_behind_next(self, frame: bytes) -> None:
        """Queue a fault's frame behind the one that comes next; waits for that one."""
        await self._some()
        at = 0 if isinstance(self._queue[0], Closing) else 1
        self._queue.insert(at, Outgoing("", frame))
        self._bytes += len(frame)

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Queue the close: behind what waits, or instead of it."""
        if self._closing and not at_once:
            return
        if at_once:
            self._queue.clear()
            self._bytes = 0
            self._room.unpark_all()
        self._closing = True
        self._queue.append(Closing(code, reason))
        self._filled.set()

    async def take(self) -> Outgoing | Closing:
        """The next one; waits for it."""
        await self._some()
        taken = self._queue.popleft()
        if isinstance(taken, Outgoing):
            before = self._bytes
            self._bytes -= len(taken.frame)
            if before > ROOM_BYTES >= self._bytes:
                self._room.unpark_all()
        return taken

    async def _some(self) -> None:
        while not self._queue:
            self._filled = trio.Event()
            await self._filled.wait()

    async def room(self) -> None:
        """Wait until little enough waits. Always a checkpoint."""
        await trio.lowlevel.checkpoint()
        while self._bytes > ROOM_BYTES:
            await self._room.park()
