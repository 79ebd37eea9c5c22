"""What the server relies on at a Realtime service. Each test is a row of docs/verification.md."""

import base64
from typing import Any

import msgspec
import pytest

from protocol.realtime.session import Session
from server.simulator.voice import load_voice
from server.upstream.base import UpstreamRefused
from tests.contract.targets import Json, Target, Wire

TOOL = {
    "type": "function",
    "name": "opening_hours",
    "description": "Tells when the museum opens on a weekday.",
    "parameters": {"type": "object", "properties": {"weekday": {"type": "string"}}, "required": ["weekday"]},
}


def typed(text: str, **fields: Any) -> Json:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def order_of(wire: Wire, *event_types: str) -> list[int]:
    """Where events first came."""
    came = [event["type"] for event in wire.events]
    return [came.index(event_type) for event_type in event_types]


# The handshake


async def test_the_first_event_is_session_created(target: Target) -> None:
    async with target.connected() as wire:
        event = await wire.receive()
        assert event["type"] == "session.created"
        session = event["session"]
        assert session["id"].startswith("sess_")
        assert isinstance(session["expires_at"], int)
        assert session["audio"]["input"]["turn_detection"]["type"] in ("server_vad", "semantic_vad")


async def test_a_wrong_key_is_refused_in_the_services_manner(target: Target) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        await target.with_a_wrong_key().connect()
    code = {"azure": "upstream_http_401", "openai": "upstream_invalid_api_key"}[target.manners]
    assert refused.value.code == code
    assert not refused.value.retryable


async def test_an_unknown_deployment_is_refused_in_the_services_manner(target: Target) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        await target.with_an_unknown_deployment().connect()
    assert not refused.value.retryable
    if target.manners == "azure":
        assert refused.value.code == "upstream_http_404"
    else:
        assert refused.value.code in ("upstream_model_not_found", "upstream_invalid_model")


# The session


async def test_an_update_is_partial_and_null_switches_off(target: Target) -> None:
    async with target.connected() as wire:
        await wire.until("session.created")
        first = await wire.update(instructions="Be brief.", audio={"output": {"voice": "ash"}})
        second = await wire.update(audio={"input": {"turn_detection": None}})
    assert first["audio"]["input"]["turn_detection"] is not None
    assert second["audio"]["input"]["turn_detection"] is None
    assert (second["instructions"], second["audio"]["output"]["voice"]) == ("Be brief.", "ash")


async def test_a_bad_update_is_refused_wholly_and_the_session_goes_on(target: Target) -> None:
    async with target.talking() as wire:
        error = await wire.refused("session.update", session={"type": "realtime", "instructions": "Shout.", "wrong": 1})
        assert (error["code"], error["param"]) == ("unknown_parameter", "session.wrong")
        assert error["event_id"] == "event_asked"
        assert (await wire.update(tool_choice="auto"))["instructions"] != "Shout."


async def test_an_update_without_a_type_is_refused(target: Target) -> None:
    async with target.talking() as wire:
        error = await wire.refused("session.update", session={"instructions": "Shout."})
        assert error["code"] == "missing_required_parameter"


async def test_the_session_shows_no_settings_that_this_server_does_not_know(target: Target) -> None:
    async with target.connected() as wire:
        session = (await wire.until("session.created"))["session"]
    assert session.keys() <= {field.encode_name for field in msgspec.structs.fields(Session)}


async def test_an_unknown_event_is_refused_and_the_session_goes_on(target: Target) -> None:
    async with target.talking() as wire:
        error = await wire.refused("session.wrong")
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_value")
        await wire.update(instructions="Be brief.")


# Items


async def test_items_keep_the_ids_that_they_were_created_with(target: Target) -> None:
    async with target.talking() as wire:
        assert (await wire.place(typed("Hello.", id="item_la_contract_1")))["id"] == "item_la_contract_1"


async def test_an_id_is_taken_once(target: Target) -> None:
    async with target.talking() as wire:
        await wire.place(typed("Hello.", id="item_la_contract_1"))
        error = await wire.refused("conversation.item.create", item=typed("Again.", id="item_la_contract_1"))
        assert error["code"] == "item_create_duplicate_item_id"


async def test_a_deleted_item_can_be_made_again_in_its_place(target: Target) -> None:
    async with target.talking() as wire:
        for number in (1, 2, 3):
            await wire.place(typed(f"Line {number}.", id=f"item_la_contract_{number}"))
        assert (
            await wire.reply("conversation.item.delete", "conversation.item.deleted", item_id="item_la_contract_2")
        )["type"] == "conversation.item.deleted"
        await wire.place(typed("Other.", id="item_la_contract_2"), previous_item_id="item_la_contract_1")
        placed = wire.of("conversation.item.added")[-1]
        assert (placed["item"]["id"], placed["previous_item_id"]) == ("item_la_contract_2", "item_la_contract_1")


