"""Who interrupts is heard; the model believes no more than was; the record tells what was said and what was heard."""

from typing import Any

import pytest
import trio
import trio.testing

from protocol.conversation.actions import Heard, Said, Timed
from protocol.conversation.limits import Limits
from tests.session.house import Caller, House, house
from tests.session.service import Json, Line, converse, sound
from tests.session.test_session_reconnect import answers, begins, second_line, words

WORDS = "We open at nine in the morning and close at six."
ITEM = "item_resp_1"


async def speaks(line: Line, _: Json) -> None:
    await line.speak("resp_1", WORDS, ms=3000)


async def speaks_slowly(line: Line, _: Json) -> None:
    item = {"id": ITEM, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    line.send("conversation.item.added", previous_item_id=None, item=item)
    await line.speak("resp_1", WORDS, ms=3000, gap_s=0.1)


def interrupts(line: Line) -> None:
    """The service hears the person over the answer, and cancels it."""
    line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
    line.cancelled.set()


def truncations(line: Line) -> list[tuple[str, int]]:
    return [(event["item_id"], event["audio_end_ms"]) for event in line.of("conversation.item.truncate")]


def record(home: House) -> list[Any]:
    return [entry["entry"] for entry in home.log if entry["event"] == "record"]


def heard(home: House) -> list[Heard]:
    return [entry for entry in record(home) if isinstance(entry, Heard)]


def ignored(home: House) -> list[tuple[str, str, str]]:
    return [
        (entry["side"], entry["event_type"], entry["why"]) for entry in home.log if entry["event"] == "event ignored"
    ]


async def asked(home: House, **kwargs: Any) -> Caller:
    """A client whose answer has begun."""
    caller = await home.opened(**kwargs)
    caller.ask("When do you open?")
    await caller.until("response.output_audio.delta")
    return caller


# By the client's word, or by the clock


async def test_with_acknowledgements_the_answer_is_cut_at_the_last_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks)) as home:
        caller = await asked(home)
        for played_ms in (250, 500, 750.4):
            caller.send("avatar.playback", item_id=ITEM, content_index=0, played_ms=played_ms)
        await trio.sleep(2)
        interrupts(home.line)
        truncated = await caller.until("conversation.item.truncated")
        assert truncated["audio_end_ms"] == 750
        assert truncations(home.line) == [(ITEM, 750)]
        assert heard(home) == [Heard(ITEM, 750, 3000, "We open at")]


async def test_without_acknowledgements_the_clock_tells_what_can_have_been_heard_at_most(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks)) as home:
        await asked(home)
        await trio.sleep(1.5)
        interrupts(home.line)
        await trio.sleep(1)
        ((item_id, cut_ms),) = truncations(home.line)
        assert item_id == ITEM
        assert 1499 <= cut_ms <= 1501
        assert [entry.text for entry in heard(home)] == ["We open at nine in the"]


async def test_nothing_that_was_not_sent_can_have_been_heard(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_slowly)) as home:
        caller = await asked(home)
        await trio.sleep(1.05)
        caller.send("avatar.playback", item_id=ITEM, played_ms=60_000)
        await trio.sleep(0.02)
        interrupts(home.line)
        await trio.sleep(1)
        ((_, cut_ms),) = truncations(home.line)
        assert 1000 <= cut_ms <= 1200
        assert all(entry.heard_ms <= entry.sent_ms for entry in heard(home))
        assert ("client", "avatar.playback", "more was played than was sent") in ignored(home)
        assert caller.of("error") == []


