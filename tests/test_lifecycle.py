"""Signals drain the process; a second one means now."""

import os
import signal

import pytest
import trio

from server.lifecycle import Lifecycle


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_a_second_one_means_now(number: signal.Signals) -> None:
    lifecycle = Lifecycle()
    async with trio.open_nursery() as nursery:
        await nursery.start(lifecycle.watch_signals)
        lifecycle.ready()
        os.kill(os.getpid(), number)
        with trio.fail_after(2):
            await lifecycle.wait_draining()
        assert lifecycle.state.value == "draining"
        with trio.move_on_after(0.05) as waiting:
            await lifecycle.wait_leave_now()
        assert waiting.cancelled_caught
        os.kill(os.getpid(), number)
        with trio.fail_after(2):
            await lifecycle.wait_leave_now()
        nursery.cancel_scope.cancel()
    lifecycle.stopped()
    assert lifecycle.state.value == "stopped"
