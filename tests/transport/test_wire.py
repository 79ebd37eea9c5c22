import os
import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from server.transport.errors import WireBroken, WireClosed
from server.transport.wire import NOTSENT_LOWAT_BYTES, Address, SocketWire, send_all


async def tcp_pair() -> tuple[SocketWire, SocketWire]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener:
        near = SocketWire.from_stream(await trio.open_tcp_stream("127.0.0.1", port))
        far = SocketWire.from_stream(await listener.accept())
    return near, far


async def test_bytes_go_both_ways() -> None:
    near, far = await tcp_pair()
    assert near.try_send(b"there") == 5
    assert await far.receive() == b"there"
    far.try_send(b"back")
    assert await near.receive() == b"back"
    near.close()
    assert await far.receive() == b""
    far.close()


async def test_a_socket_wire_knows_both_addresses() -> None:
    near, far = await tcp_pair()
    assert near.peer == far.local
    assert near.local == far.peer
    assert str(near.peer) == f"127.0.0.1:{near.peer.port}"
    assert str(Address("::1", 80)) == "[::1]:80"
    near.close()
    far.close()


async def test_the_socket_neither_delays_nor_hides_what_it_is_given() -> None:
    near, far = await tcp_pair()
    sock = near._socket
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_LOWAT_BYTES
    near.close()
    far.close()


async def test_a_peer_that_does_not_read_stops_the_taking_soon() -> None:
    near, far = await tcp_pair()
    # A fixed receive buffer: on loopback the kernel otherwise grows it to megabytes.
    far._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    chunk, total = b"x" * 64 * 1024, 0
    while taken := near.try_send(chunk):
        total += taken
        assert total < 16 * 1024 * 1024
        await trio.lowlevel.checkpoint()
    received = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.wait_writable)
        while received < total:
            received += len(await far.receive() or b"")
    assert near.sent_bytes == total
    near.close()
    far.close()


async def test_send_all_sends_all() -> None:
    near, far = await tcp_pair()
    data = os.urandom(3 * 1024 * 1024)
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, near, data)
        while len(received) < len(data):
            received += await far.receive() or b""
    assert received == data
    near.close()
    far.close()


async def test_a_reset_is_a_broken_wire() -> None:
    near, far = await tcp_pair()
    far._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    with pytest.raises(WireBroken):
        await near.receive()
    with pytest.raises(WireBroken):
        near.try_send(b"x")
    near.close()


async def test_closing_wakes_whoever_waits_and_frees_the_descriptor() -> None:
    near, far = await tcp_pair()
    fd = near._socket.fileno()
    while near.try_send(b"x" * 65536):
        pass

    async def read() -> None:
        with pytest.raises(WireClosed):
            await near.receive()

    async def write() -> None:
        with pytest.raises(WireClosed):
            await near.wait_writable()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        near.close()
    near.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    # The next socket on that descriptor is nobody's business but its own.
    again, other = await tcp_pair()
    again.try_send(b"x")
    assert await other.receive() == b"x"
    for wire in (far, again, other):
        wire.close()
    for use in (near.receive, near.wait_writable):
        with pytest.raises(WireClosed):
            await use()
    with pytest.raises(WireClosed):
        near.try_send(b"x")


async def test_an_interrupt_wakes_without_closing() -> None:
    near, far = await tcp_pair()
    results: list[bytes | None] = []

    async def read() -> None:
        results.append(await near.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        near.interrupt()
    assert results == [None]
    far.try_send(b"x")
    assert await near.receive() == b"x"
    near.close()
    near.interrupt()
    far.close()


async def test_a_half_close_ends_one_direction() -> None:
    near, far = await tcp_pair()
    near.send_eof()
    near.send_eof()
    assert await far.receive() == b""
    far.try_send(b"answer")
    assert await near.receive() == b"answer"
    near.close()
    near.send_eof()
    far.close()


def test_a_connection_that_is_gone_already_makes_no_wire() -> None:
    sock = socket.socket()
    with pytest.raises(WireBroken):
        SocketWire(sock)
    assert sock.fileno() == -1


async def test_a_unix_socket_pair_works_too() -> None:
    one, two = (SocketWire(sock) for sock in socket.socketpair())
    one.try_send(b"x")
    assert await two.receive() == b"x"
    assert one.peer == Address("local", 0)
    one.close()
    two.close()
