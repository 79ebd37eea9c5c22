"""A caller's traceparent is read as W3C Trace Context says, whatever else somebody sends in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.telemetry.tracing import NoTracer, TraceParent, read_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-and-more", True),
    ],
)
def test_a_traceparent_is_read(header: str, is_sampled: bool) -> None:
    assert read_traceparent(header) == TraceParent(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_anything_else_is_none(header: str | None) -> None:
    assert read_traceparent(header) is None


@given(header=st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*"))
def test_what_is_read_is_hexadecimal_and_never_raises(header: str) -> None:
    found = read_traceparent(header)
    if found is not None:
        assert int(found.trace_id, 16)
        assert int(found.span_id, 16)
        assert (len(found.trace_id), len(found.span_id)) == (32, 16)


def test_without_a_tracer_the_callers_trace_still_has_its_id() -> None:
    span = NoTracer().begin("session", read_traceparent(f"00-{TRACE}-{SPAN}-01"), {})
    assert span.child("turn", {}).trace_id == TRACE
    assert NoTracer().begin("session", None, {}).trace_id == ""
