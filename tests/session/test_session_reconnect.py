"""Another connection to the service: when one is lost, of no use or near its end; the client stays, nothing is lost."""

import pytest
import trio
import trio.testing

from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from protocol.conversation.notes import ANCHOR
from server.upstream.base import UpstreamRefused
from tests.session.house import WALL, Caller, House, house, tool
from tests.session.service import HANGS, Json, Line, Script, converse, sound

BUSY = UpstreamRefused("The service is busy.", code="upstream_http_503", retryable=True)
WRONG_KEY = UpstreamRefused("The key is wrong.", code="upstream_http_401")


async def answers(line: Line, _: Json) -> None:
    await line.speak(f"resp_{id(line)}_{len(line.received)}", "We open at ten.")


def created(line: Line) -> list[Json]:
    """The items that a connection was told."""
    return [event["item"] for event in line.of("conversation.item.create")]


def words(line: Line) -> list[str]:
    """What a connection was told of the conversation, in order: texts, calls, results."""
    told = []
    for item in created(line):
        parts = item.get("content") or [{}]
        told.append(item.get("name") or item.get("output") or parts[0].get("text") or parts[0]["type"])
    return told


async def second_line(home: House) -> Line:
    """The connection behind the first."""
    with trio.fail_after(30):
        while len(home.service.lines) < 2:  # noqa: ASYNC110 - the service tells nobody
            await trio.sleep(0.01)
    return home.service.lines[1]


def lose(line: Line, how: str) -> None:
    if how == "reset":
        line.wire.reset()
    elif how == "close":
        line.websocket.close(1011, "server error")
    else:
        line.wire.close()


def begins(then: str, *, words: str = "We open at ten and", ms: float = 2000) -> Script:
    """A service that is lost within its answer."""

    async def half(line: Line, _: Json) -> None:
        line.begin("resp_1")
        item: Json = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        line.send("response.output_item.added", response_id="resp_1", output_index=0, item=item)
        line.send("conversation.item.added", previous_item_id=None, item=item)
        line.send("response.content_part.added", **where, part={"type": "audio"})
        line.send("response.output_audio_transcript.delta", **where, delta=words)
        line.audio("resp_1", "item_1", ms)
        await trio.sleep(1)
        lose(line, then)

    return converse(half)


