"""A service that does not keep its own rules: what it may not say harms nothing, and the conversation goes on."""

from typing import Any

import pytest
import trio
import trio.testing

from protocol.conversation.limits import Limits
from tests.session.house import house
from tests.session.service import Json, Line, Script, converse, sound
from tests.session.test_session_reconnect import answers, expiring, words


def message(item_id: str, **fields: Any) -> Json:
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [], **fields}


def called(call_id: str) -> Json:
    call = {"type": "function_call", "status": "completed", "name": "search_knowledge_base", "arguments": "{}"}
    return {"id": f"item_{call_id}", "call_id": call_id, **call}


def delta(kind: str, response_id: str) -> tuple[str, Json]:
    place = {"response_id": response_id, "item_id": "item_x", "output_index": 0, "content_index": 0}
    return f"response.{kind}.delta", {**place, "delta": "AAAA"}


def response(response_id: str, status: str, *output: Json) -> Json:
    return {"response": Line._response(response_id, status, "conv_1", list(output))}


ENDED = "the response has already ended"
NOT_ACTIVE = "its response is not active"
LOOSE: list[tuple[str, tuple[str, Json], str | None]] = [
    ("an end again", ("response.done", response("resp_first", "completed")), ENDED),
    ("an end again, with a call", ("response.done", response("resp_first", "completed", called("c1"))), ENDED),
    ("a beginning again", ("response.created", response("resp_first", "in_progress")), "the response is already known"),
    ("words after the end", delta("output_text", "resp_first"), NOT_ACTIVE),
    ("words of nobody", delta("output_audio_transcript", "resp_of_nobody"), NOT_ACTIVE),
    ("sound after the end", delta("output_audio", "resp_first"), None),
    ("sound of nobody", delta("output_audio", "resp_of_nobody"), None),
    (
        "an item of nobody",
        ("response.output_item.added", {"response_id": "resp_of_nobody", "output_index": 0, "item": message("x")}),
        None,
    ),
    (
        "the end of an item of nobody",
        ("response.output_item.done", {"response_id": "resp_of_nobody", "output_index": 0, "item": message("x")}),
        None,
    ),
    (
        "a call of nobody",
        ("response.output_item.done", {"response_id": "resp_of_nobody", "output_index": 0, "item": called("c1")}),
        None,
    ),
    ("an end without a beginning", ("response.done", response("resp_of_nobody", "completed")), None),
    ("an item behind itself", ("conversation.item.added", {"previous_item_id": "x", "item": message("x")}), None),
    (
        "an item again",
        ("conversation.item.added", {"previous_item_id": None, "item": message("item_resp_first")}),
        None,
    ),
    ("an item without a name", ("conversation.item.added", {"previous_item_id": None, "item": message("")}), None),
    ("the end of an item that never began", ("conversation.item.done", {"item": message("x")}), None),
    ("a deletion of nobody", ("conversation.item.deleted", {"item_id": "x"}), None),
    ("a deletion of what was said", ("conversation.item.deleted", {"item_id": "item_resp_first"}), None),
    (
        "a cut of nobody",
        ("conversation.item.truncated", {"item_id": "x", "content_index": 0, "audio_end_ms": 1}),
        None,
    ),
    (
        "words of a turn that never was",
        (
            "conversation.item.input_audio_transcription.completed",
            {"item_id": "x", "content_index": 0, "transcript": "Hello?"},
        ),
        None,
    ),
    (
        "an end of speech that never began",
        ("input_audio_buffer.speech_stopped", {"audio_end_ms": 9, "item_id": "x"}),
        None,
    ),
    ("a clearing that nobody asked for", ("input_audio_buffer.cleared", {}), None),
    ("a greeting again", ("session.created", {"session": {"type": "realtime", "id": "sess_2"}}), None),
    ("a refusal of nothing", ("error", {"error": {"type": "invalid_request_error", "message": "No."}}), None),
    ("a refusal of nobody's event", ("error", {"error": {"type": "x", "message": "No.", "event_id": "event_n"}}), None),
    ("an event of next year", ("conversation.mood.changed", {"mood": "fine"}), None),
    ("no response", ("response.done", {"response": 5}), "A response.done that cannot be read."),
    ("half an event", ("conversation.item.added", {}), "required"),
]


async def first(line: Line, _: Json) -> None:
    item = message("item_resp_first", status="in_progress")
    line.send("conversation.item.added", previous_item_id=None, item=item)
    await line.speak("resp_first", "We open at ten.", ms=100)


@pytest.mark.parametrize(("event", "why"), [loose[1:] for loose in LOOSE], ids=[loose[0] for loose in LOOSE])
async def test_what_a_service_may_not_say_harms_nothing(
    autojump_clock: trio.testing.MockClock, event: tuple[str, Json], why: str | None
) -> None:
    async with house(converse(first, answers)) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        await trio.sleep(5)
        before = len(home.log)
        for _ in range(3):
            home.line.send(event[0], **event[1])
        await trio.sleep(1)
        ignored = [entry["why"] for entry in home.log[before:] if entry["event"] == "event ignored"]
        assert all(why in entry for entry in ignored) if why else True
        assert len(ignored) == 3 or why is None
        assert len(caller.of("response.output_audio.delta")) == 1
        caller.ask("And then?")
        while (done := await caller.until("response.done"))["response"]["id"] in ("resp_first", "resp_of_nobody"):
            pass
        assert done["response"]["status"] == "completed"
        ids = [shown["response"]["id"] for shown in caller.of("response.created")]
        assert ids == [shown["response"]["id"] for shown in caller.of("response.done")]
        assert len(ids) == len(set(ids))
        assert len(home.service.lines) == 1
        assert home.line.of("response.create")[1:] == home.line.of("response.create")[-1:]