async def test_an_item_can_be_put_first(target: Target) -> None:
    async with target.talking() as wire:
        await wire.place(typed("Second.", id="item_la_contract_2"))
        await wire.place(typed("First.", id="item_la_contract_1"), previous_item_id="root")
        assert wire.of("conversation.item.added")[-1]["previous_item_id"] is None


async def test_a_conversation_can_be_rebuilt_with_calls_and_results(target: Target) -> None:
    async with target.talking(instructions="Answer in one short sentence, only from the conversation.") as wire:
        await wire.place(typed("My name is Ada, and I like trains.", id="item_la_contract_1"))
        said = {"type": "output_text", "text": "Nice to meet you, Ada."}
        await wire.place({"type": "message", "role": "assistant", "content": [said], "id": "item_la_contract_2"})
        call = {"type": "function_call", "call_id": "call_la_1", "name": "opening_hours", "arguments": "{}"}
        await wire.place({**call, "id": "item_la_contract_3"})
        result = {"type": "function_call_output", "call_id": "call_la_1", "output": '{"opens":"ten"}'}
        await wire.place({**result, "id": "item_la_contract_4"})
        note = {"type": "input_text", "text": "The connection was renewed."}
        await wire.place({"type": "message", "role": "system", "content": [note], "id": "item_la_contract_5"})
        added = [event["item"]["id"] for event in wire.of("conversation.item.added")]
        assert added == [f"item_la_contract_{number}" for number in range(1, 6)]
        done = await wire.respond()
        assert done["status"] == "completed"


async def test_an_item_can_be_asked_for(target: Target) -> None:
    async with target.talking() as wire:
        await wire.place(typed("Hello.", id="item_la_contract_1"))
        answer = await wire.reply(
            "conversation.item.retrieve", "conversation.item.retrieved", item_id="item_la_contract_1"
        )
        assert answer["item"]["content"][0]["text"] == "Hello."


@pytest.mark.parametrize(
    ("event_type", "code"),
    [
        ("conversation.item.retrieve", "item_retrieve_invalid_item_id"),
        ("conversation.item.delete", "item_delete_invalid_item_id"),
    ],
)
async def test_an_item_that_is_not_there_is_named(target: Target, event_type: str, code: str) -> None:
    async with target.talking() as wire:
        assert (await wire.refused(event_type, item_id="item_la_nowhere"))["code"] == code


# Answers


async def test_a_text_turn_comes_in_order(target: Target) -> None:
    async with target.talking(instructions="Answer in one short sentence.") as wire:
        await wire.place(typed("Say hello."))
        done = await wire.respond(metadata={"mark": "mine"})
        created = wire.of("response.created")[0]["response"]
    assert (created["id"], created["status"], created["metadata"]) == (done["id"], "in_progress", {"mark": "mine"})
    assert (done["status"], done["metadata"]) == ("completed", {"mark": "mine"})
    places = order_of(
        wire,
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    )
    assert places == sorted(places)
    text = "".join(event["delta"] for event in wire.of("response.output_text.delta"))
    assert text == wire.of("response.output_text.done")[0]["text"]
    assert done["output"][0]["content"][0] == {"type": "output_text", "text": text}
    assert done["usage"]["output_tokens"] > 0
    assert done["usage"]["input_token_details"]["text_tokens"] > 0


async def test_a_spoken_answer_brings_its_words_and_whole_samples(target: Target) -> None:
    async with target.talking(output_modalities=["audio"], instructions="Answer in one short sentence.") as wire:
        await wire.place(typed("Say hello."))
        done = await wire.respond()
        sound = b"".join(base64.b64decode(event["delta"]) for event in wire.of("response.output_audio.delta"))
    assert done["output"][0]["content"][0]["transcript"]
    assert len(sound) > 4800
    assert len(sound) % 2 == 0
    assert done["usage"]["output_token_details"]["audio_tokens"] > 0


async def test_one_answer_at_a_time(target: Target) -> None:
    async with target.talking(instructions="Count slowly to fifty, in words.") as wire:
        await wire.place(typed("Count."))
        wire.send("response.create")
        await wire.until("response.created")
        error = await wire.refused("response.create")
        assert error["code"] == "conversation_already_has_active_response"
        await wire.until("response.done")


