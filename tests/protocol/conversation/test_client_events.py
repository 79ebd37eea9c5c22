"""Which events a client may send, on either endpoint: every type of the reference, ours, and those that are none."""

import json
from typing import Any

import pytest

from protocol.realtime.client_events import CLIENT_EVENT_TYPES
from protocol.realtime.server_events import SERVER_EVENTS
from tests.protocol.conversation.talk import Talk

# Reference, client events: the type, a good event of it, and whether the service itself would take it on a Realtime
# session. Those of transcription and translation sessions are of other kinds of sessions.
_MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
EVENTS: dict[str, tuple[dict[str, Any], bool]] = {
    "session.update": ({"session": {"type": "realtime"}}, True),
    "input_audio_buffer.append": ({"audio": "AAAA"}, True),
    "input_audio_buffer.commit": ({}, True),
    "input_audio_buffer.clear": ({}, True),
    "conversation.item.create": ({"item": _MESSAGE}, True),
    "conversation.item.retrieve": ({"item_id": "item_1"}, True),
    "conversation.item.delete": ({"item_id": "item_1"}, True),
    "conversation.item.truncate": ({"item_id": "item_1", "content_index": 0, "audio_end_ms": 0}, True),
    "response.create": ({}, True),
    "response.cancel": ({}, True),
    "output_audio_buffer.clear": ({}, True),
    "transcription_session.update": ({"session": {}}, False),
    "session.close": ({}, False),
    "session.input_audio_buffer.append": ({"audio": "AAAA"}, False),
}
UNKNOWN = (
    "", "x", "session", "session.updat", "session.update ", " session.update", "SESSION.UPDATE", "session.update\x00",
    "session\u200b.update", "response.create;session.update", "session.delete", "tools.call", "admin.shutdown", "eval",
    "__class__", "constructor", "*", "conversation.item", "conversation.create", "input_audio_buffer", "mcp_list_tools",
    "x" * 10_000,
)  # fmt: skip
OURS_TO_CLIENTS = (
    "avatar.session", "avatar.state", "avatar.citations", "avatar.usage", "avatar.visemes", "avatar.going_away",
)  # fmt: skip


def sent(talk: Talk, event: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What the service is told, and the codes that the client is."""
    # What is written by hand here has no mark of the client's.
    talk.oracle.owed_by_guard = 10
    told, errors = len(talk.told), len(talk.errors())
    talk.client(json.dumps(event).encode())
    return [one["type"] for one in talk.told[told:]], [error["code"] for error in talk.errors()[errors:]]


def test_the_table_is_that_of_the_service() -> None:
    assert {kind for kind, (_, is_taken) in EVENTS.items() if is_taken} == set(CLIENT_EVENT_TYPES)


@pytest.mark.parametrize("avatar", [True, False], ids=["/ws", "/v1"])
@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_of_the_reference(kind: str, avatar: bool) -> None:
    talk = Talk(avatar=avatar)
    fields, is_taken = EVENTS[kind]
    told, errors = sent(talk, {"type": kind, "event_id": "mine", **fields})
    assert told == ([kind] if is_taken else [])
    assert errors == ([] if is_taken else ["invalid_value"])


@pytest.mark.parametrize("avatar", [True, False], ids=["/ws", "/v1"])
@pytest.mark.parametrize("kind", [*UNKNOWN, *OURS_TO_CLIENTS, *SERVER_EVENTS], ids=lambda kind: str(kind)[:40])
def test_nothing_else_gets_through_and_the_session_goes_on(kind: str, avatar: bool) -> None:
    talk = Talk(avatar=avatar)
    assert sent(talk, {"type": kind, "event_id": "mine"}) == ([], ["invalid_value"])
    assert talk.errors()[-1]["event_id"] == "mine"
    assert len(talk.errors()[-1]["message"]) < 1_000
    assert not talk.closings()
    assert sent(talk, {"type": "input_audio_buffer.clear"})[0] == ["input_audio_buffer.clear"]


def test_events_of_avatars_are_theirs_alone() -> None:
    playback = {"type": "avatar.playback", "item_id": "item_1", "played_ms": 1}
    assert sent(Talk(avatar=True), playback) == ([], ["invalid_value"])  # of an item that was never spoken
    assert sent(Talk(), playback) == ([], ["invalid_value"])
    init = {"type": "session.init", "kb_id": "other", "token": "x"}
    assert sent(Talk(avatar=True), init) == ([], ["already_initialised"])
    assert sent(Talk(), init) == ([], ["invalid_value"])
