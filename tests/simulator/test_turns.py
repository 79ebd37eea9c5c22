"""The event order of whole turns, A to G of the protocol's reference, over real sockets (H is a matter of time)."""

import base64

import pytest

from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import CallTool, Say
from tests.simulator.driver import Client, Json, talking
from tests.simulator.scripts import ANSWER, CALLS, LONG_ANSWER, SAYS, TELLS, always
from tests.simulator.sounds import silence, tone

# Keeps a response going long enough to be interrupted: the audio comes in real time.
UNHURRIED = SimulatorSettings(pace=1.0)


def without_ids(event: Json) -> Json:
    return {key: value for key, value in event.items() if key not in ("event_id", "response")}


async def test_connect_session_created_is_first_and_says_all() -> None:
    async with talking() as client:
        session = client.events[0]["session"]
        assert list(client.events[0])[:2] == ["type", "event_id"]
        assert session["id"].startswith("sess_")
        assert session["model"] == "gpt-realtime"
        assert len(session) == 15
        assert await client.quiet() == []


async def test_a_text_turn() -> None:
    async with talking(think=SAYS) as client:
        await client.update(output_modalities=["text"])
        done = await client.respond("When does it open?")
        assert client.types(2) == [
            "conversation.item.added", "conversation.item.done", "response.created", "response.output_item.added",
            "conversation.item.added", "response.content_part.added", "response.output_text.delta",
            "response.output_text.done", "response.content_part.done", "conversation.item.done",
            "response.output_item.done", "response.done",
        ]  # fmt: skip
        user, _, created, item_added, added, part_added, *deltas = client.events[2:]
        text_done, part_done, item_done, output_done, _ = deltas[-5:]
        response_id, item_id = done["id"], done["output"][0]["id"]
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        assert user["previous_item_id"] is None
        assert created["response"] == {
            "object": "realtime.response",
            "id": response_id,
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": done["conversation_id"],
            "output_modalities": ["text"],
            "max_output_tokens": "inf",
            "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"}},
            "usage": None,
            "metadata": None,
        }
        begun = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        assert without_ids(item_added) == {
            "type": "response.output_item.added", "response_id": response_id, "output_index": 0, "item": begun,
        }  # fmt: skip
        assert without_ids(added) == {
            "type": "conversation.item.added", "previous_item_id": user["item"]["id"], "item": begun,
        }  # fmt: skip
        assert without_ids(part_added) == {
            "type": "response.content_part.added", **where, "part": {"type": "text", "text": ""},
        }  # fmt: skip
        for delta in deltas[:-5]:
            assert without_ids(delta) == {"type": "response.output_text.delta", **where, "delta": delta["delta"]}
        assert "".join(delta["delta"] for delta in deltas[:-5]) == ANSWER
        assert without_ids(text_done) == {"type": "response.output_text.done", **where, "text": ANSWER}
        assert without_ids(part_done) == {
            "type": "response.content_part.done", **where, "part": {"type": "text", "text": ANSWER},
        }  # fmt: skip
        whole = begun | {"status": "completed", "content": [{"type": "output_text", "text": ANSWER}]}
        assert item_done["item"] == output_done["item"] == done["output"][0] == whole
        assert item_done["previous_item_id"] == user["item"]["id"]
        assert done["status"] == "completed"
        assert done["status_details"] is None
        assert done["usage"]["output_tokens"] > 0
        assert set(done) == set(created["response"])


async def test_b_audio_turn() -> None:
    async with talking(think=TELLS) as client:
        done = await client.respond("Tell me a story.")
        names = [event["type"] for event in client.events]
        assert names[1:7] == [
            "conversation.item.added", "conversation.item.done", "response.created", "response.output_item.added",
            "conversation.item.added", "response.content_part.added",
        ]  # fmt: skip
        assert names[-6:] == [
            "response.output_audio.done", "response.output_audio_transcript.done", "response.content_part.done",
            "conversation.item.done", "response.output_item.done", "response.done",
        ]  # fmt: skip
        middle = set(names[7:-6])
        assert middle == {"response.output_audio_transcript.delta", "response.output_audio.delta"}
        assert names[7] == "response.output_audio_transcript.delta"
        transcript = "".join(event["delta"] for event in client.of("response.output_audio_transcript.delta"))
        assert transcript == LONG_ANSWER
        assert client.of("response.output_audio_transcript.done")[0]["transcript"] == LONG_ANSWER
        assert client.of("response.content_part.added")[0]["part"] == {"type": "audio", "transcript": ""}
        assert client.of("response.content_part.done")[0]["part"] == {"type": "audio", "transcript": LONG_ANSWER}
        assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": LONG_ANSWER}]


