"""The watches of a session, each with what it does and how it ends: the service's part, tools, silence, length."""

import pytest
import trio
import trio.testing

from protocol.conversation import notes
from protocol.conversation.actions import ToolResult
from protocol.conversation.limits import Limits
from tests.session.house import house, tool
from tests.session.service import Json, Line, Script, converse
from tests.session.test_session_failures import fails
from tests.session.test_session_reconnect import BUSY, answers, begins, second_line, words

EXTENSIONS = "avatar."


async def speaks_long(line: Line, _: Json) -> None:
    await line.speak(f"resp_{len(line.received)}", "It is a long story.", ms=8000, gap_s=0.1)


async def ignores(_: Line, __: Json) -> None:
    """The service takes the question and says nothing."""


def instructions(line: Line) -> list[str]:
    """What the service was asked for in words, question by question."""
    return [event.get("response", {}).get("instructions", "") for event in line.of("response.create")]


def turn(line: Line, item_id: str = "item_u", transcript: str = "Hello?") -> None:
    """The person speaks, and the service makes an item of it."""
    line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
    line.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id=item_id)
    line.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
    content = [{"type": "input_audio", "transcript": None}]
    line.place({"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content})
    line.send(
        "conversation.item.input_audio_transcription.completed",
        item_id=item_id,
        content_index=0,
        transcript=transcript,
    )


# The service does not begin an answer


async def test_speech_that_is_not_answered_is_asked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=Limits(response_s=5)) as home:
        caller = await home.opened()
        began = trio.current_time()
        turn(home.line)
        await caller.until("response.created")
        assert 5 <= trio.current_time() - began < 6
        assert len(home.line.of("response.create")) == 1
        await caller.until("response.done")
        assert len(home.service.lines) == 1
        assert caller.of("error") == []


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
async def test_then_another_connection_is_asked_and_then_the_client_is_told(
    autojump_clock: trio.testing.MockClock, path: str
) -> None:
    async with house(converse(ignores), converse(ignores, answers), limits=Limits(response_s=5)) as home:
        caller = await home.opened(path=path)
        began = trio.current_time()
        caller.send("response.create", event_id="mine")
        await second_line(home)
        assert 5 <= trio.current_time() - began < 6
        error = (await caller.until("error"))["error"]
        assert 10 <= trio.current_time() - began < 12
        assert (error["code"], error["event_id"]) == ("response_timeout", "mine")
        assert len(home.service.lines) == 2
        # The session goes on.
        caller.ask("And now?")
        assert (await caller.until("response.done"))["response"]["status"] == "completed"


async def test_an_answer_to_speech_takes_all_three_steps(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(ignores), converse(ignores), limits=Limits(response_s=5)) as home:
        caller = await home.opened()
        turn(home.line)
        line = await second_line(home)
        await trio.sleep(6)
        assert words(line)[0] == "Hello?"
        assert len(line.of("response.create")) == 1
        await caller.until("avatar.state", state="listening")
        assert len(home.service.lines) == 2
        assert caller.lost is None


async def test_a_follow_up_that_does_not_begin_ends_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    async def searches(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "search_knowledge_base", '{"query":"hours"}'))

    async with house(converse(searches, ignores), converse(ignores), limits=Limits(response_s=5)) as home:
        caller = await home.opened(path="/v1/realtime")
        caller.send("response.create", event_id="mine")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "failed"
        assert done["response"]["status_details"]["error"]["code"] == "response_timeout"
        assert caller.types().count("response.created") == 1


# It stops in the middle


async def test_silence_within_an_answer_makes_another_connection_go_on_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def stops(line: Line, _: Json) -> None:
        line.begin("resp_1")
        item: Json = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        line.send("response.output_item.added", response_id="resp_1", output_index=0, item=item)
        line.send("conversation.item.added", previous_item_id=None, item=item)
        line.send("response.content_part.added", **where, part={"type": "audio"})
        line.send("response.output_audio_transcript.delta", **where, delta="We open at ten and")
        line.audio("resp_1", "item_1", 2000)

    async with house(converse(stops), converse(answers), limits=Limits(stall_s=20)) as home:
        caller = await home.opened()
        caller.ask("When do you open?")
        await caller.until("response.created")
        began = trio.current_time()
        done = await caller.until("response.done")
        assert 20 <= trio.current_time() - began < 21
        assert done["response"]["status"] == "incomplete"
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        assert 'heard it up to: "…We open at ten and"' in instructions(home.line)[0]
        assert [entry["why"] for entry in home.log if entry["event"] == "event ignored"] == [
            "replaced: It fell silent within an answer for 20 seconds."
        ]


