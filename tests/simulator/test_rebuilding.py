"""A conversation put into a new connection item by item: the service takes it, and the mind knows what it knew."""

from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import Client, Json, as_base64
from tests.simulator.memory import MemoryClient, in_memory
from tests.simulator.scripts import SAYS, SEARCH_TOOL
from tests.simulator.sounds import silence, tone

ANCHOR = (
    "The connection was renewed. This is still the same conversation with the same person: keep your role and the "
    "language spoken so far, do not greet again, and do not mention the connection."
)
GO_ON = 'Your last answer was cut off by a technical fault; the person heard it up to: "…{}". Go on from there, '
GO_ON += "without repeating what was heard."
SESSION: Json = {
    "instructions": "You are Nora, the guide of the harbour.",
    "tools": [SEARCH_TOOL],
    "audio": {"input": {"turn_detection": None}, "output": {"voice": "marin"}},
    "output_modalities": ["text"],
}
WHEN = "The ferry leaves at 9:15 every morning. On Sundays it leaves at 11:00."
FERRY = [
    {"id": "p1", "title": "Ferry", "text": WHEN},
    {"id": "p2", "title": "Ferry prices", "text": "The ferry costs four euros. Dogs travel for free."},
]
TOLD = (
    "Hello!",
    "My name is Ada.",
    "I came with my two children.",
    "When does the ferry leave?",
    "How much does it cost?",
)
ASKED = (
    "What is my name?",
    "How many children did I come with?",
    "What did I tell you about my children?",
    "And on Sundays?",
    "When does it leave on Sundays?",
    "Do dogs travel for free?",
    "What did I just ask?",
    "What was my first question?",
    "How many questions did I ask?",
    "Repeat that, please.",
    "What did you say about the ferry?",
    "What have we talked about?",
    "Thank you!",
    "",
)


def message(item_id: str, role: str, text: str) -> Json:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"id": item_id, "type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def system(text: str) -> Json:
    return {"type": "message", "role": "system", "content": [{"type": "input_text", "text": text}]}


def output(call_id: str, value: object) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": msgspec.json.encode(value).decode()}


async def create(client: Client, item: Json, **fields: Any) -> Json:
    """The ``conversation.item.done`` of a created item, after its ``added``."""
    await client.send("conversation.item.create", item=item, **fields)
    added = await client.receive()
    done = await client.receive()
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert (added["item"], added["previous_item_id"]) == (done["item"], done["previous_item_id"])
    return done


async def answer(client: MemoryClient, text: str, **response: Any) -> tuple[list[str], str]:
    """What a turn leads to: the queries of its searches (answered from ``FERRY``), and the words of its answer."""
    queries = []
    done = await client.respond(text or None, **response)
    while done["output"][0]["type"] == "function_call":
        queries.append(done["output"][0]["arguments"])
        await client.send("conversation.item.create", item=output(done["output"][0]["call_id"], {"passages": FERRY}))
        done = await client.respond(**response)
    (part,) = done["output"][0]["content"]
    return queries, part.get("text", part.get("transcript"))


async def forgetting(client: MemoryClient, text: str, **response: Any) -> tuple[list[str], str]:
    """The same, and every item that came of it deleted again."""
    before = {entry.id for entry in client.connection.session.conversation.entries}
    found = await answer(client, text, **response)
    for entry in list(client.connection.session.conversation.entries):
        if entry.id not in before:
            await client.ask("conversation.item.delete", "conversation.item.deleted", item_id=entry.id)
    return found


def items_of(client: MemoryClient) -> list[Json]:
    """A conversation as it is to be created again: ids kept, answers as text."""
    items: list[Json] = []
    for entry in client.connection.session.conversation.entries:
        item: Json = msgspec.to_builtins(entry.item)
        if item["type"] == "message":
            item = message(entry.id, item["role"], entry.item.spoken_text())
        items.append(item)
    return items


async def rebuild(client: MemoryClient, items: list[Json], session: Json = SESSION) -> None:
    await client.update(**session)
    for item in items:
        await create(client, item)
    await create(client, system(ANCHOR))


async def test_a_rebuilt_conversation_is_continued_as_if_it_had_been_held_here(autojump_clock: MockClock) -> None:
    async with in_memory(seed="1") as old, in_memory(seed="2") as new:
        await old.update(**SESSION)
        for text in TOLD:
            await answer(old, text)
        items = items_of(old)
        await rebuild(new, items)
        for text in ASKED:
            assert await forgetting(new, text) == await forgetting(old, text), text
            without: Json = {"tool_choice": "none"}
            assert await forgetting(new, text, **without) == await forgetting(old, text, **without), text
        assert [entry.id for entry in new.connection.session.conversation.entries][:-1] == [
            item["id"] for item in items
        ]