async def test_an_answer_can_be_cancelled_and_is_billed(target: Target) -> None:
    async with target.talking(output_modalities=["audio"], instructions="Count slowly to fifty, in words.") as wire:
        await wire.place(typed("Count to fifty."))
        wire.send("response.create")
        await wire.until("response.output_audio.delta")
        wire.send("response.cancel")
        done = (await wire.until("response.done"))["response"]
        assert done["status"] == "cancelled"
        assert done["status_details"]["reason"] == "client_cancelled"
        assert done["usage"]["total_tokens"] > 0
        item_id = wire.of("response.output_item.added")[0]["item"]["id"]
        answer = await wire.reply(
            "conversation.item.truncate",
            "conversation.item.truncated",
            item_id=item_id,
            content_index=0,
            audio_end_ms=50,
        )
        assert (answer["type"], answer.get("audio_end_ms")) == ("conversation.item.truncated", 50), answer


async def test_to_cancel_nothing_is_a_harmless_error(target: Target) -> None:
    async with target.talking() as wire:
        assert (await wire.refused("response.cancel"))["code"] == "response_cancel_not_active"


async def test_an_answer_outside_the_conversation_has_none(target: Target) -> None:
    async with target.talking() as wire:
        done = await wire.respond(conversation="none", input=[typed("Say hello.")], metadata={"topic": "aside"})
        assert (done["conversation_id"], done["metadata"]) == (None, {"topic": "aside"})


async def test_a_tool_is_called_whole_and_its_result_is_used(target: Target) -> None:
    instructions = "Always call opening_hours when you are asked for opening hours; then answer in one short sentence."
    async with target.talking(tools=[TOOL], instructions=instructions) as wire:
        await wire.place(typed("When do you open on Monday?"))
        done = await wire.respond(tool_choice={"type": "function", "name": "opening_hours"})
        (call,) = [item for item in done["output"] if item["type"] == "function_call"]
        finished = wire.of("response.output_item.done")[-1]["item"]
        assert (finished["call_id"], finished["name"]) == (call["call_id"], "opening_hours")
        assert finished["arguments"] == wire.of("response.function_call_arguments.done")[0]["arguments"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"opens":"10:00"}'}
        await wire.place(output)
        assert (await wire.respond(tool_choice="none"))["status"] == "completed"


# Speech


async def spoken(text: str) -> list[str]:
    """Speech with silence behind it, in pieces of 100 ms, base64."""
    speech = await load_voice("auto").speak(text, voice="alloy", language="en", speed=1.0)
    pcm = speech.pcm + bytes(48 * 1500)
    return [base64.b64encode(pcm[start : start + 4800]).decode() for start in range(0, len(pcm), 4800)]


async def test_speech_is_found_and_answered(target: Target) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 500}
    async with target.talking(audio={"input": {"turn_detection": detection}}) as wire:
        for piece in await spoken("Hello, what can you tell me?"):
            wire.send("input_audio_buffer.append", audio=piece)
        started = await wire.until("input_audio_buffer.speech_started")
        stopped = await wire.until("input_audio_buffer.speech_stopped")
        committed = await wire.until("input_audio_buffer.committed")
        assert started["item_id"] == stopped["item_id"] == committed["item_id"]
        added = await wire.until(
            "conversation.item.added", fits=lambda event: event["item"]["id"] == started["item_id"]
        )
        assert added["item"]["content"][0]["type"] == "input_audio"
        assert (await wire.until("response.done"))["response"]["status"] == "completed"


async def test_push_to_talk_is_answered_when_it_is_asked_for(target: Target) -> None:
    async with target.talking() as wire:
        for piece in await spoken("Hello."):
            wire.send("input_audio_buffer.append", audio=piece)
        wire.send("input_audio_buffer.commit")
        await wire.until("input_audio_buffer.committed")
        assert (await wire.respond())["status"] == "completed"


async def test_too_little_sound_is_no_turn(target: Target) -> None:
    async with target.talking() as wire:
        wire.send("input_audio_buffer.append", audio=base64.b64encode(bytes(480)).decode())
        error = await wire.refused("input_audio_buffer.commit")
        assert error["code"] == "input_audio_buffer_commit_empty"


async def test_what_is_null_in_a_request_for_a_response_is_absent(target: Target) -> None:
    async with target.talking(instructions="Answer in one short sentence.") as wire:
        await wire.place(typed("Say hello."))
        done = await wire.respond(instructions=None, tools=None, tool_choice=None, max_output_tokens=None)
        assert done["status"] == "completed"
