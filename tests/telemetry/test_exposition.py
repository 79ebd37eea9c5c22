"""The text for Prometheus says what the metrics hold, and OpenMetrics to whom asks for it."""

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from server.telemetry.catalogue import BY_NAME
from server.telemetry.exposition import Scrapes, render
from server.telemetry.metrics import Metrics

OPEN = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"


def busy() -> Metrics:
    metrics = Metrics()
    metrics.add("liveavatar_tool_calls_total", 'a "tool"\n\\', "answered", by=2)
    metrics.observe("liveavatar_search_seconds", 0.3)
    metrics.observe("liveavatar_search_seconds", 100.0)
    metrics.ask("liveavatar_store_up", lambda: 1)
    return metrics


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", OPEN])
def test_what_is_counted_can_be_read_again(accept: str) -> None:
    answer = render(busy().snapshot(), accept)
    is_open = accept == OPEN
    assert answer.content_type.startswith("application/openmetrics-text; version=1" if is_open else "text/plain")
    families = {found.name: found for found in (read_open if is_open else read_text)(answer.body.decode())}
    (calls,) = families["liveavatar_tool_calls"].samples
    assert (calls.name, calls.value) == ("liveavatar_tool_calls_total", 2)
    assert calls.labels == {"tool": 'a "tool"\n\\', "outcome": "answered"}
    search = families["liveavatar_search_seconds"]
    assert search.type == "histogram"
    values = {(sample.name, sample.labels.get("le")): sample.value for sample in search.samples}
    assert values["liveavatar_search_seconds_bucket", "0.25"] == 0
    assert values["liveavatar_search_seconds_bucket", "0.5"] == 1
    assert values["liveavatar_search_seconds_bucket", "30.0"] == 1
    assert values["liveavatar_search_seconds_bucket", "+Inf"] == 2
    assert values["liveavatar_search_seconds_count", None] == 2
    assert values["liveavatar_search_seconds_sum", None] == pytest.approx(100.3)
    assert families["liveavatar_store_up"].samples[0].value == 1
    assert "process_cpu_seconds" in families
    ours = {f"{name}_total" if f"{name}_total" in BY_NAME else name for name in families if "liveavatar" in name}
    assert ours <= BY_NAME.keys()


def test_the_accept_header_is_a_strangers_and_is_not_repeated() -> None:
    for accept in (
        "application/openmetrics-text; version=x\r\nSet-Cookie: a",
        "application/openmetrics-text;version=99",
    ):
        assert render([], accept).content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"


async def test_nothing_global_is_touched() -> None:
    before = prometheus_client.generate_latest()
    answer = await Scrapes(busy()).answer("")
    assert b"liveavatar_store_up 1.0" in answer.body
    assert b"liveavatar" not in before + prometheus_client.generate_latest()
