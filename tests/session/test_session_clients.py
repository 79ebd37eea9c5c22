"""Clients that leave: politely, by losing the network, by taking nothing, by breaking rules. The session ends once."""

import pytest
import trio
import trio.testing

from tests.session.house import BOUNDS, Caller, House, house
from tests.session.service import HANGS, Json, Line, converse
from tests.transport.peers import BINARY, TEXT, frame


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.", ms=2000, gap_s=0.1)


async def floods(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.", ms=100_000)


def say_raw(caller: Caller, data: bytes) -> None:
    assert caller.wire.try_send(data) == len(data)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("1000", "completed"),
        ("1001", "completed"),
        ("4000", "client_lost"),
        ("reset", "client_lost"),
        ("end", "client_lost"),
    ],
)
@pytest.mark.parametrize("when", ["idle", "answer"])
async def test_a_client_leaves(autojump_clock: trio.testing.MockClock, how: str, reason: str, when: str) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        if when == "answer":
            caller.ask("Hello?")
            await caller.until("response.output_audio.delta")
        if how == "reset":
            caller.wire.reset()
        elif how == "end":
            caller.wire.close()
        else:
            caller.leave(int(how))
        await trio.sleep(1)
        assert len(home.registry) == 0
        assert home.line.lost is not None
        assert home.line.lost.code == 1000, "the service gets a proper close"
        assert home.endings == [reason]
    assert home.endings == [reason]


async def _stops_reading(home: House) -> Caller:
    caller = await home.opened(capacity_bytes=16 * 1024)
    caller.wire.stall()
    caller.ask("Hello?")
    return caller


async def test_a_client_that_takes_no_byte_is_a_slow_consumer(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(floods)) as home:
        await _stops_reading(home)
        began = trio.current_time()
        await home.ended()
        assert home.endings == ["slow_consumer"]
        assert trio.current_time() - began == pytest.approx(BOUNDS.send_timeout_s, abs=0.5)


async def test_a_client_with_too_much_sound_waiting_is_a_slow_consumer(autojump_clock: trio.testing.MockClock) -> None:
    async def endless(line: Line, _: Json) -> None:
        await line.speak("resp_1", "Hello.", ms=200_000, gap_s=0.001)

    async with house(converse(endless)) as home:
        await _stops_reading(home)
        began = trio.current_time()
        await home.ended()
        assert home.endings == ["slow_consumer"]
        assert trio.current_time() - began < 5


async def test_a_slow_consumer_that_wakes_up_finds_the_code(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(floods)) as home:
        caller = await _stops_reading(home)
        await home.ended()
        caller.wire.resume()
        assert await caller.closed() == 4413


@pytest.mark.parametrize(("path", "limit"), [("/ws", 1024 * 1024), ("/v1/realtime", 21 * 1024 * 1024)])
async def test_a_message_that_is_too_big(autojump_clock: trio.testing.MockClock, path: str, limit: int) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened(path=path)
        event = b'{"type":"input_audio_buffer.clear","pad":"%s"}'
        caller.say(event % (b"x" * (limit - len(event) + 2)))
        await trio.sleep(1)
        assert caller.lost is None
        caller.say(event % (b"x" * (limit - len(event) + 3)))
        assert await caller.closed() == 1009
        await trio.sleep(0.1)
        assert home.endings == ["too_big"]


async def test_text_that_is_no_utf8(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        say_raw(caller, frame(TEXT, b'{"type":"\xff"}'))
        assert await caller.closed() == 1007
    assert home.endings == ["bad_utf8"]


async def test_a_broken_frame(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        say_raw(caller, frame(3, b"?"))
        assert await caller.closed() == 1002
    assert home.endings == ["protocol_error"]


async def test_a_binary_frame_is_answered_and_the_session_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        say_raw(caller, frame(BINARY, b"\x00\x01"))
        error = await caller.until("error")
        assert error["error"]["code"] == "invalid_event"
        caller.ask("Still there?")
        await caller.until("response.done")


async def test_a_client_whose_network_vanished_is_noticed(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers)) as home:
        caller = await home.opened()
        began = trio.current_time()
        caller.wire.stall()  # pings do not arrive, so no pong comes
        await home.ended()
        assert home.endings == ["client_lost"]
        assert trio.current_time() - began < 45


async def test_a_client_gone_while_the_service_is_being_connected(autojump_clock: trio.testing.MockClock) -> None:
    async with house(HANGS) as home:
        caller = await home.caller()
        await caller.until("avatar.session")
        caller.leave()
        await trio.sleep(1)
        assert home.endings == ["completed"]
        assert len(home.registry) == 0
