"""What a session answers to each client event, and every error it gives; the session goes on after each."""

import base64
import itertools
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from protocol.realtime.client_events import CLIENT_EVENT_TYPES
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import Client, Json, as_base64
from tests.simulator.memory import in_memory
from tests.simulator.scripts import CALLS, SAYS, SEARCH_TOOL, TELLS
from tests.simulator.sounds import silence, tone

UNHURRIED = SimulatorSettings(pace=1.0)


async def goes_on(client: Client) -> None:
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")


async def refused(client: Client, text: str | bytes) -> Json:
    await client.websocket.send_message(text)
    error: Json = (await client.until("error"))["error"]
    await goes_on(client)
    return error


BROKEN: list[tuple[Any, str, str | None]] = [
    ("{", "invalid_json", None),
    ("", "invalid_json", None),
    ('{"type": "response.create"} x', "invalid_json", None),
    ('{"type": "session.update", "session": {"type": "realtime", "instructions": "\\ud800"}}', "invalid_json", None),
    ('{"type": "response.create", "response": ' + "[" * 100_000, "invalid_json", None),
    ("[" * 100_000, "invalid_event", None),
    (b"\x00\x01", "invalid_event", None),
    ("[]", "invalid_event", None),
    ('"response.create"', "invalid_event", None),
    ("null", "invalid_event", None),
    ("{}", "missing_required_parameter", "type"),
    ('{"type": 3}', "invalid_type", "type"),
    ('{"type": null}', "invalid_type", "type"),
    ('{"type": "response.done"}', "invalid_value", "type"),
    ('{"type": "response.create", "event_id": 3}', "invalid_type", "event_id"),
    ('{"type": "response.create", "extra": 3}', "unknown_parameter", "extra"),
    ('{"type": "response.create", "response": 3}', "invalid_type", "response"),
    ('{"type": "session.update"}', "missing_required_parameter", "session"),
    ('{"type": "session.update", "session": {}}', "missing_required_parameter", "session.type"),
    ('{"type": "session.update", "session": []}', "invalid_type", "session"),
    ('{"type": "input_audio_buffer.append"}', "missing_required_parameter", "audio"),
    ('{"type": "input_audio_buffer.append", "audio": 3}', "invalid_type", "audio"),
    ('{"type": "input_audio_buffer.append", "audio": "***"}', "invalid_value", "audio"),
    ('{"type": "input_audio_buffer.append", "audio": "AAA"}', "invalid_value", "audio"),
    ('{"type": "input_audio_buffer.append", "audio": "ä"}', "invalid_value", "audio"),
    ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty", None),
    ('{"type": "conversation.item.create"}', "missing_required_parameter", "item"),
    ('{"type": "conversation.item.create", "item": {"type": "message"}}', "missing_required_parameter", "item.role"),
    ('{"type": "conversation.item.retrieve", "item_id": "x"}', "item_retrieve_invalid_item_id", "item_id"),
    ('{"type": "conversation.item.delete", "item_id": "x"}', "item_delete_invalid_item_id", "item_id"),
    ('{"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 0}',
     "item_truncate_invalid_item_id", "item_id"),
    ('{"type": "conversation.item.truncate", "item_id": "x"}', "missing_required_parameter", "content_index"),
    ('{"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1.5}',
     "invalid_type", "audio_end_ms"),
    ('{"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1' + "0" * 400 + "}",
     "invalid_value", "audio_end_ms"),
    ('{"type": "response.cancel"}', "response_cancel_not_active", None),
    ('{"type": "response.cancel", "response_id": "resp_x"}', "response_cancel_not_active", None),
    ('{"type": "output_audio_buffer.clear"}', "invalid_value", "type"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "code", "param"), BROKEN)
async def test_a_bad_frame_gets_its_error_and_the_session_goes_on(
    autojump_clock: MockClock, frame: str | bytes, code: str, param: str | None
) -> None:
    async with in_memory() as client:
        error = await refused(client, frame)
        assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
        assert set(error) == {"type", "code", "message", "param", "event_id"}


