"""The extension events are written as the client wire's table says."""

import json
from typing import Any

import pytest

from protocol.avatar.events import (
    AvatarCitations,
    AvatarGoingAway,
    AvatarSession,
    AvatarState,
    AvatarUsage,
    ProfileView,
    Snapshot,
    Source,
)
from protocol.realtime.codec import encode
from protocol.realtime.server_events import ServerEvent

PROFILE = ProfileView(title="Museum", greeting="Welcome.", voice="alloy", language="en", sample_questions=["When?"])
SNAPSHOT = Snapshot(items=[], session=None, response_id=None, state=None)
SOURCE = Source(id="p1", title="Hours", uri="hours.md", snippet="Open at nine.", score=1.5)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            AvatarSession(event_id="e", session_id="s", kb_id="museum", profile=PROFILE),
            {"session_id", "kb_id", "profile", "resume_token", "resume_window_s", "expires_at"},
        ),
        (
            AvatarSession(event_id="e", session_id="s", kb_id="k", profile=PROFILE, recovered=False, snapshot=SNAPSHOT),
            {
                "session_id",
                "kb_id",
                "profile",
                "resume_token",
                "resume_window_s",
                "expires_at",
                "recovered",
                "snapshot",
            },
        ),
        (AvatarState(event_id="e", state="listening"), {"state"}),
        (AvatarState(event_id="e", state="degraded", detail="d"), {"state", "detail"}),
        (
            AvatarCitations(event_id="e", response_id="r", item_id="i", sources=[SOURCE]),
            {"response_id", "item_id", "sources"},
        ),
        (AvatarGoingAway(event_id="e", reason="drain", reconnect_within_s=5), {"reason", "reconnect_within_s"}),
        (
            AvatarUsage(
                event_id="e",
                response_id="r",
                input_text_tokens=1,
                input_audio_tokens=2,
                input_image_tokens=3,
                cached_tokens=4,
                output_text_tokens=5,
                output_audio_tokens=6,
                total_tokens=7,
                cost_usd="0.1",
                session_cost_usd="0.3",
            ),
            {
                "response_id",
                "input_text_tokens",
                "input_audio_tokens",
                "input_image_tokens",
                "cached_tokens",
                "output_text_tokens",
                "output_audio_tokens",
                "total_tokens",
                "cost_usd",
                "session_cost_usd",
            },
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_extension_event_has_the_fields_of_the_table(event: ServerEvent, fields: set[str]) -> None:
    sent: dict[str, Any] = json.loads(encode(event))
    assert set(sent) == fields | {"type", "event_id"}
    assert sent["type"].startswith("avatar.")


def test_a_source_tells_where_it_is_from() -> None:
    assert json.loads(encode(SOURCE)) == {
        "id": "p1",
        "title": "Hours",
        "uri": "hours.md",
        "snippet": "Open at nine.",
        "score": 1.5,
    }
