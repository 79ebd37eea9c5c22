"""Thousands of senseless, broken and hostile connections over real sockets: the door outlives them, and forgets them.

A failure names the seed of its connection: `TESTS_FUZZ_SEED=... pytest` then tries that one alone.
"""

import contextlib
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
import structlog
import trio

from server.edge.door import DoorLimits
from server.edge.http import HttpLimits
from server.transport.client import connect_websocket
from tests.edge.conftest import Open, Served
from tests.edge.fuzzing import attempt
from tests.transport.peers import eventually, protocol_of

pytestmark = pytest.mark.slow

FULL = bool(os.environ.get("TESTS_FULL"))
CONNECTIONS = 10_000 if FULL else 1000
ONLY_SEED = os.environ.get("TESTS_FUZZ_SEED")
AT_ONCE = 16
HONEST_EVERY = 100
HONEST_S = 2.0
# Longer than any answer takes; a connection that the door leaves open is left then.
LISTEN_S = 5.0
A_LITTLE_S = 0.02
HEAD_S = 0.5

RESETTING = b"\1\0\0\0\0\0\0\0"
_STATUS = re.compile(rb"HTTP/1\.1 (101|200|3\d\d|4\d\d|50[0135]) ")


def verdict(answer: bytes, *, whole: bool) -> str:
    """Name what the door answered; raises `AssertionError` for what no client could understand."""
    if not answer:
        return "no answer"
    if len(answer) < 13 and not whole:
        return "the beginning of an answer"
    found = _STATUS.match(answer)
    assert found, f"no answer in HTTP: {answer[:80]!r}"
    head, _, frames = answer.partition(b"\r\n\r\n")
    if found[1] != b"101":
        return found[1].decode()
    assert b"sec-websocket-extensions" not in head.lower(), "an extension was agreed to"
    assert b"sk-1" not in head, "a key was echoed"
    client = protocol_of("client")
    client.receive_data(frames)
    assert client.parser_exc is None, f"frames that break the rules: {client.parser_exc!r}"
    return f"101, closed {client.close_rcvd.code}" if client.close_rcvd else "101"


async def visit(served: Served, seed: str, seed_of_port: dict[int, str]) -> str:
    """Make the connection of a seed; say what it came to."""
    what = attempt(seed)
    with trio.socket.socket() as sock:
        await sock.connect(("127.0.0.1", served.port))
        seed_of_port[sock.getsockname()[1]] = seed
        answer = bytearray()

        async def listen(for_s: float) -> bool:
            with trio.move_on_after(for_s):
                while piece := await sock.recv(65_536):
                    answer.extend(piece)
                return True
            return False

        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for begin, end in zip([0, *what.cuts], [*what.cuts, len(what.data)], strict=True):
                rest = memoryview(what.data)[begin:end]
                while rest:
                    rest = rest[await sock.send(rest) :]
                await trio.lowlevel.checkpoint()
            if what.ending == "half close":
                sock.shutdown(socket.SHUT_WR)
                assert await listen(LISTEN_S), "the door did not end a connection that its client had ended"
                return verdict(bytes(answer), whole=True)
            if what.ending == "read to the end":
                await listen(A_LITTLE_S * 5)
            elif what.ending == "linger a little":
                await listen(A_LITTLE_S)
            elif what.ending == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        return verdict(bytes(answer), whole=False)


async def honest_echo(served: Served) -> float:
    """Seconds that a good client takes to connect, be echoed and leave."""
    began = time.perf_counter()
    with trio.fail_after(HONEST_S):
        websocket = await connect_websocket(f"ws://127.0.0.1:{served.port}/ws")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            websocket.send("still served?")
            assert (await websocket.receive()).data == b"still served?"
            await websocket.aclose()
    return time.perf_counter() - began


def nothing_but_debug(lines: list[MutableMapping[str, Any]], seed_of_port: dict[int, str], in_flight: set[str]) -> None:
    """Fail for a connection that got as far as the firewall, or that anything was said about; else forget the lines."""
    for line in lines:
        if line["log_level"] != "debug":
            port = int(str(line.get("peer", ":0")).rpartition(":")[2])
            suspects = seed_of_port.get(port) or sorted(in_flight)
            details = [said["traceback"] for said in lines if "traceback" in said]
            pytest.fail(f"seed {suspects!r}: {line} {details}")
    lines.clear()


async def test_the_door_outlives_whatever_is_sent_to_it(open_door: Open, open_descriptors: Callable[[], int]) -> None:
    seeds = [ONLY_SEED] if ONLY_SEED else [f"door {number}" for number in range(CONNECTIONS)]
    seed_of_port: dict[int, str] = {}
    verdicts: Counter[str] = Counter()
    waited_s: list[float] = []
    began = time.perf_counter()
    limits = DoorLimits(head_s=HEAD_S, http=HttpLimits(body_s=HEAD_S))
    with structlog.testing.capture_logs() as lines:
        async with open_door(limits) as served:
            await honest_echo(served)
            before, tasks = open_descriptors(), trio.lowlevel.current_statistics().tasks_living
            waiting = iter(enumerate(seeds))
            in_flight: set[str] = set()

            async def visitor() -> None:
                for number, seed in waiting:
                    in_flight.add(seed)
                    try:
                        verdicts[await visit(served, seed, seed_of_port)] += 1
                    except BaseException:
                        print(f"the connection with seed {seed!r} failed")
                        raise
                    nothing_but_debug(lines, seed_of_port, in_flight)
                    in_flight.remove(seed)
                    if number % HONEST_EVERY == 0:
                        waited_s.append(await honest_echo(served))

            async with trio.open_nursery() as visitors:
                for _ in range(AT_ONCE):
                    visitors.start_soon(visitor)
            took_s = time.perf_counter() - began
            waited_s.append(await honest_echo(served))
            await eventually(lambda: served.door.connections == 0)
            await eventually(lambda: open_descriptors() <= before)
            await eventually(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks)
        nothing_but_debug(lines, seed_of_port, set())
    print(f"{len(seeds)} connections in {took_s:.1f} s, {len(seeds) / took_s:.0f} a second")
    print(f"honest clients: {len(waited_s)}, the slowest {1000 * max(waited_s):.0f} ms; {dict(verdicts.most_common())}")
    past_the_handshake = sum(count for said, count in verdicts.items() if said.startswith("101"))
    assert ONLY_SEED or past_the_handshake > len(seeds) / 10, "too little of it is about frames"
