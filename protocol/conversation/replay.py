"""What was sent to the client lately, so that one that was cut off gets what it missed. All of it, or nothing."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from protocol.realtime.codec import InvalidEvent, read_head

# Greetings of one session that may name a place in the ring: each resume adds one.
_PLACES_KEPT = 16


@dataclass(slots=True, eq=False)
class Sent:
    """A frame that was sent. ``item_id``, ``audio_ms`` and ``end_ms`` (its end in the item's sound) for audio only."""

    number: int
    sent_at: float
    frame: bytes
    item_id: str | None
    audio_ms: float
    end_ms: float


class Replay:
    """A ring of frames, bounded by bytes for control events and for audio, and by age.

    Numbers count what was sent, without a gap. Event ids are read only when somebody resumes, so that keeping a frame
    costs no parsing.

    Args:
        control_bytes, audio_bytes: bounds; the oldest are dropped first.
        age_s: nothing older is kept.
    """

    __slots__ = (
        "_age_s",
        "_audio",
        "_audio_bytes",
        "_audio_left",
        "_control",
        "_control_bytes",
        "_control_left",
        "_last_dropped",
        "_lost_audio",
        "_lost_control",
        "_number",
        "_places",
    )

    def __init__(self, *, control_bytes: int, audio_bytes: int, age_s: float) -> None:
        self._control_bytes, self._audio_bytes, self._age_s = control_bytes, audio_bytes, age_s
        self._control: deque[Sent] = deque()
        self._audio: deque[Sent] = deque()
        self._control_left, self._audio_left = control_bytes, audio_bytes
        self._number = 0
        # The newest that was dropped of either kind: whoever stands before it cannot be given what it missed.
        self._lost_control = 0
        self._lost_audio = 0
        # The newest that was dropped of either kind is still a place: nothing behind it need be missing.
        self._last_dropped: dict[bool, Sent] = {}
        self._places: dict[str, int] = {}

    def add(self, frame: bytes, now: float, *, item_id: str | None, audio_ms: float, end_ms: float) -> None:
        """Keeps a frame that is being sent."""
        self._number += 1
        sent = Sent(self._number, now, frame, item_id, audio_ms, end_ms)
        if audio_ms:
            self._audio.append(sent)
            self._audio_left -= len(frame)
        else:
            self._control.append(sent)
            self._control_left -= len(frame)
        oldest = now - self._age_s
        while self._control and (self._control_left < 0 or self._control[0].sent_at < oldest):
            self._lost_control = self._drop_control()
        while self._audio and (self._audio_left < 0 or self._audio[0].sent_at < oldest):
            self._lost_audio = self._drop_audio()

    def played(self, item_id: str, played_ms: float) -> None:
        """The client has played this much of an item, so it has it: no reason to keep it."""
        while self._audio and self._audio[0].item_id == item_id and self._audio[0].end_ms <= played_ms:
            self._drop_audio()

    def _drop_control(self) -> int:
        sent = self._last_dropped[False] = self._control.popleft()
        self._control_left += len(sent.frame)
        return sent.number

    def _drop_audio(self) -> int:
        sent = self._last_dropped[True] = self._audio.popleft()
        self._audio_left += len(sent.frame)
        return sent.number

    def greeted(self, event_id: str, after: int) -> None:
        """A client that resumed was greeted with this event, and then sent all that comes after the number ``after``:

        should it name the greeting as the last it got, it stands there.
        """
        self._places[event_id] = after
        while len(self._places) > _PLACES_KEPT:
            del self._places[next(iter(self._places))]

    def place_of(self, event_id: str | None) -> int | None:
        """The number of the newest frame with this event id; None if it is not known, any more or at all.

        None also if a service gave the id to several with others between: nobody knows which of them the client means,
        and to take the newest could skip what stands between.
        """
        if not event_id:
            return None
        if event_id in self._places:
            return self._places[event_id]
        # Most frames are told apart without reading them: an id stands in its frame as it is.
        raw = event_id.encode()
        places = [
            sent.number
            for sent in chain(self._last_dropped.values(), self._control, self._audio)
            if raw in sent.frame and _event_id(sent.frame) == event_id
        ]
        if not places or max(places) - min(places) >= len(places):
            return None
        return max(places)

    def newest(self) -> int:
        """The number of what was sent last; 0 if nothing was."""
        return self._number

    def since(self, place: int, *, wanted: Callable[[Sent], bool]) -> list[Sent] | None:
        """What was sent after a place, in order, without the audio that is not ``wanted``; None if some is missing."""
        if place < self._lost_control or place < self._lost_audio:
            return None
        missed = [sent for sent in self._control if sent.number > place]
        missed += [sent for sent in self._audio if sent.number > place and wanted(sent)]
        return sorted(missed, key=lambda sent: sent.number)


def _event_id(frame: bytes) -> str | None:
    try:
        return read_head(frame).event_id
    except InvalidEvent:
        return None
