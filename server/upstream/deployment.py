"""A deployment of the Realtime service: where it is, whether it may be asked, and how often again. It opens nothing."""

from dataclasses import dataclass

from server.breaker import COOL_DOWN_S, FAILURES, MAX_COOL_DOWN_S, CircuitBreaker
from server.upstream.base import Connector
from server.upstream.retries import RetryBudget


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One place that serves sessions. All sessions share its breaker and its retries."""

    connector: Connector
    breaker: CircuitBreaker
    retries: RetryBudget


def deployment(
    connector: Connector,
    *,
    failures: int = FAILURES,
    cool_down_s: float = COOL_DOWN_S,
    max_cool_down_s: float = MAX_COOL_DOWN_S,
) -> Deployment:
    """A deployment that nobody has asked yet; the rest as for ``CircuitBreaker``."""
    breaker = CircuitBreaker(
        connector.name, failures=failures, cool_down_s=cool_down_s, max_cool_down_s=max_cool_down_s
    )
    return Deployment(connector, breaker, RetryBudget())
