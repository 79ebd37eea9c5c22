"""Traces, metrics and logs arrive at a collector; one that is not there is said once and holds nobody up."""

import io
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource

from protocol.endings import EndReason
from protocol.errors import OperatorFault
from server.app.telemetry import open_telemetry
from server.secret import Secret
from server.security.principal import LOCAL
from server.session.base import SessionRequest
from server.settings import Settings
from server.telemetry import logs
from server.telemetry.metrics import Metrics
from server.telemetry.otel import FLUSH_S
from server.telemetry.otel_metrics import MetricsReader
from server.telemetry.watching import Watcher
from tests.telemetry.collector import Collector, collecting, values
from tests.telemetry.ingestion import ingesting
from tests.telemetry.tasks import in_a_task

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    return stream


def entries(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


async def a_session(watcher: Watcher, *, sampled: bool = True) -> None:
    """A short conversation, as the session tells of it."""
    request = SessionRequest(
        kb_id=None,
        avatar_events=True,
        show_tools=False,
        settable=None,
        endpoint="/ws",
        principal=LOCAL,
        traceparent=f"00-{TRACE}-{CALLER}-0{int(sampled)}",
    )
    eye = watcher.session("sess_1", request, "museum")

    async def works() -> None:
        eye.started()
        eye.enter()
        eye.from_client(b'{"type":"response.create","response":{"instructions":"swordfish"}}', trio.current_time())
        with watcher.errand("search", "") as errand:
            errand.outcome = "unavailable"
        structlog.get_logger("liveavatar.test").debug("record", entry="swordfish")
        structlog.get_logger("liveavatar.test").warning("tool unavailable", tool="search", tries=2)
        eye.ended(EndReason.COMPLETED, 1.5)

    await in_a_task(works)


async def test_a_session_arrives_as_a_trace(collector: Collector, log: io.StringIO) -> None:
    async with open_telemetry(Settings(otlp_endpoint=collector.url)) as watcher:
        await a_session(watcher)
    spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {"session", "turn", "search"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert spans["session"].parent_span_id.hex() == CALLER
    assert spans["turn"].parent_span_id == spans["session"].span_id
    assert spans["search"].parent_span_id == spans["turn"].span_id
    assert spans["search"].status.code == 2, "an error"
    assert values(spans["session"].attributes) == {
        "liveavatar.session.id": "sess_1",
        "liveavatar.kb_id": "museum",
        "liveavatar.endpoint": "/ws",
        "liveavatar.end_reason": "completed",
    }
    assert not any(b"swordfish" in body for _, body in collector.bodies)


async def test_a_caller_that_is_not_traced_is_not(collector: Collector) -> None:
    async with open_telemetry(Settings(otlp_endpoint=collector.url)) as watcher:
        await a_session(watcher, sampled=False)
    assert collector.spans == []
    assert collector.metrics


async def test_entries_of_the_log_arrive_with_their_session_and_trace(collector: Collector, log: io.StringIO) -> None:
    async with open_telemetry(Settings(otlp_endpoint=collector.url)) as watcher:
        await a_session(watcher)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            structlog.get_logger("liveavatar.test").exception("it failed")
    told = {entry.body.string_value: entry for entry in collector.logs}
    assert told.keys() == {"tool unavailable", "it failed"}, "and nothing of the debug level"
    entry = told["tool unavailable"]
    assert entry.severity_text == "WARNING"
    assert entry.trace_id.hex() == TRACE
    assert entry.span_id in {span.span_id for span in collector.spans}
    fields = values(entry.attributes)
    assert fields == {"tool": "search", "tries": 2, "session_id": "sess_1", "trace_id": TRACE}
    assert values(told["it failed"].attributes)["exception.type"] == "ZeroDivisionError"
    assert not told["it failed"].trace_id.strip(b"\0")
    (line,) = [entry for entry in entries(log) if entry["event"] == "tool unavailable"]
    assert (line["session_id"], line["trace_id"]) == ("sess_1", TRACE)


async def test_the_same_metrics_arrive(collector: Collector) -> None:
    settings = Settings(
        otlp_endpoint=collector.url, otel_service_name="museum", otlp_headers=Secret("api-key=abc, x=y%20z")
    )
    async with open_telemetry(settings) as watcher:
        await a_session(watcher)
        watcher.metrics.ask("liveavatar_store_up", lambda: 1)
    (sent,) = collector.metrics
    assert sent.keys() == {family.spec.name for family in watcher.metrics.snapshot()}
    started = sent["liveavatar_sessions_started_total"].sum
    assert (started.is_monotonic, started.aggregation_temporality) == (True, 2)
    assert (started.data_points[0].as_double, values(started.data_points[0].attributes)) == (1, {"endpoint": "/ws"})
    (point,) = sent["liveavatar_session_seconds"].histogram.data_points
    assert (point.count, point.sum) == (1, 1.5)
    assert sum(point.bucket_counts) == 1
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert sent["liveavatar_store_up"].gauge.data_points[0].as_double == 1
    assert sent["liveavatar_session_seconds"].unit == "s"
    assert collector.resource["service.name"] == "museum"
    assert {(headers["api-key"], headers["x"]) for headers in collector.headers} == {("abc", "y z")}


async def test_headers_that_cannot_be_read_are_not_repeated(
    collector: Collector, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OperatorFault, match="OTEL_EXPORTER_OTLP_HEADERS") as refused:
        async with open_telemetry(Settings(otlp_endpoint=collector.url, otlp_headers=Secret("a=b,swordfish"))):
            pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "swordfish")
    async with open_telemetry(Settings(otlp_endpoint=collector.url)):
        pass
    assert [entry["event"] for entry in entries(log)].count("OpenTelemetry") == 1
    assert "swordfish" not in refused.value.message + log.getvalue() + "".join(capfd.readouterr())


class Kept(MetricExporter):
    """Keeps what was exported; wants what was added since the last time."""

    def __init__(self) -> None:
        delta = AggregationTemporality.DELTA
        super().__init__(preferred_temporality={Counter: delta, Histogram: delta})
        self.told: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
        self.told.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        pass


def test_an_exporter_that_wants_differences_gets_them() -> None:
    metrics, kept = Metrics(), Kept()
    reader = MetricsReader(kept, metrics.snapshot, Resource({}))
    for seconds in (1.0, 100.0):
        metrics.add("liveavatar_searches_total", "found", by=seconds)
        metrics.observe("liveavatar_search_seconds", seconds)
        reader._reader.collect()
    reader.shutdown(5)
    told = [
        {metric.name: metric.data for metric in data.resource_metrics[0].scope_metrics[0].metrics} for data in kept.told
    ]
    found = [
        {point.attributes["outcome"]: point.value for point in one["liveavatar_searches_total"].data_points}["found"]  # type: ignore[index, union-attr]
        for one in told
    ]
    assert found == [1, 100, 0]
    points: list[Any] = [one["liveavatar_search_seconds"].data_points[0] for one in told]
    assert [(point.count, point.sum, point.min, point.max) for point in points] == [
        (1, 1.0, 0.5, 1.0),
        (1, 100.0, 30.0, 30.0),
        (0, 0.0, 0.0, 0.0),
    ]
    assert points[1].start_time_unix_nano == points[0].time_unix_nano


async def test_a_collector_that_is_not_there_is_said_once_and_holds_nobody_up(
    log: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as gone:
        pass
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    async with open_telemetry(Settings(otlp_endpoint=gone.url)) as watcher:
        took_s = []
        for _ in range(20):
            began = trio.current_time()
            await a_session(watcher)
            await trio.sleep(0.02)
            took_s.append(trio.current_time() - began)
        failures = sum(
            watcher.metrics.value("liveavatar_export_failures_total", one) for one in ("traces", "metrics", "logs")
        )
        began = trio.current_time()
    assert trio.current_time() - began < FLUSH_S + 2
    # Less than the exporter's own patience, on a machine that stands still now and then.
    assert statistics.median(took_s) < 0.2
    assert failures > 1
    (said,) = [entry for entry in entries(log) if entry["event"].startswith("telemetry cannot be exported")]
    assert (said["level"], said["error"]) == ("warning", "no answer that is understood")
    assert capfd.readouterr().err == "", "nor does the library say it"


@pytest.mark.slow
async def test_a_collector_that_hangs_does_not_hold_up_the_end(collector: Collector, log: io.StringIO) -> None:
    collector.held.clear()
    async with open_telemetry(Settings(otlp_endpoint=collector.url)) as watcher:
        await a_session(watcher)
        began = time.monotonic()
    assert FLUSH_S - 0.5 < time.monotonic() - began < FLUSH_S + 1
    assert entries(log)[-1]["event"] == "the last telemetry was not taken in time"


async def test_a_collector_that_is_back_is_said_too(
    collector: Collector, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    collector.status = 400
    async with open_telemetry(Settings(otlp_endpoint=collector.url)) as watcher:
        with trio.fail_after(10):
            await a_session(watcher)
            while watcher.metrics.value("liveavatar_export_failures_total", "traces") < 1:  # noqa: ASYNC110 - a thread's
                await trio.sleep(0.01)
            collector.status = 200
            await a_session(watcher)
            while not collector.spans:  # noqa: ASYNC110 - the collector tells nobody
                await trio.sleep(0.01)
    (why,) = [entry["error"] for entry in entries(log) if entry["event"].startswith("telemetry cannot")]
    assert why == "HTTP 400"
    said = [entry["event"] for entry in entries(log) if "export" in entry["event"]]
    assert said == ["telemetry is exported", "telemetry cannot be exported; said once", "telemetry is exported again"]


AZURE = "azure.monitor.opentelemetry.exporter"
CONNECTION = "InstrumentationKey=00000000-0000-0000-0000-000000000000"


async def test_application_insights_needs_an_extra_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, AZURE, None)
    with pytest.raises(OperatorFault, match=r"rag-liveavatar\[monitor\]"):
        async with open_telemetry(Settings(azure_monitor=Secret(CONNECTION))):
            pass


@pytest.fixture
def own_business(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The variables by which the exporter is kept from what nobody asked for; as they were before, afterwards."""
    names = [f"APPLICATIONINSIGHTS_{one}_DISABLED" for one in ("SDKSTATS", "CONTROLPLANE")]
    names.append("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL")
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return names


async def test_application_insights_takes_everything(
    log: io.StringIO, own_business: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(AZURE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ingesting() as ingestion:
        connection = f"{CONNECTION};IngestionEndpoint={ingestion.url}"
        async with open_telemetry(Settings(azure_monitor=Secret(connection))) as watcher:
            await a_session(watcher)
    told = ingestion.told
    assert {one["data"]["baseData"]["name"] for one in told if "Dependency" in one["name"]} == {"turn", "search"}
    assert [one["data"]["baseData"]["name"] for one in told if one["name"].endswith("Request")] == ["session"]
    assert [one["data"]["baseData"]["message"] for one in told if "Message" in one["name"]] == ["tool unavailable"]
    metrics = {one["data"]["baseData"]["metrics"][0]["name"] for one in told if one["name"].endswith("Metric")}
    assert metrics == {family.spec.name for family in watcher.metrics.snapshot()}
    assert {one["tags"]["ai.cloud.role"] for one in told} == {"liveavatar"}
    assert "swordfish" not in str(told)
    assert [os.environ[name] for name in own_business] == ["true"] * 3
    assert os.listdir(tmp_path) == [], "nothing is left on the disk"


@pytest.mark.parametrize("wrong", ["swordfish", "InstrumentationKey=swordfish"])
async def test_what_is_no_connection_string_is_not_repeated(wrong: str, own_business: list[str]) -> None:
    pytest.importorskip(AZURE)
    with pytest.raises(OperatorFault) as refused:
        async with open_telemetry(Settings(azure_monitor=Secret(wrong))):
            pass
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING" in refused.value.message
    assert "swordfish" not in refused.value.message
