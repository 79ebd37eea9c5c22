"""A circuit breaker: leaves a service alone that keeps failing, and asks it one question at a time whether it is back.

It connects to nothing, waits for nothing, and does not decide what a failure is: whoever asks the service says so.
"""

import enum
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
import trio

_log = structlog.get_logger("liveavatar.breaker")

# Fewer would open at a hiccup; more would let every session of a busy server run into an outage.
FAILURES = 5
# A person waits for the first word. One question a second is no burden to a service that comes back, and it bounds
# how long nobody notices that it has.
COOL_DOWN_S = 0.5
MAX_COOL_DOWN_S = 1.0
# After an outage everybody comes at once: so many at a time, two more for each that succeeds, then without a bound.
# Two hundred are through in five turns, and a service that is not yet itself again is not struck down by them.
_FIRST_PLACES = 4
_PLACES_PER_SUCCESS = 2
_LAST_PLACES = 100


class BreakerState(enum.Enum):
    """Whether a service may be asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Permit:
    """The leave to ask the service once. Left without a verdict, as by a cancellation, it is given back."""

    __slots__ = ("_breaker", "_generation", "_is_done", "is_probe")

    def __init__(self, breaker: "CircuitBreaker", generation: int, *, is_probe: bool) -> None:
        self._breaker = breaker
        self._generation = generation
        self._is_done = False
        self.is_probe = is_probe
        """Whether it is the one question that a half-open breaker lets through."""

    def succeeded(self) -> None:
        """The service answered. The first verdict counts."""
        if not self._is_done:
            self._is_done = True
            self._breaker._succeeded(self._generation)  # noqa: SLF001 - permit and breaker are one thing

    def failed(self, retry_after_s: float | None = None) -> None:
        """The service failed. ``retry_after_s``: seconds it asked to be left alone. The first verdict counts."""
        if not self._is_done:
            self._is_done = True
            self._breaker._failed(self._generation, max(0.0, retry_after_s or 0.0))  # noqa: SLF001

    def give_back(self) -> None:
        """Nothing was learnt about the service."""
        if not self._is_done:
            self._is_done = True
            self._breaker._given_back(self._generation)  # noqa: SLF001

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()


class CircuitBreaker:
    """Closed while the service answers; open, and nobody asks, after so many failures in a row.

    After the cool-down it is half-open: one question at a time, whose success closes it and whose failure opens it
    again, for twice as long, up to a limit. Closed again, it lets in a few at a time, and more as they succeed.

    A service that says when to come back (``Retry-After``) opens it at once and is not asked before, however long that
    is. What comes of a question that was asked before the last change is no news and counts for nothing, but for its
    ``Retry-After``.

    Nothing in it is a checkpoint, so all sessions can share it.

    Args:
        name: of the service, for logs and health.
        failures: how many in a row open it.
        cool_down_s: seconds it first stays open.
        max_cool_down_s: seconds it stays open at most, unless the service asked for longer.
        now: the clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = FAILURES,
        cool_down_s: float = COOL_DOWN_S,
        max_cool_down_s: float = MAX_COOL_DOWN_S,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self.name = name
        self.state = BreakerState.CLOSED
        self.failures = 0
        """Failures since the last success."""
        self.opened_at: float | None = None
        """When it left ``CLOSED``, on the breaker's clock; None while it is closed."""
        self.retry_at: float | None = None
        """Before this, on the breaker's clock, nobody may ask; None while it is closed."""
        self.recoveries = 0
        """How often it was closed again."""
        self._failures_to_open = failures
        self._first_cool_down_s = cool_down_s
        self._max_cool_down_s = max(cool_down_s, max_cool_down_s)
        self._cool_down_s = cool_down_s
        self._now = now
        # Questions that are under way, and how many there may be; None is any number.
        self._asking = 0
        self._places: int | None = None
        # Tells permits of now from those given before the last change of state.
        self._generation = 0

    def admit(self) -> Permit | None:
        """The leave to ask now, or None. It must be used as a context manager or given a verdict."""
        if self.retry_in_s() > 0:
            return None
        if self.state is BreakerState.OPEN:
            self._change(BreakerState.HALF_OPEN, places=1)
            _log.info("breaker half-open", breaker=self.name)
        if self._places is not None and self._asking >= self._places:
            return None
        self._asking += 1
        return Permit(self, self._generation, is_probe=self.state is BreakerState.HALF_OPEN)

    def retry_in_s(self) -> float:
        """Seconds until the service may be asked: 0 unless it is open. But others may have all places just now."""
        return 0.0 if self.retry_at is None else max(0.0, self.retry_at - self._now())

    def leave_alone(self, seconds: float) -> None:
        """Nobody may ask in this time: the service answers, and cannot serve.

        The question that a half-open breaker let through may come to its end; it stays the only one, and nobody asks
        the next early.
        """
        if self.state is BreakerState.HALF_OPEN and self._asking:
            self._hold(seconds)
        else:
            self._open(seconds)

    def _succeeded(self, generation: int) -> None:
        if generation != self._generation:
            return
        self._asking -= 1
        self.failures = 0
        if self.state is BreakerState.CLOSED:
            if self._places is not None:
                self._places += _PLACES_PER_SUCCESS
                self._places = None if self._places > _LAST_PLACES else self._places
        elif self.retry_in_s() > 0:
            # An earlier question was answered meanwhile, with a Retry-After that is not over.
            self._open(0.0)
        else:
            self._close()

    def _failed(self, generation: int, retry_after_s: float) -> None:
        if generation != self._generation:
            if retry_after_s > 0:
                self.leave_alone(retry_after_s)
            return
        self._asking -= 1
        self.failures += 1
        hold_s = retry_after_s
        if self.state is BreakerState.HALF_OPEN or self.failures >= self._failures_to_open:
            hold_s = max(hold_s, self._cool_down_s)
            self._cool_down_s = min(2 * self._cool_down_s, self._max_cool_down_s)
        if hold_s > 0:
            self._open(hold_s)

    def _given_back(self, generation: int) -> None:
        if generation == self._generation:
            self._asking -= 1

    def _close(self) -> None:
        was_open_s = 0.0 if self.opened_at is None else self._now() - self.opened_at
        self.opened_at = self.retry_at = None
        self.recoveries += 1
        self._cool_down_s = self._first_cool_down_s
        self._change(BreakerState.CLOSED, places=_FIRST_PLACES)
        _log.info("breaker closed", breaker=self.name, was_open_s=round(was_open_s, 3))

    def _open(self, hold_s: float) -> None:
        self._hold(hold_s)
        if self.state is BreakerState.OPEN:
            return
        if self.opened_at is None:
            self.opened_at = self._now()
        self._change(BreakerState.OPEN, places=0)
        _log.warning(
            "breaker opened", breaker=self.name, failures=self.failures, retry_in_s=round(self.retry_in_s(), 3)
        )

    def _hold(self, hold_s: float) -> None:
        until = self._now() + hold_s
        self.retry_at = until if self.retry_at is None else max(self.retry_at, until)

    def _change(self, state: BreakerState, *, places: int) -> None:
        self.state = state
        self._places = places
        self._asking = 0
        self._generation += 1
