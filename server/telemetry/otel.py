"""Exports traces, metrics and logs by OpenTelemetry's SDK, in its threads; imported only where somebody asks for it.

Nothing of it blocks the event loop: what is to be exported goes into the SDK's bounded queues, the oldest is dropped
when a collector does not keep up, and the end waits for the last batch no longer than `FLUSH_S`. Nothing global is set.
"""

import importlib
import importlib.metadata
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import structlog
import trio
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import Tracer as SdkTracer

from protocol.errors import OperatorFault
from server.telemetry.collector_health import CollectorHealth, Reported
from server.telemetry.destinations import Destinations, Signal
from server.telemetry.metrics import Family, Metrics
from server.telemetry.otel_metrics import MetricsReader
from server.telemetry.tracing import Attributes, Span, TraceParent, Tracer
from server.telemetry.watching import current_span

__all__ = ["AZURE_EXTRA", "FLUSH_S", "Export"]

_log = structlog.get_logger("liveavatar.telemetry")

# What is left at the end is a batch or two; a collector that does not take it by then is not there.
FLUSH_S: Final = 3.0

# Not in everybody's installation: it brings a good part of Azure's libraries along.
AZURE_EXTRA: Final = "monitor"
_AZURE_EXPORTERS: Final = "azure.monitor.opentelemetry.exporter"
# It tells its authors how it is used, and asks them how it is to be set, over connections of its own. Where there is no
# way out to them the end of the process waits half a minute for that.
_AZURE_OWN_BUSINESS: Final = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)

_NAME: Final = "liveavatar"
_SEVERITIES: Final = {
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
# What an entry has beside its fields.
_NOT_FIELDS: Final = frozenset({"event", "level", "timestamp", "exc_info"})


class Export:
    """An open export. `tracer` and `log` are what it is fed by; metrics are asked for.

    Raises:
        OperatorFault: the exporter that is asked for is not installed; the message says how to get it.
    """

    def __init__(self, wanted: Destinations, metrics: Metrics) -> None:
        self._metrics = metrics
        self._loop = trio.lowlevel.current_trio_token()
        self._health = CollectorHealth(self._count_failure)
        exporters = list(_otlp_exporters(wanted)) + list(_azure_exporters(wanted))
        version = importlib.metadata.version("rag-liveavatar")
        resource = Resource.create({SERVICE_NAME: wanted.service_name, SERVICE_VERSION: version})
        self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self._readers: list[MetricsReader] = []
        for signal, exporter in exporters:
            reported: Any = Reported(exporter, signal, self._health)
            if signal == "traces":
                self._spans.add_span_processor(BatchSpanProcessor(reported))
            elif signal == "logs":
                self._logs.add_log_record_processor(BatchLogRecordProcessor(reported))
            else:
                self._readers.append(MetricsReader(reported, self._read, resource))
        self.signals = frozenset(signal for signal, _ in exporters)
        self.tracer: Tracer = _OtelTracer(self._spans.get_tracer(_NAME, version))
        self._logger = self._logs.get_logger(_NAME, version)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Exports one entry of the log. Not those at debug level: what people say is in them."""
        severity = _SEVERITIES.get(entry.get("level", ""))
        if severity is None:
            return
        fields = {name: _plain(value) for name, value in entry.items() if name not in _NOT_FIELDS}
        error = entry.get("exc_info")
        if error is True:
            error = sys.exception()
        elif isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            fields["exception.type"] = type(error).__name__
            fields["exception.stacktrace"] = "".join(traceback.format_exception(error))
        span = current_span()
        self._logger.emit(
            timestamp=time.time_ns(),
            context=span.context if isinstance(span, _OtelSpan) else Context(),
            severity_number=severity,
            severity_text=str(entry["level"]).upper(),
            body=str(entry.get("event", "")),
            attributes=fields,
        )

    async def aclose(self) -> None:
        """Exports what is left, and ends; at the latest after `FLUSH_S` seconds, whatever the collector does."""
        ends: list[Callable[[], object]] = [self._spans.shutdown, self._logs.shutdown]
        ends += [partial(reader.shutdown, FLUSH_S) for reader in self._readers]
        with trio.move_on_after(FLUSH_S, shield=True) as waiting:
            async with trio.open_nursery() as nursery:
                for end in ends:
                    nursery.start_soon(partial(trio.to_thread.run_sync, end, abandon_on_cancel=True))

        if waiting.cancelled_caught:
            _log.warning("the last telemetry was not taken in time", within_s=FLUSH_S)

    def _read(self) -> list[Family] | None:
        """The metrics, for the reader's thread: they are read where they are counted."""
        try:
            return trio.from_thread.run_sync(self._metrics.snapshot, trio_token=self._loop)
        except trio.RunFinishedError:
            return None

    def _count_failure(self, signal: Signal) -> None:
        """In an exporter's thread."""
        try:
            self._loop.run_sync_soon(self._metrics.add, "liveavatar_export_failures_total", signal)
        except trio.RunFinishedError:
            return


class _OtelSpan:
    """A span of the SDK's; implements `Span`."""

    __slots__ = ("_span", "_tracer", "context")

    def __init__(self, tracer: SdkTracer, span: SdkSpan) -> None:
        self._tracer = tracer
        self._span = span
        self.context = set_span_in_context(span, Context())

    @property
    def trace_id(self) -> str:
        """See `Span`."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        """See `Span`."""
        return f"{self._span.get_span_context().span_id:016x}"

    def child(self, name: str, attributes: Attributes) -> Span:
        """See `Span`."""
        return _OtelSpan(self._tracer, self._tracer.start_span(name, self.context, attributes=attributes))

    def end(self, attributes: Attributes, *, failed: bool = False) -> None:
        """See `Span`."""
        if self._span.is_recording():
            self._span.set_attributes(attributes)
            if failed:
                self._span.set_status(Status(StatusCode.ERROR))
            self._span.end()


class _OtelTracer:
    """Begins traces by the SDK; implements `Tracer`."""

    def __init__(self, tracer: SdkTracer) -> None:
        self._tracer = tracer

    def begin(self, name: str, parent: TraceParent | None, attributes: Attributes) -> Span:
        """See `Tracer`. Whether a trace is kept is the sampler's matter (`OTEL_TRACES_SAMPLER`)."""
        context = Context()
        if parent is not None:
            flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
            place = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(place), context)
        # It is asked for from outside: Application Insights counts such spans as requests, others as what they led to.
        span = self._tracer.start_span(name, context, kind=SpanKind.SERVER, attributes=attributes)
        return _OtelSpan(self._tracer, span)


