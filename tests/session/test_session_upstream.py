"""Trouble with the Realtime service: refusals, losses, silence; what the client is told and how the session ends."""

import pytest
import trio
import trio.testing

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from server.upstream.base import UpstreamRefused, UpstreamUnreachable
from tests.session.house import Caller, house
from tests.session.service import HANGS, Json, Line, converse, sound

BUSY = UpstreamRefused("The service is busy.", code="upstream_http_503", retryable=True)
WRONG_KEY = UpstreamRefused("The key is wrong. Look at OPENAI_API_KEY.", code="upstream_http_401")
ASLEEP = UpstreamUnreachable("Nobody is there.", code="upstream_unreachable", retryable=True)


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.")


async def refused(caller: Caller) -> tuple[Json, int | None]:
    """The error a client is told, and the close code behind it."""
    error = await caller.until("error")
    return error["error"], await caller.closed()


async def test_a_refusal_that_passes_is_not_noticed(autojump_clock: trio.testing.MockClock) -> None:
    async with house(BUSY, ASLEEP, converse(answers)) as home:
        caller = await home.opened()
        assert len(home.service.attempts) == 3
        first, second, third = home.service.attempts
        assert second - first <= 0.3
        assert third - first <= 1.0
        caller.ask("Hello?")
        await caller.until("response.done")
        assert caller.of("error") == []


async def test_a_refusal_for_good_is_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with house(WRONG_KEY, converse(answers)) as home:
        began = trio.current_time()
        error, code = await refused(await home.caller())
        assert error["type"] == "upstream_error"
        assert error["code"] == "upstream_unavailable"
        assert "Look at OPENAI_API_KEY" in error["message"]
        assert code == 4502
        assert trio.current_time() - began < 0.1
        assert len(home.service.attempts) == 1
    assert home.endings == ["upstream_unavailable"]


async def test_tries_are_used_up(autojump_clock: trio.testing.MockClock) -> None:
    async with house(ASLEEP, attempts=4) as home:
        error, code = await refused(await home.caller(path="/v1/realtime"))
        assert error["message"] == "Nobody is there."
        assert code == 4502
        assert len(home.service.attempts) == 4
    assert home.endings == ["upstream_unavailable"]


async def test_the_service_says_when_to_come_back(autojump_clock: trio.testing.MockClock) -> None:
    later = UpstreamRefused("Too many.", code="upstream_http_429", retryable=True, retry_after_s=3.0)
    async with house(later, converse(answers)) as home:
        await home.opened()
        first, second = home.service.attempts
        assert second - first == pytest.approx(3.0, abs=0.2)


async def test_a_service_that_wants_to_be_left_alone_for_longer_than_we_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    later = UpstreamRefused("Too many.", code="upstream_http_429", retryable=True, retry_after_s=3600.0)
    async with house(later, connect_timeout_s=5) as home:
        began = trio.current_time()
        error, code = await refused(await home.caller())
        assert error["message"] == "Too many."
        assert error["retry_after"] == 3600.0
        assert code == 4502
        assert trio.current_time() - began < 0.1
        assert len(home.service.attempts) == 1


async def test_a_connect_that_hangs_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with house(HANGS, connect_timeout_s=7) as home:
        began = trio.current_time()
        error, code = await refused(await home.caller())
        assert error["code"] == "upstream_too_slow"
        assert "7 seconds" in error["message"]
        assert code == 4504
        assert trio.current_time() - began == pytest.approx(7, abs=0.1)
    assert home.endings == ["upstream_too_slow"]


async def test_a_service_that_never_confirms_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async def mute(line: Line) -> None:
        line.greet()
        await trio.sleep_forever()

    async with house(mute) as home:
        began = trio.current_time()
        error, code = await refused(await home.caller())
        assert code == 4504
        assert "10 seconds" in error["message"]
        assert trio.current_time() - began == pytest.approx(10, abs=0.1)
        assert home.line.lost is not None
        await trio.sleep(1)
        assert home.line.lost.code == 1000, "the service got a proper close"
    assert home.endings == ["upstream_too_slow"]


async def test_a_refusal_in_openais_manner(autojump_clock: trio.testing.MockClock) -> None:
    """OpenAI accepts the WebSocket, sends an error event and closes with 3000."""

    async def shows_the_door(line: Line) -> None:
        detail = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key provided."}
        line.send("error", error=detail)
        line.websocket.close(3000, "invalid_request_error.invalid_api_key")
        await trio.sleep_forever()

    async with house(shows_the_door) as home:
        caller = await home.caller()
        error, code = await refused(caller)
        assert error["code"] == "upstream_unavailable"
        assert "invalid_api_key" in error["message"]
        assert "Incorrect API key provided." not in error["message"]
        assert "3000" in error["message"]
        assert code == 4502
        assert len(caller.of("error")) == 1
    assert home.endings == ["upstream_unavailable"]


async def test_settings_that_the_service_refuses(autojump_clock: trio.testing.MockClock) -> None:
    async def picky(line: Line) -> None:
        line.greet()
        update = await line.until("session.update")
        detail = {"type": "invalid_request_error", "code": "invalid_value", "message": "No such voice."}
        line.send("error", error={**detail, "event_id": update["event_id"]})
        await trio.sleep_forever()

    async with house(picky) as home:
        error, code = await refused(await home.caller())
        assert "No such voice." in error["message"]
        assert code == 4502
    assert home.endings == ["upstream_unavailable"]


async def test_a_service_that_takes_nothing_loses_the_oldest_speech_and_the_client_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        home.line.wire.stall()
        for _ in range(300):
            caller.send("input_audio_buffer.append", audio=sound(100))
            await trio.sleep(0.01)
        told = await caller.until("avatar.state", state="degraded")
        assert "ms of your speech were lost" in told["detail"]
        home.line.wire.resume()
        await trio.sleep(1)
        assert 150 <= len(home.line.of("input_audio_buffer.append")) < 300
        assert caller.lost is None


async def test_too_much_before_the_service_is_there(autojump_clock: trio.testing.MockClock) -> None:
    async with house(HANGS) as home:
        caller = await home.caller()
        for _ in range(20):
            caller.send(
                "conversation.item.create", item={"type": "message", "role": "user", "content": []}, pad="x" * 99_000
            )
        assert await caller.closed() == 4504
        assert len(caller.of("error")) == 1, "an error precedes every close that has a reason to tell"
    assert home.endings == ["upstream_too_slow"]


async def test_every_fault_of_the_service_has_a_reason() -> None:
    assert UpstreamFault("x", code="x").reason is EndReason.UPSTREAM_UNAVAILABLE
