"""Whole turns of a beta client against the running server and its simulator, over real sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.running import PATIENCE_S, serving
from tests.simulator.driver import Client, Json
from tests.simulator.sounds import silence, tone

pytestmark = pytest.mark.slow

VOICERAG = "/realtime"
AZURE = "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-4o-realtime-preview"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
# One answer in sound, as beta clients see it; whatever else comes stands between.
ANSWER = (
    "response.created",
    "response.output_item.added",
    "conversation.item.created",
    "response.content_part.added",
    "response.audio.delta",
    "response.audio.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
)
GA_NAMES = ("response.output_audio", "response.output_text", "conversation.item.added", "conversation.item.done")


@asynccontextmanager
async def connected(data_dir: Path, path: str = AZURE, **session: Any) -> AsyncIterator[Client]:
    """A beta client whose settings are confirmed, and who at the end has seen nothing of GA."""
    async with serving(data_dir) as server, server.opened(path) as client:
        await client.until("conversation.created")
        await client.send("session.update", session=session)
        shown = (await client.until("session.updated"))["session"]
        assert {name: shown[name] for name in session if name not in ("turn_detection", "temperature")} == {
            name: value for name, value in session.items() if name not in ("turn_detection", "temperature")
        }
        yield client
        assert [kind for kind in client.types() if kind.startswith(GA_NAMES)] == []
        assert not {"type", "audio", "output_modalities"} & shown.keys()


async def done(client: Client) -> Json:
    response: Json = (await client.until("response.done", PATIENCE_S))["response"]
    return response


def came_in_order(client: Client, kinds: Sequence[str]) -> bool:
    came = iter(client.types())
    return all(kind in came for kind in kinds)


def words(response: Json) -> str:
    """As VoiceRAG's page reads them."""
    return "".join(part["transcript"] for item in response["output"] for part in item["content"])


async def test_a_typed_question(data_dir: Path) -> None:
    async with connected(data_dir, voice="sage", modalities=["audio", "text"], temperature=0.7) as client:
        await client.type("Who founded the museum?")
        await client.send("response.create")
        response = await done(client)
        assert response["status"] == "completed"
        assert response["modalities"] == ["audio", "text"]
        assert (response["voice"], response["output_audio_format"]) == ("sage", "pcm16")
        assert "Ottilie Marsh" in words(response)
        assert came_in_order(client, ANSWER)
        assert sum(len(event["delta"]) for event in client.of("response.audio.delta")) > 48_000
        assert client.of("error") == []


async def test_a_written_answer(data_dir: Path) -> None:
    async with connected(data_dir) as client:
        await client.type("Who founded the museum?")
        await client.send("response.create", response={"modalities": ["text"], "max_response_output_tokens": 900})
        response = await done(client)
        assert response["modalities"] == ["text"]
        said = "".join(event["delta"] for event in client.of("response.text.delta"))
        assert response["output"][0]["content"] == [{"type": "text", "text": said}]


async def test_a_spoken_question(data_dir: Path) -> None:
    async with connected(
        data_dir,
        VOICERAG,
        turn_detection={"type": "server_vad", "silence_duration_ms": 300},
        input_audio_transcription={"model": "whisper-1"},
    ) as client:
        await client.speak(silence(200) + tone(800) + silence(800))
        assert (await done(client))["status"] == "completed"
        turn = [f"input_audio_buffer.{step}" for step in ("speech_started", "speech_stopped", "committed")]
        assert came_in_order(client, [*turn, "conversation.item.created", *ANSWER])
        assert client.of("error") == []


async def test_push_to_talk(data_dir: Path) -> None:
    async with connected(data_dir, turn_detection={"type": "none"}) as client:
        assert client.of("session.updated")[-1]["session"]["turn_detection"] is None
        await client.speak(tone(800))
        await client.send("input_audio_buffer.commit")
        await client.until("input_audio_buffer.committed")
        await client.send("response.create")
        assert (await done(client))["status"] == "completed"
        assert client.of("input_audio_buffer.speech_started") == []
        assert came_in_order(client, ["input_audio_buffer.committed", "conversation.item.created", *ANSWER])


