"""The one point through which everything leaves: order, bounds, and silence after the end."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.actions import Close, Ignored, ToClient, ToUpstream
from protocol.conversation.journal import WAITING_AUDIO_MAX_BYTES, WAITING_AUDIO_MAX_MS, WAITING_CONTROL_MAX_BYTES
from protocol.conversation.outlet import (
    OWN_EVENT_PREFIX,
    Outlet,
)
from protocol.endings import EndReason
from protocol.realtime.server_events import ErrorDetail
from tests.protocol.conversation.talk import Talk, ask, typed

AUDIO = "input_audio_buffer.append"


def outlet() -> Outlet:
    """An outlet whose ids count upwards."""
    numbers = iter(range(10_000_000))
    return Outlet(lambda: f"{next(numbers):020d}")


def test_ids_of_our_own_are_known_by_their_beginning_and_short_enough() -> None:
    assert outlet().new_event_id().startswith(OWN_EVENT_PREFIX)
    item_id = outlet().new_item_id()
    assert item_id.startswith("item_la_")
    assert len(item_id) <= 32


def test_what_waited_follows_the_opening_in_order() -> None:
    out = outlet()
    out.to_upstream(b"one", kind="response.create")
    out.to_upstream(b"two", kind=AUDIO, audio_ms=20)
    out.to_upstream(b"three", kind="response.cancel")
    assert out.take() == []
    out.open_upstream(1)
    out.to_upstream(b"four", kind="response.create")
    assert [action.frame for action in out.take() if isinstance(action, ToUpstream)] == [
        b"one",
        b"two",
        b"three",
        b"four",
    ]


def test_of_speech_the_last_minute_waits_and_control_events_are_not_dropped() -> None:
    out = outlet()
    out.to_upstream(b"control", kind="response.create")
    dropped_ms = sum(out.to_upstream(b"%d" % second, kind=AUDIO, audio_ms=1000) for second in range(70))
    assert dropped_ms == 70_000 - WAITING_AUDIO_MAX_MS
    out.open_upstream(1)
    frames = [action.frame for action in out.take() if isinstance(action, ToUpstream)]
    assert frames == [b"control", *(b"%d" % second for second in range(10, 70))]


def test_frames_that_hold_little_sound_and_much_else_are_bounded_too() -> None:
    out = outlet()
    for _ in range(20):
        out.to_upstream(bytes(512 * 1024), kind=AUDIO, audio_ms=0.02)
    out.open_upstream(1)
    waited = [action for action in out.take() if isinstance(action, ToUpstream)]
    assert sum(len(action.frame) for action in waited) <= WAITING_AUDIO_MAX_BYTES


def test_too_much_control_before_the_opening_ends_the_session_and_says_why() -> None:
    talk = Talk(opened=False)
    while not talk.closings():
        talk.client(typed("x" * 100_000))
    (close,) = talk.closings()
    assert close.reason is EndReason.UPSTREAM_TOO_SLOW
    assert close.reason.close_code() == 4504
    assert [error["code"] for error in talk.errors()] == ["upstream_too_slow"]
    assert 9 <= WAITING_CONTROL_MAX_BYTES / 100_000 <= len(talk.seen) + 11
    assert talk.client(ask()) == []


def test_no_stream_of_odd_audio_waits_without_bound() -> None:
    talk = Talk(opened=False)
    for audio in ("=", "==", "A=", "A"):
        talk.client({"type": "input_audio_buffer.append", "audio": audio})
    assert [error["code"] for error in talk.errors()] == ["invalid_type"] * 4
    talk.open()
    assert talk.sent("input_audio_buffer.append") == []


def test_words_said_before_the_service_is_there_are_not_lost() -> None:
    talk = Talk(opened=False)
    talk.client(typed())
    for number in range(3):
        audio = base64.b64encode(bytes([number]) * 960).decode()
        talk.client({"type": "input_audio_buffer.append", "audio": audio})
    talk.client(ask("mine"))
    assert talk.told == []
    talk.open()
    assert [event["type"] for event in talk.told] == [
        "session.update",
        "conversation.item.create",
        *["input_audio_buffer.append"] * 3,
        "response.create",
    ]
    talk.settle()
    assert talk.types()[0] == "session.created"
    assert [status for _, status in talk.lives()] == ["in_progress", "completed"]


def test_after_close_nothing_leaves() -> None:
    out = outlet()
    out.to_upstream(b"waiting", kind="response.create")
    out.close(EndReason.INTERNAL, "once")
    out.close(EndReason.COMPLETED, "twice")
    out.to_client(b"x")
    out.to_upstream(b"x", kind="response.create")
    out.refuse(ErrorDetail(type="t", message="m"))
    out.do(Ignored("client", "x", "y"))
    out.open_upstream(1)
    assert out.take() == [Close(EndReason.INTERNAL, "once")]
    assert out.take() == []


def test_an_event_of_our_own_gets_an_id_of_our_own() -> None:
    out = outlet()
    out.refuse(ErrorDetail(type="invalid_request_error", message="m", event_id="theirs"))
    (action,) = out.take()
    assert isinstance(action, ToClient)
    event = json.loads(action.frame)
    assert event["event_id"].startswith(OWN_EVENT_PREFIX)
    assert event["error"]["event_id"] == "theirs"


@given(st.lists(st.tuples(st.integers(1, 400_000), st.floats(0.01, 9000)), max_size=40))
def test_what_waits_is_bounded_in_time_and_bytes_and_is_the_newest(frames: list[tuple[int, float]]) -> None:
    out = outlet()
    for size, ms in frames:
        out.to_upstream(bytes(size), kind=AUDIO, audio_ms=ms)
    out.open_upstream(1)
    waited = [action for action in out.take() if isinstance(action, ToUpstream)]
    assert sum(action.audio_ms for action in waited) <= WAITING_AUDIO_MAX_MS + 1e-6
    assert sum(len(action.frame) for action in waited) <= WAITING_AUDIO_MAX_BYTES
    newest = frames[len(frames) - len(waited) :]
    assert [(len(action.frame), action.audio_ms) for action in waited] == newest
