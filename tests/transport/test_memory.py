import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.transport.errors import WireBroken, WireClosed
from server.transport.memory import memory_wire_pair
from server.transport.wire import send_all


async def test_a_wire_takes_no_more_than_it_holds(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=10)
    assert near.try_send(b"x" * 25) == 10
    assert near.try_send(b"y") == 0
    assert await far.receive() == b"x" * 10
    assert near.try_send(b"y") == 1
    assert near.sent_bytes == 11


async def test_both_ways_are_independent(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    near.try_send(b"there")
    far.try_send(b"back")
    assert await far.receive() == b"there"
    assert await near.receive() == b"back"


async def test_a_waiting_writer_goes_on_when_the_peer_reads(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=10)
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, near, b"0123456789" * 10)
        while len(received) < 100:
            received += await far.receive() or b""
    assert received == b"0123456789" * 10


async def test_a_half_close_ends_one_direction(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    near.try_send(b"last")
    near.send_eof()
    assert await far.receive() == b"last"
    assert await far.receive() == b""
    far.try_send(b"answer")
    assert await near.receive() == b"answer"
    with pytest.raises(WireBroken):
        near.try_send(b"more")


async def test_a_stalled_end_sees_nothing_until_it_resumes(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    far.stall()
    near.try_send(b"x")
    near.send_eof()
    with trio.move_on_after(100) as scope:
        await far.receive()
    assert scope.cancelled_caught
    far.resume()
    assert await far.receive() == b"x"
    assert await far.receive() == b""


async def test_a_reset_breaks_both_ends(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    near.try_send(b"lost")
    far.reset()
    for wire in (near, far):
        with pytest.raises(WireBroken):
            await wire.receive()
        with pytest.raises(WireBroken):
            wire.try_send(b"x")


async def test_closing_wakes_this_end_and_ends_the_other(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()

    async def wait() -> None:
        with pytest.raises(WireClosed):
            await near.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        near.close()
        near.close()
    assert near.closed
    assert await far.receive() == b""
    with pytest.raises(WireBroken):
        far.try_send(b"x")
    with pytest.raises(WireClosed):
        near.try_send(b"x")


async def test_an_interrupt_wakes_without_closing(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=1)
    near.try_send(b"x")
    results: list[bytes | None] = []

    async def read() -> None:
        results.append(await near.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(near.wait_writable)
        await wait_all_tasks_blocked()
        near.interrupt()
    assert results == [None]
    far.try_send(b"y")
    assert await near.receive() == b"y"
