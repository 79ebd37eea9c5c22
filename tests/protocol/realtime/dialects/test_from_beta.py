"""What a beta client says, in GA: for every event, for the whole of its session, and for rubbish."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.realtime.client_events import CLIENT_EVENTS
from protocol.realtime.codec import InvalidEvent, decode_client, read_head
from protocol.realtime.dialects.dialect import Beta
from protocol.realtime.server_events import ErrorDetail
from tests.protocol.realtime.dialects.sessions import anything, ga_sessions
from tests.protocol.realtime.samples import client_event

Json = dict[str, Any]
PCM = {"type": "audio/pcm", "rate": 24000}
VAD = {"type": "server_vad", "threshold": 0.7}
TOOL = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"n": {"maximum": 1e300}}},
}


def said(event: Json) -> Json:
    frame = Beta().to_server(msgspec.json.encode(event))
    decode_client(frame, read_head(frame))
    ga: Json = msgspec.json.decode(frame)
    return ga


def session(**fields: Any) -> Json:
    ga: Json = said({"type": "session.update", "session": fields})["session"]
    return ga


def response(**fields: Any) -> Json:
    ga: Json = said({"type": "response.create", "response": fields})["response"]
    return ga


def refused(event: Json) -> ErrorDetail:
    with pytest.raises(InvalidEvent) as refusal:
        Beta().to_server(msgspec.json.encode(event))
    return refusal.value.detail


@pytest.mark.parametrize("kind", sorted(set(CLIENT_EVENTS) - {"session.update", "response.create"}))
def test_events_that_are_the_same_pass_byte_by_byte(kind: str) -> None:
    frame = msgspec.json.encode(client_event(kind))
    assert Beta().to_server(frame) == frame


def test_the_whole_session() -> None:
    update = {
        "type": "session.update",
        "event_id": "mine",
        "session": {
            "model": "gpt-realtime",
            "modalities": ["text", "audio"],
            "instructions": "",
            "voice": "sage",
            "speed": 1.25,
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1", "language": "de"},
            "input_audio_noise_reduction": {"type": "near_field"},
            "turn_detection": VAD,
            "tools": [TOOL],
            "tool_choice": "required",
            "temperature": 0.9,
            "max_response_output_tokens": 300,
            "tracing": "auto",
            "include": None,
        },
    }
    assert said(update) == {
        "type": "session.update",
        "event_id": "mine",
        "session": {
            "type": "realtime",
            "model": "gpt-realtime",
            "output_modalities": ["audio"],
            "instructions": "",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "transcription": {"model": "whisper-1", "language": "de"},
                    "noise_reduction": {"type": "near_field"},
                    "turn_detection": VAD,
                },
                "output": {"format": PCM, "voice": "sage", "speed": 1.25},
            },
            "tools": [TOOL],
            "tool_choice": "required",
            "max_output_tokens": 300,
            "tracing": "auto",
            "include": None,
        },
    }


def test_absent_is_not_null() -> None:
    assert session() == {"type": "realtime"}
    assert session(turn_detection=None) == {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    assert session(input_audio_transcription=None, input_audio_noise_reduction=None, tracing=None) == {
        "type": "realtime",
        "audio": {"input": {"transcription": None, "noise_reduction": None}},
        "tracing": None,
    }


def test_turn_detection_none_is_null() -> None:
    for none in (None, {"type": "none"}, {"type": "none", "threshold": 0.5}):
        assert session(turn_detection=none)["audio"] == {"input": {"turn_detection": None}}


@pytest.mark.parametrize(
    ("modalities", "ga"), [(["audio", "text"], ["audio"]), (["text", "audio"], ["audio"]), (["text"], ["text"])]
)
def test_modalities(modalities: list[str], ga: list[str]) -> None:
    assert session(modalities=modalities)["output_modalities"] == ga
    assert response(modalities=modalities)["output_modalities"] == ga


def test_what_voicerag_sends() -> None:
    page = {"turn_detection": {"type": "server_vad"}, "input_audio_transcription": {"model": "whisper-1"}}
    assert session(**page)["audio"]["input"] == {
        "turn_detection": {"type": "server_vad"},
        "transcription": {"model": "whisper-1"},
    }
    assert session(turn_detection={"type": "server_vad"}) == {
        "type": "realtime",
        "audio": {"input": {"turn_detection": {"type": "server_vad"}}},
    }
    middle = {
        "tools": [TOOL],
        "tool_choice": "auto",
        "instructions": "x",
        "temperature": 0.6,
        "max_response_output_tokens": None,
        "voice": "alloy",
        "disable_audio": False,
    }
    with pytest.raises(InvalidEvent, match="max_output_tokens"):
        session(**middle)  # null is passed on, and refused as the service refuses it
    assert session(**{**middle, "max_response_output_tokens": 100}) == {
        "type": "realtime",
        "tools": [TOOL],
        "tool_choice": "auto",
        "instructions": "x",
        "max_output_tokens": 100,
        "audio": {"output": {"voice": "alloy"}},
    }


@pytest.mark.parametrize("limit", ["max_output_tokens", "max_response_output_tokens"])
def test_the_whole_of_a_request(limit: str) -> None:
    asked = {
        "modalities": ["text"],
        "instructions": "x",
        "voice": "sage",
        "output_audio_format": "g711_alaw",
        "tools": [TOOL],
        "tool_choice": "none",
        "temperature": 0.7,
        limit: "inf",
        "conversation": "none",
        "metadata": {"a": "b"},
        "commit": True,
        "cancel_previous": True,
        "input": [
            {"type": "item_reference", "id": "item_1"},
            {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        ],
    }
    assert response(**asked) == {
        "output_modalities": ["text"],
        "instructions": "x",
        "audio": {"output": {"voice": "sage", "format": {"type": "audio/pcma"}}},
        "tools": [TOOL],
        "tool_choice": "none",
        "max_output_tokens": "inf",
        "conversation": "none",
        "metadata": {"a": "b"},
        "input": [
            {"type": "item_reference", "id": "item_1"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        ],
    }
    assert said({"type": "response.create"}) == {"type": "response.create"}
    assert said({"type": "response.create", "response": None}) == {"type": "response.create", "response": None}


def test_an_assistants_item() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "audio", "transcript": "b"},
        {"type": "output_text", "text": "c"},
    ]
    item = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": content}
    ga = said({"type": "conversation.item.create", "previous_item_id": "root", "item": item})
    assert ga["previous_item_id"] == "root"
    assert [part["type"] for part in ga["item"]["content"]] == ["output_text", "output_audio", "output_text"]
    assert {**ga["item"], "content": content} == item


def test_a_transcription_session_is_left_to_the_service_to_refuse() -> None:
    update: Json = {"input_audio_format": "pcm16", "turn_detection": None, "include": []}
    assert said({"type": "transcription_session.update", "event_id": "e", "session": update}) == {
        "type": "session.update",
        "event_id": "e",
        "session": {
            "type": "transcription",
            "audio": {"input": {"format": PCM, "turn_detection": None}},
            "include": [],
        },
    }


@pytest.mark.parametrize(
    "name", ["type", "audio", "output_modalities", "id", "truncation", "max_output_tokens", "foo", "audio.input", ""]
)
def test_a_parameter_that_the_beta_does_not_have(name: str) -> None:
    error = refused({"type": "session.update", "event_id": "mine", "session": {"voice": "sage", name: {}}})
    assert error.code == "unknown_parameter"
    assert error.type == "invalid_request_error"
    assert error.param == f"session.{name}"
    assert error.message == f"Unknown parameter: 'session.{name}'."
    assert error.event_id == "mine"


def test_the_same_in_a_request() -> None:
    error = refused({"type": "response.create", "response": {"output_modalities": ["text"]}})
    assert (error.code, error.param, error.event_id) == ("unknown_parameter", "response.output_modalities", None)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("modalities", ["audio"], "invalid_value"),
        ("modalities", [], "invalid_value"),
        ("modalities", ["text", "text"], "invalid_value"),
        ("modalities", ["text", "video"], "invalid_value"),
        ("modalities", ["x" * 100_000], "invalid_value"),
        ("modalities", "audio", "invalid_type"),
        ("modalities", None, "invalid_type"),
        ("modalities", [1], "invalid_type"),
        ("input_audio_format", "mp3", "invalid_value"),
        ("input_audio_format", {"type": "audio/pcm"}, "invalid_type"),
        ("output_audio_format", None, "invalid_type"),
    ],
)
def test_values_that_the_beta_does_not_have(field: str, value: Any, code: str) -> None:
    error = refused({"type": "session.update", "session": {field: value}})
    assert (error.code, error.param) == (code, f"session.{field}")
    assert len(error.message) < 300


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"[]",
        b'"session.update"',
        b'{"type":7}',
        b'{"type":"session.update"}',
        b'{"type":"session.update","session":7}',
        b'{"type":"session.update","session":[]}',
        b'{"type":"session.update","session":{"voice":}}',
        b'{"type":"session.update","session":{"\\ud800":1}}',
        b'{"type":"session.update","session":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}",
        b'{"type":"response.create","response":"now"}',
        b'{"type":"conversation.item.create"}',
        b'{"type":"conversation.item.create","item":{"role":"assistant","content":"text"}}'[:-1],
        b'{"type":"novel"}',
    ],
)
def test_what_cannot_be_read_passes_to_be_refused(frame: bytes) -> None:
    assert Beta().to_server(frame) == frame


def test_sound_passes_byte_by_byte() -> None:
    for frame in (
        b'{"type":"input_audio_buffer.append","audio":"AA\\/A"}',
        b' { "audio" : "AA\\/A" , "type" : "input_audio_buffer.append" } ',
        b'{"type":"conversation.item.create","item":{"role":"user","content":[{"type":"input_audio","audio":"A\\/"}]}}',
    ):
        assert Beta().to_server(frame) is frame


@given(ga_sessions)
def test_a_session_comes_back_as_it_was(ga: Json) -> None:
    (shown,) = Beta().to_client(msgspec.json.encode({"type": "session.updated", "session": ga}))
    beta = msgspec.json.decode(shown)["session"]
    del beta["client_secret"], beta["temperature"]
    back = msgspec.json.decode(Beta().to_server(msgspec.json.encode({"type": "session.update", "session": beta})))
    assert _without_empty(back["session"]) == _without_empty(ga)


def _without_empty(session: Json) -> Json:
    """Empty halves of ``audio`` say nothing."""
    audio = {half: fields for half, fields in session.get("audio", {}).items() if fields}
    return {
        **{name: value for name, value in session.items() if name != "audio"},
        **({"audio": audio} if audio else {}),
    }


_NAMES = st.sampled_from(
    [
        "modalities",
        "voice",
        "input_audio_format",
        "turn_detection",
        "input",
        "tools",
        "max_output_tokens",
        "item",
        "role",
    ]
)


@given(
    st.sampled_from(["session.update", "response.create", "conversation.item.create", "transcription_session.update"]),
    st.sampled_from(["session", "response", "item"]),
    st.one_of(anything, st.dictionaries(_NAMES, anything, max_size=4)),
    anything,
)
def test_any_contents_are_translated_passed_or_refused(kind: str, field: str, contents: Any, event_id: Any) -> None:
    frame = msgspec.json.encode({"type": kind, "event_id": event_id, field: contents})
    try:
        ga = msgspec.json.decode(Beta().to_server(frame))
    except InvalidEvent as refusal:
        assert refusal.detail.code in {"unknown_parameter", "invalid_type", "invalid_value"}  # noqa: PT017
        assert refusal.detail.event_id in (event_id, None)  # noqa: PT017
        msgspec.json.encode(refusal.detail)
    else:
        assert ga["event_id"] == event_id


@given(st.binary(max_size=100))
def test_any_bytes_pass_or_are_refused(rubbish: bytes) -> None:
    for frame in (rubbish, b'{"type":"session.update","session":{"voice":' + rubbish + b"}}"):
        try:
            Beta().to_server(frame)
        except InvalidEvent as refusal:
            assert refusal.detail.code  # noqa: PT017
