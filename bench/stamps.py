"""Stamps in audio: which stream a piece of sound belongs to, its number, and when it was sent. Sends nothing."""

import base64
import struct
from typing import NamedTuple

import msgspec

FRAME_MS = 100
FRAME_S = FRAME_MS / 1000
# PCM16 mono at 24 kHz.
AUDIO_BYTES = FRAME_MS * 48

# 24 bytes are 32 characters of base64 exactly, so that the sound behind them is the same text in every frame.
_LAYOUT = struct.Struct(">4sIIQ4x")
_MARK = b"\x01\x00\x02\x00"
_STAMP_CHARS = 32
_SOUND = base64.b64encode(bytes(AUDIO_BYTES - _LAYOUT.size))

# The audio of an event begins within this many bytes of it: type and identifiers come before it.
HEAD_BYTES = 512


class Stamp(NamedTuple):
    """``sent_ns`` is on the system-wide monotonic clock: ``time.perf_counter_ns``."""

    stream: int
    number: int
    sent_ns: int


def stamped_audio(stamp: Stamp) -> bytes:
    """A frame's audio as events carry it: base64 of 100 ms of near silence that begins with the stamp."""
    return base64.b64encode(_LAYOUT.pack(_MARK, *stamp)) + _SOUND


def read_stamp(head: bytes, field: bytes) -> Stamp | None:
    """The stamp in an audio event, from the event's first bytes; None if it carries none.

    Args:
        head: the first ``HEAD_BYTES`` of the event.
        field: the name of the field that holds the audio.
    """
    start = head.find(b'"' + field + b'":"')
    if start < 0:
        return None
    start += len(field) + 4
    try:
        mark, stream, number, sent_ns = _LAYOUT.unpack(base64.b64decode(head[start : start + _STAMP_CHARS]))
    except (ValueError, struct.error):
        return None
    return Stamp(stream, number, sent_ns) if mark == _MARK else None


class Arrivals:
    """The stamped frames that one end of a connection received, checked: its own, in order, and when.

    ``taken`` holds (sent, received) in nanoseconds. A frame of another stream than the first one's counts as
    ``foreign``, one that skips numbers or goes back as ``out_of_order``.
    """

    __slots__ = ("_next", "foreign", "out_of_order", "stream", "taken")

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.stream: int | None = None
        self.foreign = 0
        self.out_of_order = 0
        self._next = 0

    def take(self, stamp: Stamp, received_ns: int) -> None:
        """Counts a frame."""
        if self.stream is None:
            self.stream = stamp.stream
        if stamp.stream != self.stream:
            self.foreign += 1
            return
        if stamp.number != self._next:
            self.out_of_order += 1
        self._next = stamp.number + 1
        self.taken.append((stamp.sent_ns, received_ns))

    def latencies_ms(self, begin_ns: int, end_ns: int) -> list[float]:
        """How long the frames were under way that were sent between these moments."""
        return [(received - sent) / 1e6 for sent, received in self.taken if begin_ns <= sent < end_ns]

    def received_between(self, begin_ns: int, end_ns: int) -> int:
        """How many frames arrived between these moments."""
        return sum(begin_ns <= received < end_ns for _, received in self.taken)


class Outgoing(msgspec.Struct):
    """What one end of a connection has sent: how many frames, and how late each was, in ms behind its due moment."""

    count: int = 0
    lateness_ms: list[float] = msgspec.field(default_factory=list)
