"""Tools beside the conversation: slow, failing, crashing and too many; none of them is felt by anything else."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from protocol.conversation.actions import ToolResult
from server.session.session import TOOL_CALLS_WAITING
from server.tools.registry import Tool, ToolFailed
from tests.session.house import House, house, tool
from tests.session.service import Json, Line, converse, sound


def sleeps(seconds: float) -> Callable[[], Awaitable[ToolResult]]:
    async def call() -> ToolResult:
        await trio.sleep(seconds)
        return ToolResult('{"slept":true}')

    return call


async def asks_for_it(line: Line, _: Json) -> None:
    line.call("resp_1", ("call_1", "nap", "{}"))


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_2", "Done.")


def outputs(home: House) -> list[tuple[str, Json]]:
    """What the model was told, by call."""
    items = [event["item"] for event in home.line.of("conversation.item.create")]
    found = [item for item in items if item["type"] == "function_call_output"]
    return [(item["call_id"], msgspec.json.decode(item["output"])) for item in found]


async def _while_a_tool_sleeps(seconds: float) -> tuple[list[tuple[float, str]], list[tuple[float, str]], float]:
    """Twenty seconds of sound and events both ways, and a tool that begins at second two.

    Returns what arrived at the client and at the service, with times, and how long the tool took to be answered.
    """

    async def service(line: Line) -> None:
        async def beside() -> None:
            line.begin("resp_side", conversation=None)
            for number in range(1000):
                line.audio("resp_side", "item_side", 20)
                if number % 10 == 0:
                    line.send("rate_limits.updated", rate_limits=[])
                await trio.sleep(0.02)

        async def tool_turn() -> None:
            await trio.sleep(2)
            line.call("resp_1", ("call_1", "nap", "{}"))
            await line.until("response.create")
            line.begin("resp_2")
            line.finish("resp_2")

        line.greet()
        line.confirm(await line.until("session.update"))
        line.nursery.start_soon(beside)
        line.nursery.start_soon(tool_turn)
        await trio.sleep_forever()

    async with house(service, tools=[tool("nap", sleeps(seconds))]) as home:
        caller = await home.opened()
        for number in range(1000):
            caller.send("input_audio_buffer.append", audio=sound(20, number % 250))
            await trio.sleep(0.02)
        await trio.sleep(5)
        watched = {"response.output_audio.delta", "rate_limits.updated"}
        at_client = [(when, event["type"]) for when, event in caller.events if event["type"] in watched]
        at_service = [
            (when, event["audio"]) for when, event in home.line.received if event["type"] == "input_audio_buffer.append"
        ]
        (answered,) = [when for when, event in home.line.received if event["type"] == "conversation.item.create"]
        return at_client, at_service, answered


async def test_a_ten_second_tool_delays_audio_and_events_by_nothing(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    quick = await _while_a_tool_sleeps(0)
    middle = trio.current_time()
    slow = await _while_a_tool_sleeps(10)
    assert len(quick[0]) == 1100
    assert len(quick[1]) == 1000

    def since(arrivals: list[tuple[float, str]], start: float) -> list[tuple[float, str]]:
        return [(round(when - start, 6), what) for when, what in arrivals]

    assert since(slow[0], middle) == since(quick[0], began)
    assert since(slow[1], middle) == since(quick[1], began)
    assert slow[2] - middle == pytest.approx(quick[2] - began + 10)


async def test_a_tool_that_takes_too_long_is_reported_to_the_model(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(asks_for_it, answers), tools=[tool("nap", sleeps(100))], tool_timeout_s=5) as home:
        caller = await home.opened()
        asked_at = trio.current_time()
        caller.ask("Sleep.")
        await caller.until("response.done")
        assert trio.current_time() - asked_at == pytest.approx(5, abs=0.01)
        assert outputs(home) == [
            ("call_1", {"error": "The tool did not answer within 5 seconds. Say so, and go on."}),
        ]


async def test_a_tool_that_cannot_says_why(autojump_clock: trio.testing.MockClock) -> None:
    async def cannot() -> ToolResult:
        raise ToolFailed("The archive is closed.")

    async with house(converse(asks_for_it, answers), tools=[tool("nap", cannot)]) as home:
        caller = await home.opened()
        caller.ask("Go.")
        await caller.until("response.done")
        assert outputs(home) == [("call_1", {"error": "The archive is closed."})]


async def test_a_tool_that_crashes_costs_one_answer_and_tells_no_secrets(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def crashes() -> ToolResult:
        async with trio.open_nursery():
            raise ValueError("password=hunter2")

    async with house(converse(asks_for_it, answers), tools=[tool("nap", crashes)]) as home:
        caller = await home.opened()
        caller.ask("Go.")
        await caller.until("response.done")
        assert outputs(home) == [("call_1", {"error": "The tool failed."})]
        assert "tool crashed" in [entry["event"] for entry in home.log]


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("search_knowledge_base", "{}", "query"),
        ("search_knowledge_base", '{"query":7}', "str"),
        ("search_knowledge_base", '{"query":""}', "length"),
        ("search_knowledge_base", "not json", "malformed"),
        ("search_knowledge_base", "", "query"),
        ("search_knowledge_base", '["query"]', "object"),
    ],
)
async def test_arguments_that_do_not_fit_are_reported_to_the_model(
    autojump_clock: trio.testing.MockClock, name: str, arguments: str, complaint: str
) -> None:
    async def wrong(line: Line, _: Json) -> None:
        line.call("resp_1", ("call_1", name, arguments))

    async with house(converse(wrong, answers)) as home:
        caller = await home.opened()
        caller.ask("Go.")
        await caller.until("response.done")
        ((_, output),) = outputs(home)
        assert complaint in output["error"]


def counting(at_once: list[int], seconds: float = 1.0) -> Tool[Any]:
    """A tool that notes how many of it run side by side."""
    running = 0

    async def call() -> ToolResult:
        nonlocal running
        running += 1
        at_once.append(running)
        await trio.sleep(seconds)
        running -= 1
        return ToolResult("{}")

    return tool("nap", call)


async def test_tools_run_side_by_side_up_to_a_number(autojump_clock: trio.testing.MockClock) -> None:
    async def many(line: Line, _: Json) -> None:
        line.call("resp_1", *((f"call_{number}", "nap", "{}") for number in range(10)))

    at_once: list[int] = []
    async with house(converse(many, answers), tools=[counting(at_once)], tools_at_once=3) as home:
        caller = await home.opened()
        asked_at = trio.current_time()
        caller.ask("Go.")
        await caller.until("response.done")
        assert max(at_once) == 3
        assert trio.current_time() - asked_at == pytest.approx(4, abs=0.01)
        assert sorted(call for call, _ in outputs(home)) == [f"call_{number}" for number in range(10)]
        assert len(home.line.of("response.create")) == 2, "one for the question, one for all results"


async def test_too_many_tool_calls_are_refused_and_each_is_answered_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def far_too_many(line: Line, _: Json) -> None:
        line.call("resp_1", *((f"call_{number}", "nap", "{}") for number in range(200)))

    at_once: list[int] = []
    async with house(converse(far_too_many, answers), tools=[counting(at_once)], tools_at_once=2) as home:
        caller = await home.opened()
        caller.ask("Go.")
        await trio.sleep(0.5)
        assert sum("nap" in name or "_run_tool" in name for name in home.running()) <= 2, "calls that wait are no tasks"
        await caller.until("response.done")
        told = outputs(home)
        assert sorted(call for call, _ in told) == sorted(f"call_{number}" for number in range(200))
        refused = [call for call, output in told if output.get("error") == "Too many tool calls at once."]
        assert len(at_once) + len(refused) == 200
        assert 32 <= len(at_once) <= TOOL_CALLS_WAITING + 2, "as many as may wait, and two that run"


async def test_a_result_after_the_user_went_on_is_told_but_not_spoken(autojump_clock: trio.testing.MockClock) -> None:
    async def next_answer(line: Line, _: Json) -> None:
        await line.speak("resp_3", "Something else.")

    async with house(converse(asks_for_it, next_answer, answers), tools=[tool("nap", sleeps(5))]) as home:
        caller = await home.opened()
        caller.ask("Sleep.")
        await trio.sleep(1)
        home.line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "cancelled"
        await trio.sleep(10)
        assert [call for call, _ in outputs(home)] == ["call_1"]
        assert len(home.line.of("response.create")) == 1


async def test_a_tool_still_running_when_the_session_ends_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    ended: list[str] = []

    async def stubborn() -> ToolResult:
        try:
            await trio.sleep(1000)
        finally:
            ended.append("cancelled")
        raise AssertionError("unreachable")

    async with house(converse(asks_for_it), tools=[tool("nap", stubborn)], tool_timeout_s=2000) as home:
        caller = await home.opened()
        caller.ask("Sleep.")
        await trio.sleep(1)
        caller.leave()
        await caller.closed()
        await trio.sleep(1)
        assert ended == ["cancelled"]
    assert home.endings == ["completed"]
