"""Scripted faults as a client sees them. In virtual time, but for those that need a real socket (test_service)."""

import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock
from trio_websocket import ConnectionClosed

from server.simulator.faults import HANDSHAKE, FaultSchedule, fault_rules, random_faults
from server.simulator.mishaps import SWAP_SECONDS
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import as_base64
from tests.simulator.memory import in_memory
from tests.simulator.scripts import ANSWER, SAYS, TELLS
from tests.simulator.sounds import silence, tone


def script(*rules: dict[str, Any], **other: Any) -> SimulatorSettings:
    return SimulatorSettings(faults=fault_rules(rules), **other)


async def test_delay_holds_an_event_and_all_behind_it(autojump_clock: MockClock) -> None:
    told = script({"do": "delay", "ms": 1500, "when": "response.content_part.added"})
    async with in_memory(told, think=SAYS) as client:
        start = trio.current_time()
        await client.send("response.create")
        await client.until("conversation.item.added")
        assert trio.current_time() == pytest.approx(start, abs=1e-6)
        await client.until("response.content_part.added")
        assert trio.current_time() - start == pytest.approx(1.5)
        await client.until("response.done")
        assert trio.current_time() - start == pytest.approx(1.5)


async def test_a_delay_before_a_client_event_is_carried_out(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "delay", "ms": 800, "when": "response.create"}), think=SAYS) as client:
        start = trio.current_time()
        await client.respond()
        assert trio.current_time() - start == pytest.approx(0.8)


async def test_stall_for_good_sends_nothing_more_and_reads_nothing_more(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "stall", "when": "response.output_audio.delta"}), think=TELLS) as client:
        await client.send("response.create")
        await client.until("response.output_audio_transcript.delta")
        await client.quiet(1)
        await client.send("input_audio_buffer.clear")
        assert await client.quiet(1000) == []
        assert client.of("response.output_audio.delta") == []


async def test_stall_for_a_while_then_everything_comes(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "stall", "when": "response.created", "ms": 3000}), think=SAYS) as client:
        start = trio.current_time()
        assert (await client.respond())["status"] == "completed"
        assert trio.current_time() - start == pytest.approx(3)


@pytest.mark.parametrize("action", ["drop", "reset"])
async def test_the_line_goes_dead_in_the_middle_of_an_answer(autojump_clock: MockClock, action: str) -> None:
    rule = {"do": action, "when": "response.output_audio.delta", "nth": 3}
    async with in_memory(script(rule), think=TELLS) as client:
        await client.send("response.create")
        with pytest.raises(ConnectionClosed):
            await client.until("response.done")
        assert client.wire.ended_by == action
        assert len(client.of("response.output_audio.delta")) == 3


async def test_close_overtakes_what_waits(autojump_clock: MockClock) -> None:
    rule = {"do": "close", "when": "response.created", "code": 1011, "reason": "internal"}
    async with in_memory(script(rule), think=TELLS) as client:
        await client.send("response.create")
        assert await client.closed() == (1011, "internal")
        assert client.events[-1]["type"] == "response.created"


async def test_after_ms_lets_the_session_run_on_until_then(autojump_clock: MockClock) -> None:
    rule = {"do": "close", "code": 1012, "after_ms": 2500}
    async with in_memory(script(rule), think=SAYS) as client:
        start = trio.current_time()
        assert (await client.respond())["status"] == "completed"
        assert await client.closed() == (1012, "")
        assert trio.current_time() - start == pytest.approx(2.5)


async def test_an_error_event_comes_right_behind_its_moment(autojump_clock: MockClock) -> None:
    rule = {"do": "error", "when": "response.created", "code": "inference_rate_limit_exceeded", "message": "Slow down."}
    async with in_memory(script(rule), think=SAYS) as client:
        assert (await client.respond())["status"] == "completed"
        created = client.types().index("response.created")
        assert client.types()[created + 1] == "error"
        assert client.of("error")[0]["error"] == {
            "type": "server_error",
            "code": "inference_rate_limit_exceeded",
            "message": "Slow down.",
            "param": None,
            "event_id": None,
        }


