"""The proxy itself: each toxic does what it says, and nothing else."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from tests.chaos.proxy import RESETTING, ChaosProxy, chaos_proxy
from tests.chaos.toxics import (
    Bandwidth,
    Direction,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
)
from tests.transport.peers import eventually

UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM
HOST = "127.0.0.1"
# A shared machine may be late, never early.
PATIENCE_S = 5.0


@asynccontextmanager
async def proxied_echo(seed: int = 0) -> AsyncIterator[ChaosProxy]:
    """A proxy before a server that gives every byte back and ends when its client does."""

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
            await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, echo, 0, host=HOST))
        async with chaos_proxy(HOST, listener.socket.getsockname()[1], seed=seed) as proxy:
            with trio.fail_after(PATIENCE_S):  # noqa: ASYNC100 - the checkpoints are the test's, behind the yield
                yield proxy
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(proxy: ChaosProxy) -> AsyncIterator[trio.SocketStream]:
    stream = await trio.open_tcp_stream(HOST, proxy.port)
    try:
        yield stream
    finally:
        stream.socket.close()


async def exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await stream.receive_some(count - len(data))
        assert piece, f"ended after {len(data)} bytes"
        data += piece
    return data


async def to_end(stream: trio.SocketStream) -> bytes:
    data = b""
    async for piece in stream:
        data += piece
    return data


async def round_trip_s(stream: trio.SocketStream, data: bytes = b"x") -> float:
    began = time.perf_counter()
    await stream.send_all(data)
    assert await exactly(stream, len(data)) == data
    return time.perf_counter() - began


async def test_without_toxics_every_byte_passes_both_ways_and_the_end_too() -> None:
    data = bytes(range(256)) * 4000
    async with proxied_echo() as proxy, client(proxy) as stream:
        got: list[bytes] = []

        async def read() -> None:
            got.append(await to_end(stream))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await stream.send_all(data)
            await stream.send_eof()
        assert got == [data]
        assert proxy.accepted == 1
    assert proxy.connections == []


async def test_latency_delays_and_can_be_switched_while_running() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        assert await round_trip_s(stream) < 0.1
        slow = proxy.toxics.add(Latency(latency_s=0.1))
        assert await round_trip_s(stream) >= 0.2
        proxy.toxics.remove(slow)
        proxy.toxics.add(Latency(latency_s=0.1), UP)
        assert 0.1 <= await round_trip_s(stream) < 0.2
        proxy.toxics.clear()
        assert await round_trip_s(stream) < 0.1


async def test_jitter_keeps_the_order_and_does_not_slow_what_follows() -> None:
    data = bytes(range(200))
    async with proxied_echo() as proxy, client(proxy) as stream:
        proxy.toxics.add(Latency(latency_s=0.1, jitter_s=0.1), UP)
        began = time.perf_counter()
        for byte in data:
            await stream.send_all(bytes([byte]))
        assert await exactly(stream, len(data)) == data
        assert time.perf_counter() - began < 1.0, "delays run side by side"


async def test_chance_is_the_seeds() -> None:
    async def slices(seed: int) -> list[int]:
        async with proxied_echo(seed) as proxy, client(proxy) as stream:
            await round_trip_s(stream)
            proxy.toxics.add(Slicer(average_bytes=50, variation_bytes=40), DOWN)
            # As the kernel is given them: it may hand them on in other pieces.
            return [len(piece) for piece in proxy.connections[0]._flows[DOWN]._slices(b"x" * 1000)]

    one, same, other = await slices(1), await slices(1), await slices(2)
    assert one == same != other


async def test_bandwidth_is_kept() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        proxy.toxics.add(Bandwidth(bytes_per_s=100_000), DOWN)
        took_s = await round_trip_s(stream, b"x" * 40_000)
        assert 0.38 <= took_s < 1.0


async def test_slow_close_delays_the_end_and_nothing_before_it() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        proxy.toxics.add(SlowClose(delay_s=0.2), UP)
        assert await round_trip_s(stream) < 0.1
        began = time.perf_counter()
        await stream.send_eof()
        assert await to_end(stream) == b""
        assert time.perf_counter() - began >= 0.2


async def test_a_black_hole_holds_bytes_until_it_is_gone() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        hole = proxy.toxics.add(Timeout(), DOWN)
        await stream.send_all(b"held")
        with trio.move_on_after(0.1) as silent:
            await stream.receive_some()
        assert silent.cancelled_caught
        proxy.toxics.remove(hole)
        assert await exactly(stream, 4) == b"held"


@pytest.mark.parametrize("direction", [UP, DOWN])
async def test_a_black_hole_with_a_time_closes_an_idle_connection_too(direction: Direction) -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        await round_trip_s(stream)
        began = time.perf_counter()
        proxy.toxics.add(Timeout(close_after_s=0.1), direction)
        assert await to_end(stream) == b""
        assert time.perf_counter() - began >= 0.1


async def test_reset_peer_resets_after_its_time() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        proxy.toxics.add(ResetPeer(after_s=0.1))
        await round_trip_s(stream)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


async def test_the_slicer_slices() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        proxy.toxics.add(Slicer(average_bytes=10, variation_bytes=5, delay_s=0.005), DOWN)
        data = bytes(range(100))
        await stream.send_all(data)
        pieces: list[bytes] = []
        while len(b"".join(pieces)) < 100:
            pieces.append(bytes(await stream.receive_some()))
        assert b"".join(pieces) == data
        assert len(pieces) >= 5, "the kernel may put two slices together, not all of them"


@pytest.mark.parametrize("limit", [0, 1, 1000, 99_999])
async def test_limit_data_lets_exactly_so_much_through_on_each_connection(limit: int) -> None:
    async with proxied_echo() as proxy:
        proxy.toxics.add(LimitData(limit_bytes=limit), DOWN)
        for _ in range(2):
            async with client(proxy) as stream:
                with trio.CancelScope() as sending:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(stream.send_all, b"x" * 100_000)
                        assert len(await to_end(stream)) == limit
                        sending.cancel()


async def test_limit_data_counts_from_when_it_came() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        await round_trip_s(stream, b"x" * 500)
        proxy.toxics.add(LimitData(limit_bytes=3), DOWN)
        await stream.send_all(b"12345")
        assert await to_end(stream) == b"123"
        assert proxy.connections[0].passed_bytes(DOWN) == 503
        assert proxy.connections[0].passed_bytes(UP) == 505


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_a_cut_strikes_one_connection_once(reset: bool) -> None:
    async with proxied_echo() as proxy:
        async with client(proxy) as stream:
            cut = proxy.cut_after(5, DOWN, reset=reset)
            await stream.send_all(b"123456789")
            try:
                assert await to_end(stream) == b"12345"
            except trio.BrokenResourceError:
                assert reset
            await cut.done.wait()
        async with client(proxy) as stream:
            await round_trip_s(stream, b"123456789")


async def test_reset_all_reaches_both_ends_and_spares_later_ones() -> None:
    ended: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        try:
            await stream.receive_some()
        except trio.BrokenResourceError:
            ended.append("reset")

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host=HOST))
        async with chaos_proxy(HOST, listener.socket.getsockname()[1]) as proxy:
            async with client(proxy) as one, client(proxy) as two:
                for stream in (one, two):
                    await exactly(stream, 5)
                assert len(proxy.connections) == 2
                proxy.reset_all()
                for stream in (one, two):
                    with pytest.raises(trio.BrokenResourceError):
                        await stream.receive_some()
            async with client(proxy) as three:
                assert await exactly(three, 5) == b"hello"
            await eventually(lambda: ended == ["reset", "reset"])
        nursery.cancel_scope.cancel()


async def test_a_proxy_that_refuses_keeps_its_port_and_what_stands() -> None:
    async with proxied_echo() as proxy, client(proxy) as stream:
        await round_trip_s(stream)
        for _ in range(3):
            proxy.refuse()
            proxy.refuse()
            with pytest.raises(OSError, match=f"{HOST}:{proxy.port}|connect"):
                await trio.open_tcp_stream(HOST, proxy.port)
            await round_trip_s(stream)
            proxy.accept()
            proxy.accept()
            async with client(proxy) as another:
                await round_trip_s(another)


async def test_down_is_refused_and_reset() -> None:
    async with proxied_echo() as proxy:
        async with client(proxy) as stream:
            await round_trip_s(stream)
            proxy.down()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            with pytest.raises(OSError, match=f"{HOST}:{proxy.port}|connect"):
                await trio.open_tcp_stream(HOST, proxy.port)
        proxy.accept()
        async with client(proxy) as stream:
            await round_trip_s(stream)


async def test_a_client_that_resets_is_a_reset_for_the_server_and_a_dead_server_one_for_the_client() -> None:
    [listener] = await trio.open_tcp_listeners(0, host=HOST)
    async with listener, chaos_proxy(HOST, listener.socket.getsockname()[1]) as proxy:
        theirs = await trio.open_tcp_stream(HOST, proxy.port)
        ours = await listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        theirs.socket.close()
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(PATIENCE_S):
            await ours.receive_some()
        ours.socket.close()
        await listener.aclose()
        async with client(proxy) as stream:
            with pytest.raises(trio.BrokenResourceError), trio.fail_after(PATIENCE_S):
                await stream.receive_some()


async def test_a_server_that_does_not_read_stops_the_client_soon() -> None:
    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, deaf, 0, host=HOST))
        async with chaos_proxy(HOST, listener.socket.getsockname()[1]) as proxy, client(proxy) as stream:
            with trio.move_on_after(0.5) as stuck:
                await stream.send_all(b"x" * 50_000_000)
            assert stuck.cancelled_caught, "the way is bounded"
        nursery.cancel_scope.cancel()
