"""Where traces, metrics and logs are to be exported to, as settings and `OTEL_*` variables say. It opens nothing.

Nothing is exported unless somebody asks for it: by an OTLP endpoint, or by a connection string of Application Insights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from protocol.errors import OperatorFault
from server.secret import Secret

__all__ = ["SIGNALS", "Destinations", "Signal", "read_destinations"]

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")

# The one protocol that has an exporter here, and the one that OpenTelemetry recommends.
_PROTOCOL: Final = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Destinations:
    """What is exported, and to whom.

    Attributes:
        otlp: for each signal that goes to a collector the address; None leaves it to the `OTEL_*` variables.
        headers: `name=value` with commas between, that every request to the collector carries.
        azure: the connection string of Application Insights, which takes all signals.
        service_name: what the server is called there.
    """

    otlp: Mapping[Signal, str | None]
    headers: Secret | None
    azure: Secret | None
    service_name: str

    def __bool__(self) -> bool:
        return bool(self.otlp) or self.azure is not None


def read_destinations(
    environ: Mapping[str, str],
    *,
    endpoint: str | None,
    headers: Secret | None,
    azure: Secret | None,
    service_name: str,
    is_disabled: bool,
) -> Destinations:
    """The destinations.

    Args:
        environ: for the variables of single signals (`OTEL_TRACES_EXPORTER`, `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`, ...).
        endpoint: the collector for all signals.

    Raises:
        OperatorFault: a variable asks for what there is not; the message names it.
    """
    otlp: dict[Signal, str | None] = {}
    if not is_disabled:
        for signal in SIGNALS:
            if _is_wanted(signal, endpoint, environ):
                own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
                otlp[signal] = None if own or endpoint is None else f"{endpoint.rstrip('/')}/v1/{signal}"
                _check_protocol(signal, environ)
    return Destinations(otlp, headers, None if is_disabled else azure, service_name)


def _is_wanted(signal: Signal, endpoint: str | None, environ: Mapping[str, str]) -> bool:
    name = f"OTEL_{signal.upper()}_EXPORTER"
    exporter = environ.get(name, "").strip()
    if exporter not in ("", "none", "otlp"):
        text = f"{name} must be otlp or none, not {exporter!r}: metrics for Prometheus are at /metrics."
        raise OperatorFault(text, code="telemetry")
    if exporter:
        return exporter == "otlp"
    return endpoint is not None or bool(environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"))


def _check_protocol(signal: Signal, environ: Mapping[str, str]) -> None:
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(name, "").strip()
        if protocol and protocol != _PROTOCOL:
            text = f"{name} must be {_PROTOCOL}, not {protocol!r}: collectors take it at port 4318."
            raise OperatorFault(text, code="telemetry")
        if protocol:
            return
