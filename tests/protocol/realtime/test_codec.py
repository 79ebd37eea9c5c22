"""Frames to events and back, and every way in which a frame can be none."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from protocol.realtime.client_events import CLIENT_EVENT_TYPES
from protocol.realtime.codec import (
    InvalidEvent,
    base64_size,
    decode_client,
    decode_object,
    decode_server,
    encode,
    read_head,
)
from protocol.realtime.server_events import SERVER_EVENTS, ErrorDetail, ServerEvent
from tests.protocol.realtime.samples import CLIENT, SERVER, client_event, server_event


def refusal(frame: bytes) -> ErrorDetail:
    """The error that a client gets for a frame."""
    with pytest.raises(InvalidEvent) as caught:
        decode_client(frame, read_head(frame))
    return caught.value.detail


def frame(value: object) -> bytes:
    """A JSON text frame."""
    return json.dumps(value).encode()


# Every event


def test_every_event_of_the_reference_has_a_struct_and_a_sample() -> None:
    assert set(CLIENT_EVENT_TYPES) == set(CLIENT)
    assert {name for name in SERVER_EVENTS if not name.startswith("avatar.")} == set(SERVER)


@pytest.mark.parametrize("type_", sorted(CLIENT))
def test_a_client_event_comes_back_as_it_was_sent(type_: str) -> None:
    sent = client_event(type_)
    event = decode_client(frame(sent), read_head(frame(sent)))
    assert json.loads(encode(event)) == sent


@pytest.mark.parametrize("type_", sorted(SERVER))
def test_a_server_event_comes_back_as_it_was_sent(type_: str) -> None:
    sent = server_event(type_)
    event = decode_server(frame(sent), read_head(frame(sent)))
    assert isinstance(event, SERVER_EVENTS[type_])
    assert json.loads(encode(event)) == {"event_id": "", **sent}


@pytest.mark.parametrize("type_", sorted(SERVER))
def test_unknown_fields_of_a_server_event_are_no_fault(type_: str) -> None:
    sent = frame({**server_event(type_), "obfuscation": "xxxx", "added_next_year": {"deep": [1]}})
    assert decode_server(sent, read_head(sent)) is not None


def test_a_server_event_of_an_unknown_type_is_nothing_rather_than_a_fault() -> None:
    sent = frame({"type": "response.animation_blendshapes.delta", "event_id": "event_1"})
    assert decode_server(sent, read_head(sent)) is None


def test_a_server_event_begins_with_its_type_and_event_id() -> None:
    sent = server_event("response.done")
    event = decode_server(frame(sent), read_head(frame(sent)))
    assert encode(event).startswith(b'{"type":"response.done","event_id":"event_1"')


# Heads


def test_the_head_of_an_audio_frame_leaves_the_audio_as_it_came() -> None:
    sent = frame(server_event("response.output_audio.delta"))
    head = read_head(sent)
    assert (head.type, head.response_id, head.item_id, head.content_index) == (
        "response.output_audio.delta",
        "resp_1",
        "item_2",
        0,
    )
    assert head.delta is not UNSET
    assert bytes(head.delta) == b'"AAAAAAAA"'


@pytest.mark.parametrize(
    "odd", [{"content_index": "0"}, {"event_id": 7}, {"response_id": []}, {"item_id": {"a": 1}}, {"content_index": 1.5}]
)
def test_a_head_with_an_odd_field_still_tells_the_type(odd: dict[str, Any]) -> None:
    head = read_head(frame({"type": "brand.new", "event_id": "mine_1", **odd}))
    assert head.type == "brand.new"
    assert head.event_id == (None if "event_id" in odd else "mine_1")
    assert head.response_id is None


def test_a_type_spelt_with_escapes_is_the_same_type() -> None:
    assert read_head(b'{"\\u0074ype":"response.\\u0063reate"}').type == "response.create"


@given(st.binary(max_size=100), st.sampled_from(["", "  ", "\n\t"]))
def test_base64_size_is_that_of_the_decoded_audio(audio: bytes, space: str) -> None:
    text = base64.b64encode(audio).decode()
    head = read_head(f'{{"type":"input_audio_buffer.append","audio":{space}"{text}"{space}}}'.encode())
    assert base64_size(head.audio) == len(audio)


@pytest.mark.parametrize("length", range(101))
def test_base64_size_is_right_for_every_short_length_padded_or_not(length: int) -> None:
    encoded = base64.b64encode(bytes(length))
    assert base64_size(msgspec.Raw(b'"' + encoded + b'"')) == length
    assert base64_size(msgspec.Raw(b'"' + encoded.rstrip(b"=") + b'"')) == length


@pytest.mark.parametrize("raw", [b"7", b"null", b"[]", b"{}", b'""', b'"="', b'"=="', b'"A="', b'"A"'])
def test_what_holds_no_audio_has_no_size_and_never_a_negative_one(raw: bytes) -> None:
    assert base64_size(msgspec.Raw(raw)) == 0


@given(st.text("A=", max_size=9))
def test_nonsense_in_place_of_base64_has_a_size_between_nothing_and_its_own(text: str) -> None:
    assert 0 <= base64_size(msgspec.Raw(f'"{text}"'.encode())) <= len(text)


def test_absent_audio_has_no_size() -> None:
    assert base64_size(UNSET) == 0


# Frames that are no events

NO_JSON = [
    b"",
    b" ",
    b"{",
    b"{]",
    b'{"type":"response.create"',
    b'{"type":"response.create"}{}',
    b"{'type':'response.create'}",
    b'{"type":"response.create",}',
    b'{type:"response.create"}',
    b'\xef\xbb\xbf{"type":"response.create"}',
    b'{"type":"\xff"}',
    b'{"type":"\\ud800"}',
    b'{"type":"response.create","event_id":"\\udc00 alone"}',
    b'{"type":"response.create","x":"\\ud83d"}',
    b'{"type":"response.create","x":NaN}',
    b'{"type":"x","content_index":"wrong type first", and no JSON then',
    b'{"type":"x","event_id":7,"y":"\\ud800"}',
    b'{"type":' + b"[" * 100_000,
    b'{"type":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"type":"x","delta":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    b'{"type":"x","content_index":"0","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("sent", NO_JSON, ids=lambda sent: repr(sent[:50]))
def test_a_frame_that_is_no_json_is_invalid_json(sent: bytes) -> None:
    detail = refusal(sent)
    assert (detail.type, detail.code, detail.event_id) == ("invalid_request_error", "invalid_json", None)


@pytest.mark.parametrize("sent", [b"[]", b"null", b"7", b'"response.create"', b"true", b"[{}]", b"1e999"])
def test_json_that_is_no_object_is_an_invalid_event(sent: bytes) -> None:
    assert refusal(sent).code in {"invalid_event", "invalid_json"}


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        ({}, "missing_required_parameter", "type"),
        ({"event_id": "mine_1"}, "missing_required_parameter", "type"),
        ({"type": None}, "invalid_type", "type"),
        ({"type": 7}, "invalid_type", "type"),
        ({"type": ["response.create"]}, "invalid_type", "type"),
        ({"type": "response.done"}, "invalid_value", "type"),
        ({"type": "transcription_session.update"}, "invalid_value", "type"),
        ({"type": "response.create", "response": 7}, "invalid_type", "response"),
        ({"type": "response.create", "response": {"tools": 7}}, "invalid_type", "response.tools"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_type", "response.metadata[...]"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": None}, "invalid_type", "session"),
        ({"type": "session.update", "session": {"tools": None}}, "invalid_type", "session.tools"),
        ({"type": "session.update", "session": {"tools": [{}]}}, "missing_required_parameter", "session.tools[0].type"),
        (
            {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {}}}}},
            "missing_required_parameter",
            "session.audio.input.turn_detection.type",
        ),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_type", "audio"),
        ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
        ({"type": "conversation.item.create", "item": {}}, "missing_required_parameter", "item.type"),
        ({"type": "conversation.item.delete"}, "missing_required_parameter", "item_id"),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 1.5},
            "invalid_type",
            "audio_end_ms",
        ),
        ({"type": "response.cancel", "response_id": 7}, "invalid_type", "response_id"),
    ],
    ids=str,
)
def test_the_error_names_what_is_wrong_and_where(sent: dict[str, Any], code: str, param: str) -> None:
    detail = refusal(frame(sent))
    assert (detail.type, detail.code) == ("invalid_request_error", code)
    # The name of a map's key is not told by the parser, only its place.
    assert detail.param is not None
    assert detail.param == param or detail.param.replace("[...]", "") == param.replace("[...]", "")


def test_a_path_into_a_list_has_no_gap() -> None:
    sent = frame({"type": "session.update", "session": {"tools": [{"type": "function"}, {}]}})
    assert refusal(sent).message == "Missing required parameter: 'session.tools[1].type'."


def test_an_error_names_the_event_by_the_id_the_client_gave() -> None:
    for wrong in ({"type": "nonsense"}, {"type": "session.update"}, {"type": "response.create", "response": 7}, {}):
        assert refusal(frame({"event_id": "mine_1", **wrong})).event_id == "mine_1"


def test_an_unknown_type_is_told_the_known_ones_and_not_its_own_megabyte() -> None:
    detail = refusal(frame({"type": "x" * 1_000_000}))
    assert all(f"'{type_}'" in detail.message for type_ in CLIENT_EVENT_TYPES)
    assert len(detail.message) < 1000


def test_an_event_id_is_at_most_512_characters_long() -> None:
    fits = frame({"type": "response.create", "event_id": "e" * 512})
    assert decode_client(fits, read_head(fits)).event_id == "e" * 512
    detail = refusal(frame({"type": "response.create", "event_id": "e" * 513}))
    assert (detail.code, detail.param, detail.event_id) == ("invalid_value", "event_id", None)


def test_msgspec_still_words_its_complaints_as_the_codec_reads_them() -> None:
    """If this fails, msgspec has new words: teach them to ``detail_of``."""

    class Inner(msgspec.Struct):
        number: int

    class Outer(msgspec.Struct):
        inner: Inner

    def complaint(text: bytes) -> str:
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.json.decode(text, type=Outer)
        return str(caught.value)

    assert complaint(b"{}") == "Object missing required field `inner`"
    assert complaint(b'{"inner":{}}') == "Object missing required field `number` - at `$.inner`"
    assert complaint(b'{"inner":{"number":"1"}}') == "Expected `int`, got `str` - at `$.inner.number`"
    assert complaint(b'{"inner":[]}') == "Expected `object`, got `array` - at `$.inner`"


# Objects


def test_an_object_is_decoded_whole_unknown_fields_included() -> None:
    sent = server_event("session.updated") | {"added_next_year": {"deep": [1, None, "x"]}}
    assert decode_object(frame(sent)) == sent


@pytest.mark.parametrize(
    "sent",
    [
        b'{"type":"response.create","response":{"added_next_year":1e999}}',
        b'{"type":"response.create","response":{"added_next_year":"\xff"}}',
        b'{"type":"response.create","x":' + b"9" * 5000 + b"}",
        b'{"type":"response.create","x":' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"type":"response.create","x":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
        b"[]",
        b"null",
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_an_object_that_cannot_be_read_whole_is_refused_even_where_its_head_could_be_read(sent: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_object(sent)
    assert caught.value.detail.code in {"invalid_json", "invalid_value", "invalid_type"}


# Nothing but InvalidEvent

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A sample event with a field overwritten, then some of its bytes."""
    event = draw(st.sampled_from([*map(client_event, CLIENT), *map(server_event, SERVER)]))
    for key, value in draw(st.dictionaries(st.sampled_from([*event, "event_id", "item_id"]), JSON, max_size=2)).items():
        event[key] = value
    sent = bytearray(json.dumps(event, allow_nan=True), "utf-8")
    for position, byte in draw(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3)):
        sent[position % len(sent)] = byte
    return bytes(sent)


def read_in_every_way(sent: bytes) -> None:
    """Reads a frame with every decoder; each may only succeed or raise InvalidEvent with an error one can send."""
    for decode in (
        lambda: decode_client(sent, read_head(sent)),
        lambda: decode_server(sent, read_head(sent)),
        lambda: decode_object(sent),
    ):
        try:
            event = decode()
        except InvalidEvent as refused:
            encode(refused.detail)
        else:
            assert event is None or isinstance(event, dict) or encode(event)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_but_invalid_event(sent: bytes) -> None:
    read_in_every_way(sent)


@given(st.dictionaries(st.sampled_from(["type", "event_id", "audio", "delta", "response", "session", "x"]), JSON))
def test_arbitrary_objects_raise_nothing_but_invalid_event(sent: dict[str, Any]) -> None:
    read_in_every_way(json.dumps(sent).encode())


@given(broken())
def test_broken_events_raise_nothing_but_invalid_event(sent: bytes) -> None:
    read_in_every_way(sent)


def test_every_struct_of_a_server_event_is_found_by_its_tag() -> None:
    assert all(issubclass(event, ServerEvent) for event in SERVER_EVENTS.values())
    assert all(event.__struct_config__.tag == name for name, event in SERVER_EVENTS.items())
