"""The metrics as text for Prometheus, or as OpenMetrics for who asks for it. It measures nothing and lets nobody in.

prometheus_client is loaded at the first scrape, and the text is made in a thread: both take long enough to be heard in
sound that waits for them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from server.telemetry.metrics import Distribution, Family, Metrics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["Exposition", "Scrapes", "render"]

_OPEN_METRICS = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Exposition:
    """An answer to whoever scrapes."""

    body: bytes
    content_type: str


class Scrapes:
    """Answers scrapes of one server's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def answer(self, accept: str) -> Exposition:
        """Everything as it is now, in the form that the Accept header asks for: text unless it names OpenMetrics."""
        families = self._metrics.snapshot()
        return await trio.to_thread.run_sync(render, families, accept)


def render(families: Sequence[Family], accept: str) -> Exposition:
    """The text. What the process takes of the machine (`process_*`) comes with it, where `/proc` tells."""
    from prometheus_client import CollectorRegistry, ProcessCollector, exposition, openmetrics

    # A registry of this answer's own: prometheus_client's global one would mix the servers of one process.
    registry = CollectorRegistry()
    registry.register(_Families(families))
    ProcessCollector(registry=registry)
    to_text: Callable[[CollectorRegistry], bytes]
    if any(part.split(";")[0].strip().lower() == _OPEN_METRICS for part in accept.split(",")):
        to_text, content_type = openmetrics.exposition.generate_latest, openmetrics.exposition.CONTENT_TYPE_LATEST
    else:
        to_text, content_type = exposition.generate_latest, exposition.CONTENT_TYPE_PLAIN_0_0_4
    return Exposition(to_text(registry), content_type)


class _Families:
    """What prometheus_client collects from."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator["Metric"]:
        """See prometheus_client's `Collector`."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for family in self._families:
            spec = family.spec
            text, labels = spec.help.replace("`", ""), spec.labels
            if spec.kind == "histogram":
                histogram = HistogramMetricFamily(spec.name, text, labels=labels)
                for values, held in family.distributions.items():
                    histogram.add_metric(values, _buckets(spec.bounds, held), held.total)
                yield histogram
                continue
            plain = (CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily)(
                spec.name, text, labels=labels
            )
            for values, number in family.values.items():
                plain.add_metric(values, number)
            yield plain


def _buckets(bounds: tuple[float, ...], held: Distribution) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    ends = [*(repr(bound) for bound in bounds), "+Inf"]
    found: list[tuple[str, float]] = []
    below = 0
    for end, count in zip(ends, held.counts, strict=True):
        below += count
        found.append((end, float(below)))
    return found