async def test_an_answer_that_goes_on_slowly_is_not_stuck(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(line: Line, _: Json) -> None:
        await line.speak("resp_1", "Slowly.", ms=500, gap_s=19)

    async with house(converse(slow), limits=Limits(stall_s=20)) as home:
        caller = await home.opened()
        caller.ask("When?")
        done = await caller.until("response.created")
        with trio.fail_after(200):
            while not caller.of("response.done"):  # noqa: ASYNC110 - slower than the patience of the caller
                await trio.sleep(1)
        assert done["response"]["id"] == caller.of("response.done")[0]["response"]["id"]
        assert len(home.service.lines) == 1


# Tools


async def test_a_tool_that_gives_no_result_is_reported_and_its_late_result_is_nobodys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def calls(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", "stubborn", "{}"))

    async def stubborn() -> ToolResult:
        with trio.CancelScope(shield=True):
            await trio.sleep(20)
        return ToolResult('{"late":true}')

    async with house(
        converse(calls, answers), tools=[tool("stubborn", stubborn)], tool_timeout_s=3, limits=Limits(tool_s=5)
    ) as home:
        caller = await home.opened()
        began = trio.current_time()
        caller.ask("Try.")
        await caller.until("response.done")
        assert 5 <= trio.current_time() - began < 7
        (output,) = [event["item"] for event in home.line.of("conversation.item.create") if "output" in event["item"]]
        assert '"unavailable":true' in output["output"]
        await trio.sleep(20)
        assert len([event for event in home.line.of("conversation.item.create") if "output" in event["item"]]) == 1
        assert "the call is unknown or already answered" in [entry.get("why") for entry in home.log]
        caller.ask("And?")


# Nobody speaks

IDLE = Limits(idle_prompt_s=100, idle_end_s=30, goodbye_s=10, resume_s=120)


def asks_still_there(text: str) -> bool:
    return text.endswith(notes.STILL_THERE)


def says_goodbye(text: str) -> bool:
    return text.endswith(notes.GOODBYE_IDLE)


async def test_a_silent_person_is_asked_then_said_goodbye_to(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers, answers), limits=IDLE) as home:
        caller = await home.opened()
        began = trio.current_time()
        await trio.sleep(99)
        assert instructions(home.line) == []
        await trio.sleep(2)
        (asked,) = instructions(home.line)
        assert asks_still_there(asked)
        assert home.line.of("response.create")[0]["response"]["tool_choice"] == "none"
        await trio.sleep(27)
        assert caller.lost is None
        assert await caller.closed() == 4408
        assert 130 <= trio.current_time() - began < 135
        assert says_goodbye(instructions(home.line)[1])
        assert caller.of("response.done")[-1]["response"]["status"] == "completed", "the goodbye was heard out"
        assert caller.of("error")[-1]["error"]["code"] == "idle_timeout"
    assert home.endings == ["idle_timeout"]


async def test_a_goodbye_that_never_comes_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers, ignores), limits=IDLE) as home:
        caller = await home.opened()
        began = trio.current_time()
        while caller.lost is None:  # noqa: ASYNC110 - longer than the patience of the caller
            await trio.sleep(1)
        assert 140 <= trio.current_time() - began < 146
        assert await caller.closed() == 4408


async def test_who_types_after_the_question_stays(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(*[answers] * 3), limits=IDLE) as home:
        caller = await home.opened()
        await trio.sleep(105)
        caller.ask("Yes!")
        await trio.sleep(95)
        assert caller.lost is None
        assert len(home.line.of("response.create")) == 2
        await trio.sleep(10)
        assert asks_still_there(instructions(home.line)[2])


async def test_who_speaks_after_the_question_stays(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(*[answers] * 3), limits=IDLE) as home:
        caller = await home.opened()
        await trio.sleep(105)
        line = home.line
        turn(line)
        await line.speak("resp_spoken", "How can I help?")
        await trio.sleep(90)
        assert caller.lost is None
        assert len(line.of("response.create")) == 1
        assert home.endings == []


async def test_who_spoke_lately_is_not_asked(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=IDLE) as home:
        await home.opened()
        await trio.sleep(90)
        line = home.line
        turn(line)
        await line.speak("resp_spoken", "How can I help?")
        await trio.sleep(90)
        assert line.of("response.create") == []


@pytest.mark.parametrize(
    "how",
    [
        "types",
        "speaks",
    ],
)
async def test_who_speaks_up_during_the_goodbye_stays_and_is_answered(
    autojump_clock: trio.testing.MockClock, how: str
) -> None:
    async with house(converse(answers, speaks_long, answers, answers), limits=IDLE) as home:
        caller = await home.opened()
        while len(home.line.of("response.create")) < 2:  # noqa: ASYNC110 - longer than the patience of the caller
            await trio.sleep(1)
        await trio.sleep(2)
        line = home.line
        assert says_goodbye(instructions(line)[1])
        if how == "types":
            caller.send("response.cancel")
            caller.ask("Wait!")
        else:
            line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
            line.cancelled.set()
            await trio.sleep(1)
            turn(line)
            await line.speak("resp_spoken", "Yes?")
        await trio.sleep(60)
        assert caller.lost is None
        assert home.endings == []
        # And it is watched as before.
        await trio.sleep(60)
        assert any(asks_still_there(text) for text in instructions(line)[2:])


