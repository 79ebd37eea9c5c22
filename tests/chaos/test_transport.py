"""Our WebSocket through a bad network: a message arrives whole or the connection is lost, and what is lost is said."""

import bisect
import itertools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from server.edge.upgrade import Upgrade, UpgradeRequest
from server.transport.client import connect_websocket
from server.transport.errors import ConnectFailed, ConnectionLost
from server.transport.websocket import WebSocket, WebSocketOptions
from tests.chaos.proxy import ChaosProxy, chaos_proxy
from tests.chaos.toxics import Bandwidth, Direction, Latency, Slicer, Timeout
from tests.edge.conftest import opened_door
from tests.transport.peers import eventually

UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM
HOST = "127.0.0.1"
CUTS = 2000 if os.environ.get("TESTS_FULL") else 100
PATIENCE_S = 10.0

# A conversation in little: short frames, every length form, and one longer than the proxy holds.
SIZES = (0, 1, 125, 126, 300, 7, 65_535, 65_536, 2, 90_000, 130)
MESSAGES = [f"{number}:".encode().ljust(size, b"*")[:size] for number, size in enumerate(SIZES)]


def frame_ends(header_bytes: int) -> list[int]:
    """How many bytes have gone when each message has; `header_bytes` more than a length form are the mask."""
    lengths = [size + 2 + (0 if size < 126 else 2 if size < 65_536 else 8) + header_bytes for size in SIZES]
    return list(itertools.accumulate(lengths))


class Visit:
    """What came of one connection, at the server's end."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.loss: ConnectionLost | None = None
        self.over = trio.Event()


async def listen(websocket: WebSocket, visit: Visit) -> None:
    """Receive until the client is through, or gone."""
    try:
        while True:
            visit.received.append((await websocket.receive()).data)
            if visit.received[-1] == b"over":
                websocket.close()
    except ConnectionLost as loss:
        visit.loss = loss


@asynccontextmanager
async def proxied(
    seed: int | str, options: WebSocketOptions | None = None
) -> AsyncIterator[tuple[ChaosProxy, list[Visit]]]:
    """A server that says all messages, then listens, behind a proxy; and what its visits came to."""
    visits: list[Visit] = []

    async def serve(request: UpgradeRequest, upgrade: Upgrade) -> None:
        visit = Visit()
        visits.append(visit)
        try:
            websocket = await upgrade.accept(options=options)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(websocket.run)
                for message in MESSAGES:
                    websocket.send(message)
                await listen(websocket, visit)
                await websocket.aclose(1.0)
        except ConnectionLost as loss:
            visit.loss = loss
        finally:
            visit.over.set()

    async with opened_door(on_websocket=serve) as served, chaos_proxy(HOST, served.port, seed=seed) as proxy:
        yield proxy, visits


async def talk(port: int, heard: Visit) -> None:
    """A client that hears everything, then says everything, until it has done so or the connection is lost."""
    try:
        websocket = await connect_websocket(f"ws://{HOST}:{port}/ws")
    except ConnectFailed:
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        try:
            while len(heard.received) < len(MESSAGES):
                heard.received.append((await websocket.receive()).data)
            for message in MESSAGES:
                websocket.send(message)
            websocket.send("over")
            await websocket.receive()
        except ConnectionLost as loss:
            heard.loss = loss
        await websocket.aclose(1.0)


def whole(received: list[bytes]) -> int:
    """How many messages were received, after a look that none is torn, missing or twice."""
    assert received == MESSAGES[: len(received)]
    return len(received)


async def bytes_gone(proxy: ChaosProxy) -> dict[Direction, list[int]]:
    """How many bytes have passed when the handshake's head has, and each message; from a visit nothing happens to."""
    heard = Visit()
    await talk(proxy.port, heard)
    assert whole(heard.received) == len(MESSAGES)
    code_bytes, mask_bytes = 4, 4
    ends = {DOWN: frame_ends(0), UP: frame_ends(mask_bytes)}
    beside = {DOWN: code_bytes, UP: code_bytes + mask_bytes + len(b"over") + 2 + mask_bytes}
    heads = {way: proxy.passed_bytes(way) - ends[way][-1] - beside[way] for way in Direction}
    return {way: [heads[way], *(heads[way] + end for end in ends[way])] for way in Direction}


