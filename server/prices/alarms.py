"""Alarms about money: usages whose price is in doubt are counted, and told of once for each model. Prices nothing."""

from collections import Counter

import structlog

from protocol.conversation.actions import Charge
from protocol.prices.metering import Doubt

_log = structlog.get_logger("liveavatar.prices")

# Kinds of alarm that are told of one by one; who names a new model in each session is told of in the counts only.
_TOLD_MAX = 100

_MEANING: dict[Doubt, str] = {
    "unknown_model": "there is no price for this model: the dearest known is taken; add it to LIVEAVATAR_PRICES, or "
    "say in LIVEAVATAR_DEPLOYMENTS which model it is",
    "no_rate": "a kind of usage has no price for this model: the dearest known is taken; add it to LIVEAVATAR_PRICES",
    "no_usage": "the service did not say what was used: it could not be priced",
    "no_details": "the service did not say what kind of tokens were used: the dearest kind is taken",
    "unreadable": "the service's usage holds what is no number: it counts 0",
    "negative": "the service's usage holds a negative number: it counts 0",
    "absurd": "the service's usage holds an absurd number: it counts as the most there can be",
    "too_much_cached": "the service's usage says that more was cached than read: no more is taken off than was read",
}


class PriceAlarms:
    """What was doubtful about charges, of all sessions.

    Attributes:
        counts: charges in doubt, by the doubt.
    """

    def __init__(self) -> None:
        self.counts: Counter[Doubt] = Counter()
        self._told: set[tuple[Doubt, str, str]] = set()

    def charged(self, charge: Charge) -> None:
        """A charge was made. The first time that a doubt comes up of a model at a deployment, the log says so."""
        for doubt in charge.cost.doubts:
            self.counts[doubt] += 1
            about = doubt, charge.deployment, charge.model
            if about in self._told or len(self._told) >= _TOLD_MAX:
                continue
            self._told.add(about)
            _log.warning(
                "price in doubt",
                doubt=doubt,
                meaning=_MEANING[doubt],
                deployment=charge.deployment,
                model=charge.model,
                kind=charge.kind,
            )

    def unknown_models(self) -> list[str]:
        """Models that have no price."""
        return sorted({model for doubt, _, model in self._told if doubt == "unknown_model"})