async def test_while_the_avatar_speaks_nobody_is_idle(autojump_clock: trio.testing.MockClock) -> None:
    async def tells(line: Line, _: Json) -> None:
        await line.speak("resp_long", "A very long story.", ms=95_000)  # sent at once, heard for a minute and a half

    async with house(converse(tells, answers), limits=IDLE) as home:
        caller = await home.opened()
        caller.ask("Tell me all.")
        await trio.sleep(190)
        assert len(home.line.of("response.create")) == 1
        await trio.sleep(10)
        assert asks_still_there(instructions(home.line)[1])


async def test_a_client_that_stops_acknowledging_is_not_listened_to_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(*[answers] * 9), limits=IDLE) as home:
        caller = await home.opened()
        caller.ask("When?")
        delta = await caller.until("response.output_audio.delta")
        caller.send("avatar.playback", item_id=delta["item_id"], played_ms=50)
        await home.ended()
        assert home.endings == ["idle_timeout"]


async def test_while_the_client_is_away_nobody_is_idle(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers, answers), limits=IDLE) as home:
        caller = await home.opened()
        await trio.sleep(50)
        hello = caller.of("avatar.session")[0]
        caller.wire.reset()
        await trio.sleep(110)
        assert home.line.of("response.create") == []
        again = {"session_id": hello["session_id"], "token": hello["resume_token"]}
        await home.caller({"resume": again})
        await trio.sleep(95)
        assert home.line.of("response.create") == []
        await trio.sleep(10)
        assert asks_still_there(instructions(home.line)[0])


async def test_a_session_without_a_prompt_has_all_the_time(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(), limits=Limits()) as home:
        caller = await home.opened()
        await trio.sleep(5000)
        assert caller.lost is None
        assert home.line.of("response.create") == []


# A session comes to its longest duration


async def test_a_session_that_is_too_long_ends_with_a_goodbye(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), limits=Limits(duration_s=300, goodbye_s=10)) as home:
        caller = await home.opened()
        assert caller.of("avatar.session")[0]["expires_at"] == 1_800_000_000 + 300
        await trio.sleep(285)
        assert home.line.of("response.create") == []
        assert await caller.closed() == 4410
        assert 290 <= trio.current_time() <= 300
        (asked,) = instructions(home.line)
        assert asked.endswith(notes.GOODBYE_DURATION)
        assert caller.of("response.done")[-1]["response"]["status"] == "completed"
        assert caller.of("error")[-1]["error"]["code"] == "max_duration"
    assert home.endings == ["max_duration"]


async def test_an_answer_under_way_is_the_last_and_the_end_comes_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def endless(line: Line, _: Json) -> None:
        await line.speak("resp_long", "It is a long story.", ms=100_000, gap_s=0.1)

    async with house(converse(endless), limits=Limits(duration_s=60, goodbye_s=10)) as home:
        caller = await home.opened()
        await trio.sleep(40)
        caller.ask("Tell me all.")
        assert await caller.closed() == 4410
        assert 59 <= trio.current_time() <= 61
        assert len(home.line.of("response.create")) == 1


async def test_who_speaks_up_does_not_lengthen_a_session(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(speaks_long, answers), limits=Limits(duration_s=60, goodbye_s=10)) as home:
        caller = await home.opened()
        await trio.sleep(52)
        caller.ask("Wait!")
        assert await caller.closed() == 4410
        assert trio.current_time() <= 61


# Clients of the service's own protocol


async def test_other_clients_are_never_made_to_say_anything(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(idle_prompt_s=100, idle_end_s=30, duration_s=300, goodbye_s=10)
    async with house(converse(answers), limits=limits) as home:
        caller = await home.opened(path="/v1/realtime")
        await trio.sleep(280)
        assert caller.lost is None
        assert await caller.closed() == 4410
        assert home.line.of("response.create") == []
        assert [kind for kind in caller.types() if kind.startswith(EXTENSIONS)] == []
    assert home.endings == ["max_duration"]


@pytest.mark.parametrize(
    "script",
    [begins("reset"), converse(fails), converse(ignores)],
    ids=["it breaks off", "it fails", "it does not answer"],
)
async def test_other_clients_see_no_event_that_they_do_not_know(
    autojump_clock: trio.testing.MockClock, script: Script
) -> None:
    limits = Limits(failures=1, response_s=5)
    async with house(script, BUSY, BUSY, converse(*[answers] * 3), limits=limits) as home:
        caller = await home.opened(path="/v1/realtime")
        caller.ask("When?")
        await trio.sleep(20)
        caller.ask("And?")
        await trio.sleep(20)
        known = ("session.", "response.", "conversation.item.", "input_audio_buffer.", "error", "rate_limits.")
        assert [kind for kind in caller.types() if not kind.startswith(known)] == []
        assert caller.types().count("session.created") == 1
        assert caller.of("response.done")[-1]["response"]["status"] == "completed"
        assert len(home.service.lines) == 2


async def test_a_session_shorter_than_its_goodbye_is_not_over_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(answers), limits=Limits(duration_s=10, goodbye_s=15)) as home:
        caller = await home.opened()
        await trio.sleep(4)
        assert caller.lost is None