@pytest.mark.slow
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_a_message_arrives_whole_or_the_connection_is_lost(reset: bool) -> None:
    struck = 0
    async with proxied("cuts") as (proxy, visits):
        gone = await bytes_gone(proxy)
        for number in range(CUTS):
            chance = random.Random(f"cut {number}")
            direction = chance.choice((UP, DOWN))
            ends = [0, *gone[direction]]
            # Half of the cuts fall beside the edge of a frame.
            at = max(0, chance.choice(ends) + chance.randrange(-12, 12)) if number % 2 else chance.randrange(ends[-1])
            heard, before = Visit(), len(visits)
            try:
                with trio.fail_after(PATIENCE_S):
                    cut = proxy.cut_after(at, direction, reset=reset)
                    await talk(proxy.port, heard)
                    for visit in visits[before:]:
                        await visit.over.wait()
                proxy.toxics.remove(cut)
                said = [word for visit in visits[before:] for word in visit.received]
                if said[-1:] == [b"over"]:
                    assert whole(said[:-1]) == whole(heard.received) == len(MESSAGES)
                    continue
                struck += 1
                assert cut.done.is_set()
                assert {visit.loss.by for visit in (heard, *visits[before:]) if visit.loss} <= {"network"}
                arrived = {UP: whole(said), DOWN: whole(heard.received)}[direction]
                passed = bisect.bisect_right(gone[direction][1:], at)
                # A reset may overtake what passed before it; an end in order does not.
                assert arrived <= passed if reset else arrived == passed
            except BaseException:
                print(f"cut {number}: {direction.value}, after {at} bytes")
                raise
    assert struck > CUTS * 0.8


async def test_a_slow_and_uneven_network_changes_nothing_of_what_is_said() -> None:
    async with proxied("uneven") as (proxy, visits):
        proxy.toxics.add(Latency(latency_s=0.01, jitter_s=0.01))
        proxy.toxics.add(Slicer(average_bytes=3000, variation_bytes=2900))
        proxy.toxics.add(Bandwidth(bytes_per_s=1_000_000))
        heard = Visit()
        with trio.fail_after(PATIENCE_S):
            await talk(proxy.port, heard)
            await visits[0].over.wait()
        assert heard.loss is not None
        assert (heard.loss.code, heard.loss.by) == (1000, "peer")
        assert whole(heard.received) == len(MESSAGES)
        assert visits[0].received == [*MESSAGES, b"over"]


async def test_a_connect_into_a_black_hole_fails_in_time() -> None:
    async with proxied("hole") as (proxy, _):
        proxy.toxics.add(Timeout())
        with pytest.raises(ConnectFailed, match="did not answer"), trio.fail_after(PATIENCE_S):
            await connect_websocket(f"ws://{HOST}:{proxy.port}/ws", deadline_s=0.2)


async def test_a_connect_to_a_proxy_that_refuses_fails_at_once() -> None:
    async with proxied("refused") as (proxy, _):
        proxy.refuse()
        with pytest.raises(ConnectFailed, match="no connection"):
            await connect_websocket(f"ws://{HOST}:{proxy.port}/ws", deadline_s=PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("direction", [UP, DOWN, None], ids=["upstream", "downstream", "both"])
async def test_both_ends_notice_a_network_that_went_silent(direction: Direction | None) -> None:
    options = WebSocketOptions(ping_interval_s=0.2, pong_timeout_s=0.2)
    async with proxied("silent", options) as (proxy, visits):
        websocket = await connect_websocket(f"ws://{HOST}:{proxy.port}/ws", options=options)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            for _ in MESSAGES:
                await websocket.receive()
            proxy.toxics.add(Timeout(), direction)
            with trio.fail_after(PATIENCE_S):
                with pytest.raises(ConnectionLost) as caught:
                    await websocket.receive()
                await websocket.aclose(0.1)
                # Its end of the connection would hang behind the hole too, were it not for its own pings.
                await visits[0].over.wait()
            nursery.cancel_scope.cancel()
        assert caught.value.by == "network"
        loss = visits[0].loss
        assert loss is not None
        assert loss.by == "network"


async def test_a_silence_shorter_than_the_patience_loses_nothing() -> None:
    options = WebSocketOptions(ping_interval_s=0.1, pong_timeout_s=5.0)
    async with proxied("short silence", options) as (proxy, visits):
        heard = Visit()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, proxy.port, heard)
            await eventually(lambda: bool(visits))
            hole = proxy.toxics.add(Timeout())
            await trio.sleep(0.4)
            proxy.toxics.remove(hole)
        assert whole(heard.received) == len(MESSAGES)
        assert visits[0].received == [*MESSAGES, b"over"]