async def test_a_tool_of_the_clients_own(data_dir: Path) -> None:
    async with connected(data_dir, tools=[WEATHER], tool_choice="auto") as client:
        await client.type("What is the weather in Paris?")
        await client.send("response.create")
        (call,) = (await done(client))["output"]
        assert (call["name"], call["object"]) == ("get_weather", "realtime.item")
        (arguments,) = client.of("response.function_call_arguments.done")
        assert "name" not in arguments
        assert msgspec.json.decode(arguments["arguments"]) == {"city": "Paris"}
        output = {
            "type": "function_call_output",
            "call_id": call["call_id"],
            "output": '{"message":"Sunny, 21 degrees."}',
        }
        await client.send("conversation.item.create", item=output)
        await client.send("response.create")
        assert "21 degrees" in words(await done(client))
        kinds = [event["item"]["type"] for event in client.of("conversation.item.created")]
        assert kinds == ["message", "function_call", "function_call_output", "message"]


async def test_an_interruption(data_dir: Path) -> None:
    async with connected(data_dir, turn_detection={"type": "server_vad", "silence_duration_ms": 300}) as client:
        await client.type("Tell me everything about the history of the building.")
        await client.send("response.create")
        item_id = (await client.until("response.audio.delta", PATIENCE_S))["item_id"]
        await client.speak(silence(200) + tone(600))
        await client.until("input_audio_buffer.speech_started", PATIENCE_S)
        first = client.of("response.done") or [await client.until("response.done", PATIENCE_S)]
        assert first[0]["response"]["status"] in ("cancelled", "completed")
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
        assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 50
        await client.speak(silence(800))
        assert (await done(client))["status"] == "completed"


async def test_a_cancelled_answer(data_dir: Path) -> None:
    async with connected(data_dir) as client:
        await client.type("Tell me everything about the history of the building.")
        await client.send("response.create")
        await client.until("response.created")
        await client.send("response.cancel")
        response = await done(client)
        assert response["status"] == "cancelled"
        assert response["status_details"]["reason"] == "client_cancelled"


async def test_errors_of_the_service_name_what_the_client_wrote(data_dir: Path) -> None:
    async with connected(data_dir) as client:
        for session, param in (
            ({"turn_detection": {"type": "server_vad", "threshold": 7}}, "session.turn_detection.threshold"),
            ({"turn_detection": {"type": "server_vad", "foo": 7}}, "session.turn_detection.foo"),
            ({"voice": "nobody"}, "session.voice"),
            ({"speed": 9}, "session.speed"),
            ({"max_response_output_tokens": 0}, "session.max_response_output_tokens"),
            ({"input_audio_transcription": {"model": 7}}, "session.input_audio_transcription.model"),
            ({"output_modalities": ["text"]}, "session.output_modalities"),
        ):
            error = await client.refused("session.update", event_id="mine", session=session)
            assert (error["param"], error["event_id"]) == (param, "mine")
            assert "session.audio." not in error["message"]
        error = await client.refused("transcription_session.update", session={"input_audio_format": "pcm16"})
        assert "transcription session" in error["message"]


async def test_what_voicerags_page_sends_and_needs(data_dir: Path) -> None:
    async with serving(data_dir) as server, server.client(VOICERAG) as client:
        # The page does not wait for anything, and sends a piece of sound every 100 ms.
        await client.send("session.update", session={"turn_detection": {"type": "server_vad"}})
        await client.send("input_audio_buffer.append", audio="AAAA" * 1200)
        await client.type("When does the museum open?")
        await client.send("response.create")
        told = await client.until("extension.middle_tier_tool_response", PATIENCE_S)
        sources = msgspec.json.decode(told["tool_result"])["sources"]
        assert sources
        assert all(source.keys() == {"chunk_id", "title", "chunk"} for source in sources)
        assert all(source["chunk"] for source in sources)
        assert told["tool_name"] == "search_knowledge_base"
        assert told["previous_item_id"] == client.of("conversation.item.created")[0]["item"]["id"]
        assert words(await done(client))
        await client.send("input_audio_buffer.clear")
        await client.until("input_audio_buffer.cleared")
        assert client.of("error") == []


async def test_the_azure_class_of_the_openai_package_speaks_ga_on_the_dated_path(data_dir: Path) -> None:
    async with serving(data_dir) as server, server.opened(AZURE) as client:
        shown = await client.update(audio={"output": {"voice": "sage"}})
        assert shown["audio"]["output"]["voice"] == "sage"
        response = await client.respond("Who founded the museum?")
        assert response["output"][0]["content"][0]["type"] == "output_audio"
        assert client.of("conversation.item.added")
        assert client.of("response.audio.delta") == []
