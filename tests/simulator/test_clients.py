"""What well-known clients say when they connect and interrupt, frame by frame, is understood as the service would."""

import base64

from trio.testing import MockClock

from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import Client, Json
from tests.simulator.memory import in_memory
from tests.simulator.scripts import SAYS, SEARCH_TOOL, TELLS
from tests.simulator.sounds import silence, tone

MODEL = "gpt-realtime-2.1"
PCM = {"type": "audio/pcm", "rate": 24000}
UNHURRIED = SimulatorSettings(pace=1.0)


async def test_agents_for_javascript_update_before_they_hear_anything_and_again(autojump_clock: MockClock) -> None:
    first = {
        "type": "realtime",
        "model": MODEL,
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": PCM,
                "noise_reduction": None,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad"},
            },
            "output": {"format": PCM, "speed": 1},
        },
        "tools": [SEARCH_TOOL],
    }
    async with in_memory(opened=False, model=MODEL, think=SAYS) as client:
        await client.send("session.update", session=first)
        await client.until("session.created")
        await client.send("session.update", session={"type": "realtime", "tracing": "auto"})
        await client.until("session.updated")
        session = (await client.until("session.updated"))["session"]
        assert (session["tracing"], session["instructions"], session["tools"]) == ("auto", "Be brief.", [SEARCH_TOOL])
        assert session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
        await client.send("response.create", event_id="agents_js_response_create_1")
        done = (await client.until("response.done"))["response"]
        item_id = done["output"][0]["id"]
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
        await client.until("conversation.item.truncated")
        reply = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id=item_id)
        assert reply["item"]["content"][0]["type"] == "output_audio"
        assert client.of("error") == []


async def test_agents_for_javascript_truncate_and_cancel_on_speech(autojump_clock: MockClock) -> None:
    async with in_memory(UNHURRIED, think=TELLS) as client:
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}})
        await client.send("response.create")
        item_id = (await client.until("response.output_audio.delta"))["item_id"]
        await client.speak(tone(200))
        await client.until("input_audio_buffer.speech_started")
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
        await client.send("response.cancel")
        await client.until("conversation.item.truncated")
        assert (await client.until("response.done"))["response"]["status"] == "cancelled"


async def test_livekit_mirrors_its_own_items_and_finds_its_responses_by_metadata(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        await client.send(
            "session.update",
            event_id="session_update_1",
            session={"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}},
        )
        await client.until("session.updated")
        previous = "root"
        for name in ("item_lk_1", "item_lk_2"):
            item = {"id": name, "type": "message", "role": "user", "content": [{"type": "input_text", "text": name}]}
            await client.send("conversation.item.create", item=item, previous_item_id=previous)
            added = await client.until("conversation.item.added")
            assert added["item"]["id"] == name
            previous = name
        assert added["previous_item_id"] == "item_lk_1"
        error = await client.refused("conversation.item.create", item=item, event_id="chat_ctx_1")
        assert (error["code"], error["event_id"]) == ("item_create_duplicate_item_id", "chat_ctx_1")
        done = await client.respond(metadata={"client_event_id": "response_create_1"})
        created = client.of("response.created")[0]["response"]
        assert created["metadata"] == done["metadata"] == {"client_event_id": "response_create_1"}
        reply = await client.ask("conversation.item.delete", "conversation.item.deleted", item_id="item_lk_1")
        assert reply["item_id"] == "item_lk_1"
        assert (await client.refused("response.cancel"))["message"].startswith("Cancellation failed")


async def test_pipecat_finds_the_keys_that_it_insists_on(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        await client.update(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})
        await client.respond("Hello.")
        await client.until("rate_limits.updated")
        assert all(event["event_id"] for event in client.events)
        for event in client.of("response.created") + client.of("response.done"):
            assert "status_details" in event["response"]
            assert set(event["response"]) >= {"id", "object", "status", "output", "usage", "metadata"}


async def retrieved(client: Client, item_id: str) -> Json:
    reply = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id=item_id)
    item: Json = reply["item"]
    return item


async def test_every_kind_of_item_can_be_retrieved_and_the_persons_sound_comes_with_it(
    autojump_clock: MockClock,
) -> None:
    spoken = tone(300) + silence(20)
    sound = base64.b64encode(spoken).decode()
    items: list[Json] = [
        {"id": "typed", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]},
        {"id": "said", "type": "message", "role": "user", "content": [{"type": "input_audio", "audio": sound}]},
        {"id": "system", "type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"id": "told", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]},
        {"id": "call", "type": "function_call", "name": "look", "arguments": "{}", "call_id": "call_1"},
        {"id": "result", "type": "function_call_output", "call_id": "call_1", "output": "{}"},
    ]
    async with in_memory() as client:
        for item in items:
            await client.send("conversation.item.create", item=item)
            added = await client.until("conversation.item.added")
            assert all("audio" not in part for part in added["item"].get("content", []))
        for item in items:
            found = await retrieved(client, item["id"])
            assert found["status"] == "completed"
            if item["id"] == "said":
                assert found["content"] == [{"type": "input_audio", "audio": sound, "transcript": None}]
            else:
                assert found == item | {"status": "completed"}


async def test_committed_speech_is_retrieved_whole(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await client.update(audio={"input": {"turn_detection": None}})
        await client.speak(tone(250))
        committed = await client.ask("input_audio_buffer.commit", "input_audio_buffer.committed")
        item = await retrieved(client, committed["item_id"])
        assert base64.b64decode(item["content"][0]["audio"]) == tone(250)
