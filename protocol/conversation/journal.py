"""What the service was sent and has not settled: should its connection be lost, the next is sent it again, in order.

A control event is settled by the service's reply to it, speech by becoming an item, by being cleared, or by being
too long ago for a service that still listens. While there is no connection everything waits here.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

# Speech that the service has not taken for speech yet: its prefix padding (300 ms by default), its time to notice, and
# what one has missed that fell silent before anybody noticed. More would cost each session that listens its memory:
# this is 640 KiB of PCM16.
UNHEARD_MS = 10_000.0
# What may wait while there is no connection. Control: the size of one message on /ws.
# Audio: as much as may wait for a slow service; a client may send a recording faster than it was spoken.
WAITING_CONTROL_MAX_BYTES = 1024 * 1024
WAITING_AUDIO_MAX_MS = 60_000.0
# A third more than that much PCM16 takes as base64; frames can be made that say much and hold little sound.
WAITING_AUDIO_MAX_BYTES = 5 * 1024 * 1024
# Control events a service may leave unanswered before the oldest is taken to be settled: services lose some replies.
# Their bytes: the largest message a client may send, and a little.
UNANSWERED_MAX = 4096
UNANSWERED_MAX_BYTES = 24 * 1024 * 1024

# Which reply settles what. Those with an item are matched by it, the others by their order.
_SETTLED_BY = {
    "session.updated": "session.update",
    "conversation.item.retrieved": "conversation.item.retrieve",
    "conversation.item.deleted": "conversation.item.delete",
    "conversation.item.truncated": "conversation.item.truncate",
}
# Events that have a reply; what has none is settled by being sent.
_ANSWERED = frozenset(
    {*_SETTLED_BY.values(), "conversation.item.create", "response.create", "input_audio_buffer.commit",
     "input_audio_buffer.clear"}
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Unsettled:
    """A frame the service was sent, or will be.

    ``kind`` is its event type, ``key`` the item it is about; ``audio_ms`` is 0 for control events. ``start_ms`` is
    where its sound begins on the connection's own clock.
    """

    frame: bytes
    kind: str
    event_id: str | None = None
    key: str | None = None
    audio_ms: float = 0.0
    start_ms: float = 0.0


class Journal:
    """The unsettled frames of one conversation, oldest first."""

    __slots__ = (
        "_audio_bytes",
        "_audio_ms",
        "_clock_ms",
        "_control",
        "_control_bytes",
        "_entries",
        "_sent_again_ms",
        "_speech_end_ms",
        "_speech_from_ms",
        "_waiting_bytes",
        "manual",
        "open",
    )

    def __init__(self) -> None:
        self._entries: deque[Unsettled] = deque()
        self._control = 0
        self._control_bytes = 0
        self._waiting_bytes = 0
        self._audio_ms = 0.0
        self._audio_bytes = 0
        self._clock_ms = 0.0
        self._speech_from_ms: float | None = None
        self._speech_end_ms: float | None = None
        # Where the sound ends that the present connection was sent again.
        self._sent_again_ms = 0.0
        # The client ends its turns itself: sound is kept from commit to commit.
        self.manual = False
        # There is a connection: what is added is sent.
        self.open = False

    def __iter__(self) -> Iterator[Unsettled]:
        return iter(self._entries)

    @property
    def is_speaking(self) -> bool:
        """Whether the service has heard speech begin and not made an item of it yet."""
        return self._speech_from_ms is not None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of importance is under way: no unanswered event, no speech."""
        return not self.is_speaking and not self._control

    @property
    def is_overfull(self) -> bool:
        """Whether more control events wait than may."""
        return self._waiting_bytes > WAITING_CONTROL_MAX_BYTES

    def add(self, entry: Unsettled) -> float:
        """Keeps a frame. Returns milliseconds of speech that were lost for it: dropped before any service had it."""
        if entry.audio_ms:
            return self._add_audio(entry)
        if self.open and entry.kind not in _ANSWERED:
            return 0.0
        self._entries.append(entry)
        self._control += 1
        self._control_bytes += len(entry.frame)
        if not self.open:
            self._waiting_bytes += len(entry.frame)
            return 0.0
        while self._control > UNANSWERED_MAX or self._control_bytes > UNANSWERED_MAX_BYTES:
            self._remove(next(kept for kept in self._entries if not kept.audio_ms))
        return 0.0

    def _add_audio(self, entry: Unsettled) -> float:
        entry.start_ms = self._clock_ms
        self._clock_ms += entry.audio_ms
        self._entries.append(entry)
        self._audio_ms += entry.audio_ms
        self._audio_bytes += len(entry.frame)
        heard_out = self._clock_ms - UNHEARD_MS
        # What was sent again may be speech, and a connection needs its time to notice that.
        if self.open and not self.manual and self._speech_from_ms is None and heard_out >= self._sent_again_ms:
            self._forget_before(heard_out)
        dropped_ms = 0.0
        while self._audio_ms > WAITING_AUDIO_MAX_MS or self._audio_bytes > WAITING_AUDIO_MAX_BYTES:
            oldest = next(kept for kept in self._entries if kept.audio_ms)
            self._remove(oldest)
            dropped_ms += oldest.audio_ms
        return 0.0 if self.open else dropped_ms

    def _remove(self, entry: Unsettled) -> None:
        self._entries.remove(entry)
        if entry.audio_ms:
            self._audio_ms -= entry.audio_ms
            self._audio_bytes -= len(entry.frame)
        else:
            self._control -= 1
            self._control_bytes -= len(entry.frame)

    def _forget_before(self, ms: float) -> None:
        """Drops sound that ended before a time."""
        while self._entries and _is_over(first := self._entries[0], ms):
            self._remove(first)
        if self._control:
            # Control events stand between the sounds; they stay.
            for kept in [kept for kept in self._entries if _is_over(kept, ms)]:
                self._remove(kept)

    # What the service says

    def settle(self, reply: str, item_id: str | None = None) -> Unsettled | None:
        """The service replied: takes out what the reply is to; None if it is to nothing here."""
        kind = _SETTLED_BY[reply]
        for entry in self._entries:
            if entry.kind == kind and (item_id is None or entry.key == item_id):
                self._remove(entry)
                return entry
        return None

    def item_created(self, item_id: str | None) -> Unsettled | None:
        """An item that a client or we created has its place. One without an id of its own is matched by order."""
        waiting = [entry for entry in self._entries if entry.kind == "conversation.item.create"]
        found = next((entry for entry in waiting if entry.key == item_id), None)
        found = found or next((entry for entry in waiting if entry.key is None), None)
        if found is not None:
            self._remove(found)
        return found

    def take(self, event_id: str | None) -> Unsettled | None:
        """Takes out the event that has this id: it was refused, answered, or is not wanted any more."""
        if event_id is None:
            return None
        for entry in self._entries:
            if entry.event_id == event_id:
                self._remove(entry)
                return entry
        return None

    def speech_started(self, start_ms: float) -> None:
        """The service hears speech, from here on its own clock."""
        self._speech_from_ms, self._speech_end_ms = start_ms, None
        self._forget_before(start_ms)

    def speech_stopped(self, end_ms: float) -> None:
        """The speech ended here; it is not an item yet."""
        self._speech_end_ms = end_ms

    def committed(self) -> tuple[list[bytes], bool]:
        """The buffered sound became an item. Returns its frames, and whether the client had asked for it."""
        commit = next((entry for entry in self._entries if entry.kind == "input_audio_buffer.commit"), None)
        by_detection = self._speech_end_ms is not None
        end_ms = self._clock_ms if self._speech_end_ms is None else self._speech_end_ms
        self._speech_from_ms = self._speech_end_ms = None
        if commit is not None and not by_detection:
            # In the middle of speech, too: the service itself waits for its end.
            return self._take_before(commit), True
        spoken = [entry for entry in self._entries if entry.audio_ms and entry.start_ms < end_ms]
        for entry in spoken:
            self._remove(entry)
        return [entry.frame for entry in spoken], False

    def not_taken(self, lost_ms: float) -> None:
        """The service never got so much of the oldest sound, so its clock is behind by it."""
        self._clock_ms -= lost_ms
        self._sent_again_ms -= lost_ms
        for entry in self._entries:
            entry.start_ms -= lost_ms

    def cleared(self) -> None:
        """The buffered sound was thrown away at the client's request."""
        clear = next((entry for entry in self._entries if entry.kind == "input_audio_buffer.clear"), None)
        self._speech_from_ms = self._speech_end_ms = None
        if clear is not None:
            self._take_before(clear)

    def _take_before(self, mark: Unsettled) -> list[bytes]:
        frames: list[bytes] = []
        for entry in list(self._entries):
            if entry is mark:
                break
            if entry.audio_ms:
                frames.append(entry.frame)
                self._remove(entry)
        self._remove(mark)
        return frames

    # Connections

    def lost(self) -> None:
        """There is no connection any more; what is added waits."""
        self.open = False

    def reopened(self) -> list[Unsettled]:
        """There is a connection again. Returns all that it must be sent, in order; its clock starts anew."""
        self.open = True
        self._waiting_bytes = 0
        self._speech_from_ms = self._speech_end_ms = None
        self._clock_ms = 0.0
        sent = list(self._entries)
        for entry in sent:
            entry.start_ms = self._clock_ms
            self._clock_ms += entry.audio_ms
        self._sent_again_ms = self._clock_ms
        for entry in sent:
            if not entry.audio_ms and entry.kind not in _ANSWERED:
                self._remove(entry)
        return sent


def _is_over(entry: Unsettled, ms: float) -> bool:
    return entry.audio_ms > 0 and entry.start_ms + entry.audio_ms <= ms
