"""What a session does as time passes: pace, rate limits, idle timeout, expiry, keepalive. In virtual time."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import Client
from tests.simulator.memory import in_memory
from tests.simulator.scripts import SAYS, TELLS
from tests.simulator.sounds import silence, tone


def audio_seconds(client: Client) -> float:
    return sum(len(event["delta"]) * 3 / 4 / 48_000 for event in client.of("response.output_audio.delta"))


async def test_unpaced_audio_takes_no_time_at_all(autojump_clock: MockClock) -> None:
    async with in_memory(think=TELLS) as client:
        start = trio.current_time()
        await client.respond()
        assert trio.current_time() == start


@pytest.mark.parametrize("pace", [1.0, 4.0])
async def test_paced_audio_takes_its_share_of_real_time(autojump_clock: MockClock, pace: float) -> None:
    async with in_memory(SimulatorSettings(pace=pace), think=TELLS) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        start = trio.current_time()
        await client.until("response.done", 60)
        taken = (trio.current_time() - start) * pace
        assert audio_seconds(client) - 0.25 <= taken <= audio_seconds(client)


async def test_thinking_takes_the_time_it_was_told_to(autojump_clock: MockClock) -> None:
    async with in_memory(SimulatorSettings(think_ms=700), think=SAYS) as client:
        await client.send("response.create")
        await client.until("response.created")
        start = trio.current_time()
        await client.until("response.output_item.added")
        assert trio.current_time() - start == pytest.approx(0.7)


async def test_rate_limits_come_40_ms_behind_and_hold_nothing_up(autojump_clock: MockClock) -> None:
    async with in_memory(think=SAYS) as client:
        done = await client.respond("One.")
        start = trio.current_time()
        limits = await client.until("rate_limits.updated")
        assert trio.current_time() - start == pytest.approx(0.04)
        (tokens,) = limits["rate_limits"]
        assert (tokens["name"], tokens["limit"]) == ("tokens", 40_000)
        assert tokens["remaining"] == 40_000 - done["usage"]["total_tokens"]
        assert tokens["reset_seconds"] == pytest.approx(done["usage"]["total_tokens"] / 40_000 * 60, abs=0.001)
        await client.respond("Two.")
        await client.respond("Three.")
        assert [event["type"] for event in client.events].count("rate_limits.updated") == 1


async def idle_session(client: Client) -> float:
    """A session with an idle timeout after its first answer; when that answer was generated."""
    await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}})
    await client.speak(silence(1000))
    await client.respond("Hello!")
    return trio.current_time()


async def test_h_the_idle_timeout_counts_from_the_end_of_playback_and_makes_a_turn(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        start = await idle_session(client)
        await trio.sleep(audio_seconds(client) + 1)
        await client.speak(silence(2000))
        triggered = await client.until("input_audio_buffer.timeout_triggered", 60)
        assert trio.current_time() - start == pytest.approx(audio_seconds(client) + 5, abs=0.01)
        assert (triggered["audio_start_ms"], triggered["audio_end_ms"]) == (1000, 3000)
        before = len(client.events)
        done = (await client.until("response.done"))["response"]
        assert client.types(before)[:4] == [
            "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done", "response.created",
        ]  # fmt: skip
        assert client.events[before]["item_id"] == triggered["item_id"]
        assert done["output"][0]["content"][0]["transcript"] == "Are you still there?"


async def test_h_speech_or_another_response_takes_the_timeout_away(autojump_clock: MockClock) -> None:
    async with in_memory() as client:
        await idle_session(client)
        await trio.sleep(audio_seconds(client) + 4)
        await client.speak(tone(200))
        await trio.sleep(10)
        await client.speak(silence(400))
        await client.until("response.done")
        await client.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": None}}})
        await trio.sleep(60)
        await client.quiet()
        assert client.of("input_audio_buffer.timeout_triggered") == []


async def test_an_openai_session_ends_after_an_hour_with_an_error_and_a_close(autojump_clock: MockClock) -> None:
    async with in_memory(SimulatorSettings(service="openai"), think=SAYS) as client:
        assert client.events[0]["session"]["expires_at"] == 1_760_003_600
        start = trio.current_time()
        message = "Your session hit the maximum duration of 60 minutes."
        error = (await client.until("error", 4000))["error"]
        assert trio.current_time() - start == pytest.approx(3600)
        assert error == {
            "type": "invalid_request_error",
            "code": "session_expired",
            "message": message,
            "param": None,
            "event_id": None,
        }
        assert await client.closed() == (1001, message)


async def test_an_azure_session_ends_after_half_an_hour_with_a_close_alone(autojump_clock: MockClock) -> None:
    async with in_memory(SimulatorSettings(service="azure"), think=SAYS) as client:
        assert client.events[0]["session"]["expires_at"] == 1_760_001_800
        start = trio.current_time()
        with trio.move_on_after(1799):
            await client.receive(2000)
        assert (await client.respond())["status"] == "completed"
        assert await client.closed(2000) == (1001, "Your session hit the maximum duration of 30 minutes.")
        assert trio.current_time() - start == pytest.approx(1800)
        assert client.of("error") == []


@pytest.mark.parametrize("service", ["azure", "openai"])
async def test_the_announced_end_is_the_real_one_wherever_it_is_set(autojump_clock: MockClock, service: Any) -> None:
    async with in_memory(SimulatorSettings(service=service, session_seconds=90), think=SAYS) as client:
        assert client.events[0]["session"]["expires_at"] == 1_760_000_090
        assert (await client.update(instructions="Be brief."))["expires_at"] == 1_760_000_090
        start = trio.current_time()
        assert await client.closed(100) == (1001, "Your session hit the maximum duration of 1.5 minutes.")
        assert trio.current_time() - start == pytest.approx(90)


async def test_a_client_that_answers_pings_is_kept_and_a_mute_one_is_not(autojump_clock: MockClock) -> None:
    async with in_memory(SimulatorSettings(session_seconds=10_000)) as client:
        await trio.sleep(100)
        assert client.wire.ended_by == ""
        client.far_socket.pongs = False
        await trio.sleep(50)
        assert client.wire.ended_by == "reset"
