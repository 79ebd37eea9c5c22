import os

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.transport.errors import WireBroken, WireClosed
from server.transport.memory import MemoryWire, memory_wire_pair
from server.transport.tls import RECORD_BYTES, TlsWire, start_tls
from server.transport.wire import send_all
from tests.transport.conftest import Contexts
from tests.transport.peers import open_websocket


async def shaken(tls: Contexts, capacity_bytes: int = 64 * 1024) -> tuple[TlsWire, TlsWire, MemoryWire, MemoryWire]:
    """Two TLS ends, the server's first, and the wires below them."""
    near, far = memory_wire_pair(capacity_bytes=capacity_bytes)
    ends: dict[str, TlsWire] = {}

    async def serve() -> None:
        ends["server"] = await start_tls(near, tls.server, server_side=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        ends["client"] = await start_tls(far, tls.client, server_hostname="localhost")
    return ends["server"], ends["client"], near, far


async def test_bytes_go_both_ways_and_not_in_the_clear(tls: Contexts, autojump_clock: MockClock) -> None:
    server, client, near, _ = await shaken(tls)
    secret = b"the password is swordfish"
    server.try_send(secret)
    assert secret not in bytes(near._outgoing.data)
    assert await client.receive() == secret
    client.try_send(b"thanks")
    assert await server.receive() == b"thanks"
    assert server.peer == near.peer
    assert server.local == near.local


async def test_a_handshake_goes_through_the_narrowest_wire(tls: Contexts, autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=7)

    async def serve() -> None:
        server = await start_tls(near, tls.server, server_side=True)
        await send_all(server, b"hello")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        client = await start_tls(far, tls.client, server_hostname="localhost")
        assert await client.receive() == b"hello"


async def test_much_data_arrives_whole(tls: Contexts, autojump_clock: MockClock) -> None:
    server, client, _, _ = await shaken(tls)
    data, received = os.urandom(1_000_000), b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, server, data)
        while len(received) < len(data):
            received += await client.receive() or b""
    assert received == data


async def test_at_most_one_record_is_encrypted_ahead(tls: Contexts, autojump_clock: MockClock) -> None:
    server, client, near, far = await shaken(tls, capacity_bytes=2000)
    taken = server.try_send(b"x" * 100_000)
    assert taken == RECORD_BYTES
    assert server.unsent
    assert server.try_send(b"y") == 0, "while ciphertext waits, nothing is taken"
    before = server.sent_bytes
    received = b""
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            while server.unsent:
                await server.wait_writable()

        nursery.start_soon(move)
        while len(received) < taken:
            received += await client.receive() or b""
    assert received == b"x" * taken
    assert server.sent_bytes > before
    assert server.try_send(b"y") == 1, "and then it takes more"
    near.close()
    far.close()


async def test_a_client_that_does_not_trust_the_certificate_refuses(tls: Contexts, autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()

    async def serve() -> None:
        with pytest.raises(WireBroken, match="TLS handshake failed"):
            await start_tls(near, tls.server, server_side=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(WireBroken, match="CERTIFICATE_VERIFY_FAILED"):
            await start_tls(far, tls.stranger, server_hostname="localhost")
    assert near.closed
    assert far.closed


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_without_tls_is_found_out(answer: bytes, tls: Contexts, autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    near.try_send(answer)
    near.send_eof()
    with pytest.raises(WireBroken):
        await start_tls(far, tls.client, server_hostname="localhost")
    assert far.closed


async def test_a_handshake_that_is_cancelled_leaves_nothing_open(tls: Contexts, autojump_clock: MockClock) -> None:
    _near, far = memory_wire_pair()
    with trio.move_on_after(1):
        await start_tls(far, tls.client, server_hostname="localhost")
    assert far.closed


async def test_the_end_is_an_end_with_a_goodbye_and_without(tls: Contexts, autojump_clock: MockClock) -> None:
    for politely in (True, False):
        server, client, near, _ = await shaken(tls)
        server.try_send(b"last")
        if politely:
            server.send_eof()
        else:
            near.close()
        assert await client.receive() == b"last"
        assert await client.receive() == b""
        assert await client.receive() == b""
        if politely:
            client.try_send(b"answer")
            assert await server.receive() == b"answer", "after a half close reading goes on"


async def test_broken_ciphertext_breaks_the_wire(tls: Contexts, autojump_clock: MockClock) -> None:
    server, client, near, _ = await shaken(tls)
    near.try_send(b"\x17\x03\x03\x00\x05hello")
    with pytest.raises(WireBroken, match="TLS reading failed"):
        await client.receive()
    assert client.closed
    server.close()


async def test_closing_and_interrupting_reach_the_wire_below(tls: Contexts, autojump_clock: MockClock) -> None:
    server, _, near, _ = await shaken(tls)
    results: list[bytes | None] = []

    async def read() -> None:
        results.append(await server.receive())
        with pytest.raises(WireClosed):
            await server.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        server.interrupt()
        await wait_all_tasks_blocked()
        server.close()
    assert results == [None]
    assert near.closed
    server.send_eof()


async def test_a_purge_over_tls_takes_back_what_is_not_encrypted_yet(tls: Contexts, autojump_clock: MockClock) -> None:
    near, far, _, below = await shaken(tls, capacity_bytes=2000)
    server, client = open_websocket(near), open_websocket(far, "client")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        for number in range(20):
            server.send(f"{number}".ljust(1000, "."), item_id="a", audio_ms=100.0)
        purged_ms = server.purge("a")
        assert purged_ms >= 1700.0
        server.send("next")
        texts = []
        while b"next" not in texts:
            texts.append((await client.receive()).data.rstrip(b"."))
        assert texts == [*(b"%d" % n for n in range(20 - int(purged_ms / 100.0))), b"next"]
        nursery.cancel_scope.cancel()
    assert below.closed
