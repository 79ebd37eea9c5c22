"""Watches sessions and errands, and tells the metrics and the traces what it saw. It changes nothing that it watches.

What of it is called for every frame costs a fraction of a microsecond (`tests/telemetry/test_cost.py`), and nothing in
it waits or raises. What people say is never looked at, only the names of control events.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from decimal import Decimal
from types import TracebackType
from typing import Final, Protocol

import structlog
import trio

from protocol.endings import EndReason
from protocol.errors import LiveAvatarError
from protocol.realtime.usage import CachedTokensDetails, Usage
from server.session.base import SessionRequest, SessionWatch
from server.telemetry.base import Errand, ErrandKind
from server.telemetry.catalogue import BY_NAME
from server.telemetry.metrics import OTHER, Metrics
from server.telemetry.tracing import Attributes, NoTracer, Span, Tracer, read_traceparent

__all__ = ["SessionEye", "Watcher", "current_span"]

# One frame in so many is timed. A power of two; a session has some twenty frames a second, a server thousands.
SAMPLED: Final = 16
# Where the names of events are looked for in what a client sends, in bytes. Names come first as good as always; what
# is longer than the second bound is no request for an answer.
_NAME_BYTES: Final = 200
_REQUEST_BYTES: Final = 64 * 1024
# Within quotes: what people say stands between quotes too, but those in it are escaped.
_CLIENT_AUDIO: Final = b'"input_audio_buffer.append"'
_CREATE: Final = b'"response.create"'
_SPEECH_STARTED: Final = b'"input_audio_buffer.speech_started"'
_SPEECH_STOPPED: Final = b'"input_audio_buffer.speech_stopped"'
_CREATED: Final = b'"response.created"'
_DONE: Final = b'"response.done"'
# How the frequent events begin, as most clients and services write them; none of these is looked for.
_SOUND: Final = b'{"type":"input_audio_buffer.append"'
_PARTS: Final = b'{"type":"response.output_'
# The two events of speech are a few fields long.
_SPEECH_EVENT_BYTES: Final = 512

_STATUSES: Final = frozenset(BY_NAME["liveavatar_responses_total"].values_of("status") or ())


class _Place(Protocol):
    """Where a task is in a trace."""

    @property
    def span(self) -> Span:
        """What is begun there belongs to this span."""
        ...


_place: ContextVar[_Place | None] = ContextVar("liveavatar_place", default=None)


def current_span() -> Span | None:
    """The span that the calling task works in, if it works for a session."""
    place = _place.get()
    return place.span if place is not None else None


class Watcher:
    """Watches everything of one server.

    Args:
        clock: seconds; what the sessions' own times are read from.
    """

    def __init__(
        self, metrics: Metrics, tracer: Tracer | None = None, *, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self.metrics = metrics
        self.tracer = tracer or NoTracer()
        self.clock = clock
        # Counted in place: this is the way of the frames.
        self.client_in = self.client_out = self.upstream_in = self.upstream_out = self.frames = 0
        metrics.ask(
            "liveavatar_bytes_total",
            lambda: {
                ("client", "in"): self.client_in,
                ("client", "out"): self.client_out,
                ("upstream", "in"): self.upstream_in,
                ("upstream", "out"): self.upstream_out,
            },
        )
        for code in ("session_failed", "tool_crashed"):
            # There from the start, so that the first one is an increase.
            metrics.add("liveavatar_errors_total", "internal", code, by=0.0)
        self._relay = {source: metrics.distribution("liveavatar_relay_seconds", source) for source in _SOURCES}

    def session(self, session_id: str, request: SessionRequest, kb_id: str) -> "SessionEye":
        """Watches one session."""
        return SessionEye(self, session_id, request, kb_id)

    def errand(self, kind: ErrandKind, name: str) -> AbstractContextManager[Errand]:
        """See `Observer`."""
        return _WatchedErrand(self, kind, name)

    def charged(self, *, model: str, deployment: str, usd: Decimal, is_priced: bool = True) -> None:
        """The ledger has priced something, exactly once; for metrics an approximation by a float will do.

        Args:
            is_priced: the price book has the model; else the dearest known rate was taken.
        """
        # A correction downwards would make a counter fall, which reads as a restart of the server.
        if usd >= 0:
            self.metrics.add("liveavatar_cost_usd_total", model, deployment, by=float(usd))
        if not is_priced:
            self.metrics.add("liveavatar_unknown_prices_total", model)

    def relayed(self, source: str, since: float) -> None:
        """A message that arrived at `since` was dealt with; one in `SAMPLED` is counted."""
        self.frames = frames = self.frames + 1
        if not frames % SAMPLED:
            self._relay[source].add(_RELAY_BOUNDS, self.clock() - since)


_SOURCES: Final = ("client", "upstream")
_RELAY_BOUNDS: Final = BY_NAME["liveavatar_relay_seconds"].bounds


class SessionEye(SessionWatch):
    """Watches one session; see `SessionWatch`."""

    __slots__ = (
        "_after",
        "_asked_at",
        "_endpoint",
        "_house",
        "_is_answered",
        "_kb_id",
        "_parent",
        "_session",
        "_session_id",
        "_turn",
        "_waited_s",
    )

    def __init__(self, house: Watcher, session_id: str, request: SessionRequest, kb_id: str) -> None:
        self._house = house
        self._session_id = session_id
        self._endpoint = request.endpoint
        self._kb_id = kb_id
        self._parent = read_traceparent(request.traceparent)
        self._session: Span | None = None
        self._turn: Span | None = None
        # When the answer that is owed was asked for; None while none is. `_is_answered`: it has begun.
        self._asked_at: float | None = None
        self._waited_s: float | None = None
        self._after = ""
        self._is_answered = False

    @property
    def span(self) -> Span:
        """What happens now belongs to this span: the turn's, or the session's between turns."""
        return self._turn or self._session or _NO_SPAN

    # Life

    def started(self) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_sessions_started_total", self._endpoint)
        attributes = {"liveavatar.session.id": self._session_id, "liveavatar.kb_id": self._kb_id}
        self._session = self._house.tracer.begin(
            "session", self._parent, {**attributes, "liveavatar.endpoint": self._endpoint}
        )

    def enter(self) -> None:
        """See `SessionWatch`."""
        trace_id = self.span.trace_id
        structlog.contextvars.bind_contextvars(
            session_id=self._session_id, **({"trace_id": trace_id} if trace_id else {})
        )
        _place.set(self)

    def resumed(self) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_resumes_total")

    def ended(self, reason: EndReason, duration_s: float) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_sessions_ended_total", reason.label)
        self._house.metrics.observe("liveavatar_session_seconds", duration_s)
        self._end_turn("ended")
        if self._session is not None:
            attributes = {"liveavatar.end_reason": reason.label}
            self._session.end(attributes, failed=reason is EndReason.INTERNAL)

    def failed(self) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_errors_total", "internal", "session_failed")

    # The frames

    def from_client(self, data: bytes, since: float) -> None:
        """See `SessionWatch`."""
        house = self._house
        house.client_in += len(data)
        house.relayed("client", since)
        if data.startswith(_SOUND) or data.find(_CLIENT_AUDIO, 0, _NAME_BYTES) >= 0:
            return
        if data.find(_CREATE, 0, _REQUEST_BYTES) >= 0:
            self._asked("question", since)

    def to_client(self, frame: bytes, audio_ms: float) -> None:
        """See `SessionWatch`."""
        house = self._house
        house.client_out += len(frame)
        if audio_ms:
            if self._is_answered and self._asked_at is not None:
                waited_s = house.clock() - self._asked_at
                self._asked_at = None
                house.metrics.observe("liveavatar_first_audio_seconds", waited_s, self._after)
                self._waited_s = waited_s
            return
        if frame.startswith(_PARTS):
            return
        if len(frame) < _SPEECH_EVENT_BYTES:
            if _SPEECH_STOPPED in frame:
                self._asked("speech", house.clock())
            elif _SPEECH_STARTED in frame:
                # Whatever was owed is not waited for any more.
                self._end_turn("interrupted")
        if self._turn is not None:
            if _CREATED in frame:
                self._is_answered = True
            elif self._is_answered and _DONE in frame:
                self._end_turn("answered")

    def from_upstream(self, frame: bytes, since: float) -> None:
        """See `SessionWatch`."""
        self._house.upstream_in += len(frame)
        self._house.relayed("upstream", since)

    def to_upstream(self, frame: bytes) -> None:
        """See `SessionWatch`."""
        self._house.upstream_out += len(frame)

    def _asked(self, after: str, at: float) -> None:
        """An answer is owed from now on; speech that goes on after a pause moves that moment."""
        self._end_turn("superseded")
        self._asked_at, self._after, self._is_answered = at, after, False
        self._turn = (self._session or _NO_SPAN).child("turn", {"liveavatar.after": after})

    def _end_turn(self, outcome: str) -> None:
        turn, waited_s = self._turn, self._waited_s
        self._turn = self._asked_at = self._waited_s = None
        self._is_answered = False
        if turn is not None:
            told = {} if waited_s is None else {"liveavatar.first_audio_s": round(waited_s, 4)}
            turn.end({"liveavatar.outcome": outcome, **told})

    # What comes of them

    def connecting_again(self, *, is_planned: bool) -> None:
        """See `SessionWatch`."""
        name = "liveavatar_upstream_rollovers_total" if is_planned else "liveavatar_upstream_reconnects_total"
        self._house.metrics.add(name)

    def lost_upstream(self, fault: LiveAvatarError) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_errors_total", "upstream", fault.code)

    def ignored(self, side: str) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_errors_total", side, "ignored_event")

    def dropped_speech(self, dropped_ms: float) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_dropped_speech_seconds_total", by=dropped_ms / 1000)

    def reservation_refused(self, budget: str) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_reservations_refused_total", budget)

    def budget_reached(self, stage: str) -> None:
        """See `SessionWatch`."""
        self._house.metrics.add("liveavatar_budget_stages_total", stage)

    def responded(self, status: str, usage: Usage | None) -> None:
        """See `SessionWatch`."""
        metrics = self._house.metrics
        metrics.add("liveavatar_responses_total", status if status in _STATUSES else OTHER)
        if usage is not None:
            for (kind, modality), tokens in _tokens(usage).items():
                # A service that counts wrongly must not make a counter fall.
                if tokens > 0:
                    metrics.add("liveavatar_tokens_total", kind, modality, by=tokens)


def _tokens(usage: Usage) -> dict[tuple[str, str], int]:
    """Tokens by kind and modality, none of them twice."""
    given, made = usage.input_token_details, usage.output_token_details
    # Where the service does not say how cached tokens divide they are taken for text, as everywhere.
    cached = given.cached_tokens_details or CachedTokensDetails(text_tokens=given.cached_tokens)
    return {
        ("input", "text"): given.text_tokens - cached.text_tokens,
        ("input", "audio"): given.audio_tokens - cached.audio_tokens,
        ("input", "image"): given.image_tokens - cached.image_tokens,
        ("input", "unspecified"): usage.input_tokens - given.text_tokens - given.audio_tokens - given.image_tokens,
        ("cached_input", "text"): cached.text_tokens,
        ("cached_input", "audio"): cached.audio_tokens,
        ("cached_input", "image"): cached.image_tokens,
        ("output", "text"): made.text_tokens,
        ("output", "audio"): made.audio_tokens,
        ("output", "unspecified"): usage.output_tokens - made.text_tokens - made.audio_tokens,
    }


class _WatchedErrand:
    """One errand, from its beginning to its end."""

    __slots__ = ("_began_at", "_errand", "_house", "_kind", "_name", "_token", "span")

    def __init__(self, house: Watcher, kind: ErrandKind, name: str) -> None:
        self._house = house
        self._kind = kind
        self._name = name
        self._errand = Errand()
        self._token: Token[_Place | None] | None = None
        self.span: Span = _NO_SPAN

    def __enter__(self) -> Errand:
        self._began_at = self._house.clock()
        place = _place.get()
        if place is not None:
            self.span = place.span.child(self._kind, {f"liveavatar.{self._kind}": self._name} if self._name else {})
            self._token = _place.set(self)
        return self._errand

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _place.reset(self._token)
        is_cancelled = error is not None and not isinstance(error, Exception)
        outcome = self._errand.outcome or ("cancelled" if is_cancelled else "crashed")
        self._count(outcome, self._house.clock() - self._began_at)
        attributes: Attributes = {"liveavatar.outcome": outcome}
        self.span.end(attributes, failed=outcome in _FAILED)

    def _count(self, outcome: str, took_s: float) -> None:
        metrics = self._house.metrics
        match self._kind:
            case "tool":
                metrics.add("liveavatar_tool_calls_total", self._name, outcome)
                metrics.observe("liveavatar_tool_seconds", took_s, self._name)
                if outcome == "crashed":
                    metrics.add("liveavatar_errors_total", "internal", "tool_crashed")
            case "search":
                metrics.add("liveavatar_searches_total", outcome)
                metrics.observe("liveavatar_search_seconds", took_s)
            case "connect":
                metrics.add("liveavatar_upstream_connects_total", self._name, outcome)
                if outcome == "connected":
                    metrics.observe("liveavatar_upstream_connect_seconds", took_s, self._name)


_FAILED: Final = frozenset({"crashed", "failed", "refused", "timeout", "unavailable", "unreachable", "no_credential"})
_NO_SPAN: Final = NoTracer().begin("", None, {})
