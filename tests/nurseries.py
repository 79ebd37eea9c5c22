"""What tests need to know of nurseries: one to keep, what runs below one, and what groups of exceptions hold."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")


def leaves(failures: BaseExceptionGroup[Exception]) -> list[Exception]:
    """The exceptions in a group, however deep."""
    found: list[Exception] = []
    for inner in failures.exceptions:
        found.extend(leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner])
    return found


async def hold_nursery(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """The nursery that sessions live in; a test may cancel it without being cancelled itself."""
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


def running_below(nursery: trio.Nursery) -> list[str]:
    """The names of the tasks below a nursery, but for those that only hold another."""
    names = []
    nurseries = [nursery]
    while nurseries:
        for task in nurseries.pop().child_tasks:
            if task.coro.cr_code is not hold_nursery.__code__:
                names.append(task.name)
            nurseries.extend(task.child_nurseries)
    return sorted(names)


async def gather_two(one: Callable[[], Awaitable[T]], other: Callable[[], Awaitable[T]]) -> tuple[T, T]:
    """What two that need each other return."""
    results: dict[str, T] = {}

    async def keep(name: str, part: Callable[[], Awaitable[T]]) -> None:
        results[name] = await part()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, "one", one)
        nursery.start_soon(keep, "other", other)
    return results["one"], results["other"]
