"""Frames made in the service's stead say what the service's own would have said."""

import json
from decimal import Decimal
from typing import Any

import pytest

from protocol.conversation.synthetic import created_from, done_from, sum_of, usage_event
from protocol.realtime.codec import decode_server, read_head
from protocol.realtime.server_events import ResponseCreated, ResponseDone
from protocol.realtime.usage import InputTokenDetails, OutputTokenDetails, Usage
from tests.protocol.realtime.samples import USAGE


def response(**fields: Any) -> dict[str, Any]:
    return {"object": "realtime.response", "id": "resp", "metadata": {"mark": "mine"}, "next_years_field": 1, **fields}


def test_a_beginning_is_the_end_without_what_came_of_it() -> None:
    end = response(status="failed", status_details={"type": "failed"}, output=[{"type": "message"}], usage=USAGE)
    frame = created_from({"type": "response.done", "event_id": "theirs", "response": end}, "ours")
    assert isinstance(decode_server(frame, read_head(frame)), ResponseCreated)
    assert json.loads(frame) == {
        "type": "response.created",
        "event_id": "ours",
        "response": response(status="in_progress", status_details=None, output=[], usage=None),
    }


@pytest.mark.parametrize("details", [{}, {"reason": "turn_detected"}, {"error": {"type": "server_error"}}])
def test_an_end_is_the_beginning_with_what_came_of_it(details: dict[str, Any]) -> None:
    beginning = response(status="in_progress", status_details=None, output=[], usage=None)
    item = {"id": "item", "type": "message"}
    frame = done_from(
        {"type": "response.created", "event_id": "theirs", "response": beginning},
        "ours",
        "cancelled",
        details,
        [item],
        None,
    )
    assert isinstance(decode_server(frame, read_head(frame)), ResponseDone)
    ended = {"status": "cancelled", "status_details": {"type": "cancelled", **details}, "output": [item], "usage": None}
    assert json.loads(frame) == {"type": "response.done", "event_id": "ours", "response": response(**ended)}


def test_what_was_used_meanwhile_is_told_at_the_end() -> None:
    usage = Usage(total_tokens=30, input_tokens=20, output_tokens=10)
    beginning = response(status="in_progress", output=[])
    frame = done_from({"response": beginning}, "ours", "incomplete", {}, [], usage)
    done = decode_server(frame, read_head(frame))
    assert isinstance(done, ResponseDone)
    assert done.response.usage == usage


def test_the_usage_of_nothing_adds_nothing() -> None:
    usage = Usage(total_tokens=30, input_tokens=20, output_tokens=10)
    assert sum_of(None, None) is None
    assert sum_of(usage, None) == sum_of(None, usage) == usage
    both = sum_of(usage, usage)
    assert both is not None
    assert both.total_tokens == 60


def test_avatars_are_told_usage_by_kind() -> None:
    usage = Usage(
        total_tokens=30,
        input_token_details=InputTokenDetails(text_tokens=12, audio_tokens=8, cached_tokens=5),
        output_token_details=OutputTokenDetails(audio_tokens=10),
    )
    event = usage_event("resp", usage, Decimal("0.10"), Decimal("1E+2"))
    assert (event.cost_usd, event.session_cost_usd) == ("0.1", "100")
    assert (event.response_id, event.total_tokens) == ("resp", 30)
    assert (event.input_text_tokens, event.input_audio_tokens, event.cached_tokens) == (12, 8, 5)
    assert (event.output_text_tokens, event.output_audio_tokens, event.input_image_tokens) == (0, 10, 0)
