"""The avatar endpoint's own client frames."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.avatar.codec import decode_init, decode_playback
from protocol.realtime.codec import InvalidEvent, encode, read_head
from protocol.realtime.server_events import ErrorDetail
from tests.protocol.realtime.test_codec import JSON


def refusal(sent: bytes) -> ErrorDetail:
    """The error for a first frame."""
    with pytest.raises(InvalidEvent) as caught:
        decode_init(sent)
    return caught.value.detail


# The first frame


def test_the_first_frame_may_leave_its_type_out_as_in_the_prototype() -> None:
    init = decode_init(b'{"kb_id":"museum","api_key":"k"}')
    assert (init.kb_id, init.credential) == ("museum", "k")


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        ({}, None),
        ({"token": None}, None),
        ({"token": ""}, None),
        ({"token": "t"}, "t"),
        ({"api_key": "k"}, "k"),
        ({"token": "t", "api_key": "k"}, "t"),
        ({"token": None, "api_key": "k"}, "k"),
    ],
    ids=str,
)
def test_the_credential_goes_by_either_name(fields: dict[str, Any], credential: str | None) -> None:
    assert decode_init(json.dumps({"type": "session.init", **fields}).encode()).credential == credential


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"hello", "invalid_json", None),
        (b'{"kb_id":"\xff"}', "invalid_json", None),
        (b'{"kb_id":"\\ud800"}', "invalid_json", None),
        (b'{"x":' + b"[" * 100_000, "invalid_json", None),
        (b'{"kb_id":7}', "invalid_type", "kb_id"),
        (b'{"token":["t"]}', "invalid_type", "token"),
        (b'{"type":7}', "invalid_type", "type"),
        (b'{"type":"session.update","session":{}}', "invalid_value", "type"),
        (b"[]", "invalid_type", None),
        (b"null", "invalid_type", None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_first_frame_that_is_none_gets_a_named_error(sent: bytes, code: str, param: str | None) -> None:
    detail = refusal(sent)
    assert (detail.code, detail.param or None) == (code, param)


def test_another_event_in_first_place_is_told_what_belongs_there() -> None:
    assert refusal(b'{"type":"response.create"}').message == "The first frame must be session.init."


def test_an_error_about_the_first_frame_shows_no_credential() -> None:
    assert "s3cret" not in refusal(b'{"token":{"s3cret":"s3cret"}}').message
    assert "s3cret" not in refusal(b'{"token":"s3cret","kb_id":[]}').message
    assert "s3cret" not in refusal(b'{"token":"s3cret"').message


# Playback


def played(sent: bytes) -> float:
    """Decodes ``avatar.playback``."""
    return decode_playback(sent, read_head(sent)).played_ms


@pytest.mark.parametrize(("number", "ms"), [("0", 0.0), ("1500", 1500.0), ("1500.5", 1500.5), ("-1", -1.0)])
def test_played_milliseconds_may_be_whole_or_not(number: str, ms: float) -> None:
    assert played(f'{{"type":"avatar.playback","item_id":"i","played_ms":{number}}}'.encode()) == ms


@pytest.mark.parametrize(
    ("rest", "code", "param"),
    [
        ('"item_id":"i"', "missing_required_parameter", "played_ms"),
        ('"played_ms":1', "missing_required_parameter", "item_id"),
        ('"item_id":7,"played_ms":1', "invalid_type", "item_id"),
        ('"item_id":"i","played_ms":"1"', "invalid_type", "played_ms"),
        ('"item_id":"i","played_ms":1e999', "invalid_value", "played_ms"),
        ('"item_id":"i","played_ms":null', "invalid_type", "played_ms"),
    ],
)
def test_a_wrong_acknowledgement_gets_the_services_kind_of_error(rest: str, code: str, param: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        played(f'{{"type":"avatar.playback","event_id":"mine_1",{rest}}}'.encode())
    detail = caught.value.detail
    assert (detail.code, detail.param, detail.event_id) == (code, param, "mine_1")


# Nothing but InvalidEvent


def read(sent: bytes) -> None:
    """Reads a frame with both decoders; each may only succeed or raise InvalidEvent with an error one can send."""
    for decode in (lambda: decode_init(sent).credential, lambda: played(sent)):
        try:
            decode()
        except InvalidEvent as refused:
            encode(refused.detail)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_but_invalid_event(sent: bytes) -> None:
    read(sent)


@given(
    st.dictionaries(
        st.sampled_from(["type", "kb_id", "token", "api_key", "resume", "item_id", "played_ms", "x"]),
        JSON | st.sampled_from(["session.init", "avatar.playback"]),
    ),
    st.binary(max_size=3),
)
def test_arbitrary_objects_raise_nothing_but_invalid_event(sent: dict[str, Any], tail: bytes) -> None:
    read(json.dumps(sent).encode() + tail)


def test_a_wrong_field_before_broken_json_is_still_only_an_invalid_event() -> None:
    read(b'{"type":"avatar.playback","item_id":7, no JSON')
    read(b'{"kb_id":7, no JSON')
