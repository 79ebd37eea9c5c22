"""What the server says, in beta: for every event there is, and for none that there is not."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.realtime.dialects.dialect import Beta
from protocol.realtime.server_events import SERVER_EVENTS
from tests.protocol.realtime.dialects.sessions import anything
from tests.protocol.realtime.samples import CALL_ITEM, MESSAGE, RESPONSE_ENDED, SERVER, SESSION, USAGE, server_event

Json = dict[str, Any]

RENAMED = {
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
}
RESHAPED = {
    "session.created",
    "session.updated",
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.retrieved",
    "response.created",
    "response.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.function_call_arguments.done",
}


def told(event: Json) -> list[Json]:
    frames = Beta().to_client(msgspec.json.encode(event))
    return [msgspec.json.decode(frame) for frame in frames]


def test_the_samples_have_every_event() -> None:
    assert set(SERVER) == set(SERVER_EVENTS)


@pytest.mark.parametrize("kind", SERVER_EVENTS)
def test_every_event_has_its_name_and_its_id(kind: str) -> None:
    if kind == "conversation.item.done":
        assert told(server_event(kind)) == []
        return
    first, *more = told(server_event(kind))
    assert first["type"] == RENAMED.get(kind, kind)
    assert first.get("event_id") == server_event(kind).get("event_id")
    assert [event["type"] for event in more] == (["conversation.created"] if kind == "session.created" else [])


@pytest.mark.parametrize("kind", sorted(set(SERVER_EVENTS) - RESHAPED - {"conversation.item.done"}))
def test_everything_else_of_an_event_stays(kind: str) -> None:
    event = server_event(kind)
    assert told(event) == [{**event, "type": RENAMED.get(kind, kind)}]


def test_an_item_is_told_once_when_it_is_added() -> None:
    (created,) = told(server_event("conversation.item.added"))
    assert created["type"] == "conversation.item.created"
    assert created["previous_item_id"] is None
    assert created["item"] == {
        "object": "realtime.item",
        **MESSAGE,
        "content": [{"type": "audio", "transcript": "Hi."}],
    }
    assert told(server_event("conversation.item.done")) == []


@pytest.mark.parametrize(
    ("role", "part", "shown"),
    [
        ("assistant", {"type": "output_text", "text": "a"}, "text"),
        ("assistant", {"type": "output_audio", "transcript": "a"}, "audio"),
        ("assistant", {"type": "refusal"}, "refusal"),
        ("user", {"type": "input_text", "text": "a"}, "input_text"),
        ("user", {"type": "input_audio", "transcript": None}, "input_audio"),
        ("system", {"type": "input_text", "text": "a"}, "input_text"),
    ],
)
def test_parts_of_items(role: str, part: Json, shown: str) -> None:
    item = {"id": "item_1", "type": "message", "role": role, "content": [part]}
    (event,) = told({"type": "response.output_item.done", "response_id": "r", "output_index": 0, "item": item})
    assert event["item"]["content"] == [{**part, "type": shown}]


def test_a_session_is_flat() -> None:
    created, _ = told(server_event("session.created"))
    detection = SESSION["audio"]["input"]["turn_detection"]
    assert created["session"] == {
        "id": "sess_1",
        "object": "realtime.session",
        "model": "gpt-realtime",
        "expires_at": 1760000000,
        "modalities": ["audio", "text"],
        "instructions": "Be brief.",
        "voice": "alloy",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "turn_detection": detection,
        "tools": SESSION["tools"],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
        "speed": 1.0,
        "tracing": None,
        "client_secret": None,
        "include": None,
    }


def test_a_session_is_followed_by_its_conversation() -> None:
    _, conversation = told(server_event("session.created"))
    assert conversation["conversation"] == {"object": "realtime.conversation"}
    assert conversation["event_id"].startswith("event_la_")
    assert len(told(server_event("session.updated"))) == 1


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ({"type": "audio/pcm", "rate": 24000}, "pcm16"),
        ({"type": "audio/pcm"}, "pcm16"),
        ({"type": "audio/pcmu"}, "g711_ulaw"),
        ({"type": "audio/pcma"}, "g711_alaw"),
        ({"type": "audio/opus"}, "audio/opus"),
        ("mute", "mute"),
    ],
)
def test_audio_formats(ga: Any, beta: Any) -> None:
    (updated,) = told({"type": "session.updated", "session": {"type": "realtime", "audio": {"input": {"format": ga}}}})
    assert updated["session"]["input_audio_format"] == beta


def test_what_a_session_does_not_say_is_not_made_up() -> None:
    (updated,) = told({"type": "session.updated", "session": {"type": "realtime", "instructions": "x", "novel": [1]}})
    assert updated["session"] == {"instructions": "x", "novel": [1], "temperature": 0.8, "client_secret": None}


def test_a_session_that_only_transcribes() -> None:
    session = {
        "type": "transcription",
        "id": "s",
        "audio": {"input": {"format": {"type": "audio/pcmu"}}},
        "include": None,
    }
    for kind in ("created", "updated"):
        (event,) = told({"type": f"session.{kind}", "session": session})
        shown = {"id": "s", "input_audio_format": "g711_ulaw", "include": None, "client_secret": None}
        assert event == {"type": f"transcription_session.{kind}", "session": shown}


def test_a_response_is_flat() -> None:
    (done,) = told(server_event("response.done"))
    assert done["response"] == {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "completed",
        "status_details": None,
        "output": [
            {"object": "realtime.item", **MESSAGE, "content": [{"type": "audio", "transcript": "Hi."}]},
            {"object": "realtime.item", **CALL_ITEM},
        ],
        "conversation_id": "conv_1",
        "modalities": ["audio", "text"],
        "voice": "alloy",
        "output_audio_format": "pcm16",
        "temperature": 0.8,
        "max_output_tokens": "inf",
        "usage": USAGE,
        "metadata": None,
    }


def test_a_written_response() -> None:
    response = {**RESPONSE_ENDED, "output_modalities": ["text"]}
    (done,) = told({"type": "response.done", "event_id": "e", "response": response})
    assert done["response"]["modalities"] == ["text"]


def test_the_end_of_a_calls_arguments_has_no_name() -> None:
    event = server_event("response.function_call_arguments.done")
    assert told(event) == [{key: value for key, value in event.items() if key != "name"}]


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ("session.audio.input.turn_detection.foo", "session.turn_detection.foo"),
        ("session.audio.input.transcription.model", "session.input_audio_transcription.model"),
        ("session.audio.input.noise_reduction", "session.input_audio_noise_reduction"),
        ("session.audio.input.format.type", "session.input_audio_format"),
        ("session.audio.output.format.rate", "session.output_audio_format"),
        ("session.audio.output.voice", "session.voice"),
        ("session.audio.output.speed", "session.speed"),
        ("session.output_modalities[0]", "session.modalities[0]"),
        ("session.max_output_tokens", "session.max_response_output_tokens"),
        ("response.audio.output.voice", "response.voice"),
        ("response.output_modalities", "response.modalities"),
        ("response.max_output_tokens", "response.max_response_output_tokens"),
        ("session.tools[0].name", "session.tools[0].name"),
        ("session.model", "session.model"),
        ("session.audio", "session.audio"),
        ("session.audio.output.voices", "session.audio.output.voices"),
        ("item.content[0].type", "item.content[0].type"),
    ],
)
def test_an_error_names_the_path_that_the_client_wrote(ga: str, beta: str) -> None:
    error = {"type": "invalid_request_error", "code": "unknown_parameter", "event_id": "mine", "novel": 1}
    (event,) = told({"type": "error", "event_id": "e", "error": {**error, "message": f"Bad: '{ga}'.", "param": ga}})
    assert event == {"type": "error", "event_id": "e", "error": {**error, "message": f"Bad: '{beta}'.", "param": beta}}


def test_events_that_are_not_known_pass_as_they_came() -> None:
    for frame in (
        b'{ "type" : "response.novel",\n"a":1e400}',
        b'{"type":"avatar.state","state":"listening"}',
        b"{}",
        b"",
    ):
        assert Beta().to_client(frame) == (frame,)


def test_the_snapshot_for_a_client_that_comes_back_is_beta_too() -> None:
    snapshot = {"items": [MESSAGE], "session": SESSION, "response_id": None, "state": "listening"}
    (event,) = told({"type": "avatar.session", "session_id": "s", "snapshot": snapshot})
    assert event["snapshot"]["items"][0]["content"] == [{"type": "audio", "transcript": "Hi."}]
    assert event["snapshot"]["session"]["voice"] == "alloy"
    assert (event["session_id"], event["snapshot"]["state"]) == ("s", "listening")


SOUND = base64.b64encode(bytes(range(256))).replace(b"/", b"\\/")


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"response.output_audio.delta","event_id":"e","item_id":"i","delta":"%s"}',
        b'{"event_id":"e","type":"response.output_audio.delta","item_id":"i","delta":"%s"}',
        b' {\n  "type": "response.output_audio.delta",\n "delta": "%s" }',
    ],
)
def test_of_a_frame_with_sound_only_the_name_changes(frame: bytes) -> None:
    (sent,) = Beta().to_client(frame % SOUND)
    assert sent == frame.replace(b"output_audio", b"audio") % SOUND


@pytest.mark.parametrize(
    "frame",
    [
        b'{"delta":"%s","type":"response.output_audio.delta"}',
        b'{"item_id":"response.output_audio.delta","delta":"%s","type":"response.output_audio.delta"}',
        b'{"\\u0074ype":"response.output_audio.delta","delta":"%s"}',
        b'{"event_id":"\\"","type":"response.output_audio.delta","delta":"%s"}',
        b'{"event_id":"response.output_audio.delta","type":"response.output_audio.delta","delta":"%s"}',
        b'{"event_id":"' + b"e" * 600 + b'","type":"response.output_audio.delta","delta":"%s"}',
    ],
)
def test_sound_stays_as_it_came_wherever_the_name_stands(frame: bytes) -> None:
    (sent,) = Beta().to_client(frame % SOUND)
    before, after = msgspec.json.decode(frame % SOUND), msgspec.json.decode(sent)
    assert after == {**before, "type": "response.audio.delta"}
    assert SOUND in sent


def test_the_sound_of_a_retrieved_item_stays_as_it_came() -> None:
    frame = (
        b'{"type":"conversation.item.retrieved","item":{"role":"user","content":[{"type":"input_audio","audio":"%s"}]}}'
    )
    (sent,) = Beta().to_client(frame % SOUND)
    assert SOUND in sent


@given(st.sampled_from([*sorted(SERVER_EVENTS), "avatar.session"]), st.dictionaries(st.text(max_size=9), anything))
def test_events_with_any_contents_are_translated_or_passed(kind: str, fields: Json) -> None:
    for event in told({**fields, "type": kind}):
        assert isinstance(event["type"], str)


@given(
    st.sampled_from(sorted(RESHAPED | {"error", "avatar.session"})),
    st.sampled_from(["session", "item", "response", "error", "snapshot"]),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("audio", "content", "role", "output", "output_modalities", "items", "session", "param", "type"), anything
        ),
    ),
)
def test_objects_with_any_contents_are_translated_or_passed(kind: str, field: str, contents: Json) -> None:
    for event in told({"type": kind, field: contents}):
        assert isinstance(event["type"], str)


@given(st.binary(max_size=200))
def test_what_is_no_event_passes(frame: bytes) -> None:
    Beta().to_client(b'{"type":"session.created","session":' + frame + b"}")
    Beta().to_client(frame)
