"""The health of the server: where it stands in its life, and what it has in hand. Asks nothing of anybody."""

from collections.abc import Callable, Iterable
from typing import Any

from server.breaker import BreakerState, CircuitBreaker
from server.lifecycle import Lifecycle, State


class Health:
    """What ``/health`` shows.

    Args:
        facts: gives the detailed part when it is asked for; must not block.
        breakers: gives the breakers of what the server depends on, when they are asked for.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        facts: Callable[[], dict[str, Any]],
        breakers: Callable[[], Iterable[CircuitBreaker]] = tuple,
    ) -> None:
        self._lifecycle = lifecycle
        self._facts = facts
        self._breakers = breakers

    @property
    def is_ready(self) -> bool:
        """Whether new clients should be sent here."""
        return self._lifecycle.state is State.READY

    def details(self) -> dict[str, Any]:
        """Everything there is to tell; no secrets, no contents.

        ``status`` is ``degraded`` where the server is ready and a breaker is not closed: something it depends on is
        down, conversations go on as well as they can, and other replicas would fare no better.
        """
        breakers = list(self._breakers())
        is_degraded = self.is_ready and any(breaker.state is not BreakerState.CLOSED for breaker in breakers)
        return {
            "status": "degraded" if is_degraded else self._lifecycle.state.value,
            **self._facts(),
            "breakers": [_view(breaker) for breaker in breakers],
        }


def _view(breaker: CircuitBreaker) -> dict[str, Any]:
    return {
        "name": breaker.name,
        "state": breaker.state.value,
        "failures": breaker.failures,
        "retry_in_s": round(breaker.retry_in_s(), 1),
    }