async def test_malformed_unknown_and_duplicate_frames(autojump_clock: MockClock) -> None:
    rules = [
        {"do": "malformed", "when": "response.created"},
        {"do": "unknown", "when": "response.content_part.added"},
        {"do": "duplicate", "when": "response.done"},
    ]
    async with in_memory(script(*rules), think=SAYS) as client:
        await client.send("response.create")
        with pytest.raises(msgspec.DecodeError):
            await client.until("response.done")
        await client.until("simulator.unknown")
        done = await client.until("response.done")
        assert await client.receive() == done


async def test_server_errors_fail_so_many_responses_without_a_bill(autojump_clock: MockClock) -> None:
    rule = {"do": "server_error", "times": 2, "code": "overloaded", "message": "Too much."}
    async with in_memory(script(rule), think=SAYS) as client:
        done = [await client.respond() for _ in range(3)]
        assert [response["status"] for response in done] == ["failed", "failed", "completed"]
        error = {"type": "server_error", "code": "overloaded", "message": "Too much."}
        assert done[0]["status_details"] == {"type": "failed", "error": error}
        assert (done[0]["usage"], done[0]["output"]) == (None, [])


async def test_server_errors_can_go_on_for_ever(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "server_error", "times": 0}), think=SAYS) as client:
        assert {(await client.respond())["status"] for _ in range(5)} == {"failed"}


async def test_a_server_error_at_response_create_hits_that_response(autojump_clock: MockClock) -> None:
    rule = {"do": "server_error", "when": "response.create", "nth": 2}
    async with in_memory(script(rule), think=SAYS) as client:
        assert [(await client.respond())["status"] for _ in range(3)] == ["completed", "failed", "completed"]


async def test_the_content_filter_stops_a_response_after_its_first_words(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "content_filter"}), think=SAYS) as client:
        done = await client.respond()
        assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "content_filter")
        assert done["output"][0]["status"] == "incomplete"
        assert ANSWER.startswith(done["output"][0]["content"][0]["transcript"])
        assert (await client.respond())["status"] == "completed"


async def test_a_failed_transcription_leaves_the_turn_alone(autojump_clock: MockClock) -> None:
    async def hears(audio: bytes) -> str:
        await trio.lowlevel.checkpoint()
        return "Hello."

    told = script({"do": "transcription_failed"})
    async with in_memory(told, think=SAYS, recogniser=hears) as client:
        await client.update(audio={"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}})
        for _ in range(2):
            await client.speak(tone(200))
            await client.send("input_audio_buffer.commit")
        await client.until("conversation.item.input_audio_transcription.completed")
        failed = client.of("conversation.item.input_audio_transcription.failed")
        assert [event["error"]["code"] for event in failed] == ["transcription_failed"]


async def test_slow_makes_speech_slower_than_real(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "slow", "factor": 2.0}), think=SAYS) as client:
        start = trio.current_time()
        await client.send("response.create")
        await client.until("response.output_item.added")
        assert trio.current_time() - start == pytest.approx(0.2)
        await client.until("response.done", 60)
        seconds = sum(len(event["delta"]) * 3 / 4 / 48_000 for event in client.of("response.output_audio.delta"))
        assert trio.current_time() - start >= 2 * (seconds - 0.25)


async def test_expire_ends_the_session_early(autojump_clock: MockClock) -> None:
    for service, codes in (("azure", []), ("openai", ["session_expired"])):
        told = script({"do": "expire", "when": "response.done"}, service=service)
        async with in_memory(told, think=SAYS) as client:
            await client.send("response.create")
            assert (await client.closed())[0] == 1001
            assert [event["error"]["code"] for event in client.of("error")] == codes


async def test_a_mute_service_takes_everything_and_says_nothing(autojump_clock: MockClock) -> None:
    rule = {"do": "mute", "when": "response.output_audio.delta", "nth": 2}
    async with in_memory(script(rule), think=TELLS) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        await client.quiet(1)
        for _ in range(2000):
            await client.send("input_audio_buffer.append", audio=as_base64(silence(100)))
        assert await client.quiet(1000) == []
        assert len(client.of("response.output_audio.delta")) == 1
        assert client.wire.ended_by == ""
        assert client.connection.session.meter.responses == {"completed": 1}