async def test_an_unknown_type_is_told_the_types_there_are(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        error = await refused(client, '{"type": "response.start"}')
        assert error["message"].startswith("Invalid value: 'response.start'. Supported values are: ")
        assert all(f"'{name}'" in error["message"] for name in CLIENT_EVENT_TYPES)


async def test_a_binary_frame_is_told_what_was_expected(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        error = await refused(client, b"\x00")
        assert error["message"].startswith("Expected a text WebSocket message; ")


async def test_a_clients_event_id_comes_back_in_the_error_and_only_there(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        error = await client.refused("response.cancel", event_id="mine-1")
        assert error["event_id"] == "mine-1"
        assert error["message"] == "Cancellation failed: no active response found"
        assert (await client.refused("response.cancel"))["event_id"] is None
        await client.send("response.create", event_id="mine-2")
        await client.until("response.done")
        assert not any(event["event_id"].startswith("mine") for event in client.events)
        error = await client.refused("response.create", event_id="x" * 513)
        assert (error["code"], error["param"]) == ("invalid_value", "event_id")


async def test_a_second_response_is_refused_by_the_name_of_the_first(autojump_clock: MockClock) -> None:
    async with in_memory(UNHURRIED, think=TELLS) as client:
        await client.send("response.create")
        created = await client.until("response.created")
        error = await client.refused("response.create")
        assert error["code"] == "conversation_already_has_active_response"
        assert created["response"]["id"] in error["message"]
        assert (await client.until("response.done", 60))["response"]["status"] == "completed"


async def test_a_rejected_update_changes_nothing_and_a_good_one_shows_everything(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        error = await client.refused("session.update", session={"type": "realtime", "instructions": "X", "foo": 1})
        assert error["code"] == "unknown_parameter"
        assert error["message"] == "Unknown parameter: 'session.foo'."
        session = await client.update(tools=[SEARCH_TOOL])
        assert session["instructions"] == client.events[0]["session"]["instructions"]
        assert session == client.events[0]["session"] | {"tools": [SEARCH_TOOL]}


async def test_the_voice_is_locked_once_the_assistant_has_spoken(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        await client.update(audio={"output": {"voice": "cedar"}})
        await client.respond("Hello.")
        error = await client.refused(
            "session.update", session={"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
        )
        assert error["code"] == "cannot_update_voice"
        error = await client.refused("response.create", response={"audio": {"output": {"voice": "alloy"}}})
        assert error["code"] == "cannot_update_voice"


async def test_items_keep_their_order_and_their_clients_ids(autojump_clock: MockClock) -> None:
    def item(name: str) -> Json:
        content = [{"type": "input_text", "text": name}]
        return {"id": name, "type": "message", "role": "user", "content": content}

    async with in_memory() as client:
        await client.send("conversation.item.create", item=item("a"))
        await client.send("conversation.item.create", item=item("b"), previous_item_id="root")
        await client.send("conversation.item.create", item=item("c"), previous_item_id="b")
        await client.send("conversation.item.create", item=item("d"), previous_item_id=None)
        for _ in range(4):
            await client.until("conversation.item.done")
        added = [(event["item"]["id"], event["previous_item_id"]) for event in client.of("conversation.item.added")]
        assert added == [("a", None), ("b", None), ("c", "b"), ("d", "a")]
        error = await client.refused("conversation.item.create", item=item("e"), previous_item_id="nowhere")
        assert error["param"] == "previous_item_id"
        error = await client.refused("conversation.item.create", item=item("a"))
        assert error["code"] == "item_create_duplicate_item_id"
        deleted = await client.ask("conversation.item.delete", "conversation.item.deleted", item_id="a")
        assert deleted["item_id"] == "a"


async def test_a_response_keeps_to_its_own_settings(autojump_clock: MockClock) -> None:
    async with in_memory(think=TELLS) as client:
        wanted: Json = {
            "instructions": "Say exactly: Good evening.",
            "output_modalities": ["text"],
            "max_output_tokens": 7,
            "metadata": {"client_event_id": "x"},
            "tool_choice": "none",
            "audio": {"output": {"voice": "marin", "format": {"type": "audio/pcmu"}}},
        }
        done = await client.respond(**wanted)
        assert done["status"] == "incomplete"
        assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert done["usage"]["output_tokens"] <= 7
        assert done["output"][0]["status"] == "incomplete"
        assert done["output_modalities"] == ["text"]
        assert done["max_output_tokens"] == 7
        assert done["metadata"] == {"client_event_id": "x"}
        assert done["audio"] == {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}


async def test_spoken_output_is_limited_too(autojump_clock: MockClock) -> None:
    async with in_memory(think=TELLS) as client:
        done = await client.respond(max_output_tokens=40)
        assert done["status_details"]["reason"] == "max_output_tokens"
        assert 30 <= done["usage"]["output_tokens"] <= 40


BAD_RESPONSES: list[tuple[Json, str, str]] = [
    ({"temperature": 1}, "unknown_parameter", "response.temperature"),
    ({"conversation": "conv_other"}, "invalid_value", "response.conversation"),
    ({"metadata": {"k": 1}}, "invalid_type", "response.metadata.k"),
    ({"metadata": {"k": "x" * 513}}, "invalid_value", "response.metadata.k"),
    ({"metadata": {str(n): "" for n in range(17)}}, "invalid_value", "response.metadata"),
    ({"input": [{"type": "item_reference", "id": "nope"}]}, "invalid_value", "response.input[0].id"),
    ({"input": [{"type": "message", "role": "user", "content": [{"type": "input_text"}]}]},
     "missing_required_parameter", "response.input[0].content[0].text"),
    ({"tool_choice": {"type": "function", "name": "nope"}}, "invalid_value", "response.tool_choice"),
    ({"max_output_tokens": 0}, "invalid_value", "response.max_output_tokens"),
    ({"output_modalities": ["audio", "text"]}, "invalid_value", "response.output_modalities"),
    ({"audio": {"input": {}}}, "unknown_parameter", "response.audio.input"),
    ({"modalities": ["text"]}, "unknown_parameter", "response.modalities"),
    ({"reasoning": {"effort": "low"}}, "unsupported_parameter", "response.reasoning"),
]  # fmt: skip


@pytest.mark.parametrize(("response", "code", "param"), BAD_RESPONSES)
async def test_a_response_that_cannot_be_is_refused(
    autojump_clock: MockClock, response: Json, code: str, param: str
) -> None:
    async with in_memory(think=SAYS) as client:
        error = await client.refused("response.create", response=response)
        assert (error["code"], error["param"]) == (code, param)
        assert client.of("response.created") == []
        assert (await client.respond())["status"] == "completed"


async def test_input_replaces_the_context_and_may_refer_to_items(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        item = {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "I am Ann."}]}
        await client.send("conversation.item.create", item=item)
        asks = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]}
        text: Json = {"output_modalities": ["text"], "conversation": "none"}
        knows = await client.respond(**text, input=[{"type": "item_reference", "id": "a"}, asks])
        assert "Ann" in knows["output"][0]["content"][0]["text"]
        forgot = await client.respond(**text, input=[asks])
        assert "Ann" not in forgot["output"][0]["content"][0]["text"]
        assert forgot["usage"]["input_tokens"] < knows["usage"]["input_tokens"]


async def test_only_so_many_out_of_band_responses_run_at_a_time(autojump_clock: MockClock) -> None:
    async with in_memory(UNHURRIED, think=TELLS) as client:
        for _ in range(8):
            await client.send("response.create", response={"conversation": "none"})
        error = await client.refused("response.create", response={"conversation": "none"})
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")


async def test_an_out_of_band_response_is_cancelled_by_its_name(autojump_clock: MockClock) -> None:
    async with in_memory(UNHURRIED, think=TELLS) as client:
        await client.send("response.create", response={"conversation": "none"})
        response_id = (await client.until("response.created"))["response"]["id"]
        assert (await client.refused("response.cancel"))["code"] == "response_cancel_not_active"
        await client.send("response.cancel", response_id=response_id)
        assert (await client.until("response.done"))["response"]["status"] == "cancelled"


async def test_usage_grows_with_the_history_and_its_prefix_is_cached(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        bills = [(await client.respond(f"Question number {n}?"))["usage"] for n in range(4)]
        inputs = [bill["input_tokens"] for bill in bills]
        assert inputs == sorted(set(inputs))
        cached = [bill["input_token_details"]["cached_tokens"] for bill in bills]
        assert cached[0] == 0
        assert all(later >= earlier for earlier, later in itertools.pairwise(cached))
        assert cached[-1] > 0
        assert bills[-1]["input_token_details"]["audio_tokens"] > 0
        meter = client.connection.session.meter
        assert meter.responses == {"completed": 4}
        assert meter.usage.total_tokens == sum(bill["total_tokens"] for bill in bills)


async def test_a_cut_answer_costs_less_as_history(autojump_clock: MockClock) -> None:
    async with in_memory(think=TELLS) as client:
        item_id = (await client.respond())["output"][0]["id"]
        whole = (await client.respond())["usage"]["input_tokens"]
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
        last = client.of("response.done")[-1]["response"]["output"][0]["id"]
        await client.send("conversation.item.delete", item_id=last)
        assert (await client.respond())["usage"]["input_tokens"] < whole


async def test_a_manual_commit_within_a_detected_turn_keeps_its_item_id(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        await client.speak(tone(300))
        started = await client.until("input_audio_buffer.speech_started")
        committed = await client.ask("input_audio_buffer.commit", "input_audio_buffer.committed")
        assert committed["item_id"] == started["item_id"]
        await client.speak(silence(600))
        await client.quiet()
        assert client.of("input_audio_buffer.speech_stopped") == []
        assert client.of("response.created") == []


async def test_a_clear_forgets_the_turn_being_spoken(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        await client.speak(tone(300))
        await client.ask("input_audio_buffer.clear", "input_audio_buffer.cleared")
        await client.speak(silence(600))
        assert await client.quiet() == []


async def test_another_input_format_counts_by_its_own_rate(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await client.update(audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}})
        await client.send("input_audio_buffer.append", audio=as_base64(bytes(799)))
        assert "99.88ms" in (await client.refused("input_audio_buffer.commit"))["message"]
        await client.send("input_audio_buffer.append", audio=as_base64(bytes(1)))
        await client.ask("input_audio_buffer.commit", "input_audio_buffer.committed")


async def test_a_call_may_be_replayed_with_or_without_its_call_id(autojump_clock: MockClock) -> None:
    async with in_memory(think=CALLS) as client:
        call = {"type": "function_call", "name": "look", "arguments": "{}"}
        added = await client.ask("conversation.item.create", "conversation.item.added", item=call)
        assert added["item"]["call_id"].startswith("call_")
        named = await client.ask("conversation.item.create", "conversation.item.added", item=call | {"call_id": "c1"})
        assert named["item"]["call_id"] == "c1"


async def test_an_audio_only_question_is_answered_honestly(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        part = {"type": "input_audio", "audio": base64.b64encode(tone(2300)).decode()}
        item = {"type": "message", "role": "user", "content": [part]}
        await client.send("conversation.item.create", item=item)
        done = await client.respond()
        said = done["output"][0]["content"][0]["transcript"]
        assert said.startswith("I heard 2.3 seconds of speech, but I cannot transcribe")
        assert done["usage"]["input_token_details"]["audio_tokens"] == 23


EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(CLIENT_EVENT_TYPES)},
    optional={
        "event_id": st.none() | st.text(max_size=4) | st.integers(0, 2),
        "session": st.just({"type": "realtime"}) | st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
        "audio": st.sampled_from(["", "AAAA", "?", 3]),
        "item": st.dictionaries(st.sampled_from(["type", "role", "content", "id"]), st.text(max_size=7) | st.none()),
        "item_id": st.text(max_size=3),
        "content_index": st.integers(-1, 1),
        "audio_end_ms": st.integers(),
        "response": st.none()
        | st.dictionaries(st.sampled_from(["input", "metadata"]), st.none() | st.lists(st.none())),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=6))
def test_no_odd_event_ends_a_session(events: list[Json]) -> None:
    async def main() -> None:
        async with in_memory(think=SAYS) as client:
            for event in events:
                await client.send_text(msgspec.json.encode(event).decode())
            await goes_on(client)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
