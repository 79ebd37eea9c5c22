"""Sends frames at the moments they are due, as a microphone or a voice does. Knows nothing of what is in them."""

from collections.abc import Awaitable, Callable

import trio

from bench.stamps import FRAME_S, Outgoing


async def keep_pace(
    send: Callable[[int], Awaitable[None]], *, begin_at: float, sent: Outgoing, stopped: Callable[[], bool]
) -> None:
    """Calls ``send`` with 0, 1, 2, ... every 100 ms from ``begin_at`` on, until ``stopped`` says so.

    The moments are those of a clock, not of the last send: a frame that is late does not delay the next. Never
    cancelled halfway through a frame if it is ended by ``stopped``.
    """
    while True:
        due = begin_at + sent.count * FRAME_S
        await trio.sleep_until(due)
        if stopped():
            return
        sent.lateness_ms.append((trio.current_time() - due) * 1000)
        await send(sent.count)
        sent.count += 1
