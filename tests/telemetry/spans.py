"""A tracer that keeps its spans in memory; implements ``Tracer``."""

from dataclasses import dataclass, field
from typing import Any

from server.telemetry.tracing import Attributes, Span, TraceParent


@dataclass(eq=False)
class KeptSpan:
    """A span; ``ended`` is what it was ended with."""

    name: str
    attributes: dict[str, Any]
    parent: "KeptSpan | None"
    trace_id: str
    kept: "list[KeptSpan]" = field(repr=False)
    ended: dict[str, Any] | None = None
    failed: bool = False

    @property
    def span_id(self) -> str:
        return f"{self.kept.index(self):016x}"

    def child(self, name: str, attributes: Attributes) -> Span:
        span = KeptSpan(name, dict(attributes), self, self.trace_id, self.kept)
        self.kept.append(span)
        return span

    def end(self, attributes: Attributes, *, failed: bool = False) -> None:
        if self.ended is None:
            self.ended, self.failed = dict(attributes), failed


class Tracer:
    """Keeps what is traced."""

    def __init__(self) -> None:
        self.spans: list[KeptSpan] = []

    def begin(self, name: str, parent: TraceParent | None, attributes: Attributes) -> Span:
        trace_id = parent.trace_id if parent else f"{len(self.spans) + 1:032x}"
        span = KeptSpan(name, dict(attributes), None, trace_id, self.spans)
        self.spans.append(span)
        return span

    def of(self, name: str) -> list[KeptSpan]:
        return [span for span in self.spans if span.name == name]
