"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP on loopback, in threads, and keeps what it got."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.held.wait(30)
            if collector.status == 200:
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.bodies.append((self.path, body))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        collector.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
