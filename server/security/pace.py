"""How fast one client may send: control events by their number, speech by its length. It knows no connection."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import trio
from msgspec import UNSET

from protocol.realtime.codec import Head, InvalidEvent, base64_size, read_head
from server.cluster.base import Rate
from server.security.refusals import RateLimited

__all__ = ["ClientPace", "PaceBounds"]

_APPEND = "input_audio_buffer.append"
_UPDATE = "session.update"

# Nearly all frames of speech are one of these, some base64, and an end; what is not is decoded. Where the next quote is
# that of the end, there is no room for a second "type", which would be the one that counts.
_PLAIN_APPENDS = (
    b'{"type":"input_audio_buffer.append","audio":"',
    b'{"type": "input_audio_buffer.append", "audio": "',
)
_PLAIN_END = b'"}'

# An append counts as at least so much speech: a flood of empty ones is bounded by their number. Nobody sends smaller
# pieces than 10 ms.
MIN_APPEND_S = 0.005

# An append whose frame is mostly something else than its sound is bounded by its bytes, as if they were sound.
_ENVELOPE_BYTES = 512

# Bytes a second of the wire's formats (reference: PCM16 at 24 kHz, G.711 at 8 kHz).
_PCM16_BYTES_PER_S = 48_000
_G711_BYTES_PER_S = 8_000
_G711 = frozenset({"audio/pcmu", "audio/pcma", "g711_ulaw", "g711_alaw"})

# Sums of floats: less than any cost.
_HAIR_S = 1e-9


class _Input(msgspec.Struct):
    format: Any = None


class _Audio(msgspec.Struct):
    input: _Input | None = None


class _Session(msgspec.Struct):
    audio: _Audio | None = None
    input_audio_format: Any = None


class _Update(msgspec.Struct):
    session: _Session | None = None


_update_decoder = msgspec.json.Decoder(_Update)


@dataclass(frozen=True, slots=True)
class PaceBounds:
    """Control events, and seconds of speech, a second."""

    events: Rate
    audio: Rate


class _Bucket:
    """A rate that one client alone draws on; `InProcessLimits.take` without a key."""

    __slots__ = ("_paid_back_at", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._paid_back_at = -math.inf

    def take(self, cost: float, now: float) -> float:
        paid_back_at = max(self._paid_back_at, now) + cost / self._rate.per_s
        wait_s = paid_back_at - now - self._rate.burst / self._rate.per_s
        if wait_s > _HAIR_S:
            return wait_s
        self._paid_back_at = paid_back_at
        return 0.0


class ClientPace:
    """The two rates of one client's connection."""

    __slots__ = ("_audio", "_bytes_per_s", "_clock", "_events", "_on_refused")

    def __init__(
        self,
        bounds: PaceBounds,
        *,
        clock: Callable[[], float] = trio.current_time,
        on_refused: Callable[[str], None] = lambda _code: None,
    ) -> None:
        self._events = _Bucket(bounds.events)
        self._audio = _Bucket(bounds.audio)
        self._bytes_per_s = _PCM16_BYTES_PER_S
        self._clock = clock
        self._on_refused = on_refused

    def check(self, frame: bytes) -> None:
        """Count a frame as it came, before anybody acts on it. What is no event counts as a control event.

        Raises:
            RateLimited: it came too fast. The connection should end.
        """
        if (plain := _plain_size(frame)) is not None:
            self._take_audio(plain)
            return
        try:
            head = read_head(frame)
        except InvalidEvent:
            head = Head(type="")
        if head.type == _APPEND and head.audio is not UNSET:
            size = base64_size(head.audio)
            self._take_audio(size if len(frame) <= size * 4 // 3 + _ENVELOPE_BYTES else len(frame))
            return
        if wait_s := self._events.take(1.0, self._clock()):
            raise self._refused("event_rate_limit", "Events arrive faster than they may.", wait_s)
        if head.type == _UPDATE:
            self._note_format(frame)

    def _take_audio(self, size: int) -> None:
        wait_s = self._audio.take(max(MIN_APPEND_S, size / self._bytes_per_s), self._clock())
        if wait_s:
            raise self._refused("audio_rate_limit", "Speech arrives faster than it may.", wait_s)

    def _refused(self, code: str, message: str, wait_s: float) -> RateLimited:
        self._on_refused(code)
        return RateLimited(message, code=code, retry_after_s=max(1.0, math.ceil(wait_s)))

    def _note_format(self, frame: bytes) -> None:
        """Follow the format that the client asks for; who asks for one and sends another is counted wrongly once."""
        try:
            session = _update_decoder.decode(frame).session
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # whoever acts on it answers it
        if session is None:
            return
        asked = session.input_audio_format
        if session.audio is not None and session.audio.input is not None:
            given = session.audio.input.format
            asked = given.get("type") if isinstance(given, dict) else given
        if isinstance(asked, str):
            self._bytes_per_s = _G711_BYTES_PER_S if asked in _G711 else _PCM16_BYTES_PER_S


def _plain_size(frame: bytes) -> int | None:
    """Bytes of sound in a frame that is nothing but an append; None for any other frame."""
    for prefix in _PLAIN_APPENDS:
        if frame.startswith(prefix):
            end = len(frame) - len(_PLAIN_END)
            if not frame.endswith(_PLAIN_END) or frame.find(b'"', len(prefix)) != end:
                return None
            return max(0, (end - len(prefix)) * 3 // 4 - frame.count(b"=", end - 2, end))
    return None