@pytest.mark.parametrize(("audio_format", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcmu", 8), ("audio/pcma", 8)])
async def test_audio_comes_in_pieces_of_100_then_150_then_250_ms(audio_format: str, bytes_per_ms: int) -> None:
    async with talking(think=TELLS) as client:
        await client.update(audio={"output": {"format": {"type": audio_format}}})
        done = await client.respond()
        sizes = [len(base64.b64decode(event["delta"])) for event in client.of("response.output_audio.delta")]
        assert [size / bytes_per_ms for size in sizes[:2]] == [100, 150]
        assert {size / bytes_per_ms for size in sizes[2:-1]} == {250}
        assert 0 < sizes[-1] / bytes_per_ms <= 250
        audio_ms = sum(sizes) / bytes_per_ms
        assert done["usage"]["output_token_details"]["audio_tokens"] == -(-audio_ms // 50)
        assert done["audio"]["output"]["format"]["type"] == audio_format


async def test_the_transcript_runs_ahead_of_the_sound() -> None:
    async with talking(think=TELLS) as client:
        await client.respond()
        audio_ms, words, ahead = 0.0, 0, []
        for event in client.events:
            if event["type"] == "response.output_audio.delta":
                audio_ms += len(event["delta"]) * 3 / 4 / 48
            elif event["type"] == "response.output_audio_transcript.delta":
                words += 1
                ahead.append((words, audio_ms))
        total = audio_ms
        assert all(sounded / total <= word / words for word, sounded in ahead)


async def speak_a_turn(client: Client) -> None:
    await client.speak(silence(600) + tone(600) + silence(400))


async def test_c_turn_found_by_server_vad() -> None:
    async with talking(think=SAYS) as client:
        await speak_a_turn(client)
        await client.until("response.done")
        assert client.types(1)[:7] == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
            "conversation.item.added", "conversation.item.done", "response.created", "response.output_item.added",
        ]  # fmt: skip
        started, stopped, committed, added, done = client.events[1:6]
        item_id = started["item_id"]
        assert without_ids(started) == {**without_ids(started), "audio_start_ms": 300, "item_id": item_id}
        assert (stopped["audio_end_ms"], stopped["item_id"]) == (1400, item_id)
        assert (committed["item_id"], committed["previous_item_id"]) == (item_id, None)
        user = {
            "id": item_id, "type": "message", "status": "completed", "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }  # fmt: skip
        assert added["item"] == done["item"] == user
        assert client.of("response.done")[0]["response"]["usage"]["input_token_details"]["audio_tokens"] == 11
        reply = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id=item_id)
        audio = base64.b64decode(reply["item"]["content"][0]["audio"])
        assert audio == silence(300) + tone(600) + silence(200)


async def test_c_without_create_response_the_client_asks() -> None:
    async with talking(think=SAYS) as client:
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}})
        await speak_a_turn(client)
        await client.until("conversation.item.done")
        assert await client.quiet() == []
        assert (await client.respond())["status"] == "completed"


async def test_c_semantic_vad_has_the_same_events() -> None:
    async with talking(think=SAYS) as client:
        await client.update(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}})
        await client.speak(tone(400) + silence(2000))
        await client.until("response.done")
        assert client.types(2)[:3] == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
        ]  # fmt: skip


async def test_d_push_to_talk() -> None:
    async with talking(think=SAYS) as client:
        await client.update(audio={"input": {"turn_detection": None}})
        await client.speak(tone(500))
        assert await client.quiet() == []
        reply = await client.ask("input_audio_buffer.commit", "input_audio_buffer.committed")
        await client.until("conversation.item.done")
        assert client.types(2) == [
            "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
        ]  # fmt: skip
        assert client.events[-1]["item"]["id"] == reply["item_id"]
        assert await client.quiet() == []
        assert (await client.respond())["status"] == "completed"