@pytest.mark.parametrize(
    ("playback", "param"),
    [
        ({"item_id": ITEM, "played_ms": -1}, "played_ms"),
        ({"item_id": "item_of_somebody_else", "played_ms": 100}, "item_id"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    autojump_clock: trio.testing.MockClock, playback: Json, param: str
) -> None:
    async with house(converse(speaks)) as home:
        caller = await asked(home)
        await trio.sleep(1)
        caller.send("avatar.playback", event_id="mine", **playback)
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", param, "mine")
        interrupts(home.line)
        await caller.until("conversation.item.truncated")
        ((item_id, cut_ms),) = truncations(home.line)
        assert item_id == ITEM
        assert 999 <= cut_ms <= 1001


async def test_an_acknowledgement_never_goes_back(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks)) as home:
        caller = await asked(home)
        for played_ms in (1000, 200):
            caller.send("avatar.playback", item_id=ITEM, played_ms=played_ms)
        await trio.sleep(0.1)
        interrupts(home.line)
        await caller.until("conversation.item.truncated")
        assert truncations(home.line) == [(ITEM, 1000)]


# At the edges of an answer


async def test_an_answer_that_was_just_heard_to_its_end_is_left_whole(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks)) as home:
        caller = await asked(home)
        await caller.until("response.done")
        caller.send("avatar.playback", item_id=ITEM, played_ms=3000)
        await trio.sleep(0.1)
        interrupts(home.line)
        await trio.sleep(1)
        assert truncations(home.line) == []
        assert heard(home) == []
        assert Said(ITEM, "assistant", WORDS) in record(home)


async def test_who_interrupts_where_the_sound_pauses_hears_no_more_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def pauses(line: Line, _: Json) -> None:
        line.begin("resp_1")
        item: Json = {"id": ITEM, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        line.send("response.output_item.added", response_id="resp_1", output_index=0, item=item)
        line.send("conversation.item.added", previous_item_id=None, item=item)
        line.audio("resp_1", ITEM, 500)
        await line.cancelled.wait()
        line.audio("resp_1", ITEM, 500)  # it was on its way
        content = [{"type": "output_audio", "transcript": WORDS}]
        done = {**item, "status": "incomplete", "content": content}
        line.send("response.output_item.done", response_id="resp_1", output_index=0, item=done)
        line.finish("resp_1", done, status="cancelled")

    async with house(converse(pauses)) as home:
        caller = await asked(home)
        caller.send("avatar.playback", item_id=ITEM, played_ms=500)
        await trio.sleep(5)
        interrupts(home.line)
        done = await caller.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert len(caller.of("response.output_audio.delta")) == 1
        assert truncations(home.line) == [(ITEM, 500)]


async def test_the_first_words_of_who_interrupts_reach_the_service(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_slowly)) as home:
        caller = await asked(home)
        for number in range(20):
            if number == 10:
                interrupts(home.line)
            caller.send("input_audio_buffer.append", audio=sound(50, number))
            await trio.sleep(0.05)
        await trio.sleep(0.1)
        said = [event["audio"] for event in home.line.of("input_audio_buffer.append")]
        assert said == [sound(50, number) for number in range(20)]


async def test_the_record_keeps_what_was_generated_and_what_was_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks)) as home:
        caller = await asked(home)
        await caller.until("response.done")
        await trio.sleep(1)
        interrupts(home.line)
        await trio.sleep(1)
        kept = [entry for entry in record(home) if getattr(entry, "item_id", "") == ITEM]
        said, timed, cut = kept
        assert said == Said(ITEM, "assistant", WORDS)
        assert isinstance(timed, Timed)
        assert (timed.response_id, timed.status) == ("resp_1", "completed")
        assert isinstance(cut, Heard)
        assert (cut.text, cut.sent_ms) == ("We open at nine", 3000)


async def test_what_waits_unsent_is_taken_back(autojump_clock: trio.testing.MockClock) -> None:
    async def speaks_much(line: Line, _: Json) -> None:
        await line.speak("resp_1", WORDS, ms=30_000)

    async with house(converse(speaks_much)) as home:
        caller = await home.opened(capacity_bytes=8192)
        caller.ask("When?")
        await caller.until("response.created")
        caller.wire.stall()
        await trio.sleep(1)
        interrupts(home.line)
        await trio.sleep(1)
        caller.wire.resume()
        await caller.until("input_audio_buffer.speech_started")
        await trio.sleep(1)
        assert len(caller.of("response.output_audio.delta")) < 100


# When the connection was replaced meanwhile


