"""Actions at their time."""

import trio
import trio.testing

from server.simulator.alarms import Alarms


async def test_alarms_ring_in_order_of_time_and_then_of_setting(autojump_clock: trio.testing.MockClock) -> None:
    alarms, rung = Alarms(), []
    start = trio.current_time()

    def ring(name: str) -> None:
        rung.append((name, trio.current_time() - start))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        alarms.at(start + 2, lambda: ring("b"))
        alarms.at(start + 2, lambda: ring("c"))
        never = alarms.at(start + 1.5, lambda: ring("never"))
        await trio.sleep(0.5)
        alarms.at(start + 1, lambda: ring("a"))
        alarms.at(start, lambda: ring("late"))
        never.cancel()
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert rung == [("late", 0.5), ("a", 1), ("b", 2), ("c", 2)]


async def test_an_alarm_may_set_the_next(autojump_clock: trio.testing.MockClock) -> None:
    alarms, rung = Alarms(), []

    def tick() -> None:
        rung.append(trio.current_time())
        alarms.at(trio.current_time() + 1, tick)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        alarms.at(trio.current_time(), tick)
        await trio.sleep(3.5)
        nursery.cancel_scope.cancel()
    assert len(rung) == 4