@pytest.mark.parametrize("how", ["reset", "close", "end"])
async def test_an_answer_that_breaks_off_ends_wholly_and_the_rest_is_asked_for(
    autojump_clock: trio.testing.MockClock, how: str
) -> None:
    async with house(begins(how), converse(answers)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        done = await caller.until("response.done")
        assert done["response"]["id"] == "resp_1"
        assert done["response"]["status"] == "incomplete"
        (item,) = done["response"]["output"]
        assert item["content"] == [{"type": "output_audio", "transcript": "We open at ten and"}]
        await caller.until("response.done")
        await caller.until("avatar.state", state="listening")
        ends = ["output_audio.done", "output_audio_transcript.done", "content_part.done", "output_item.done"]
        for end in ends:
            assert len([event for event in caller.of(f"response.{end}") if event["response_id"] == "resp_1"]) == 1
        assert caller.of("error") == []
        assert caller.types().count("session.created") == 1
        assert caller.types().count("response.created") == caller.types().count("response.done") == 2
        reconnecting = caller.states().index("reconnecting")
        assert caller.states()[reconnecting:] == ["reconnecting", "thinking", "speaking", "listening"]
        line = await second_line(home)
        question, answer, anchor = created(line)
        assert question["content"] == [{"type": "input_text", "text": "When do you open?"}]
        assert answer == {
            "id": "item_1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "We open at ten and"}],
        }
        assert anchor["role"] == "system"
        (asked,) = line.of("response.create")
        assert 'the person heard it up to: "…We open at ten and"' in asked["response"]["instructions"]
    assert home.endings == ["completed"]


async def test_words_that_cannot_have_been_spoken_yet_are_not_taken_for_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    text = "We open at ten in the morning and close at six in the evening."
    async with house(begins("reset", words=text, ms=1000), converse(answers)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        await caller.until("response.done")
        assert words(await second_line(home))[1] == "We open at ten in"


async def test_what_breaks_off_twice_is_apologised_for(autojump_clock: trio.testing.MockClock) -> None:
    async def breaks_too(line: Line, _: Json) -> None:
        line.begin("resp_2")
        item: Json = {"id": "item_2", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        line.send("response.output_item.added", response_id="resp_2", output_index=0, item=item)
        line.audio("resp_2", "item_2", 100)
        await trio.sleep(0.1)
        line.wire.reset()

    async with house(begins("reset"), converse(breaks_too), converse(answers)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        await caller.until("response.done")
        await caller.until("response.done")
        await caller.until("response.done")
        (asked,) = home.line.of("response.create")
        assert "there was a technical problem" in asked["response"]["instructions"]
        assert "heard it up to" not in asked["response"]["instructions"]
        statuses = [event["response"]["status"] for event in caller.of("response.done")]
        assert statuses == ["incomplete", "incomplete", "completed"]


async def answers_marked(line: Line, event: Json) -> None:
    await line.speak("resp_marked", "We open at ten.", metadata=event["response"]["metadata"])


async def test_an_answer_that_nobody_saw_begin_is_asked_for_again_and_nobody_notices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def thinks(line: Line, _: Json) -> None:
        line.begin("resp_1", metadata={"mark": "mine"})
        await trio.sleep(0.5)
        line.wire.reset()

    async with house(converse(thinks), converse(answers_marked)) as home:
        caller = await home.opened(path="/v1/realtime")
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "When?"}]}
        caller.send("conversation.item.create", item=item)
        caller.send("response.create", response={"metadata": {"mark": "mine"}})
        await caller.until("response.done")
        assert [event["response"]["status"] for event in caller.of("response.done")] == ["completed"]
        assert len(caller.of("response.created")) == 1
        (asked,) = home.line.of("response.create")
        assert asked["response"] == {"metadata": {"mark": "mine"}}
        assert caller.of("error") == []


async def test_the_conversation_is_rebuilt_with_calls_and_results_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def searches(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"hours"}'))

    async with house(converse(searches, answers), converse(answers)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        await caller.until("response.done")
        home.line.wire.reset()
        await caller.until("avatar.state", state="reconnecting")
        await caller.until("avatar.state", state="listening")
        line = await second_line(home)
        question, name, result, answer, _anchor = words(line)
        assert (question, name, answer) == ("When do you open?", "search_knowledge_base", "We open at ten.")
        assert "It opens at 10 am." in result
        first, second = home.service.lines
        assert [item["id"] for item in created(second)][1] == "item_call_1"
        assert second.of("session.update")[0]["session"] == first.of("session.update")[0]["session"]
        caller.ask("And when do you close?")
        await caller.until("response.done")
        assert len(caller.of("conversation.item.added")) == len(
            {event["item"]["id"] for event in caller.of("conversation.item.added")}
        )
        assert all(event["item"].get("role") != "system" for event in caller.of("conversation.item.added"))
        # Hidden items are passed over in the order that the client sees.
        shown = {event["item"]["id"] for event in caller.of("conversation.item.added")} | {None}
        assert {event.get("previous_item_id") for event in caller.of("conversation.item.added")} <= shown


async def test_a_tool_that_runs_meanwhile_is_answered_to_the_new_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "nap", "{}"))
        await trio.sleep(1)
        line.wire.reset()

    async def nap() -> ToolResult:
        await trio.sleep(3)
        return ToolResult('{"slept":true}')

    async with house(converse(calls), converse(answers), tools=[tool("nap", nap)]) as home:
        caller = await home.opened()
        caller.ask("Sleep.")
        await caller.until("response.done")
        assert [event["response"]["status"] for event in caller.of("response.done")] == ["completed"]
        assert words(home.line) == [
            "Sleep.",
            "nap",
            ANCHOR,
            '{"slept":true}',
        ]
        assert len(home.line.of("response.create")) == 1
        assert home.service.lines[0].of("conversation.item.create")[-1]["item"]["type"] == "message"


async def test_what_the_client_says_meanwhile_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), BUSY, BUSY, converse(answers)) as home:
        caller = await home.opened()
        home.line.wire.reset()
        await caller.until("avatar.state", state="reconnecting")
        caller.send("input_audio_buffer.append", audio=sound(100))
        caller.ask("Are you there?")
        caller.send("input_audio_buffer.append", audio=sound(100))
        await caller.until("response.done")
        kinds = [event["type"] for _, event in home.line.received]
        assert kinds == [
            "session.update",
            "conversation.item.create",  # the anchor
            "input_audio_buffer.append",
            "conversation.item.create",
            "response.create",
            "input_audio_buffer.append",
        ]
        assert caller.of("error") == []


async def test_what_the_service_had_not_answered_is_said_again(autojump_clock: trio.testing.MockClock) -> None:
    async def deaf(line: Line) -> None:
        line.greet()
        line.confirm(await line.until("session.update"))
        await trio.sleep_forever()

    async with house(deaf, converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime")
        caller.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        item = {"id": "mine", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "When?"}]}
        caller.send("conversation.item.create", item=item)
        caller.send("response.create")
        await trio.sleep(1)
        home.line.wire.reset()
        updated = await caller.until("session.updated")
        assert updated["session"]["instructions"] == "Be brief."
        added = await caller.until("conversation.item.added")
        assert added["item"]["id"] == "mine"
        await caller.until("response.done")
        assert caller.types().count("conversation.item.added") == 1
        assert len(home.line.of("response.create")) == 1


