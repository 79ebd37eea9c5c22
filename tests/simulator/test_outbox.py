"""The queue in front of a client."""

import pytest
import trio
import trio.testing

from server.simulator.outbox import ROOM_BYTES, Closing, Outbox, Outgoing


async def test_frames_come_out_in_order_and_nothing_behind_the_close() -> None:
    outbox = Outbox()
    outbox.put("a", b"1")
    outbox.close(1000, "over")
    outbox.put("b", b"2")
    outbox.close(1001, "again")
    outbox.put_first(b"0")
    taken = [await outbox.take() for _ in range(3)]
    assert taken == [Outgoing("", b"0"), Outgoing("a", b"1"), Closing(1000, "over")]


async def test_a_close_at_once_overtakes_what_waits() -> None:
    outbox = Outbox()
    outbox.put("a", b"1")
    outbox.close(1000, "later")
    outbox.close(1011, "now", at_once=True)
    assert await outbox.take() == Closing(1011, "now")


async def test_a_frame_goes_behind_the_next_one_but_before_a_close() -> None:
    outbox = Outbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.put_behind_next, b"held")
        await trio.testing.wait_all_tasks_blocked()
        outbox.put("a", b"1")
        outbox.put("a", b"2")
    assert [await outbox.take() for _ in range(3)] == [Outgoing("a", b"1"), Outgoing("", b"held"), Outgoing("a", b"2")]
    outbox.close(1000, "over")
    await outbox.put_behind_next(b"held")
    assert [await outbox.take() for _ in range(2)] == [Outgoing("", b"held"), Closing(1000, "over")]


async def test_taking_waits_for_a_frame() -> None:
    outbox = Outbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.take)
        await trio.testing.wait_all_tasks_blocked()
        outbox.put("a", b"1")


async def test_room_is_waited_for_until_enough_was_taken(autojump_clock: trio.testing.MockClock) -> None:
    outbox = Outbox()
    outbox.put("a", bytes(ROOM_BYTES))
    await outbox.room()
    outbox.put("a", b"1")
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await outbox.room()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.room)
        nursery.start_soon(outbox.room)
        await trio.testing.wait_all_tasks_blocked()
        await outbox.take()