async def test_a_service_may_be_mute_from_the_start_and_find_its_voice(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "mute", "ms": 5000}), think=SAYS, opened=False) as client:
        await client.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        assert await client.quiet(6) == []
        assert (await client.respond())["status"] == "completed"
        assert client.of("session.created") == []


async def test_speech_and_requests_go_unanswered_so_many_times(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "no_response", "times": 2}), think=SAYS) as client:
        await client.speak(tone(400) + silence(400))
        await client.until("conversation.item.done")
        assert await client.quiet(60) == []
        assert client.types()[1:4] == [
            "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
        ]  # fmt: skip
        await client.send("response.create")
        assert await client.quiet(60) == []
        assert (await client.respond())["status"] == "completed"


async def test_requests_may_go_unanswered_for_ever(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "no_response", "times": 0}), think=SAYS) as client:
        for _ in range(3):
            await client.send("response.create")
        assert await client.quiet(600) == []


async def test_a_swapped_event_comes_behind_the_next(autojump_clock: MockClock) -> None:
    rule = {"do": "swap", "when": "response.output_item.done"}
    async with in_memory(script(rule), think=SAYS) as client:
        await client.send("response.create")
        await client.until("response.output_item.done")
        assert client.types()[-2:] == ["response.done", "response.output_item.done"]
        rule_free = await client.respond()
        assert rule_free["status"] == "completed"


async def test_an_event_with_nothing_to_swap_with_comes_late_and_one_before_a_close_comes(
    autojump_clock: MockClock,
) -> None:
    async with in_memory(script({"do": "swap", "when": "session.updated"}), think=SAYS) as client:
        start = trio.current_time()
        await client.update(instructions="Be brief.")
        assert trio.current_time() - start == pytest.approx(SWAP_SECONDS)
    rules = ({"do": "swap", "when": "response.done"}, {"do": "expire", "when": "response.done"})
    async with in_memory(script(*rules), think=SAYS) as client:
        await client.send("response.create")
        assert (await client.closed())[0] == 1001


async def test_a_late_delta_belongs_to_a_response_that_is_over(autojump_clock: MockClock) -> None:
    rules = (
        {"do": "late", "when": "response.output_audio.delta", "nth": 2},
        {"do": "late", "when": "response.output_audio_transcript.delta"},
    )
    async with in_memory(script(*rules), think=SAYS) as client:
        done = await client.respond()
        late = [await client.receive(), await client.receive()]
        assert {event["type"] for event in late} == {rule["when"] for rule in rules}
        assert {event["response_id"] for event in late} == {done["id"]}
        assert all(client.events.count(event) == 2 for event in late)
        await client.respond()
        assert not [event for event in await client.quiet() if event["type"].endswith(".delta")]


async def test_a_stall_ends_when_the_client_leaves(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "stall", "when": "response.created"}), think=TELLS) as client:
        await client.send("response.create")
        await client.quiet(100)
        assert client.wire.held_until == math.inf
        await client.websocket.aclose()
        with trio.fail_after(1):
            await client.ended.wait()


async def test_rules_for_other_connections_do_nothing(autojump_clock: MockClock) -> None:
    async with in_memory(script({"do": "drop", "connection": 2}), think=SAYS) as client:
        assert (await client.respond())["status"] == "completed"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_a_random_schedule_ends_in_an_answer_an_error_or_a_dead_line_and_never_in_a_crash(seed: int) -> None:
    async def main() -> None:
        faults = tuple(rule for rule in random_faults(seed, count=4, connections=1) if rule.when != HANDSHAKE)
        async with in_memory(SimulatorSettings(faults=faults), think=SAYS, opened=False) as client:
            with suppress(ConnectionClosed):
                for _ in range(2):
                    await client.type("Hello.")
                    await client.send("response.create")
                with trio.move_on_after(120):
                    while len(client.of("response.done")) < 2:
                        with suppress(msgspec.DecodeError):
                            await client.receive(math.inf)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_schedule_without_rules_is_never_due() -> None:
    faults = FaultSchedule(()).for_connection(1)
    assert faults.due("session.created") == []
