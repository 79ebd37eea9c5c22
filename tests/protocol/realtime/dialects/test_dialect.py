"""Who is taken for what: the switch from beta to GA is made once, by the first session.update."""

from typing import Any

import msgspec
import pytest

from protocol.realtime.codec import InvalidEvent
from protocol.realtime.dialects.dialect import Undeclared

DELTA = b'{"type":"response.output_audio.delta","delta":"AA=="}'
BETA_DELTA = b'{"type":"response.audio.delta","delta":"AA=="}'


def update(**session: Any) -> bytes:
    return msgspec.json.encode({"type": "session.update", "session": session})


def test_until_it_has_spoken_a_client_is_taken_for_beta() -> None:
    dialect = Undeclared()
    assert dialect.to_client(DELTA) == (BETA_DELTA,)
    dialect.to_server(b'{"type":"input_audio_buffer.append","audio":"AA=="}')
    assert msgspec.json.decode(dialect.to_server(b'{"type":"response.create","response":{"modalities":["text"]}}')) == {
        "type": "response.create",
        "response": {"output_modalities": ["text"]},
    }
    assert dialect.to_client(DELTA) == (BETA_DELTA,)


@pytest.mark.parametrize(
    "session", [{"type": "realtime"}, {"audio": {}}, {"output_modalities": ["text"]}, {"voice": "sage", "type": None}]
)
def test_ga_in_the_first_update_is_ga_from_then_on(session: dict[str, Any]) -> None:
    dialect = Undeclared()
    dialect.to_client(DELTA)
    assert dialect.to_server(update(**session)) == update(**session)
    assert dialect.to_client(DELTA) == (DELTA,)
    assert dialect.to_server(update(voice="sage")) == update(voice="sage")
    assert dialect.to_client(DELTA) == (DELTA,)


def test_beta_in_the_first_update_is_beta_from_then_on() -> None:
    dialect = Undeclared()
    assert b'"realtime"' in dialect.to_server(update(voice="sage"))
    with pytest.raises(InvalidEvent, match=r"Unknown parameter: 'session.type'"):
        dialect.to_server(update(type="realtime"))
    assert dialect.to_client(DELTA) == (BETA_DELTA,)


def test_an_empty_update_is_beta() -> None:
    dialect = Undeclared()
    assert msgspec.json.decode(dialect.to_server(update())) == {
        "type": "session.update",
        "session": {"type": "realtime"},
    }
    assert dialect.to_client(DELTA) == (BETA_DELTA,)


@pytest.mark.parametrize("frame", [b'{"type":"session.update"}', b'{"type":"session.update","session":[]}', b"{"])
def test_an_update_that_cannot_be_read_decides_nothing(frame: bytes) -> None:
    dialect = Undeclared()
    assert dialect.to_server(frame) == frame
    dialect.to_server(update(type="realtime"))
    assert dialect.to_client(DELTA) == (DELTA,)
