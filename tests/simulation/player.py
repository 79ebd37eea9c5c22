"""A page's loudspeaker: plays what arrives in real (virtual) time, and knows what a person can have heard of it."""

from dataclasses import dataclass


@dataclass(slots=True)
class _Segment:
    item_id: str
    begins_at: float
    ms: float


class Player:
    """Sound of the assistant's items, one behind the other."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._played: dict[str, float] = {}
        self._playhead_at = 0.0

    def take(self, item_id: str, ms: float, now: float) -> None:
        """A piece of sound arrived."""
        begins_at = max(now, self._playhead_at)
        self._segments.append(_Segment(item_id, begins_at, ms))
        self._playhead_at = begins_at + ms / 1000

    def stop(self, now: float) -> None:
        """Silence: what has not been played will not be."""
        self._settle(now)
        self._segments.clear()
        self._playhead_at = now

    def _settle(self, now: float) -> None:
        """Adds up what is over."""
        while self._segments and self._segments[0].begins_at + self._segments[0].ms / 1000 <= now:
            over = self._segments.pop(0)
            self._played[over.item_id] = self._played.get(over.item_id, 0.0) + over.ms
        if self._segments and self._segments[0].begins_at < now:
            begun = self._segments[0]
            heard_ms = (now - begun.begins_at) * 1000
            self._played[begun.item_id] = self._played.get(begun.item_id, 0.0) + heard_ms
            begun.begins_at, begun.ms = now, begun.ms - heard_ms

    def played(self, now: float) -> dict[str, float]:
        """Milliseconds played of each item so far."""
        self._settle(now)
        return dict(self._played)

    def is_playing(self, now: float) -> bool:
        """Whether something sounds."""
        return self._playhead_at > now
