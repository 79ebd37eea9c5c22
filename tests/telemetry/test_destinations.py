"""Where telemetry goes: nowhere unless somebody says so, and then exactly there."""

import pytest

from protocol.errors import OperatorFault
from server.secret import Secret
from server.telemetry.destinations import Destinations, read_destinations


def read(
    environ: dict[str, str] | None = None,
    *,
    endpoint: str | None = None,
    azure: Secret | None = None,
    is_disabled: bool = False,
) -> Destinations:
    return read_destinations(
        environ or {}, endpoint=endpoint, headers=None, azure=azure, service_name="liveavatar", is_disabled=is_disabled
    )


def test_by_default_nothing_is_exported() -> None:
    assert not read()
    assert not read({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_EXPORTER": "none"})


def test_an_endpoint_takes_everything() -> None:
    wanted = read(endpoint="http://collector:4318/")
    assert wanted.otlp == {
        "traces": "http://collector:4318/v1/traces",
        "metrics": "http://collector:4318/v1/metrics",
        "logs": "http://collector:4318/v1/logs",
    }


def test_a_signal_can_go_elsewhere_or_nowhere() -> None:
    environ = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://logs:4318/v1/logs", "OTEL_METRICS_EXPORTER": "none"}
    wanted = read(environ, endpoint="http://collector:4318")
    assert wanted.otlp == {"traces": "http://collector:4318/v1/traces", "logs": None}, "the SDK reads its own variable"
    assert read(environ).otlp == {"logs": None}
    assert read({"OTEL_TRACES_EXPORTER": "otlp"}).otlp == {"traces": None}


def test_application_insights_takes_everything_by_itself() -> None:
    wanted = read(azure=Secret("InstrumentationKey=x"))
    assert wanted
    assert wanted.otlp == {}


def test_one_variable_switches_all_of_it_off() -> None:
    environ = {"OTEL_TRACES_EXPORTER": "otlp"}
    assert not read(environ, endpoint="http://collector:4318", azure=Secret("x"), is_disabled=True)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"},
    ],
)
def test_what_there_is_not_is_named(environ: dict[str, str]) -> None:
    ((name, value),) = environ.items()
    with pytest.raises(OperatorFault) as refused:
        read(environ, endpoint="http://collector:4318")
    assert name in refused.value.message
    assert value in refused.value.message
    assert not read(environ, is_disabled=True)


def test_a_signals_own_protocol_wins() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        **{f"OTEL_EXPORTER_OTLP_{one}_PROTOCOL": "http/protobuf" for one in ("TRACES", "METRICS", "LOGS")},
    }
    assert len(read(environ, endpoint="http://collector:4318").otlp) == 3
