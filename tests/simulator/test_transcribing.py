"""Transcription sessions: they listen, they tell the words, they never answer."""

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from server.simulator.refusal import Refusal
from server.simulator.settings import SimulatorSettings
from server.simulator.transcribing import TranscriptionConfiguration
from tests.simulator.driver import Client, Json, connected, simulator
from tests.simulator.memory import in_memory
from tests.simulator.sounds import silence, tone

VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}


async def hears(audio: bytes) -> str:
    await trio.lowlevel.checkpoint()
    return "Hello there."


async def updated(client: Client, **configured: Any) -> Json:
    session = {"type": "transcription", "audio": {"input": configured}}
    reply = await client.ask("session.update", "session.updated", session=session)
    assert reply["type"] == "session.updated", reply
    found: Json = reply["session"]
    return found


@pytest.mark.parametrize("path", ["/v1/realtime", "/openai/v1/realtime"])
async def test_the_intent_opens_one(path: str) -> None:
    async with simulator() as running, connected(running, f"{path}?intent=transcription") as client:
        session = (await client.until("session.created"))["session"]
        assert session == {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session["id"],
            "expires_at": session["expires_at"],
            "include": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": VAD,
                }
            },
        }


async def test_a_detected_turn_is_transcribed_and_not_answered(autojump_clock: MockClock) -> None:
    async with in_memory(transcription=True, recogniser=hears) as client:
        session = await updated(client, transcription={"model": "gpt-4o-transcribe", "language": "en"})
        assert session["audio"]["input"]["transcription"] == {"model": "gpt-4o-transcribe", "language": "en"}
        await client.speak(silence(600) + tone(600) + silence(400))
        done = await client.until("conversation.item.input_audio_transcription.completed")
        assert client.types(2) == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
            "conversation.item.added", "conversation.item.done",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
        ]  # fmt: skip
        assert (done["transcript"], done["usage"]["type"]) == ("Hello there.", "tokens")
        assert await client.quiet(60) == []


async def test_push_to_talk_is_transcribed_too(autojump_clock: MockClock) -> None:
    async with in_memory(transcription=True, recogniser=hears) as client:
        session = await updated(client, transcription={"model": "gpt-realtime-whisper"}, turn_detection=None)
        assert session["audio"]["input"]["turn_detection"] is None
        await client.speak(tone(500))
        assert (await client.refused("input_audio_buffer.append", audio="?"))["code"] == "invalid_value"
        await client.send("input_audio_buffer.commit")
        await client.until("conversation.item.input_audio_transcription.completed")


async def test_without_a_recogniser_it_fails_honestly(autojump_clock: MockClock) -> None:
    async with in_memory(transcription=True) as client:
        await updated(client, transcription={"model": "whisper-1"})
        await client.speak(tone(400) + silence(400))
        failed = await client.until("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["code"] == "transcription_unavailable"


async def test_a_response_cannot_be_asked_for(autojump_clock: MockClock) -> None:
    async with in_memory(transcription=True) as client:
        assert (await client.refused("response.create"))["code"] == "invalid_value"
        await updated(client, turn_detection={"type": "semantic_vad"})


REFUSED: list[tuple[Json, str, str]] = [
    ({"type": "realtime"}, "invalid_value", "session.type"),
    ({"instructions": "Be brief."}, "unknown_parameter", "session.instructions"),
    ({"audio": {"output": {}}}, "unknown_parameter", "session.audio.output"),
    ({"audio": {"input": {"turn_detection": VAD | {"create_response": True}}}}, "unknown_parameter",
     "session.audio.input.turn_detection.create_response"),
    ({"audio": {"input": {"turn_detection": {"type": "none"}}}}, "invalid_value",
     "session.audio.input.turn_detection.type"),
    ({"audio": {"input": {"turn_detection": 3}}}, "invalid_type", "session.audio.input.turn_detection"),
    ({"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}, "invalid_value",
     "session.audio.input.turn_detection"),
    ({"include": ["response.animation_viseme"]}, "invalid_value", "session.include[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "param"), REFUSED)
def test_what_it_cannot_be_is_refused_and_changes_nothing(changes: Json, code: str, param: str) -> None:
    configuration = TranscriptionConfiguration("sess_1", 1_760_000_000)
    before = repr(configuration.session)
    with pytest.raises(Refusal) as refused:
        configuration.update({"type": "transcription", **changes}, voice_locked=False)
    assert (refused.value.detail.code, refused.value.detail.param) == (code, param)
    assert repr(configuration.session) == before


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["type", "audio", "input", "turn_detection", "transcription"]), inner, max_size=3)
), max_leaves=8))  # fmt: skip
def test_any_json_is_applied_or_refused(changes: Any) -> None:
    configuration = TranscriptionConfiguration("sess_1", 1_760_000_000)
    try:
        configuration.update(changes, voice_locked=False)
    except Refusal:
        return
    assert configuration.session["type"] == "transcription"


async def test_at_azure_a_transcription_model_is_a_deployment(autojump_clock: MockClock) -> None:
    settings = SimulatorSettings(service="azure", models=("my-realtime", "my-transcribe"))
    async with in_memory(settings, model="my-realtime", recogniser=hears) as client:
        for model, outcome in (
            ("gpt-4o-transcribe", "failed"),
            ("my-transcribe", "completed"),
            ("whisper-1", "completed"),
        ):
            await client.update(audio={"input": {"transcription": {"model": model}, "turn_detection": None}})
            await client.speak(tone(300))
            await client.send("input_audio_buffer.commit")
            event = await client.until_that(lambda event: event["type"].endswith((".completed", ".failed")))
            assert event["type"].endswith(outcome)
            if outcome == "failed":
                assert event["error"]["code"] == "DeploymentNotFound"
                assert event["error"]["type"] == "transcription_error"
