"""A deployment of the Realtime service: where it is, whether it may be asked, and how often again. It opens nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protocol.prices.terms import Terms
from server.breaker import COOL_DOWN_S, FAILURES, MAX_COOL_DOWN_S, CircuitBreaker
from server.upstream.base import Connector
from server.upstream.retries import RetryBudget


@dataclass(slots=True, eq=False)
class Deployment:
    """One place that serves sessions; implements ``Origin``. All sessions share its breaker and its retries.

    Attributes:
        name, region, transcription_model, terms: see ``Origin``.
        priority: 1 is asked first; the next only when none of those can be had.
        weight: of several with one priority, how often this one is asked first, in proportion.
        last_fault: why it was of no use the last time, until it is of use again.
    """

    connector: Connector
    breaker: CircuitBreaker
    retries: RetryBudget
    name: str
    region: str
    priority: int
    weight: float
    transcription_model: str | None
    terms: Terms
    last_fault: str = ""

    def leave_alone(self, seconds: float, why: str) -> None:
        """See ``Origin``."""
        self.last_fault = why
        self.breaker.leave_alone(seconds)


def deployment(
    connector: Connector,
    *,
    name: str = "",
    region: str = "",
    priority: int = 1,
    weight: float = 1.0,
    transcription_model: str | None = None,
    terms: Terms | None = None,
    failures: int = FAILURES,
    cool_down_s: float = COOL_DOWN_S,
    max_cool_down_s: float = MAX_COOL_DOWN_S,
) -> Deployment:
    """A deployment nobody has asked yet; without a name called as its connector. The rest: see ``CircuitBreaker``."""
    name = name or connector.name
    breaker = CircuitBreaker(name, failures=failures, cool_down_s=cool_down_s, max_cool_down_s=max_cool_down_s)
    return Deployment(
        connector,
        breaker,
        RetryBudget(),
        name=name,
        region=region,
        priority=priority,
        weight=weight,
        transcription_model=transcription_model,
        terms=terms or Terms(deployment=name),
    )


def in_order(deployments: Iterable[Deployment], chance: Callable[[], float]) -> list[Deployment]:
    """The deployments as one connect asks them: by priority, and within one each first as often as its weight says.

    Drawn without replacement by exponential keys (Efraimidis and Spirakis, 2006). ``chance`` gives numbers from 0 to 1.
    """
    drawn = [(one.priority, -(chance() ** (1 / one.weight)), place, one) for place, one in enumerate(deployments)]
    return [one for *_, one in sorted(drawn, key=lambda key: key[:3])]
