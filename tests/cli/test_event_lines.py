"""Events as lines: one line each, sound as its length, secrets hidden, everything else as it came."""

import json

import pytest

from server.cli.event_lines import event_line


def line(event: object, *, audio: bool = False) -> object:
    text = event_line(json.dumps(event, indent=2).encode(), audio=audio)
    assert "\n" not in text
    return json.loads(text)


@pytest.mark.parametrize("type_", ["response.output_audio.delta", "response.audio.delta"])
def test_sound_is_shown_as_its_length(type_: str) -> None:
    event = {"type": type_, "delta": "AAAAAA=="}
    assert line(event) == {"type": type_, "delta": "<4 bytes>"}
    assert line(event, audio=True) == event


def test_sound_inside_items_is_shown_as_its_length_and_a_settings_object_stays() -> None:
    event = {"type": "x", "item": {"content": [{"audio": "AAAA"}]}, "session": {"audio": {"output": {"voice": "v"}}}}
    shown = line(event)
    assert shown == {**event, "item": {"content": [{"audio": "<3 bytes>"}]}}
    assert line(event, audio=True) == event


def test_words_stay_as_they_are() -> None:
    event = {"type": "response.output_audio_transcript.delta", "delta": "Zehn. Ünïcode", "n": [1, None, 2.5, True]}
    assert line(event) == event


def test_what_lets_others_into_the_conversation_is_hidden() -> None:
    event = {"type": "avatar.session", "resume_token": "abc", "client_secret": {"value": "def"}, "token": None}
    shown = line(event, audio=True)
    assert shown == {"type": "avatar.session", "resume_token": "***", "client_secret": "***", "token": None}