async def test_an_answer_that_another_connection_knows_as_text_is_made_again_and_nobody_sees_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(begins("reset"), converse(answers)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        await caller.until("response.output_audio.delta")
        line = await second_line(home)
        await trio.sleep(0.5)
        assert words(line)[:2] == ["When do you open?", "We open at ten and"]
        interrupts(line)
        await trio.sleep(0.5)
        (delete,) = line.of("conversation.item.delete")
        assert delete["item_id"] == "item_1"
        line.send("conversation.item.deleted", item_id="item_1")
        again = line.of("conversation.item.create")[-1]
        assert again["item"]["content"] == [{"type": "output_text", "text": "We open at"}]
        assert again["previous_item_id"] == line.of("conversation.item.create")[0]["item"]["id"]
        await trio.sleep(0.5)
        assert caller.of("conversation.item.deleted") == []
        placed = [event["item"]["id"] for event in caller.of("conversation.item.added")]
        assert len(placed) == len(set(placed))
        assert caller.of("error") == []
        # The rest of it, which nobody has begun to hear, is sound there, and is cut as such.
        assert [cut_ms for _, cut_ms in truncations(line)] == [0]
        assert heard(home)[0].text == "We open at"


async def test_who_interrupts_while_there_is_no_connection_is_believed_by_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(begins("reset"), converse(answers), limits=Limits(resume_s=60)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        await caller.until("response.output_audio.delta")
        await trio.sleep(0.2)
        interrupts(home.line)
        await trio.sleep(0.2)
        home.line.wire.reset()
        line = await second_line(home)
        await trio.sleep(1)
        told = words(line)
        assert told[0] == "When do you open?"
        assert "We open at ten and" not in told
        assert len(line.of("response.create")) == 0, "what the person says counts"


# Clients that truncate by themselves


async def test_clients_of_the_services_protocol_truncate_by_themselves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks)) as home:
        caller = await asked(home, path="/v1/realtime")
        await trio.sleep(1)
        interrupts(home.line)
        await trio.sleep(0.5)
        assert truncations(home.line) == []
        caller.send("conversation.item.truncate", event_id="mine", item_id=ITEM, content_index=0, audio_end_ms=900)
        truncated = await caller.until("conversation.item.truncated")
        assert (truncated["item_id"], truncated["audio_end_ms"]) == (ITEM, 900)
        (told,) = home.line.of("conversation.item.truncate")
        assert told["event_id"] == "mine"
        await trio.sleep(0.5)
        assert len(caller.of("conversation.item.truncated")) == 1
        assert heard(home) == [Heard(ITEM, 900, 3000, "We open at")]


async def test_they_have_their_answer_also_when_the_connection_is_lost_before_it_came(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks), converse(answers)) as home:
        caller = await asked(home, path="/v1/realtime")
        await caller.until("response.done")
        home.line.wire.stall()
        caller.send("conversation.item.truncate", item_id=ITEM, content_index=0, audio_end_ms=1500)
        await trio.sleep(0.1)
        home.line.wire.resume()
        home.line.wire.reset()
        truncated = await caller.until("conversation.item.truncated")
        assert truncated["audio_end_ms"] == 1500
        line = await second_line(home)
        await trio.sleep(1)
        assert words(line)[:2] == ["When do you open?", "We open at nine in the"]
        assert truncations(line) == []
        assert len(caller.of("conversation.item.truncated")) == 1


async def test_they_have_their_answer_also_when_the_connection_was_replaced_before_they_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(speaks), converse(answers)) as home:
        caller = await asked(home, path="/v1/realtime")
        await caller.until("response.done")
        home.line.wire.reset()
        line = await second_line(home)
        await trio.sleep(1)
        caller.send("conversation.item.truncate", item_id=ITEM, content_index=0, audio_end_ms=1500)
        truncated = await caller.until("conversation.item.truncated")
        assert truncated["audio_end_ms"] == 1500
        assert truncations(line) == []
        assert line.of("conversation.item.create")[-1]["item"]["content"][0]["text"] == "We open at nine in the"
        line.send("conversation.item.deleted", item_id=ITEM)
        await trio.sleep(1)
        assert caller.of("conversation.item.deleted") == []
        assert len([event for event in caller.of("conversation.item.added") if event["item"]["id"] == ITEM]) <= 1


@pytest.mark.parametrize("item_id", ["item_of_nobody", "mine"])
async def test_what_was_never_spoken_is_the_services_to_refuse(
    autojump_clock: trio.testing.MockClock, item_id: str
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime")
        content = [{"type": "input_text", "text": "When?"}]
        item = {"id": "mine", "type": "message", "role": "user", "content": content}
        caller.send("conversation.item.create", item=item)
        caller.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1500)
        await trio.sleep(0.5)
        assert truncations(home.line) == [(item_id, 1500)]
        assert heard(home) == []