async def test_settings_of_the_client_survive(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime")
        first_id = caller.of("session.created")[0]["session"].get("id")
        audio = {"input": {"turn_detection": None}, "output": {"voice": "cedar"}}
        caller.send("session.update", session={"type": "realtime", "audio": audio})
        await caller.until("session.updated")
        home.line.wire.reset()
        line = await second_line(home)
        await trio.sleep(1)
        (update,) = line.of("session.update")
        assert update["session"]["audio"]["input"]["turn_detection"] is None
        assert update["session"]["audio"]["output"]["voice"] == "cedar"
        assert caller.types().count("session.updated") == 1
        caller.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        again = await caller.until("session.updated")
        assert again["session"].get("id") == first_id


async def test_speech_under_way_is_said_again_from_its_beginning(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), converse(answers)) as home:
        caller = await home.opened()
        for number in range(50):
            caller.send("input_audio_buffer.append", audio=sound(100, number))
            await trio.sleep(0.1)
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=4000, item_id="item_u")
        await caller.until("input_audio_buffer.speech_started")
        for number in range(50, 60):
            caller.send("input_audio_buffer.append", audio=sound(100, number))
        await trio.sleep(0.1)
        home.line.wire.reset()
        line = await second_line(home)
        await trio.sleep(1)
        said = [event["audio"] for event in line.of("input_audio_buffer.append")]
        assert said == [sound(100, number) for number in range(40, 60)]


async def test_without_speech_the_last_ten_seconds_are_said_again(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), converse(answers)) as home:
        caller = await home.opened()
        for number in range(200):
            caller.send("input_audio_buffer.append", audio=sound(100, number))
            await trio.sleep(0.1)
        home.line.wire.reset()
        line = await second_line(home)
        await trio.sleep(1)
        said = [event["audio"] for event in line.of("input_audio_buffer.append")]
        assert said == [sound(100, number) for number in range(100, 200)]


async def test_an_answer_that_was_owed_to_speech_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), converse(answers)) as home:
        caller = await home.opened()
        caller.send("input_audio_buffer.append", audio=sound(1000))
        await trio.sleep(0.1)
        line = home.line
        line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        line.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="item_u")
        line.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        content = [{"type": "input_audio", "transcript": None}]
        line.place({"id": "item_u", "type": "message", "role": "user", "status": "completed", "content": content})
        await caller.until("conversation.item.added")
        line.wire.reset()
        await caller.until("response.done")
        told = created(home.line)[0]
        assert told["id"] == "item_u"
        assert told["content"] == [{"type": "input_audio", "audio": sound(1000)}]
        assert len(home.line.of("response.create")) == 1


async def test_when_no_service_can_be_had_the_end_is_clear_and_says_when_to_try_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    later = UpstreamRefused("Too many.", code="upstream_http_429", retryable=True, retry_after_s=20.0)
    async with house(begins("reset"), later, limits=Limits(reconnect_s=15)) as home:
        caller = await home.opened()
        caller.ask("When?")
        began = trio.current_time()
        error = await caller.until("error")
        assert error["error"]["code"] == "upstream_unavailable"
        assert 0 < error["error"]["retry_after"] <= 20.0
        assert await caller.closed() == 4502
        assert trio.current_time() - began < 20
        assert caller.types().count("response.created") == caller.types().count("response.done")
    assert home.endings == ["upstream_unavailable"]


async def test_a_key_that_was_revoked_is_not_tried_for_long(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), WRONG_KEY) as home:
        caller = await home.opened()
        began = trio.current_time()
        home.line.wire.reset()
        assert await caller.closed() == 4502
        assert trio.current_time() - began < 1
        assert len(home.service.attempts) == 2


async def test_connections_that_are_lost_at_once_are_not_opened_without_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def gone_again(line: Line) -> None:
        line.greet()
        line.confirm(await line.until("session.update"))
        await trio.sleep(0.1)
        line.wire.reset()

    async with house(gone_again, limits=Limits(reconnect_s=30)) as home:
        caller = await home.opened()
        assert await caller.closed() == 4502
        assert 5 <= len(home.service.attempts) <= 15


