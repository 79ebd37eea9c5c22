"""Connections on which nothing passes any more, on real sockets."""

import pytest
import trio

from server.simulator import wire as wire_module
from server.simulator.faults import fault_rules
from server.simulator.service import Simulator
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import HANDSHAKE, Client, connected, simulator, talking
from tests.simulator.scripts import SAYS

TARGET = "/v1/realtime?model=gpt-realtime"


async def pings(client: Client, seconds: float) -> bool:
    """Whether a ping gets its pong in time."""
    with trio.move_on_after(seconds):
        await client.websocket.ping()
        return True
    return False


async def stalled(running: Simulator) -> None:
    with trio.fail_after(5):
        while not running.faults.fired["stall"]:  # noqa: ASYNC110 - the service tells no one
            await trio.sleep(0.01)


async def test_a_stalled_connection_is_half_open_until_the_client_leaves() -> None:
    told = SimulatorSettings(faults=fault_rules([{"do": "stall", "when": "response.create"}]), ping_seconds=0.05)
    async with simulator(told, think=SAYS) as running, connected(running) as client:
        await client.until("session.created")
        assert await pings(client, 2)
        await client.send("response.create")
        await stalled(running)
        assert not await pings(client, 0.2)
        assert await client.quiet(0.1) == []
        assert running.open_connections == 1
        await client.websocket._stream.aclose()
        with trio.fail_after(5):
            while running.open_connections:  # noqa: ASYNC110 - the service tells no one
                await trio.sleep(0.01)


async def test_a_stalled_connection_takes_no_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "HELD_MAX_BYTES", 100_000)
    told = SimulatorSettings(faults=fault_rules([{"do": "stall", "when": "response.create"}]))
    async with simulator(told, think=SAYS) as running, await trio.open_tcp_stream(*running.addresses[0]) as stream:
        ask = b'{"type":"response.create"}'
        await stream.send_all(HANDSHAKE.format(target=TARGET, headers="").encode())
        await stream.receive_some(65_536)
        await stream.send_all(b"\x81" + bytes([0x80 | len(ask)]) + bytes(4) + ask)
        await stalled(running)
        with trio.move_on_after(0.4) as flooding:
            # The far end takes no more than its bound and what the kernel holds.
            await stream.send_all(bytes(100_000_000))
        assert flooding.cancelled_caught


async def test_a_stall_that_ends_lets_everything_through_that_waited() -> None:
    told = SimulatorSettings(faults=fault_rules([{"do": "stall", "when": "response.created", "ms": 300}]))
    async with talking(told, think=SAYS) as client:
        start = trio.current_time()
        await client.send("response.create")
        await trio.sleep(0.1)
        assert await pings(client, 2)
        assert trio.current_time() - start >= 0.3
        assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_mute_service_still_answers_pings() -> None:
    told = SimulatorSettings(faults=fault_rules([{"do": "mute", "when": "response.created"}]))
    async with talking(told, think=SAYS) as client:
        await client.send("response.create")
        assert await client.quiet(0.1) == []
        assert await pings(client, 2)
