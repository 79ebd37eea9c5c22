"""Turns found by energy."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.simulator.audio_input import SEMANTIC_VAD, SERVER_VAD
from server.simulator.vad import SpeechStarted, SpeechStopped, VoiceActivity
from server.simulator.voice import g711
from tests.simulator.sounds import silence, tone


def gate(at_ms: float = 0.0, audio_format: str = "audio/pcm", **changes: Any) -> VoiceActivity:
    return VoiceActivity(SERVER_VAD | changes, audio_format, at_ms)


def test_a_tone_between_silences_is_one_turn_with_padding_in_front_and_the_silence_behind() -> None:
    edges = gate().feed(silence(1000) + tone(500) + silence(500))
    assert edges == [SpeechStarted(1000, 700), SpeechStopped(1700)]


def test_the_fields_of_server_vad_are_honoured() -> None:
    activity = gate(prefix_padding_ms=100, silence_duration_ms=600)
    assert activity.feed(silence(1000) + tone(500) + silence(500)) == [SpeechStarted(1000, 900)]
    assert activity.speaking
    assert activity.feed(silence(100)) == [SpeechStopped(2100)]
    soft = tone(500, amplitude=700)
    assert gate(threshold=0.5).feed(soft)
    assert not gate(threshold=0.9).feed(soft)


def test_a_pause_shorter_than_the_silence_does_not_end_a_turn() -> None:
    edges = gate(silence_duration_ms=300).feed(tone(200) + silence(280) + tone(200) + silence(300))
    assert edges == [SpeechStarted(0, 0), SpeechStopped(980)]


def test_a_click_a_hum_of_the_line_and_a_constant_offset_are_no_speech() -> None:
    offset = (3_000).to_bytes(2, "little", signed=True) * 24_000
    assert gate().feed(silence(500) + tone(20, amplitude=30_000) + silence(500)) == []
    assert gate().feed(tone(1000, amplitude=100, hz=50)) == []
    assert gate().feed(offset) == []


def test_padding_never_reaches_behind_what_was_committed() -> None:
    activity = gate()
    activity.feed(silence(1000))
    activity.turn_ended(900)
    assert activity.feed(tone(100)) == [SpeechStarted(1000, 900)]


@pytest.mark.parametrize(("eagerness", "silence_ms"), [("low", 8000), ("medium", 4000), ("auto", 4000), ("high", 2000)])
def test_semantic_vad_waits_its_eagerness_silence(eagerness: str, silence_ms: int) -> None:
    activity = VoiceActivity(SEMANTIC_VAD | {"eagerness": eagerness}, "audio/pcm", 0.0)
    assert activity.feed(tone(200) + silence(silence_ms - 20)) == [SpeechStarted(0, 0)]
    assert activity.feed(silence(20)) == [SpeechStopped(200 + silence_ms)]


@pytest.mark.parametrize(
    ("audio_format", "encode"), [("audio/pcmu", g711.encode_mulaw), ("audio/pcma", g711.encode_alaw)]
)
def test_telephone_audio_is_heard_as_well(audio_format: str, encode: Any) -> None:
    narrow = encode(g711.to_8_khz(silence(400) + tone(400) + silence(400)))
    edges = gate(audio_format=audio_format).feed(narrow)
    assert [type(edge) for edge in edges] == [SpeechStarted, SpeechStopped]
    assert isinstance(edges[0], SpeechStarted)
    assert abs(edges[0].onset_ms - 400) <= 20


AUDIO = silence(200) + tone(200) + silence(300) + tone(100) + silence(400)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 20_000), max_size=12))
def test_how_the_audio_is_cut_into_appends_changes_nothing(cuts: list[int]) -> None:
    whole = gate().feed(AUDIO)
    activity, found, at = gate(), [], 0
    for size in [*cuts, len(AUDIO)]:
        found += activity.feed(AUDIO[at : at + size])
        at += size
    assert found == whole