async def test_a_connection_that_expires_is_replaced(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        caller.ask("When?")
        await caller.until("response.done")
        detail = {"type": "invalid_request_error", "code": "session_expired", "message": "Your session hit the limit."}
        home.line.send("error", error=detail)
        home.line.websocket.close(1001, "expired")
        line = await second_line(home)
        caller.ask("And then?")
        await caller.until("response.done")
        assert caller.of("error") == []
        assert words(line)[:2] == ["When?", "We open at ten."]


async def test_a_service_that_takes_nothing_is_replaced(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        home.line.wire.stall()
        for number in range(1500):
            content = [{"type": "input_text", "text": str(number)}]
            item = {"type": "message", "role": "user", "content": content}
            caller.send("conversation.item.create", item=item, pad="x" * 90)
        line = await second_line(home)
        home.service.lines[0].wire.resume()
        await trio.sleep(5)
        told = [text for text in words(line) if text.isdigit()]
        assert told == [str(number) for number in range(1500)]
        assert caller.lost is None


async def test_a_service_that_goes_silent_is_noticed_by_its_missing_pongs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        began = trio.current_time()
        home.line.wire.stall()
        await caller.until("avatar.state", state="reconnecting")
        assert trio.current_time() - began < 45
        await caller.until("avatar.state", state="listening")
        home.service.lines[0].wire.resume()
        caller.ask("When?")
        await caller.until("response.done")


# Planned rollover


def expiring(after_s: float, *answers: object) -> Script:
    """A service whose session says when it expires, and then is gone."""
    inner = converse(*answers)  # type: ignore[arg-type]

    async def script(line: Line) -> None:
        line.session["expires_at"] = int(WALL + trio.current_time() + after_s)
        line.nursery.start_soon(expire, line)
        await inner(line)

    async def expire(line: Line) -> None:
        await trio.sleep(after_s)
        line.websocket.close(1001, "expired")

    return script


async def ask(caller: Caller, text: str) -> None:
    caller.ask(text)
    await caller.until("response.done")


async def test_a_successor_takes_over_before_the_end_and_nobody_notices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(expiring(600, *[answers] * 10), limits=Limits(rollover_s=60)) as home:
        caller = await home.opened()
        for number in range(8):
            await ask(caller, f"Question {number}")
            await trio.sleep(200)
        assert 3 <= len(home.service.lines) <= 4
        assert "reconnecting" not in caller.states()
        assert caller.of("error") == []
        assert caller.types().count("session.created") == 1
        told = [text for text in words(home.line) if text.startswith("Question")]
        assert told == [f"Question {number}" for number in range(8)]
        for line in home.service.lines[:-1]:
            assert line.lost is not None
            assert line.lost.code == 1000


async def test_no_sound_is_missed_in_a_rollover(autojump_clock: trio.testing.MockClock) -> None:
    async with house(expiring(100), limits=Limits(rollover_s=30)) as home:
        caller = await home.opened()
        for number in range(1200):
            caller.send("input_audio_buffer.append", audio=sound(100, number % 250), mark=number)
            await trio.sleep(0.1)
        await trio.sleep(1)
        first, second = home.service.lines
        before = [event["mark"] for event in first.of("input_audio_buffer.append")]
        after = [event["mark"] for event in second.of("input_audio_buffer.append")]
        assert before == list(range(before[-1] + 1))
        assert after == list(range(after[0], 1200))
        assert before[-1] + 1 - after[0] in (99, 100, 101), "the last ten seconds are said to both"


async def test_a_rollover_waits_for_the_end_of_the_turn(autojump_clock: trio.testing.MockClock) -> None:
    async def long_answer(line: Line, _: Json) -> None:
        await line.speak("resp_long", "It is a long story.", ms=3000, gap_s=0.5)

    async with house(expiring(100, long_answer), expiring(1000, answers), limits=Limits(rollover_s=30)) as home:
        caller = await home.opened()
        await trio.sleep(65)
        await ask(caller, "Tell me.")
        assert [event["response"]["status"] for event in caller.of("response.done")] == ["completed"]
        await trio.sleep(1)
        assert len(home.service.lines) == 2
        await ask(caller, "And?")
        assert words(home.line)[:1] == ["Tell me."]
        assert "It is a long story." in words(home.line)


async def test_a_rollover_that_cannot_wait_takes_over_within_the_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def endless(line: Line, _: Json) -> None:
        await line.speak("resp_long", "It is a long story.", ms=600_000, gap_s=1)

    async with house(expiring(60, endless), expiring(1000, answers), limits=Limits(rollover_s=30)) as home:
        caller = await home.opened()
        await ask(caller, "Tell me.")
        assert 54 <= trio.current_time() <= 60
        await caller.until("response.done")
        assert [event["response"]["status"] for event in caller.of("response.done")] == ["incomplete", "completed"]
        assert "reconnecting" not in caller.states()


async def test_a_standby_that_cannot_be_had_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    async with house(
        expiring(300, answers), BUSY, BUSY, BUSY, HANGS, expiring(1000, answers), limits=Limits(rollover_s=120)
    ) as home:
        caller = await home.opened()
        await trio.sleep(310)
        await ask(caller, "When?")
        assert "reconnecting" not in caller.states()
        assert caller.of("error") == []
