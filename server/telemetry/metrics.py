"""The metrics of one server: counts, gauges and histograms of the catalogue, kept in memory. It shows them to nobody.

Counting is a dictionary's business and happens on the event loop, so it takes no lock and well under a microsecond, and
nothing global is touched: two servers in one process, as tests have them, do not see each other. `snapshot` is what the
text for Prometheus and the export by OpenTelemetry are made from.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from server.telemetry.catalogue import BY_NAME, CATALOGUE, MetricSpec

__all__ = ["MAX_SERIES", "OTHER", "Distribution", "Family", "Labels", "Metrics"]

# Sets of label values of one metric; whatever else comes is counted under `OTHER`. Codes, tools and deployments of a
# real server are a few dozen; what strangers make up shall not fill the memory.
MAX_SERIES: Final = 200
OTHER: Final = "other"

Labels = tuple[str, ...]
"""The values of a metric's labels, in the catalogue's order."""

Source = Callable[[], Mapping[Labels, float] | float | None]
"""Gives what a metric is now, by its labels or, without any, plainly; None: nobody knows."""


@dataclass(slots=True)
class Distribution:
    """What a histogram holds for one set of labels. `counts` are by bucket, the last one beyond all bounds."""

    counts: list[int]
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def add(self, bounds: tuple[float, ...], value: float) -> None:
        """Counts a value in the bucket whose upper end it does not exceed."""
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value

    def copy(self) -> "Distribution":
        """As it is now."""
        return Distribution(list(self.counts), self.total)


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all its values, as they were at one moment."""

    spec: MetricSpec
    values: Mapping[Labels, float] = field(default_factory=dict)
    distributions: Mapping[Labels, Distribution] = field(default_factory=dict)


class Metrics:
    """Counts what happens. Everything but `snapshot` of counters is to be called on the event loop."""

    def __init__(self) -> None:
        # What is there from the start has a rate from its first event on; a counter that appears with a 1 has none.
        self._counts: dict[str, dict[Labels, float]] = {
            spec.name: dict.fromkeys(_foreseen(spec), 0.0) for spec in CATALOGUE if spec.kind == "counter"
        }
        self._distributions: dict[str, dict[Labels, Distribution]] = {
            spec.name: {} for spec in CATALOGUE if spec.kind == "histogram"
        }
        self._sources: dict[str, Source] = {}

    def add(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Counts up. The labels are in the catalogue's order.

        Raises:
            KeyError: there is no counter of this name.
        """
        counts = self._counts[name]
        if labels not in counts:
            labels = _bounded(BY_NAME[name], counts, labels)
        counts[labels] = counts.get(labels, 0.0) + by

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Adds a value to a histogram. Raises as `add` does."""
        self.distribution(name, *labels).add(BY_NAME[name].bounds, value)

    def distribution(self, name: str, *labels: str) -> Distribution:
        """What a histogram holds for these labels, to be added to; for those who add often."""
        held = self._distributions[name]
        if labels not in held:
            labels = _bounded(BY_NAME[name], held, labels)
        found = held.get(labels)
        if found is None:
            found = held[labels] = Distribution([0] * (len(BY_NAME[name].bounds) + 1))
        return found

    def ask(self, name: str, source: Source) -> None:
        """What a gauge is, or a counter that is counted elsewhere, is asked of `source` when somebody looks.

        It must not wait, and is called on the event loop only. A metric without a source or a count is not shown.

        Raises:
            KeyError: the catalogue has no such metric.
        """
        self._sources[BY_NAME[name].name] = source

    def value(self, name: str, *labels: str) -> float:
        """What a counter or gauge is now; 0 for labels that it never had."""
        values = dict(self._counts.get(name, {}))
        if name in self._sources:
            values |= self._asked(BY_NAME[name])
        return values.get(labels, 0.0)

    def snapshot(self) -> list[Family]:
        """Everything there is to tell, in the catalogue's order. On the event loop; a fraction of a millisecond."""
        families = []
        for spec in CATALOGUE:
            if spec.kind == "histogram":
                held = {labels: one.copy() for labels, one in self._distributions[spec.name].items()}
                if held:
                    families.append(Family(spec, distributions=held))
                continue
            values = dict(self._counts.get(spec.name, {}))
            if spec.name in self._sources:
                values |= self._asked(spec)
            if values:
                families.append(Family(spec, values))
        return families

    def _asked(self, spec: MetricSpec) -> dict[Labels, float]:
        told = self._sources[spec.name]()
        if told is None:
            return {}
        if isinstance(told, int | float):
            told = {(): float(told)}
        found: dict[Labels, float] = {}
        for labels, value in told.items():
            bounded = labels if labels in found else _bounded(spec, found, labels)
            found[bounded] = found.get(bounded, 0.0) + value
        return found


def _foreseen(spec: MetricSpec) -> list[Labels]:
    """The sets of labels that a metric will have, where all of their values are fixed."""
    values = [spec.values_of(label) for label in spec.labels]
    return list(product(*(known for known in values if known is not None))) if None not in values else []


def _bounded(spec: MetricSpec, known: Sized, labels: Labels) -> Labels:
    """The labels that something is counted under: their own where there is room."""
    if len(labels) != len(spec.labels):
        raise ValueError(f"{spec.name} has the labels {spec.labels}, and was given {labels}")
    return labels if len(known) < MAX_SERIES else (OTHER,) * len(labels)