@pytest.mark.parametrize("name", ["sound after the end", "sound of nobody", "an item of nobody"])
async def test_what_is_dropped_is_named_in_the_log(autojump_clock: trio.testing.MockClock, name: str) -> None:
    ((event_type, fields),) = [loose[1] for loose in LOOSE if loose[0] == name]
    async with house(converse(first)) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        home.line.send(event_type, **fields)
        await trio.sleep(1)
        assert [entry["event_type"] for entry in home.log if entry["event"] == "event ignored"] == [event_type]


async def test_events_in_the_wrong_order_and_twice_leave_a_conversation_that_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def muddled(line: Line, _: Json) -> None:
        item = message("item_m", content=[{"type": "output_audio", "transcript": "We open at ten."}])
        done = {"response_id": "resp_m", "output_index": 0, "item": item}
        line.send("response.output_item.done", **done)
        line.audio("resp_m", "item_m", 100)
        line.begin("resp_m")
        line.begin("resp_m")
        line.audio("resp_m", "item_m", 100)
        line.send("response.output_item.done", **done)
        line.send("response.output_item.added", **{**done, "item": message("item_m", status="in_progress")})
        line.send("conversation.item.done", item=item)
        line.send("conversation.item.added", item=item)
        line.finish("resp_m", item)
        line.audio("resp_m", "item_m", 100)
        line.finish("resp_m", item)

    async with house(converse(muddled, answers)) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        caller.ask("And then?")
        assert (await caller.until("response.done"))["response"]["id"] != "resp_m"
        assert caller.types().count("response.created") == caller.types().count("response.done") == 2
        assert len([event for event in caller.of("response.output_audio.delta") if event["item_id"] == "item_m"]) == 1


async def test_a_connection_that_is_over_has_no_say(autojump_clock: trio.testing.MockClock) -> None:
    async with house(expiring(100, answers), expiring(1000, answers), limits=Limits(rollover_s=30)) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        old = home.line
        while len(home.service.lines) < 2:  # noqa: ASYNC110 - the service tells nobody
            old.send("conversation.mood.changed", mood="old")
            await trio.sleep(0.5)
        for _ in range(20):
            old.send("response.created", **response("resp_late", "in_progress"))
            old.send("conversation.item.deleted", item_id=caller.of("conversation.item.added")[0]["item"]["id"])
            await trio.sleep(0.05)
        caller.ask("And then?")
        await caller.until("response.done")
        assert "resp_late" not in str(caller.of("response.created"))


# A turn that is lost between two events


async def test_speech_that_became_no_item_yet_is_given_to_the_next_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(), converse(answers)) as home:
        caller = await home.opened()
        caller.send("input_audio_buffer.append", audio=sound(1000))
        await trio.sleep(0.1)
        line = home.line
        line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        line.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="item_u")
        line.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await caller.until("input_audio_buffer.committed")
        line.wire.reset()
        await caller.until("response.done")
        assert words(home.line)[0] == "input_audio"


async def test_a_turn_that_the_client_ended_within_speech_is_not_answered_unasked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(), limits=Limits(response_s=5)) as home:
        caller = await home.opened()
        caller.send("input_audio_buffer.append", audio=sound(1000))
        await trio.sleep(0.1)
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await caller.until("input_audio_buffer.speech_started")
        caller.send("input_audio_buffer.commit")
        await trio.sleep(0.1)
        home.line.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await trio.sleep(20)
        assert home.line.of("response.create") == []


def at_the_break(*events: tuple[str, Json]) -> Script:
    """A service that is lost after it has said so much of an answer."""

    async def half(line: Line, asked: Json) -> None:
        aside = asked["response"]["conversation"] == "none"
        line.begin("resp_1", conversation=None if aside else "conv_1")
        for event_type, fields in events:
            line.send(event_type, **fields)
        await trio.sleep(1)
        line.wire.reset()

    return converse(half)


ADDED = ("response.output_item.added", {"response_id": "resp_1", "output_index": 0, "item": message("item_1")})
PLACED = ("conversation.item.added", {"previous_item_id": None, "item": message("item_1", status="in_progress")})
PART: tuple[str, Json] = (
    "response.content_part.added",
    {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0, "part": {"type": "text"}},
)


@pytest.mark.parametrize(
    ("events", "conversation", "ends"),
    [
        ([ADDED, PART], "none", 0),
        ([ADDED], "auto", 0),
        ([ADDED, PLACED, ("conversation.item.done", {"item": message("item_1")})], "auto", 1),
    ],
    ids=["outside the conversation", "not placed yet", "ended already"],
)
async def test_an_item_ends_in_the_conversation_once_and_only_where_it_began(
    autojump_clock: trio.testing.MockClock, events: list[tuple[str, Json]], conversation: str, ends: int
) -> None:
    async with house(at_the_break(*events), converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime")
        caller.send("response.create", response={"conversation": conversation})
        await caller.until("response.done")
        await trio.sleep(1)
        found = [event for event in caller.of("conversation.item.done") if event["item"]["id"] == "item_1"]
        assert len(found) == ends