async def test_e_function_call_and_what_follows_it() -> None:
    async with talking(think=CALLS) as client:
        done = await client.respond("When does it open?")
        assert client.types(3) == [
            "response.created", "response.output_item.added", "conversation.item.added",
            "response.function_call_arguments.delta", "response.function_call_arguments.done",
            "conversation.item.done", "response.output_item.done", "response.done",
        ]  # fmt: skip
        item = done["output"][0]
        begun = client.of("response.output_item.added")[0]["item"]
        assert begun == {
            "id": item["id"], "type": "function_call", "status": "in_progress",
            "name": "search_knowledge_base", "call_id": item["call_id"], "arguments": "",
        }  # fmt: skip
        deltas = client.of("response.function_call_arguments.delta")
        whole = client.of("response.function_call_arguments.done")[0]
        where = {"response_id": done["id"], "item_id": item["id"], "output_index": 0, "call_id": item["call_id"]}
        assert len(deltas) > 1
        for delta in deltas:
            assert without_ids(delta) == {
                "type": "response.function_call_arguments.delta", **where, "delta": delta["delta"],
            }  # fmt: skip
        assert without_ids(whole) == {
            "type": "response.function_call_arguments.done", **where,
            "arguments": "".join(delta["delta"] for delta in deltas), "name": "search_knowledge_base",
        }  # fmt: skip
        assert item == begun | {"status": "completed", "arguments": '{"query":"opening hours of the museum"}'}
        assert client.of("response.output_item.done")[0]["item"] == item
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "{}"}
        added = await client.ask("conversation.item.create", "conversation.item.added", item=output)
        assert added["previous_item_id"] == item["id"]
        assert added["item"] == output | {"id": added["item"]["id"], "status": "completed"}


async def test_e_one_response_may_hold_a_message_and_calls() -> None:
    think = always(Say("Let me look."), CallTool("look", {"at": "a"}), CallTool("look", {"at": "b"}))
    async with talking(think=think) as client:
        done = await client.respond()
        assert [item["type"] for item in done["output"]] == ["message", "function_call", "function_call"]
        assert [event["output_index"] for event in client.of("response.output_item.added")] == [0, 1, 2]
        assert [event["output_index"] for event in client.of("response.output_item.done")] == [0, 1, 2]
        ids = [item["id"] for item in done["output"]]
        previous = [event["previous_item_id"] for event in client.of("conversation.item.added")]
        assert previous == [None, *ids[:2]]


WIND_DOWN = [
    "response.output_audio.done", "response.output_audio_transcript.done", "response.content_part.done",
    "conversation.item.done", "response.output_item.done", "response.done",
]  # fmt: skip


async def test_f_barge_in_winds_the_response_down_and_the_client_truncates() -> None:
    async with talking(UNHURRIED, think=TELLS) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        await client.speak(silence(200) + tone(200))
        await client.until("input_audio_buffer.speech_started")
        rest = [(await client.receive())["type"] for _ in WIND_DOWN]
        assert rest == WIND_DOWN
        done = client.of("response.done")[0]["response"]
        assert (done["status"], done["status_details"]) == (
            "cancelled", {"type": "cancelled", "reason": "turn_detected"},
        )  # fmt: skip
        item = done["output"][0]
        assert item["status"] == "incomplete"
        assert LONG_ANSWER.startswith(item["content"][0]["transcript"])
        audio_ms = sum(len(event["delta"]) * 3 / 4 / 48 for event in client.of("response.output_audio.delta"))
        assert done["usage"]["output_token_details"]["audio_tokens"] == -(-audio_ms // 50)
        cut = {"item_id": item["id"], "content_index": 0, "audio_end_ms": 60}
        truncated = await client.ask("conversation.item.truncate", "conversation.item.truncated", **cut)
        assert without_ids(truncated) == {"type": "conversation.item.truncated", **cut}
        await client.quiet()
        assert client.types()[-2:] == ["response.done", "conversation.item.truncated"]


async def test_f_a_finished_response_is_only_truncated() -> None:
    async with talking(think=TELLS) as client:
        done = await client.respond()
        await client.speak(silence(200) + tone(200))
        await client.until("input_audio_buffer.speech_started")
        item_id = done["output"][0]["id"]
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000)
        await client.until("conversation.item.truncated")
        assert len(client.of("response.done")) == 1
        reply = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id=item_id)
        heard = reply["item"]["content"][0]["transcript"]
        assert LONG_ANSWER.startswith(heard)
        assert 0 < len(heard) < 40


