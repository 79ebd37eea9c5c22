"""A task of its own for a piece of a test: what it sets in its context ends with it."""

from collections.abc import Awaitable, Callable

import trio


async def in_a_task(work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` in a task of its own, and waits for it."""
    async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - the task is what is wanted
        nursery.start_soon(work)
