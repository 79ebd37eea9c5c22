"""The catalogue of metrics: one row for each, with name, kind, unit, labels and help. It counts nothing.

Names follow Prometheus: base units, a counter ends in `_total`. Labels take few values, and those that come from
outside are bounded (`server/telemetry/metrics.py`). There is no label for a session, a client's address or a principal:
sessions and addresses are without number, and who used what stands in the records, where erasure reaches it.
"""

from dataclasses import dataclass
from typing import Final, Literal

from protocol.endings import EndReason

__all__ = ["BY_NAME", "CATALOGUE", "MetricSpec", "as_markdown"]

Kind = Literal["counter", "gauge", "histogram"]

# More values of a label than this fill a line of the docs with what is listed elsewhere.
_LISTED: Final = 10
# A person waits for the first word: under a second feels prompt, over three like a fault.
_ANSWER_S: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0)
# From an embedded index, which takes a millisecond, to the longest deadline that anybody sets.
_ERRAND_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# The machine takes some ten microseconds; ten milliseconds are half a frame of sound.
_RELAY_S: Final = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)
# A scheduler that is late by 20 ms is heard by nobody; by 100 ms sound begins to stutter.
_LAG_S: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_SESSION_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One row. `unit` is "" for what is counted in pieces; `bounds` are the upper ends of a histogram's buckets.

    `label_values` lists what a label can be, for the docs and for tests of alert rules; a label without an entry takes
    what operators named (deployments, tools), or what the code names (`code`).
    """

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    label_values: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def values_of(self, label: str) -> tuple[str, ...] | None:
        """What a label can be; None if that is not fixed."""
        return dict(self.label_values).get(label)


_SIDE: Final = ("side", ("client", "upstream"))
_OUTCOME_OF_TOOL: Final = (
    "outcome",
    ("answered", "refused", "failed", "unavailable", "timeout", "crashed", "cancelled"),
)

CATALOGUE: Final[tuple[MetricSpec, ...]] = (
    # Who is there
    MetricSpec("liveavatar_info", "gauge", "Always 1; the version is its label.", labels=("version",)),
    MetricSpec(
        "liveavatar_lifecycle",
        "gauge",
        "1 for where the server stands, 0 for the other states.",
        labels=("state",),
        label_values=(("state", ("starting", "ready", "draining", "stopped")),),
    ),
    MetricSpec("liveavatar_connections", "gauge", "Connections to the port that are open, of any kind."),
    MetricSpec("liveavatar_connections_accepted_total", "counter", "Connections that were accepted."),
    MetricSpec(
        "liveavatar_sessions",
        "gauge",
        "Sessions that are open: with their client, or waiting for one that was lost.",
        labels=("client",),
        label_values=(("client", ("attached", "awaited")),),
    ),
    MetricSpec("liveavatar_sessions_limit", "gauge", "Sessions that there may be at once (`LIVEAVATAR_MAX_SESSIONS`)."),
    MetricSpec("liveavatar_sessions_started_total", "counter", "Sessions begun.", labels=("endpoint",)),
    MetricSpec(
        "liveavatar_sessions_ended_total",
        "counter",
        "Sessions ended, by end reason: `completed`, `internal`, `upstream_unavailable` and so on.",
        labels=("reason",),
        label_values=(("reason", tuple(reason.label for reason in EndReason)),),
    ),
    MetricSpec("liveavatar_session_seconds", "histogram", "How long sessions lasted.", unit="s", bounds=_SESSION_S),
    MetricSpec("liveavatar_resumes_total", "counter", "Clients that came back to their session."),
    MetricSpec(
        "liveavatar_refusals_total",
        "counter",
        "Connections, requests and sessions that were refused, by the code that the client was told.",
        labels=("code",),
    ),
    # What is said
    MetricSpec(
        "liveavatar_first_audio_seconds",
        "histogram",
        "From the end of speech, as the service reports it, or from a client's `response.create`, to the first sound "
        "of the answer handed to the client.",
        unit="s",
        labels=("after",),
        bounds=_ANSWER_S,
        label_values=(("after", ("speech", "question")),),
    ),
    MetricSpec(
        "liveavatar_responses_total",
        "counter",
        "Responses of the service, by the status they ended with; those that clients never see among them.",
        labels=("status",),
        label_values=(("status", ("completed", "cancelled", "incomplete", "failed", "other")),),
    ),
    MetricSpec(
        "liveavatar_searches_total",
        "counter",
        "Searches of a knowledge base.",
        labels=("outcome",),
        label_values=(("outcome", ("found", "empty", "unavailable", "crashed", "cancelled")),),
    ),
    MetricSpec("liveavatar_search_seconds", "histogram", "How long searches took.", unit="s", bounds=_ERRAND_S),
    MetricSpec(
        "liveavatar_tool_calls_total",
        "counter",
        "Calls of server tools; `refused`: no such tool, or arguments that do not fit.",
        labels=("tool", "outcome"),
        label_values=(_OUTCOME_OF_TOOL,),
    ),
    MetricSpec(
        "liveavatar_tool_seconds",
        "histogram",
        "How long tools took.",
        unit="s",
        labels=("tool",),
        bounds=_ERRAND_S,
    ),
    # What goes wrong
    MetricSpec(
        "liveavatar_errors_total",
        "counter",
        "Faults, by who is at fault: `client` for events that were not followed, `upstream` for the Realtime service, "
        "`internal` for us.",
        labels=("fault", "code"),
        label_values=(("fault", ("client", "upstream", "internal")),),
    ),
    MetricSpec(
        "liveavatar_breaker_state",
        "gauge",
        "1 for the state of a circuit breaker, 0 for the others.",
        labels=("breaker", "state"),
        label_values=(("state", ("closed", "open", "half-open")),),
    ),
    MetricSpec(
        "liveavatar_breaker_recoveries_total",
        "counter",
        "How often a circuit breaker was closed again.",
        labels=("breaker",),
    ),
    MetricSpec(
        "liveavatar_event_loop_lag_seconds",
        "histogram",
        "How much later than asked for the scheduler woke a task, looked at ten times a second.",
        unit="s",
        bounds=_LAG_S,
    ),
    # The Realtime service
    MetricSpec(
        "liveavatar_upstream_connections",
        "gauge",
        "Open connections to the Realtime service.",
        labels=("deployment",),
    ),
    MetricSpec(
        "liveavatar_upstream_connects_total",
        "counter",
        "Tries to connect to the Realtime service.",
        labels=("deployment", "outcome"),
        label_values=(("outcome", ("connected", "refused", "unreachable", "no_credential", "crashed", "cancelled")),),
    ),
    MetricSpec(
        "liveavatar_upstream_connect_seconds",
        "histogram",
        "How long a try took that succeeded.",
        unit="s",
        labels=("deployment",),
        bounds=_ERRAND_S,
    ),
    MetricSpec(
        "liveavatar_upstream_reconnects_total", "counter", "Connections that were asked for because one was lost."
    ),
    MetricSpec(
        "liveavatar_upstream_rollovers_total",
        "counter",
        "Connections that were asked for to follow one that was still open.",
    ),
    # The way of the frames
    MetricSpec(
        "liveavatar_bytes_total",
        "counter",
        "Bytes of the messages of sessions, without framing.",
        unit="B",
        labels=("side", "direction"),
        label_values=(_SIDE, ("direction", ("in", "out"))),
    ),
    MetricSpec(
        "liveavatar_relay_seconds",
        "histogram",
        "From a message's arrival at a session until all that follows from it was handed over; one message in 16.",
        unit="s",
        labels=("source",),
        bounds=_RELAY_S,
        label_values=(("source", ("client", "upstream")),),
    ),
    MetricSpec(
        "liveavatar_outbox_bytes",
        "gauge",
        "Bytes that wait to be taken by clients, or by the service.",
        unit="B",
        labels=("side",),
        label_values=(_SIDE,),
    ),
    MetricSpec(
        "liveavatar_dropped_speech_seconds_total",
        "counter",
        "The users' speech that was dropped because the service took it too slowly.",
        unit="s",
    ),
    # Use and money
    MetricSpec(
        "liveavatar_tokens_total",
        "counter",
        "Tokens of responses. `input` is without the cached ones; `unspecified`: the service did not say.",
        labels=("kind", "modality"),
        label_values=(
            ("kind", ("input", "cached_input", "output")),
            ("modality", ("text", "audio", "image", "unspecified")),
        ),
    ),
    MetricSpec(
        "liveavatar_cost_usd_total",
        "counter",
        "What was used, in US dollars of the price book; the exact sums are in the records.",
        unit="USD",
        labels=("model", "deployment"),
    ),
    MetricSpec(
        "liveavatar_unknown_prices_total",
        "counter",
        "Charges for a model that is not in the price book; each was priced at the dearest known rate.",
        labels=("model",),
    ),
    MetricSpec(
        "liveavatar_budget_left_usd",
        "gauge",
        "What nobody has spent yet of today's budget for all (`LIVEAVATAR_BUDGET_DAY`); none without one.",
        unit="USD",
    ),
    MetricSpec(
        "liveavatar_budget_stages_total",
        "counter",
        "Sessions whose budget nears its end: `warning`, answers are `short`, or it is `spent`; each once.",
        labels=("stage",),
        label_values=(("stage", ("warning", "short", "spent")),),
    ),
    MetricSpec(
        "liveavatar_reservations_refused_total",
        "counter",
        "Responses that could not be paid beforehand, by the budget that had too little for them.",
        labels=("budget",),
        label_values=(("budget", ("session", "principal", "day")),),
    ),
    # The store
    MetricSpec("liveavatar_store_up", "gauge", "1 while the database takes records, 0 while it does not."),
    MetricSpec(
        "liveavatar_journal_pending_bytes",
        "gauge",
        "The journal's files: records that the database has not taken yet, and for half a minute those that it has.",
        unit="B",
    ),
    MetricSpec(
        "liveavatar_records_lost_total",
        "counter",
        "Records that are not in the database and will not be: `no_room`, more waited than may; `set_aside`, the "
        "database refused it, and it lies in the journal's folder.",
        labels=("why",),
        label_values=(("why", ("no_room", "set_aside")),),
    ),
    # Telemetry itself
    MetricSpec(
        "liveavatar_export_failures_total",
        "counter",
        "Batches that could not be handed to the OpenTelemetry collector.",
        labels=("signal",),
        label_values=(("signal", ("traces", "metrics", "logs")),),
    ),
)

BY_NAME: Final = {spec.name: spec for spec in CATALOGUE}


def as_markdown() -> str:
    """The table for the docs."""
    rows = ["| Name | Type | Unit | Labels | Meaning |", "|---|---|---|---|---|"]
    for spec in CATALOGUE:
        labels = "; ".join(_label(spec, label) for label in spec.labels)
        rows.append(f"| `{spec.name}` | {spec.kind} | {spec.unit} | {labels} | {spec.help} |")
    return "\n".join(rows)


def _label(spec: MetricSpec, label: str) -> str:
    values = spec.values_of(label)
    return f"`{label}`" if values is None or len(values) > _LISTED else f"`{label}`: {', '.join(values)}"