async def test_f_without_interrupt_response_speech_only_announces_itself() -> None:
    async with talking(SimulatorSettings(pace=20.0), think=TELLS) as client:
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}})
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        await client.speak(silence(200) + tone(200) + silence(300))
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        # The turn's own response found the first one still active.
        assert [event["error"]["code"] for event in client.of("error")] == ["conversation_already_has_active_response"]


async def test_f_cancel_winds_down_with_the_clients_reason() -> None:
    async with talking(UNHURRIED, think=TELLS) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        await client.send("response.cancel")
        done = (await client.until("response.done"))["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert [event["type"] for event in client.events[-6:]] == WIND_DOWN
        assert [event["type"] for event in await client.quiet(0.2)] == ["rate_limits.updated"]


async def test_f_a_cancel_right_behind_the_create_gives_a_response_without_output() -> None:
    async with talking(SimulatorSettings(think_ms=100), think=TELLS) as client:
        await client.send("response.create")
        await client.send("response.cancel")
        done = (await client.until("response.done"))["response"]
        assert (done["status"], done["output"]) == ("cancelled", [])
        assert client.types(1) == ["response.created", "response.done"]


async def test_g_out_of_band_is_marked_by_metadata_and_leaves_the_conversation_alone() -> None:
    async with talking(think=SAYS) as client:
        done = await client.respond(conversation="none", metadata={"topic": "summary"}, output_modalities=["text"])
        assert client.types(1) == [
            "response.created", "response.output_item.added", "response.content_part.added",
            "response.output_text.delta", "response.output_text.done", "response.content_part.done",
            "response.output_item.done", "response.done",
        ]  # fmt: skip
        assert client.of("response.created")[0]["response"]["metadata"] == {"topic": "summary"}
        assert done["conversation_id"] is None
        assert done["metadata"] == {"topic": "summary"}
        error = await client.refused("conversation.item.retrieve", item_id=done["output"][0]["id"])
        assert error["code"] == "item_retrieve_invalid_item_id"


async def test_g_out_of_band_runs_beside_the_conversations_response() -> None:
    async with talking(SimulatorSettings(pace=20.0), think=TELLS) as client:
        await client.send("response.create", response={"metadata": {"n": "1"}})
        await client.until("response.output_audio.delta")
        side = {"conversation": "none", "metadata": {"n": "2"}, "output_modalities": ["text"]}
        await client.send("response.create", response=side)
        first = (await client.until("response.done"))["response"]
        second = (await client.until("response.done"))["response"]
        assert [first["metadata"], second["metadata"]] == [{"n": "2"}, {"n": "1"}]
        assert {first["status"], second["status"]} == {"completed"}


async def test_mouth_positions_come_ahead_of_their_sound_where_they_are_asked_for() -> None:
    async with talking(SimulatorSettings(engine="synthetic"), think=SAYS) as client:
        await client.update(include=["response.animation_viseme"])
        done = await client.respond("When does it open?")
        kinds = client.types(0)
        positions = [event for event in client.events if event["type"] == "response.animation_viseme.delta"]
        offsets = [event["audio_offset_ms"] for event in positions]

        assert kinds.index("response.animation_viseme.delta") < kinds.index("response.output_audio.delta")
        assert offsets == sorted(offsets)
        assert {event["item_id"] for event in positions} == {done["output"][0]["id"]}
        assert all(0 <= event["viseme_id"] <= 21 for event in positions)


async def test_nobody_gets_mouth_positions_unasked() -> None:
    async with talking(SimulatorSettings(engine="synthetic"), think=SAYS) as client:
        await client.respond("When does it open?")

        assert "response.animation_viseme.delta" not in client.types(0)
