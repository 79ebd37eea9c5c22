"""Whole sessions: a client, the session and a scripted service, over in-memory wires and in virtual time."""

import msgspec
import trio
import trio.testing

from tests.session.house import house
from tests.session.service import Json, Line, converse, sound


async def searches(line: Line, _: Json) -> None:
    line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"When does it open?"}'))


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_2", "It opens at ten.", gap_s=0.05)


async def speaks_long(line: Line, _: Json) -> None:
    await line.speak("resp_1", "A long story.", ms=10_000)


async def speaks_slowly(line: Line, _: Json) -> None:
    await line.speak("resp_1", "A long story.", ms=10_000, gap_s=0.1)


async def test_a_typed_question_is_searched_and_answered(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(searches, answers)) as home:
        caller = await home.opened()
        caller.ask("When does it open?")
        done = await caller.until("response.done")
        assert done["response"]["id"] == "resp_2"
        assert home.shelves["museum"].asked == ["When does it open?"]
        (output,) = [
            event["item"]
            for event in home.line.of("conversation.item.create")
            if event["item"]["type"] == "function_call_output"
        ]
        assert "It opens at 10 am." in output["output"]
        (citations,) = caller.of("avatar.citations")
        assert citations["sources"][0]["id"] == "museum/doc.md#1"
        assert len(caller.of("response.output_audio.delta")) == 4
        usage = await caller.until("avatar.usage")
        assert usage["total_tokens"] == 60
        await caller.until("avatar.state", state="listening")
        assert caller.states() == ["listening", "thinking", "searching", "thinking", "speaking", "listening"]
        caller.leave()
        await caller.closed()
    assert home.endings == ["completed"]


async def test_the_first_frames_are_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse()) as home:
        caller = await home.opened()
        await caller.until("avatar.state")
        assert caller.types() == ["avatar.session", "session.created", "avatar.state"]
        created = caller.of("session.created")[0]["session"]
        assert created["instructions"] == "Be kind."
        assert created["tools"] == []
        assert [tool["name"] for tool in home.line.session["tools"]] == ["search_knowledge_base"]


async def test_a_search_stays_in_the_sessions_own_knowledge_base(autojump_clock: trio.testing.MockClock) -> None:
    async def elsewhere(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"lions","kb_id":"museum","kb":"museum"}'))

    async with house(converse(elsewhere, answers)) as home:
        caller = await home.opened({"kb_id": "zoo"})
        caller.ask("What does the lion do?")
        await caller.until("response.done")
        assert home.shelves["museum"].asked == []
        assert home.shelves["zoo"].asked == ["lions"]


async def test_audio_flows_both_ways_unchanged(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path="/v1/realtime")
        pieces = [sound(100, fill) for fill in range(1, 20)]
        for piece in pieces:
            caller.send("input_audio_buffer.append", audio=piece)
            await trio.sleep(0.1)
        caller.send("input_audio_buffer.commit")
        caller.send("response.create")
        await caller.until("response.done")
        assert [event["audio"] for event in home.line.of("input_audio_buffer.append")] == pieces
        assert [event["delta"] for event in caller.of("response.output_audio.delta")] == [sound(100)] * 4
        assert not [kind for kind in caller.types() if kind.startswith("avatar.")]


async def test_what_is_said_before_the_service_is_there_is_kept_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.caller()
        caller.send("input_audio_buffer.append", audio=sound(100, 1))
        caller.send("input_audio_buffer.append", audio=sound(100, 2))
        caller.send("input_audio_buffer.commit")
        await caller.until("session.created")
        await trio.sleep(1)
        kinds = [event["type"] for _, event in home.line.received]
        assert kinds == ["session.update", *["input_audio_buffer.append"] * 2, "input_audio_buffer.commit"]


async def test_a_turn_taken_by_voice_detection(autojump_clock: trio.testing.MockClock) -> None:
    async def listens(line: Line) -> None:
        line.greet()
        line.confirm(await line.until("session.update"))
        await line.until("input_audio_buffer.append")
        line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await line.until("input_audio_buffer.append")
        line.send("input_audio_buffer.speech_stopped", audio_end_ms=200, item_id="item_u")
        line.send("input_audio_buffer.committed", previous_item_id=None, item_id="item_u")
        line.place({"id": "item_u", "type": "message", "role": "user", "content": [{"type": "input_audio"}]})
        line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"opening"}'))
        await line.until("response.create")
        await line.speak("resp_2", "At ten.")

    async with house(listens) as home:
        caller = await home.opened()
        for _ in range(2):
            caller.send("input_audio_buffer.append", audio=sound(100))
            await trio.sleep(0.1)
        done = await caller.until("response.done")
        assert done["response"]["id"] == "resp_2"
        shown = [kind for kind in caller.types() if kind.startswith("input_audio_buffer")]
        assert shown == [f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped", "committed")]


async def test_barge_in_takes_back_what_was_not_heard(autojump_clock: trio.testing.MockClock) -> None:
    """The service sends ten seconds at once; the person interrupts after one, over a wire that holds half a second."""
    async with house(converse(speaks_long)) as home:
        caller = await home.opened(capacity_bytes=32 * 1024)
        caller.wire.stall()
        caller.ask("Tell me a story.")
        await trio.sleep(1)
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await trio.sleep(0.1)
        caller.wire.resume()
        await caller.until("input_audio_buffer.speech_started")
        heard_of = len(caller.of("response.output_audio.delta"))
        assert heard_of < 10, "sound that nobody will hear was sent all the same"
        (truncate,) = home.line.of("conversation.item.truncate")
        assert 0 < truncate["audio_end_ms"] <= 1100
        await trio.sleep(5)
        assert len(caller.of("response.output_audio.delta")) == heard_of


async def test_a_cancelled_answer_ends_once(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_slowly, answers)) as home:
        caller = await home.opened()
        caller.ask("Tell me a story.")
        await trio.sleep(1)
        caller.send("response.cancel")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "cancelled"
        caller.ask("And now?")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "completed"


async def test_wrong_events_are_answered_and_the_session_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        wrong: list[tuple[bytes, str]] = [
            (b"{", "invalid_json"),
            (b"[]", "invalid_event"),
            (b"{}", "missing_required_parameter"),
            (b'{"type":"session.created"}', "invalid_value"),
            (b'{"type":"nonsense","event_id":"mine"}', "invalid_value"),
            (b'{"type":"conversation.item.delete","item_id":7}', "invalid_type"),
            (b'{"type":"session.init","kb_id":"zoo"}', "already_initialised"),
        ]
        for frame, code in wrong:
            caller.say(frame)
            error = await caller.until("error")
            assert error["error"]["code"] == code, frame
            assert error["event_id"].startswith("event_la_")
        caller.ask("Still there?")
        await caller.until("response.done")
        assert [event["type"] for _, event in home.line.received][:1] == ["session.update"]


async def test_odd_frames_of_the_service_are_no_reason_to_end(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        home.line.websocket.send(b"not json")
        home.line.websocket.send(b'{"type":"response.created","response":7}')
        home.line.send("something.new", anything=[1, 2])
        new = await caller.until("something.new")
        assert new["anything"] == [1, 2]
        caller.ask("Still there?")
        await caller.until("response.done")


async def test_several_sessions_do_not_hear_each_other(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        callers = [await home.opened() for _ in range(5)]
        callers[3].ask("Hello?")
        await callers[3].until("response.done")
        for number, caller in enumerate(callers):
            assert ("response.done" in caller.types()) == (number == 3)
        assert len({msgspec.json.encode(caller.of("avatar.session")[0]["session_id"]) for caller in callers}) == 5
