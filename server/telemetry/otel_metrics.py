"""The catalogue's metrics in the form of OpenTelemetry, and the reader that exports them. Counts nothing a second time.

The SDK's instruments are not used: they would keep every number again, and take microseconds where a dictionary takes a
fraction of one. Its periodic reader exports what the metrics hold.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from server.telemetry.catalogue import MetricSpec
from server.telemetry.metrics import Distribution, Family, Labels

__all__ = ["MetricsReader"]

_SCOPE: Final = InstrumentationScope("liveavatar")
_UNITS: Final = {"s": "s", "B": "By", "USD": "{USD}", "": "1"}


class MetricsReader:
    """Exports the metrics every `OTEL_METRIC_EXPORT_INTERVAL` milliseconds, in a thread of the SDK's, and at the end.

    Args:
        exporter: whether it wants totals or what was added since the last export is its own preference.
        read: gives the metrics, or None where they cannot be had any more; called in that thread.
    """

    def __init__(self, exporter: Any, read: Callable[[], list[Family] | None], resource: Resource) -> None:
        self._read = read
        self._resource = resource
        # Private names that the SDK's own readers and meter providers share; there is no other way to them.
        self._temporality: Mapping[type, Any] = exporter._preferred_temporality  # noqa: SLF001 - see above
        self._began_ns = self._told_ns = time.time_ns()
        self._told: dict[str, Family] = {}
        self._reader = sdk.PeriodicExportingMetricReader(exporter)
        self._reader._set_collect_callback(self._collect)  # type: ignore[arg-type]  # noqa: SLF001 - see above

    def shutdown(self, timeout_s: float) -> None:
        """Exports once more, and ends. Blocks its thread for that time at most."""
        self._reader.shutdown(timeout_millis=timeout_s * 1000)

    def _collect(self, _reader: object, timeout_millis: float = 10_000) -> sdk.MetricsData | None:  # noqa: ARG002
        families = self._read()
        if families is None:
            return None
        now_ns = time.time_ns()
        metrics = [self._metric(family, now_ns) for family in families]
        self._told = {family.spec.name: family for family in families}
        self._told_ns = now_ns
        scope = sdk.ScopeMetrics(_SCOPE, metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")])

    def _metric(self, family: Family, now_ns: int) -> sdk.Metric:
        spec = family.spec
        data: sdk.Sum | sdk.Gauge | sdk.Histogram
        if spec.kind == "gauge":
            data = sdk.Gauge([_point(spec, labels, value, now_ns, now_ns) for labels, value in family.values.items()])
            return sdk.Metric(spec.name, spec.help, _UNITS[spec.unit], data)
        temporality = self._temporality[Counter if spec.kind == "counter" else Histogram]
        is_delta = temporality is sdk.AggregationTemporality.DELTA
        since_ns = self._told_ns if is_delta else self._began_ns
        told = self._told.get(spec.name) if is_delta else None
        if spec.kind == "counter":
            before = told.values if told is not None else {}
            points = [
                _point(spec, labels, value - before.get(labels, 0.0), since_ns, now_ns)
                for labels, value in family.values.items()
            ]
            data = sdk.Sum(points, temporality, is_monotonic=True)
        else:
            held = told.distributions if told is not None else {}
            data = sdk.Histogram(
                [
                    _histogram_point(spec, labels, _less(now, held.get(labels)), since_ns, now_ns)
                    for labels, now in family.distributions.items()
                ],
                temporality,
            )
        return sdk.Metric(spec.name, spec.help, _UNITS[spec.unit], data)


def _point(spec: MetricSpec, labels: Labels, value: float, since_ns: int, now_ns: int) -> sdk.NumberDataPoint:
    return sdk.NumberDataPoint(_attributes(spec, labels), since_ns, now_ns, value)


def _histogram_point(
    spec: MetricSpec, labels: Labels, held: Distribution, since_ns: int, now_ns: int
) -> sdk.HistogramDataPoint:
    # The extremes are not kept; what is known of them is in which bucket they lie.
    low, high = _extremes(spec.bounds, held.counts)
    return sdk.HistogramDataPoint(
        attributes=_attributes(spec, labels),
        start_time_unix_nano=since_ns,
        time_unix_nano=now_ns,
        count=held.count,
        sum=held.total,
        bucket_counts=list(held.counts),
        explicit_bounds=list(spec.bounds),
        min=low,
        max=high,
    )


def _extremes(bounds: Sequence[float], counts: Sequence[int]) -> tuple[float, float]:
    filled = [place for place, count in enumerate(counts) if count]
    if not filled:
        return 0.0, 0.0
    lower = (0.0, *bounds)
    upper = (*bounds, bounds[-1])
    return lower[filled[0]], upper[filled[-1]]


def _less(now: Distribution, before: Distribution | None) -> Distribution:
    if before is None:
        return now
    counts = [one - other for one, other in zip(now.counts, before.counts, strict=True)]
    return Distribution(counts, now.total - before.total)


def _attributes(spec: MetricSpec, labels: Labels) -> dict[str, str]:
    return dict(zip(spec.labels, labels, strict=True))
