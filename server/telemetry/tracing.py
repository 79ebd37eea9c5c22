"""The port to traces, and what stands in for it where there are none; it exports nothing.

A session is a trace; a turn, a search, a tool and a connect are its spans. Frames never are, and nothing that was said
is in any of them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Attributes", "NoTracer", "Span", "TraceParent", "Tracer", "read_traceparent"]

Attributes = Mapping[str, str | int | float | bool]

# W3C Trace Context, 2.2: version 00, and later ones as far as they begin alike.
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A caller's place in its own trace. Ids are lower-case hexadecimal."""

    trace_id: str
    span_id: str
    is_sampled: bool


def read_traceparent(header: str | None) -> TraceParent | None:
    """A caller's `traceparent`; None if there is none, or it is none."""
    match = _TRACEPARENT.match(header) if header is not None else None
    if header is None or match is None or match["version"] == "ff":
        return None
    if len(header) > match.end() and (match["version"] == "00" or header[match.end()] != "-"):
        return None
    if not match["trace"].strip("0") or not match["span"].strip("0"):
        return None
    return TraceParent(match["trace"], match["span"], is_sampled=bool(int(match["flags"], 16) & 1))


class Span(Protocol):
    """A stretch of time in a trace. Nothing of it waits or raises."""

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hexadecimal characters; "" where there is no trace."""
        ...

    @property
    def span_id(self) -> str:
        """Its own id, 16 hexadecimal characters; "" where there is no trace."""
        ...

    def child(self, name: str, attributes: Attributes) -> "Span":
        """A span within this one, begun now; this one may end before it."""
        ...

    def end(self, attributes: Attributes, *, failed: bool = False) -> None:
        """Ends it now. The first call counts."""
        ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, name: str, parent: TraceParent | None, attributes: Attributes) -> Span:
        """A trace's first span; with a parent it joins that one's trace."""
        ...


class _NoSpan:
    """Keeps the caller's trace id, for logs, and nothing else."""

    __slots__ = ("trace_id",)

    span_id = ""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id

    def child(self, name: str, attributes: Attributes) -> Span:  # noqa: ARG002 - the port's names
        """See `Span`."""
        return self

    def end(self, attributes: Attributes, *, failed: bool = False) -> None:
        """See `Span`."""


class NoTracer:
    """Traces nothing. A caller's trace id still finds its way into the logs."""

    def begin(self, name: str, parent: TraceParent | None, attributes: Attributes) -> Span:  # noqa: ARG002 - the port's names
        """See `Tracer`."""
        return _NoSpan(parent.trace_id if parent is not None else "")