def _otlp_exporters(wanted: Destinations) -> Iterator[tuple[Signal, Any]]:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    makers: dict[Signal, type[Any]] = {
        "traces": OTLPSpanExporter,
        "metrics": OTLPMetricExporter,
        "logs": OTLPLogExporter,
    }
    headers = _headers(wanted.headers.reveal()) if wanted.headers is not None else None
    for signal, endpoint in wanted.otlp.items():
        yield signal, makers[signal](endpoint=endpoint, headers=headers)


def _headers(text: str) -> dict[str, str]:
    """Not by the SDK's own function: it logs what it cannot read, and that is a secret."""
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            told = "OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE, several with commas between, values URL-encoded."
            raise OperatorFault(told, code="telemetry")
        found[name.strip().lower()] = unquote(value.strip())
    return found


def _azure_exporters(wanted: Destinations) -> Iterator[tuple[Signal, Any]]:
    if wanted.azure is None:
        return
    try:
        azure = importlib.import_module(_AZURE_EXPORTERS)
    except ImportError:
        raise OperatorFault(
            "APPLICATIONINSIGHTS_CONNECTION_STRING is set, and the exporter for Azure Monitor is not installed: "
            f"pip install 'rag-liveavatar[{AZURE_EXTRA}]'.",
            code="telemetry_extra_missing",
        ) from None
    for name in _AZURE_OWN_BUSINESS:
        # It has no other switch. Who set it wants it so.
        os.environ.setdefault(name, "true")
    makers: dict[Signal, str] = {
        "traces": "AzureMonitorTraceExporter",
        "metrics": "AzureMonitorMetricExporter",
        "logs": "AzureMonitorLogExporter",
    }
    try:
        for signal, name in makers.items():
            # What is not taken would lie in a folder of the machine's for everybody's temporary files.
            yield signal, getattr(azure, name)(connection_string=wanted.azure.reveal(), disable_offline_storage=True)
    except ValueError:
        # Its message quotes what it was given.
        text = "APPLICATIONINSIGHTS_CONNECTION_STRING is not a connection string of Application Insights."
        raise OperatorFault(text, code="telemetry") from None


def _plain(value: Any) -> Any:
    """A field as OpenTelemetry takes it."""
    return value if isinstance(value, str | int | float | bool) else str(value)
