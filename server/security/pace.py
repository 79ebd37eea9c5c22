"""How fast a session's client may send: control events by their number, speech by its length. It knows no connection.

Who keeps to the steady rate is counted alone. What comes in bursts is counted on the client's accounts besides, so that
whoever begins one session after the other does not have a burst with each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import trio
from msgspec import UNSET

from protocol.realtime.codec import Head, InvalidEvent, base64_size, read_head
from server.cluster.base import Rate
from server.cluster.in_process import LocalRates
from server.security.refusals import RateLimited

__all__ = ["AccountPace", "ClientPace", "PaceBounds"]

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
_PCM16_BYTES_PER_MS = _PCM16_BYTES_PER_S // 1000
_G711 = frozenset({"audio/pcmu", "audio/pcma", "g711_ulaw", "g711_alaw"})

# An event of so many bytes is one, a larger one counts as several: its size must be held, read and sent on.
EVENT_BYTES = 64 * 1024

# A format that was asked for is counted by before the service has said that it holds, if it is the dearer one; so long
# at most, for it may have been refused.
ASKED_S = 10.0

# Who is no further ahead of its rate than this sends steadily: a page that wakes up, a packet that comes late.
STEADY_S = 1.0
# An account's clients may have so many of their bursts at once, however many they are.
ACCOUNT_BURSTS = 8

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


class AccountPace:
    """What the clients of one account may send together in bursts: in this process, for speech waits for nobody.

    Args:
        rates: where it is kept; it outlives every session.
        account: whose.
        bounds: of one client.
        sessions: how many the account may have at once.
    """

    __slots__ = ("_account", "_bounds", "_rates")

    def __init__(self, rates: LocalRates, account: str, bounds: PaceBounds, *, sessions: int) -> None:
        self._rates = rates
        self._account = account
        self._bounds = {"events": _together(bounds.events, sessions), "audio": _together(bounds.audio, sessions)}

    def take(self, kind: "_Kind", cost: float) -> float:
        """Seconds to wait, or 0 and it is taken."""
        return self._rates.take(f"{kind}:{self._account}", self._bounds[kind], cost)


def _together(rate: Rate, sessions: int) -> Rate:
    return Rate(rate.per_s * sessions, rate.burst * min(sessions, ACCOUNT_BURSTS))


_Kind = Literal["events", "audio"]


class _Bucket:
    """A rate that one client alone draws on; `LocalRates.take` without a key."""

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

    def ahead_s(self, now: float) -> float:
        """How long it would take at the steady rate to send what was sent too early."""
        return self._paid_back_at - now


class ClientPace:
    """The two rates of a session's client, on all its connections.

    Args:
        accounts: on which its bursts are counted besides.
    """

    __slots__ = (
        "_accounts",
        "_asked_bytes_per_s",
        "_asked_until",
        "_audio",
        "_bytes_per_ms",
        "_clock",
        "_events",
        "_events_burst",
    )

    def __init__(
        self,
        bounds: PaceBounds,
        *,
        accounts: Sequence[AccountPace] = (),
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._events = _Bucket(bounds.events)
        self._events_burst = bounds.events.burst
        self._audio = _Bucket(bounds.audio)
        self._accounts = tuple(accounts)
        self._bytes_per_ms: Callable[[], int] = lambda: _PCM16_BYTES_PER_MS
        self._asked_bytes_per_s = _PCM16_BYTES_PER_S
        self._asked_until = -math.inf
        self._clock = clock

    def follow(self, bytes_per_ms: Callable[[], int]) -> None:
        """Count speech by what the session says that a millisecond of it has; until then it is PCM16."""
        self._bytes_per_ms = bytes_per_ms

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
        # However large an event is that may be sent at all, one of them fits into a burst.
        cost = min(max(1.0, len(frame) / EVENT_BYTES), self._events_burst)
        if wait_s := self._take("events", self._events, cost):
            raise _too_fast("event_rate_limit", "Events arrive faster than they may.", wait_s)
        if head.type == _UPDATE:
            self._note_format(frame)

    def _take_audio(self, size: int) -> None:
        bytes_per_s = self._bytes_per_ms() * 1000
        if self._clock() < self._asked_until:
            bytes_per_s = min(bytes_per_s, self._asked_bytes_per_s)
        if wait_s := self._take("audio", self._audio, max(MIN_APPEND_S, size / bytes_per_s)):
            raise _too_fast("audio_rate_limit", "Speech arrives faster than it may.", wait_s)

    def _take(self, kind: _Kind, bucket: _Bucket, cost: float) -> float:
        """Seconds to wait, or 0 and it is taken."""
        now = self._clock()
        wait_s = bucket.take(cost, now)
        if wait_s or bucket.ahead_s(now) <= STEADY_S:
            return wait_s
        return max((account.take(kind, cost) for account in self._accounts), default=0.0)

    def _note_format(self, frame: bytes) -> None:
        """Remember the format that the client asks for: what it sends next may have it already."""
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
            self._asked_bytes_per_s = _G711_BYTES_PER_S if asked in _G711 else _PCM16_BYTES_PER_S
            self._asked_until = self._clock() + ASKED_S


def _too_fast(code: str, message: str, wait_s: float) -> RateLimited:
    return RateLimited(message, code=code, retry_after_s=max(1.0, math.ceil(wait_s)))


def _plain_size(frame: bytes) -> int | None:
    """Bytes of sound in a frame that is nothing but an append; None for any other frame."""
    for prefix in _PLAIN_APPENDS:
        if frame.startswith(prefix):
            end = len(frame) - len(_PLAIN_END)
            if not frame.endswith(_PLAIN_END) or frame.find(b'"', len(prefix)) != end:
                return None
            return max(0, (end - len(prefix)) * 3 // 4 - frame.count(b"=", end - 2, end))
    return None
