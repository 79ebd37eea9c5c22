"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP on loopback, in threads, and keeps what it got."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.telemetry.posts import taking


class Collector:
    """What came. ``status`` is what requests are answered with; while ``held`` is cleared they are not answered."""

    def __init__(self) -> None:
        self.status = 200
        self.held = threading.Event()
        self.held.set()
        self.headers: list[dict[str, str]] = []
        self.bodies: list[tuple[str, bytes]] = []
        self.url = ""

    def _of(self, signal: str, kind: Any) -> list[Any]:
        return [kind.FromString(body) for path, body in list(self.bodies) if path == f"/v1/{signal}"]

    @property
    def spans(self) -> list[Any]:
        requests = self._of("traces", ExportTraceServiceRequest)
        return [
            span
            for one in requests
            for group in one.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    @property
    def logs(self) -> list[Any]:
        requests = self._of("logs", ExportLogsServiceRequest)
        return [
            entry
            for one in requests
            for group in one.resource_logs
            for scope in group.scope_logs
            for entry in scope.log_records
        ]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The metrics of each export, by name."""
        requests = self._of("metrics", ExportMetricsServiceRequest)
        return [
            {
                metric.name: metric
                for group in one.resource_metrics
                for scope in group.scope_metrics
                for metric in scope.metrics
            }
            for one in requests
        ]

    @property
    def resource(self) -> dict[str, str]:
        (first, *_) = self._of("metrics", ExportMetricsServiceRequest)
        return values(first.resource_metrics[0].resource.attributes)


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a mapping."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a loopback port for the length of the block."""
    collector = Collector()

    def take(path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        collector.held.wait(30)
        if collector.status == 200:
            collector.headers.append(headers)
            collector.bodies.append((path, body))
        return collector.status, b""

    with taking(take) as collector.url:
        try:
            yield collector
        finally:
            collector.held.set()
