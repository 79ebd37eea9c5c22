"""What the service calls an unknown parameter."""

from typing import Any

import pytest

from protocol.realtime.client_events import CLIENT_EVENTS, ConversationItemCreate, ResponseCreate, SessionUpdate
from protocol.realtime.session import SessionParams
from protocol.realtime.strict import unknown_parameter
from tests.protocol.realtime.samples import CLIENT, client_event


@pytest.mark.parametrize("type_", sorted(CLIENT))
def test_every_event_of_the_reference_is_known_to_its_last_field(type_: str) -> None:
    assert unknown_parameter(client_event(type_), CLIENT_EVENTS[type_]) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({}, None),
        ({"type": "realtime", "instructions": None}, None),
        ({"temperature": 0.8}, "session.temperature"),
        ({"voice": "alloy"}, "session.voice"),
        ({"modalities": ["text"]}, "session.modalities"),
        ({"audio": {"voice": "alloy"}}, "session.audio.voice"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "foo": 1}}}},
            "session.audio.input.turn_detection.foo",
        ),
        ({"audio": {"input": {"turn_detection": None}}}, None),
        ({"audio": {"output": {"voice": {"id": "v", "anything": 1}}}}, None),
        ({"tools": [{"type": "function", "name": "a", "parameters": {"free": {"form": 1}}}]}, None),
        ({"tools": [{"type": "function"}, {"type": "function", "strict": True}]}, "session.tools[1].strict"),
        ({"tool_choice": {"type": "function", "anything": 1}}, None),
        ({"max_output_tokens": {"an": "object"}}, None),
        ({"audio": "not an object"}, None),
        ({"tools": "not a list"}, None),
    ],
    ids=str,
)
def test_the_first_key_without_a_field_is_named_by_its_path(value: dict[str, Any], found: str | None) -> None:
    assert unknown_parameter(value, SessionParams, "session") == found


def test_a_whole_event_is_looked_through_its_tag_being_no_stranger() -> None:
    assert unknown_parameter({"type": "session.update", "sessions": {}}, SessionUpdate) == "sessions"
    assert unknown_parameter({"type": "response.create", "response": {"temperature": 1}}, ResponseCreate) == (
        "response.temperature"
    )
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a", "txt": "b"}]}
    assert unknown_parameter({"type": "conversation.item.create", "item": item}, ConversationItemCreate) == (
        "item.content[0].txt"
    )
