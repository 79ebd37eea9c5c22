import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.transport.errors import ConnectionLost
from server.transport.inbound import Message
from server.transport.memory import memory_wire_pair
from server.transport.websocket import TOO_MANY_FRAMES, WebSocket, WebSocketOptions
from server.transport.wire import send_all
from tests.transport.peers import (
    BINARY,
    CLOSE,
    CONT,
    FAST,
    PING,
    PONG,
    TEXT,
    close_frame,
    connected,
    frame,
    open_websocket,
    parse_frames,
    receive_exactly,
    receive_to_end,
)


async def lost(websocket: WebSocket) -> ConnectionLost:
    """The loss that the next `receive` reports."""
    with pytest.raises(ConnectionLost) as caught:
        await websocket.receive()
    return caught.value


# Messages


async def test_text_goes_both_ways_as_bytes(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        client.send("grüß dich")
        assert await server.receive() == Message("grüß dich".encode(), True)
        server.send(b'{"n":1}')
        assert await client.receive() == Message(b'{"n":1}', True)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1024 * 1024])
async def test_messages_of_every_length_form_arrive(size: int, autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        client.send(b"x" * size)
        server.send(b"y" * size)
        assert (await server.receive()).data == b"x" * size
        assert (await client.receive()).data == b"y" * size


async def test_binary_is_told_apart_from_text(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    far.try_send(frame(BINARY, b"\xff\x00"))
    assert await websocket.receive() == Message(b"\xff\x00", False)
    websocket.abort()


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    data = b"".join(frame(TEXT, b"%d" % n) for n in range(200))
    received: list[bytes] = []

    async def feed() -> None:
        for byte in data:
            await trio.sleep(0.01)
            far.try_send(bytes([byte]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        while len(received) < 200:
            with trio.move_on_after(0.013):
                received.append((await websocket.receive()).data)
    assert received == [b"%d" % n for n in range(200)]
    websocket.abort()


async def test_a_flood_of_small_frames_lets_others_run(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=64 * 1024)
    websocket = open_websocket(near)
    far.try_send(frame(PING, b"") * 4000 + frame(TEXT, b"end"))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        assert (await websocket.receive()).data == b"end"
        nursery.cancel_scope.cancel()
    assert turns >= 4000 / 16 - 2
    websocket.abort()


async def test_buffered_messages_come_before_the_close_behind_them(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    far.try_send(frame(TEXT, b"a") + frame(TEXT, b"b") + close_frame(4000, b"enough"))
    assert (await websocket.receive()).data == b"a"
    assert (await websocket.receive()).data == b"b"
    loss = await lost(websocket)
    assert (loss.code, loss.reason, loss.by) == (4000, "enough", "peer")
    assert parse_frames(await receive_exactly(far, 10)) == [(CLOSE, (4000).to_bytes(2, "big") + b"enough")]
    websocket.abort()


async def test_pings_are_answered_while_receiving(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    far.try_send(frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONT, b"b"))
    assert (await websocket.receive()).data == b"ab"
    assert parse_frames(await receive_exactly(far, 3)) == [(PONG, b"p")]
    websocket.abort()


# Losses


async def test_a_loss_is_reported_again_on_every_later_call(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    far.send_eof()
    first, second = await lost(websocket), await lost(websocket)
    assert first is not second
    assert (first.code, first.by) == (second.code, second.by) == (None, "network")
    assert websocket.close_code is None
    websocket.abort()


async def test_a_reset_is_the_networks_doing(autojump_clock: MockClock) -> None:
    async with connected() as (server, _, far):
        far.reset()
        server.send("into the void")
        assert (await lost(server)).by == "network"


async def test_a_send_never_raises_whatever_became_of_the_peer(autojump_clock: MockClock) -> None:
    for end in ("reset", "close", "send_eof"):
        async with connected() as (server, _, far):
            getattr(far, end)()
            for _ in range(3):
                server.send("x" * 1000)
            await lost(server)
            server.send("y")
            await server.aclose()
            server.send("z")
            assert server.waiting_bytes == 0


async def test_what_the_peer_said_last_is_read_though_sending_fails(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    far.try_send(frame(TEXT, b"error") + close_frame(4004, b"no such model"))
    far.close()
    websocket.send("x")
    assert (await websocket.receive()).data == b"error"
    assert (await lost(websocket)).code == 4004
    websocket.abort()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x" * 101), 1009),
        (frame(CONT, b"x"), 1002),
        (frame(TEXT, b"x", mask=None), 1002),
    ],
)
async def test_a_fault_of_the_peer_is_ended_by_us_and_seen_by_the_peer(
    data: bytes, code: int, autojump_clock: MockClock
) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near, options=WebSocketOptions(max_message_bytes=100))
    far.try_send(data)
    loss = await lost(websocket)
    assert (loss.code, loss.by) == (code, "us")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.aclose)
        [(opcode, payload)] = parse_frames(await receive_to_end(far))
        far.close()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)


async def test_a_peer_still_sending_its_large_message_reads_1009(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=4096)
    websocket = open_websocket(near, options=WebSocketOptions(max_message_bytes=1000))

    async def serve() -> None:
        assert (await lost(websocket)).code == 1009
        await websocket.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        rest = memoryview(frame(TEXT, b"x" * 200_000))
        while rest:
            rest = rest[far.try_send(rest) :]
            await far.wait_writable()
        frames = parse_frames(await receive_to_end(far))
        far.close()
    assert frames[0][1][:2] == (1009).to_bytes(2, "big")


async def test_the_size_limit_can_be_raised_after_authentication(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near, options=WebSocketOptions(max_message_bytes=10))
    websocket.max_message_bytes = 1000
    assert websocket.max_message_bytes == 1000
    far.try_send(frame(TEXT, b"x" * 1000))
    assert len((await websocket.receive()).data) == 1000
    websocket.abort()


# Sending to a peer that does not take it


def audio(websocket: WebSocket, item: str, count: int, *, ms: float = 100.0) -> None:
    for number in range(count):
        websocket.send(f"{item}-{number}-".ljust(1000, "."), item_id=item, audio_ms=ms)


async def test_a_send_to_a_peer_that_does_not_read_returns_at_once(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=1000) as (server, client, _):
        audio(server, "a", 50)
        assert server.waiting_bytes > 45_000
        received = [(await client.receive()).data[:3] for _ in range(50)]
        assert received == [f"a-{n}"[:3].encode() for n in range(50)]
        await wait_all_tasks_blocked()
        assert server.waiting_bytes == 0
        assert server.waiting_audio_ms == 0


async def test_a_purge_takes_back_one_items_frames_and_breaks_none(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=2500) as (server, client, _):
        audio(server, "spoken", 10)
        server.send("control")
        audio(server, "next", 2)
        purged_ms = server.purge("spoken")
        assert purged_ms == 100.0 * 7, "two frames had left, the third had begun to"
        assert server.purge("spoken") == 0
        texts = [(await client.receive()).data.split(b"-.")[0] for _ in range(6)]
        assert texts == [b"spoken-0", b"spoken-1", b"spoken-2", b"control", b"next-0", b"next-1"]


async def test_a_peer_that_takes_no_byte_for_ten_seconds_is_a_slow_consumer(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=1000) as (server, _, far):
        far.stall()
        audio(server, "a", 5)
        began = trio.current_time()
        loss = await lost(server)
        assert (loss.code, loss.reason, loss.by) == (4413, "slow consumer", "us")
        assert trio.current_time() - began == pytest.approx(10.0)
        assert server.close_code == 4413
        await server.aclose(2.0)
        assert trio.current_time() - began == pytest.approx(12.0)


async def test_a_slow_peer_that_keeps_taking_is_no_slow_consumer(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=1000) as (server, client, far):
        audio(server, "a", 20)
        far.stall()
        for _ in range(20):
            await trio.sleep(9.0)
            far.resume()
            await client.receive()
            far.stall()
        assert server.close_code is None


async def test_more_audio_than_may_wait_is_a_slow_consumer(autojump_clock: MockClock) -> None:
    options = WebSocketOptions(max_audio_ms=1000.0, ping_interval_s=1e9)
    async with connected(options, capacity_bytes=500) as (server, _, far):
        far.stall()
        audio(server, "a", 20)
        assert (await lost(server)).code == 4413
        assert server.waiting_audio_ms == 0


async def test_more_control_than_may_wait_is_a_slow_consumer(autojump_clock: MockClock) -> None:
    options = WebSocketOptions(max_control_bytes=5000, audio_overflow="drop-oldest", ping_interval_s=1e9)
    async with connected(options, capacity_bytes=500) as (server, _, far):
        far.stall()
        for _ in range(7):
            server.send("c" * 1000)
        assert (await lost(server)).reason == "slow consumer"


async def test_upstream_audio_pushes_out_the_oldest_and_says_how_much(autojump_clock: MockClock) -> None:
    options = WebSocketOptions(max_audio_ms=500.0, audio_overflow="drop-oldest", ping_interval_s=1e9)
    async with connected(client_options=options, capacity_bytes=500) as (server, client, far):
        told: list[float] = []
        client.on_audio_dropped = told.append
        client.send("control-first".ljust(1000, "."))
        audio(client, "a", 10)
        client.send("control-last")
        assert told == [100.0] * 5
        assert client.dropped_audio_ms == 500.0
        texts = [(await server.receive()).data.split(b"-.")[0].split(b"...")[0] for _ in range(7)]
        assert texts == [b"control-first", b"a-5", b"a-6", b"a-7", b"a-8", b"a-9", b"control-last"]
        assert not far.closed


async def test_pings_to_a_peer_that_does_not_read_leave_one_pong_waiting(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=20)
    websocket = open_websocket(near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)

        async def flood() -> None:
            for _ in range(500):
                await send_all(far, frame(PING, b"12345"))

        nursery.start_soon(flood)
        with trio.move_on_after(5):
            await websocket.receive()
        assert websocket.waiting_bytes < 20
        nursery.cancel_scope.cancel()


# Keeping alive


async def test_a_silent_peer_is_pinged_and_held_for_dead(autojump_clock: MockClock) -> None:
    near, _far = memory_wire_pair()
    websocket = open_websocket(near, options=WebSocketOptions())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        loss = await lost(websocket)
        assert (loss.code, loss.by) == (None, "network")
        assert 40.0 <= trio.current_time() <= 42.0
    assert near.closed, "and run has given the wire back"


async def test_a_peer_that_answers_pings_lives(autojump_clock: MockClock) -> None:
    options = WebSocketOptions()
    async with connected(options, options) as (server, client, _):
        with trio.move_on_after(600) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.receive)
                nursery.start_soon(client.receive)
        assert scope.cancelled_caught
        client.send("still here")
        assert (await server.receive()).data == b"still here"


async def test_an_owner_that_does_not_listen_does_not_lose_its_peer(autojump_clock: MockClock) -> None:
    options = WebSocketOptions()
    async with connected(options) as (server, client, _):
        client.send("unread")
        await trio.sleep(500)
        assert server.close_code is None
        assert (await server.receive()).data == b"unread"


# Closing


async def test_the_closing_handshake_begun_by_the_server(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, far):
        server.close(1012, "restarting")
        assert (await lost(server)).by == "us"
        loss = await lost(client)
        assert (loss.code, loss.reason, loss.by) == (1012, "restarting", "peer")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            nursery.start_soon(client.aclose)
        assert trio.current_time() == 0, "nobody had to wait for anything"
        assert far.closed


async def test_the_closing_handshake_begun_by_the_client(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            assert (await lost(server)).code == 1000
            nursery.start_soon(server.aclose)
        assert trio.current_time() == 0


async def test_both_sides_closing_at_once(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        server.close(4000)
        client.close(1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            nursery.start_soon(client.aclose)
        assert trio.current_time() == 0
        assert (server.close_code, client.close_code) == (4000, 1000)


async def test_the_first_code_wins(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        server.close(4404, "unknown")
        server.close(1000)
        assert (await lost(client)).code == 4404
        assert (await lost(server)).code == 4404


async def test_close_wakes_a_waiting_receive(autojump_clock: MockClock) -> None:
    async with connected() as (server, _, _far):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lost, server)
            await wait_all_tasks_blocked()
            server.close(1001)
        assert trio.current_time() == 0


async def test_aclose_takes_over_from_a_waiting_receive_and_the_flusher(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=500) as (server, client, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lost, server)
            server.send("c" * 3000)
            await wait_all_tasks_blocked()
            nursery.start_soon(server.aclose)
            assert len((await client.receive()).data) == 3000
            assert (await lost(client)).code == 1000
            nursery.start_soon(client.aclose)
        assert trio.current_time() == 0


async def test_close_keeps_waiting_control_and_drops_waiting_audio(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=500) as (server, client, _):
        server.send("first".ljust(1000, "."))
        audio(server, "a", 10)
        server.send("error event")
        server.close(4402, "budget spent")
        assert (await client.receive()).data.startswith(b"first")
        assert (await client.receive()).data == b"error event"
        assert (await lost(client)).code == 4402


async def test_a_peer_that_does_not_read_cannot_hold_aclose(autojump_clock: MockClock) -> None:
    async with connected(capacity_bytes=100) as (server, _, far):
        far.stall()
        server.send("x" * 5000)
        began = trio.current_time()
        await server.aclose(3.0)
        assert trio.current_time() - began == pytest.approx(3.0)


async def test_a_peer_that_keeps_sending_cannot_hold_aclose(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)

    async def chatter() -> None:
        while not near.closed:
            far.try_send(frame(TEXT, b"blah"))
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatter)
        await websocket.aclose(3.0)
    assert trio.current_time() == pytest.approx(3.0, abs=0.2)


async def test_a_peer_that_does_not_answer_the_close_cannot_hold_aclose(autojump_clock: MockClock) -> None:
    near, _far = memory_wire_pair()
    websocket = open_websocket(near)
    await websocket.aclose(3.0)
    assert trio.current_time() == pytest.approx(3.0)
    assert near.closed


async def test_aclose_is_shielded_and_may_be_repeated(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lost, client)
            with trio.CancelScope() as scope:
                scope.cancel()
                nursery.start_soon(client.aclose)
                await server.aclose()
        await server.aclose()


async def test_cancelling_run_closes_at_once(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert near.closed
    assert await far.receive() == b"", "without a close frame"
    assert (await lost(websocket)).by == "us"


async def test_cancelling_run_leaves_aclose_its_time(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        await wait_all_tasks_blocked()
        nursery.start_soon(websocket.aclose)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert parse_frames(await receive_to_end(far)) == [(CLOSE, (1000).to_bytes(2, "big"))]


async def test_run_gives_up_a_connection_that_nobody_closes(autojump_clock: MockClock) -> None:
    near, _far = memory_wire_pair()
    websocket = open_websocket(near)
    websocket.close(1000)
    await websocket.run()
    assert near.closed
    assert trio.current_time() == pytest.approx(FAST.close_timeout_s)


async def test_a_long_reason_is_cut_between_characters(autojump_clock: MockClock) -> None:
    async with connected() as (server, client, _):
        server.close(4000, "€" * 100)
        assert (await lost(client)).reason == "€" * 41


async def test_a_code_that_may_not_be_sent_is_the_callers_mistake(autojump_clock: MockClock) -> None:
    async with connected() as (server, _, _far):
        with pytest.raises(ValueError, match="1006"):
            server.close(1006)
        assert server.close_code is None


async def test_nothing_is_sent_behind_the_close_frame(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    websocket = open_websocket(near)
    websocket.close(1000)
    websocket.send("late")
    far.try_send(frame(PING, b"p") + close_frame(1000))
    await websocket.aclose(1.0)
    assert [opcode for opcode, _ in parse_frames(await receive_to_end(far))] == [CLOSE]


def test_the_defaults_are_the_documented_ones() -> None:
    options = WebSocketOptions()
    assert (options.ping_interval_s, options.pong_timeout_s, options.stall_s) == (20.0, 20.0, 10.0)
    assert math.isfinite(options.max_audio_ms)


async def test_a_peer_that_only_pings_is_ended_and_one_that_pings_now_and_then_is_not(
    autojump_clock: MockClock,
) -> None:
    options = WebSocketOptions(idle_frames_per_s=20, idle_frames_burst=200)
    for pause_s, is_ended in ((0.01, True), (0.06, False)):
        near, far = memory_wire_pair()
        websocket = open_websocket(near, options=options)
        losses: list[ConnectionLost] = []

        async def serve(websocket: WebSocket = websocket, losses: list[ConnectionLost] = losses) -> None:
            losses.append(await lost(websocket))
            await websocket.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            for _ in range(1000):
                if losses:
                    break
                far.try_send(frame(PING))
                await trio.sleep(pause_s)
            assert bool(losses) is is_ended
            if is_ended:
                assert (losses[0].code, losses[0].by) == (TOO_MANY_FRAMES, "us")
            far.close()
