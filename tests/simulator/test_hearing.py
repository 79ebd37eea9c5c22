"""What becomes of the user's audio: honest refusals, and words where a recogniser is given."""

import pytest
import trio
from trio.testing import MockClock

from server.simulator.hearing import RECOGNISER_SECONDS
from server.simulator.voice import g711
from tests.simulator.driver import Client, as_base64
from tests.simulator.memory import in_memory
from tests.simulator.sounds import silence, tone

FAILED = "conversation.item.input_audio_transcription.failed"
COMPLETED = "conversation.item.input_audio_transcription.completed"


async def listen(client: Client, model: str = "gpt-4o-mini-transcribe") -> None:
    await client.update(audio={"input": {"transcription": {"model": model}}})


async def test_without_a_recogniser_transcription_fails_and_the_answer_says_so(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await listen(client)
        await client.speak(silence(400) + tone(1000) + silence(300))
        done = (await client.until("response.done"))["response"]
        failed = client.of(FAILED)[0]
        assert failed["item_id"] == client.of("input_audio_buffer.committed")[0]["item_id"]
        assert (failed["error"]["type"], failed["error"]["code"]) == (
            "transcription_error",
            "transcription_unavailable",
        )
        assert "cannot transcribe" in done["output"][0]["content"][0]["transcript"]


async def test_transcription_that_was_not_asked_for_is_not_reported(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await client.speak(silence(400) + tone(1000) + silence(300))
        await client.until("response.done")
        assert client.of(FAILED) == []


async def test_heard_words_are_reported_and_answered(autojump_clock: MockClock) -> None:
    heard: list[int] = []

    async def recogniser(audio: bytes) -> str:
        heard.append(len(audio))
        await trio.sleep(0.3)
        return "My name is Ann."

    async with in_memory(recogniser=recogniser) as client:
        await listen(client)
        await client.speak(silence(400) + tone(1000) + silence(300))
        done = (await client.until("response.done"))["response"]
        completed = client.of(COMPLETED)[0]
        assert completed["transcript"] == "My name is Ann."
        assert completed["usage"] == {"type": "tokens", "total_tokens": 19, "input_tokens": 15, "output_tokens": 4}
        assert "Ann" in done["output"][0]["content"][0]["transcript"]
        assert heard == [1500 * 48]
        item_id = completed["item_id"]
        reply = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id=item_id)
        assert reply["item"]["content"][0]["transcript"] == "My name is Ann."
        assert client.connection.session.meter.transcribed_seconds == pytest.approx(1.5)


async def test_whisper_is_billed_by_duration(autojump_clock: MockClock) -> None:
    async def recogniser(audio: bytes) -> str:
        await trio.lowlevel.checkpoint()
        return "Hello."

    async with in_memory(recogniser=recogniser) as client:
        await listen(client, "whisper-1")
        await client.update(audio={"input": {"turn_detection": None}})
        await client.speak(tone(500))
        await client.send("input_audio_buffer.commit")
        completed = await client.until(COMPLETED)
        assert completed["usage"] == {"type": "duration", "seconds": 0.5}


async def test_audio_of_a_created_item_is_understood_without_events(autojump_clock: MockClock) -> None:
    async def recogniser(audio: bytes) -> str:
        await trio.sleep(1)
        return "My name is Ann."

    async with in_memory(recogniser=recogniser) as client:
        await listen(client)
        part = {"type": "input_audio", "audio": as_base64(tone(500))}
        await client.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
        done = await client.respond("What is my name?")
        assert done["output"][0]["content"][0]["transcript"] == "Your name is Ann."
        assert not client.of(COMPLETED) + client.of(FAILED)


async def test_a_recogniser_that_fails_or_never_answers_costs_only_the_words(autojump_clock: MockClock) -> None:
    async def broken(audio: bytes) -> str:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("out of order")

    async def asleep(audio: bytes) -> str:
        await trio.sleep(10 * RECOGNISER_SECONDS)
        return "Too late."

    for recogniser in (broken, asleep):
        async with in_memory(recogniser=recogniser) as client:
            await listen(client)
            start = trio.current_time()
            await client.speak(silence(400) + tone(400) + silence(300))
            await client.until("response.done", 2 * RECOGNISER_SECONDS)
            assert client.of(FAILED)[0]["error"]["code"] == "transcription_failed"
            assert trio.current_time() - start <= RECOGNISER_SECONDS + 1


async def test_telephone_audio_reaches_the_recogniser_as_pcm_at_24_khz(autojump_clock: MockClock) -> None:
    heard: list[bytes] = []

    async def recogniser(audio: bytes) -> str:
        heard.append(audio)
        await trio.lowlevel.checkpoint()
        return "Hello."

    async with in_memory(recogniser=recogniser) as client:
        await client.update(audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}})
        await client.speak(g711.encode_mulaw(g711.to_8_khz(tone(500))))
        await client.send("input_audio_buffer.commit")
        await client.respond()
        assert [len(audio) for audio in heard] == [500 * 48]
