"""The Realtime service dies under many sessions and comes back: all go on, soon, and did not besiege it meanwhile."""

import contextlib
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.chaos.proxy import chaos_proxy
from tests.running import HOST, PATIENCE_S, Process, free_port, listening_process, serving_process
from tests.simulator.driver import Json

pytestmark = pytest.mark.slow

SESSIONS = 50
ANSWERED = 10
AT_ONCE = 10
DOWN_S = 4.0
# Reliability figures: 95 of 100 are served again this long after the service is.
BACK_S = 2.0
BACK_SHARE = 0.95
TRIES = 2
# Each session tries once at once, for what is lost is mostly one connection, and once when the service is back.
# In between the breaker lets one through now and then.
ATTEMPTS_PER_SESSION = 2.2
PROBES_PER_S = 4.0


def simulate_process(port: int) -> AbstractAsyncContextManager[trio.Process]:
    """A simulator in a process of its own, from when it listens; it is killed at the end."""
    return listening_process("simulate", "--voice", "synthetic", "--pace", "4", port=port)


@dataclass
class Recovery:
    """What was seen. Times are trio's clock."""

    here: int = 0
    listening_at: list[float] = field(default_factory=list)
    answered: int = 0


async def converse(server: Process, recovery: Recovery, free: trio.Semaphore, *, asks: bool) -> None:
    """One avatar that lives through it, and asks something afterwards."""
    async with server.client() as client:
        async with free:
            await client.until("session.created", PATIENCE_S)
        if asks:
            await client.type("Who founded the museum?")
            await client.send("response.create")
            await client.until("response.output_audio.delta", PATIENCE_S)
        recovery.here += 1
        await client.until_that(is_state("reconnecting"), 60)
        # An answer that broke off is gone on with first.
        await client.until_that(is_state("listening", "speaking", "thinking"), 60)
        recovery.listening_at.append(trio.current_time())
        if asks:
            await client.until_that(is_state("listening"), 60)
            statuses = [event["response"]["status"] for event in client.of("response.done")]
            assert statuses[-1] == "completed"
        await client.type("Are you there?")
        await client.send("response.create", response={"output_modalities": ["text"]})
        done = await client.until("response.done", PATIENCE_S)
        assert done["response"]["status"] == "completed"
        assert client.of("error") == []
        assert len(client.of("session.created")) == 1
        begun = [event["response"]["id"] for event in client.of("response.created")]
        assert begun == [event["response"]["id"] for event in client.of("response.done")]
        recovery.answered += 1


def is_state(*states: str) -> Callable[[Json], bool]:
    return lambda event: event["type"] == "avatar.state" and event["state"] in states


async def recovered_s(data_dir: Path) -> float:
    """One loss of the service; the seconds from its return until most were served again."""
    recovery = Recovery()
    port = await free_port()
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(chaos_proxy(HOST, port))
        first = await stack.enter_async_context(simulate_process(port))
        server = await stack.enter_async_context(
            serving_process(
                data_dir,
                LIVEAVATAR_UPSTREAM="openai",
                OPENAI_API_KEY="sk-of-nobody-at-all",
                OPENAI_BASE_URL=f"http://{HOST}:{proxy.port}/v1",
            )
        )
        free = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for number in range(SESSIONS):
                asks = number >= SESSIONS - ANSWERED
                nursery.start_soon(partial(converse, server, recovery, free, asks=asks))
            with trio.fail_after(60):
                while recovery.here < SESSIONS:  # noqa: ASYNC110 - a number, not an event
                    await trio.sleep(0.02)
            opened = proxy.accepted
            killed_at = trio.current_time()
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
            await trio.sleep(DOWN_S)
            while_down = proxy.accepted - opened
            await stack.enter_async_context(simulate_process(port))
            back_at = trio.current_time()
        attempts = proxy.accepted - opened
        waits = sorted(at - back_at for at in recovery.listening_at)
        p95 = waits[int(BACK_SHARE * (SESSIONS - 1))]
        print(
            f"{SESSIONS} sessions, down {back_at - killed_at:.1f} s: back after median {waits[SESSIONS // 2]:.2f} s, "
            f"p95 {p95:.2f} s, last {waits[-1]:.2f} s; {attempts} attempts, {while_down} of them in the first "
            f"{DOWN_S:g} s; {recovery.answered} answered"
        )
        assert recovery.answered == SESSIONS
        assert opened == SESSIONS
        assert attempts <= ATTEMPTS_PER_SESSION * SESSIONS + PROBES_PER_S * (back_at - killed_at)
        return p95


async def test_a_service_that_was_killed_and_is_back_serves_everybody_again(data_dir: Path) -> None:
    # The machine does other things too: what counts is what it can do.
    for _ in range(TRIES):
        if (p95 := await recovered_s(data_dir)) <= BACK_S:
            break
    assert p95 <= BACK_S
