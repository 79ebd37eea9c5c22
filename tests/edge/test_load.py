"""Too much to do: noticed when it lasts, told once, and no reason to be taken for dead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.edge import load as load_module
from server.edge.door import Door, open_listeners
from server.edge.load import LATE_PROBES, PROBE_S, Load, memory_budget_bytes, resident_bytes
from tests.edge.conftest import echo, error_code_of, read_to_end, status_of, web
from tests.transport.peers import eventually

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def probing(load: Load) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        await wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def late(clock: MockClock, by_s: float) -> None:
    """The loop gets to its next probe so much too late."""
    clock.jump(PROBE_S + by_s)
    await wait_all_tasks_blocked()


async def test_a_loop_that_is_late_again_and_again_is_overloaded_until_it_is_in_time(mock_clock: MockClock) -> None:
    load = Load(lag_max_s=0.25, memory_max_bytes=None)
    with structlog.testing.capture_logs() as lines:
        async with probing(load):
            for _ in range(LATE_PROBES - 1):
                await late(mock_clock, 0.3)
                assert load.overload is None
            for _ in range(5):
                await late(mock_clock, 0.3)
                assert load.overload == "event loop"
                assert load.lag_s == pytest.approx(0.3)
            await late(mock_clock, 0.0)
            assert load.overload is None
    told = ["overloaded, newcomers are sent away", "no longer overloaded"]
    assert [line["event"] for line in lines] == told


async def test_every_probe_is_told_with_its_lag(mock_clock: MockClock) -> None:
    told: list[float] = []
    async with probing(Load(lag_max_s=0.25, memory_max_bytes=None, probed=told.append)):
        for lag_s in (0.0, 0.3, 0.0):
            await late(mock_clock, lag_s)
    assert told == pytest.approx([0.0, 0.3, 0.0])


async def test_a_pause_however_long_is_no_load(mock_clock: MockClock) -> None:
    load = Load(lag_max_s=0.25, memory_max_bytes=None)
    async with probing(load):
        for _ in range(10):
            await late(mock_clock, 5.0)
            assert load.overload is None
            await late(mock_clock, 0.0)


async def test_zero_is_never(mock_clock: MockClock) -> None:
    load = Load(lag_max_s=0, memory_max_bytes=None)
    async with probing(load):
        for _ in range(2 * LATE_PROBES):
            await late(mock_clock, 60)
        assert load.overload is None


@pytest.mark.parametrize(
    ("resident", "overload"), [(899, None), (900, "memory"), (2000, "memory"), (None, None)], ids=str
)
async def test_a_memory_that_is_nine_tenths_full(
    autojump_clock: MockClock, resident: int | None, overload: str | None
) -> None:
    load = Load(lag_max_s=0.25, memory_max_bytes=1000, resident=lambda: resident)
    async with probing(load):
        await trio.sleep(2)
        assert load.overload == overload


def test_the_memory_of_this_process_is_known() -> None:
    resident = resident_bytes()
    assert resident is not None
    assert 10 * 2**20 < resident < 100 * 2**30


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        ([str(256 * 2**20)], 256 * 2**20),
        (["max"], None),
        (["max", str(2**30)], 2**30),
        ([str(2**62)], None),
        ([], None),
    ],
)
def test_without_a_setting_the_containers_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: list[str], budget: int | None
) -> None:
    files = [tmp_path / str(number) for number in range(2)]
    for file, text in zip(files, limits, strict=False):
        file.write_text(f"{text}\n", encoding="ascii")
    monkeypatch.setattr(load_module, "_CGROUP_LIMITS", tuple(files))
    assert memory_budget_bytes(0) == budget
    assert memory_budget_bytes(3) == 3 * 2**20


async def test_newcomers_are_sent_away_and_those_who_are_there_and_probes_are_served() -> None:
    resident = 0
    load = Load(lag_max_s=0, memory_max_bytes=1000, resident=lambda: resident)
    door = Door(on_websocket=echo, app=web, load=load)
    listeners = await open_listeners("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]

    async def ask(request: bytes) -> bytes:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(request)
            return await read_to_end(stream)

    async with trio.open_nursery() as nursery:
        await nursery.start(door.serve, listeners)
        there = await trio.open_tcp_stream("127.0.0.1", port)
        await there.send_all(UPGRADE)
        assert status_of(bytes(await there.receive_some())) == 101
        resident = 950
        await eventually(lambda: load.overload == "memory")
        answer = await ask(UPGRADE)
        assert (status_of(answer), error_code_of(answer)) == (503, "overloaded")
        assert b"Retry-After: 10\r\n" in answer
        assert status_of(await ask(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 200
        assert door.connections >= 1
        resident = 0
        await eventually(lambda: load.overload is None)
        async with await trio.open_tcp_stream("127.0.0.1", port) as again:
            await again.send_all(UPGRADE)
            assert status_of(bytes(await again.receive_some())) == 101
        await there.aclose()
        nursery.cancel_scope.cancel()
