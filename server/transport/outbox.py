"""The frames of one connection that wait to be sent; it holds them and counts them, and decides nothing.

Frames wait as plaintext and whole, so that those of an interrupted answer can be taken back. The one frame that has
begun to leave is never touched again: half a frame cannot be unsaid.
"""

from collections import deque
from collections.abc import Callable

__all__ = ["Outbox"]


class _Waiting:
    """One whole frame; `item_id` and `audio_ms` are set for audio."""

    __slots__ = ("audio_ms", "data", "item_id")

    def __init__(self, data: bytes, item_id: str | None, audio_ms: float) -> None:
        self.data = data
        self.item_id = item_id
        self.audio_ms = audio_ms


class Outbox:
    """Frames in sending order; pings and pongs go before the rest, behind the frame that is half sent."""

    __slots__ = ("_frames", "_half", "_urgent", "waiting_audio_ms", "waiting_bytes", "waiting_control_bytes")

    def __init__(self) -> None:
        self._half: memoryview | None = None
        # By first byte: one ping and one pong at most. RFC 6455, 5.5.3: only the latest ping needs its answer.
        self._urgent: dict[int, bytes] = {}
        self._frames: deque[_Waiting] = deque()
        self.waiting_audio_ms = 0.0
        self.waiting_control_bytes = 0
        self.waiting_bytes = 0

    def __bool__(self) -> bool:
        return self._half is not None or bool(self._frames) or bool(self._urgent)

    def put(self, frame: bytes, item_id: str | None = None, audio_ms: float = 0.0) -> None:
        """Append a whole frame."""
        self._frames.append(_Waiting(frame, item_id, audio_ms))
        self.waiting_bytes += len(frame)
        if audio_ms:
            self.waiting_audio_ms += audio_ms
        else:
            self.waiting_control_bytes += len(frame)

    def put_half(self, rest: memoryview) -> None:
        """Put the rest of a frame that has begun to leave; only into an empty outbox."""
        self._half = rest
        self.waiting_bytes += len(rest)

    def put_urgent(self, frame: bytes) -> None:
        """Put a ping or a pong, in place of the waiting one of its kind."""
        self.waiting_bytes += len(frame) - len(self._urgent.get(frame[0], b""))
        self._urgent[frame[0]] = frame

    def pour(self, try_send: Callable[[bytes | memoryview], int]) -> None:
        """Hand frames to `try_send` until it takes no more. What `try_send` raises passes through."""
        while True:
            if self._half is not None:
                taken = try_send(self._half)
                self.waiting_bytes -= taken
                self._half = self._half[taken:] or None
                if self._half is not None:
                    return
            elif self._urgent:
                kind = next(iter(self._urgent))
                self._begin(self._urgent.pop(kind))
            elif self._frames:
                # Looked at before it is taken out: a frame of which nothing left can still be purged.
                frame = self._frames[0]
                taken = try_send(frame.data)
                if taken == 0:
                    return
                self._frames.popleft()
                self._forget(frame)
                if taken < len(frame.data):
                    self.put_half(memoryview(frame.data)[taken:])
                    return
            else:
                return

    def _begin(self, frame: bytes) -> None:
        self._half = memoryview(frame)

    def _forget(self, frame: _Waiting) -> None:
        self.waiting_bytes -= len(frame.data)
        if frame.audio_ms:
            # Rounding must not leave a hair of audio in an empty outbox.
            self.waiting_audio_ms = max(0.0, self.waiting_audio_ms - frame.audio_ms)
        else:
            self.waiting_control_bytes -= len(frame.data)
        if not self._frames:
            self.waiting_audio_ms = 0.0

    def purge(self, item_id: str) -> float:
        """Drop the whole frames of one item; return their audio in milliseconds."""
        return self._drop(lambda frame: frame.item_id == item_id)

    def drop_waiting(self) -> None:
        """Drop all whole frames."""
        self._drop(lambda _: True)

    def drop_audio(self) -> float:
        """Drop all audio; return it in milliseconds."""
        return self._drop(lambda frame: frame.audio_ms > 0)

    def _drop(self, condemned: Callable[[_Waiting], bool]) -> float:
        kept: deque[_Waiting] = deque()
        dropped: list[_Waiting] = []
        for frame in self._frames:
            (dropped if condemned(frame) else kept).append(frame)
        self._frames = kept
        for frame in dropped:
            self._forget(frame)
        return sum(frame.audio_ms for frame in dropped)

    def drop_oldest_audio(self, keep_ms: float) -> float:
        """Drop the oldest audio frames until at most `keep_ms` wait; return what was dropped, in milliseconds."""
        passed_over: list[_Waiting] = []
        dropped_ms = 0.0
        while self.waiting_audio_ms > keep_ms and self._frames:
            frame = self._frames.popleft()
            if frame.audio_ms:
                self._forget(frame)
                dropped_ms += frame.audio_ms
            else:
                passed_over.append(frame)
        self._frames.extendleft(reversed(passed_over))
        return dropped_ms

    def clear(self) -> None:
        """Drop everything, the half-sent frame too: for a wire that takes no more."""
        self._half = None
        self.clear_whole()
        self.waiting_bytes = 0

    def clear_whole(self) -> None:
        """Drop everything but the half-sent frame."""
        self._urgent.clear()
        self._frames.clear()
        self.waiting_audio_ms = 0.0
        self.waiting_control_bytes = 0
        self.waiting_bytes = len(self._half) if self._half is not None else 0