async def test_what_was_told_an_hour_ago_is_known_and_no_one_is_greeted_again(autojump_clock: MockClock) -> None:
    async with in_memory(seed="1") as old, in_memory(seed="2") as new:
        await old.update(**SESSION)
        for text in TOLD:
            await answer(old, text)
        await trio.sleep(1500)
        await rebuild(new, items_of(old))
        assert await forgetting(new, "What is my name?") == ([], "Your name is Ada.")
        assert "two children" in (await forgetting(new, "How many children did I come with?"))[1]
        queries, text = await forgetting(new, "When does it leave on Sundays?")
        assert ("ferry" in queries[0], "11:00" in text) == (True, True)
        assert "four euros" in (await forgetting(new, "How much is the ferry?", tool_choice="none"))[1]
        for text in ("What is my name?", "And on Sundays?", ""):
            assert "Nora" not in (await forgetting(new, text))[1]


async def test_a_connection_renewed_before_anyone_spoke_does_not_greet(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await rebuild(client, [message("item_1", "assistant", "Hello, I am Nora. What would you like to know?")])
        assert (await forgetting(client, ""))[1] == "I am listening. What would you like to know?"
        await client.ask("conversation.item.delete", "conversation.item.deleted", item_id="item_1")
        assert (await forgetting(client, ""))[1] == "I am listening. What would you like to know?"


async def test_created_items_are_told_with_their_ids_and_places(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        first = await create(client, message("item_" + "x" * 27, "user", "When does the ferry leave?"))
        assert (first["item"]["id"], first["previous_item_id"]) == ("item_" + "x" * 27, None)
        assert first["item"]["status"] == "completed"
        call = {"id": "call_item", "type": "function_call", "name": "look", "call_id": "call_1", "arguments": "{}"}
        assert (await create(client, call))["previous_item_id"] == first["item"]["id"]
        second = await create(client, message("a", "assistant", "At 9:15."))
        assert second["item"]["content"] == [{"type": "output_text", "text": "At 9:15."}]
        result = await create(client, output("call_1", {"passages": []}), previous_item_id="call_item")
        assert (result["previous_item_id"], result["item"]["call_id"]) == ("call_item", "call_1")
        error = await client.refused("conversation.item.create", item=message("a", "assistant", "At 9:15."))
        assert error["code"] == "item_create_duplicate_item_id"


async def test_a_long_conversation_may_be_sent_without_waiting_for_its_echo(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        items = [message(f"item_{n}", ("user", "assistant")[n % 2], f"Sentence {n}.") for n in range(600)]
        for item in items:
            await client.send("conversation.item.create", item=item)
        for _ in items:
            await client.until("conversation.item.done")
        shown = client.of("conversation.item.added")
        assert [event["item"]["id"] for event in shown] == [item["id"] for item in items]
        assert [event["previous_item_id"] for event in shown] == [None, *(item["id"] for item in items[:-1])]


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (message("x" * 33, "user", "Hello."), "invalid_value", "item.id"),
        ({"type": "function_call", "name": "look", "call_id": "x" * 33, "arguments": "{}"}, "invalid_value",
         "item.call_id"),
        (output("call_9", {}), "invalid_tool_call_id", None),
    ],
)  # fmt: skip
async def test_what_the_service_would_not_take_is_refused(
    autojump_clock: MockClock, item: Json, code: str, param: str | None
) -> None:
    async with in_memory() as client:
        error = await client.refused("conversation.item.create", item=item, event_id="mine")
        assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")


async def test_an_answer_is_corrected_by_deleting_and_creating_it_in_its_place(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await rebuild(client, [message("u", "user", "Where is it?"), message("a", "assistant", "By the pier, left.")])
        await client.type("What did you say?")
        await client.until("conversation.item.done")
        await client.ask("conversation.item.delete", "conversation.item.deleted", item_id="a")
        again = await create(client, message("a", "assistant", "By the pier"), previous_item_id="u")
        assert (again["item"]["id"], again["previous_item_id"]) == ("a", "u")
        assert (await answer(client, ""))[1] == "By the pier"
        order = [entry.id for entry in client.connection.session.conversation.entries]
        assert order[:2] == ["u", "a"]


async def test_the_output_of_a_rebuilt_call_may_come_much_later(autojump_clock: MockClock) -> None:
    call = {
        "id": "c", "type": "function_call", "name": "search_knowledge_base", "call_id": "call_1",
        "arguments": '{"query":"ferry"}',
    }  # fmt: skip
    async with in_memory() as client:
        await rebuild(client, [message("u", "user", "When does the ferry leave?"), call])
        await trio.sleep(60)
        await create(client, output("call_1", {"passages": FERRY}))
        assert await answer(client, "") == ([], WHEN)


async def test_a_late_output_answers_the_question_it_was_asked_for(autojump_clock: MockClock) -> None:
    call = {
        "id": "c", "type": "function_call", "name": "search_knowledge_base", "call_id": "call_1",
        "arguments": '{"query":"ferry"}',
    }  # fmt: skip
    async with in_memory() as client:
        await rebuild(client, [message("u", "user", "When does the ferry leave?"), call])
        assert (await answer(client, "What is my name?"))[0] == []
        await create(client, output("call_1", {"passages": FERRY}))
        assert await answer(client, "") == ([], WHEN)


async def test_an_answer_that_broke_off_is_gone_on_with_on_the_new_connection(autojump_clock: MockClock) -> None:
    heard = "The ferry leaves at"
    async with in_memory(seed="1") as old, in_memory(seed="2") as new:
        await old.update(**SESSION)
        await answer(old, "When does the ferry leave?")
        items = items_of(old)
        items[-1] = message(items[-1]["id"], "assistant", heard)
        await rebuild(new, items)
        instructions = f"{SESSION['instructions']}\n\n{GO_ON.format(heard)}"
        assert await answer(new, "", instructions=instructions) == ([], WHEN.removeprefix("The ferry leaves at "))


async def test_an_answer_that_broke_off_before_its_search_is_searched_for(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        asked = message("u", "user", "When does the ferry leave?")
        await rebuild(client, [asked, message("a", "assistant", "The ferry leaves")])
        queries, text = await answer(client, "", instructions=GO_ON.format("The ferry leaves"))
        assert (len(queries), text) == (1, WHEN.removeprefix("The ferry leaves "))


async def test_rebuilt_speech_is_heard(autojump_clock: MockClock) -> None:
    async def hears(audio: bytes) -> str:
        await trio.sleep(2)
        return "My name is Ada."

    part = {"type": "input_audio", "audio": as_base64(tone(900))}
    spoken = {"id": "s", "type": "message", "role": "user", "content": [part]}
    session = SESSION | {"audio": {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}}
    async with in_memory(recogniser=hears) as client:
        await rebuild(client, [spoken], session)
        assert await answer(client, "What is my name?") == ([], "Your name is Ada.")
        assert not [event for event in client.events if "transcription" in event["type"]]
        retrieved = await client.ask("conversation.item.retrieve", "conversation.item.retrieved", item_id="s")
        assert retrieved["item"]["content"][0]["audio"] == part["audio"]


async def test_speech_that_no_one_understands_is_still_owned_up_to_behind_the_anchor(autojump_clock: MockClock) -> None:
    part = {"type": "input_audio", "audio": as_base64(tone(900))}
    async with in_memory() as client:
        await rebuild(client, [{"id": "s", "type": "message", "role": "user", "content": [part]}])
        assert (await answer(client, ""))[1].startswith("I heard 0.9 seconds of speech")


async def test_minutes_of_sound_at_once_are_one_turn_or_more_and_leave_nothing_out(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}})
        for _ in range(3):
            await client.speak(tone(40_000) + silence(1_000), piece_bytes=48_000)
        for _ in range(3):
            await client.until("input_audio_buffer.committed")
        stopped = [event["audio_end_ms"] for event in client.of("input_audio_buffer.speech_stopped")]
        assert stopped == [40_500, 81_500, 122_500]
        await client.quiet()
        assert client.of("response.done")[-1]["response"]["status"] == "completed"
        assert client.of("error") == []


@pytest.mark.parametrize(("tokens", "knows"), [(28_672, False), (200_000, True)])
async def test_how_far_back_it_sees_is_a_matter_of_the_window(
    autojump_clock: MockClock, tokens: int, knows: bool
) -> None:
    talk = [message(f"u{n}", "user", f"Tell me more, part {n}. " + "And so on. " * 60) for n in range(200)]
    async with in_memory(SimulatorSettings(context_tokens=tokens)) as client:
        await rebuild(client, [message("u", "user", "My name is Ada."), *talk])
        assert ("Ada" in (await answer(client, "What is my name?"))[1]) == knows
