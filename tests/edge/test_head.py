import itertools

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from server.edge.head import HeadRefused, RequestHead, read_head
from server.transport.memory import memory_wire_pair


async def read(*pieces: bytes, end: bool = True) -> RequestHead | None:
    near, far = memory_wire_pair()

    async def send() -> None:
        for piece in pieces:
            far.try_send(piece)
            await trio.sleep(0.1)
        if end:
            far.send_eof()

    found: list[RequestHead | None] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        found.append(await read_head(near))
    return found[0]


async def test_a_head_is_taken_apart(autojump_clock: MockClock) -> None:
    head = await read(b"GET /ws%20x?kb=mus%C3%A9e&kb=2&empty= HTTP/1.1\r\nHost: a\r\nX-A: \xe4\r\n\r\nrest")
    assert head is not None
    assert (head.method, head.path, head.version) == ("GET", "/ws x", "1.1")
    assert head.target == "/ws%20x?kb=mus%C3%A9e&kb=2&empty="
    assert head.query == {"kb": "musée", "empty": ""}
    assert head.headers.get("x-a") == "\xe4"
    assert head.rest == b"rest"
    assert head.raw.endswith(b"\r\n\r\n")
    assert not head.is_upgrade


async def test_a_head_does_not_show_what_it_holds(autojump_clock: MockClock) -> None:
    head = await read(b"GET /?api-key=sk-1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-1\r\n\r\n")
    assert "sk-1" not in repr(head)


async def test_a_connection_without_a_byte_is_nothing(autojump_clock: MockClock) -> None:
    assert await read() is None


async def test_a_head_that_breaks_off_is_refused(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(HeadRefused, match="ended before its head did")):
        await read(b"GET / HTTP/1.1\r\n")


async def test_silence_is_refused_after_its_time(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair()
    far.try_send(b"GET ")
    with pytest.raises(HeadRefused) as caught:
        await read_head(near, deadline_s=7.0)
    assert caught.value.refusal.status == 408
    assert trio.current_time() == 7.0


WHOLE = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: x, upgrade\r\n\r\n"


@given(st.lists(st.integers(0, len(WHOLE) + 5), max_size=6))
def test_a_head_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    data = WHOLE + b"\x81\x85ab"
    edges = sorted({0, *cuts, len(data)})
    near, far = memory_wire_pair()

    async def main() -> RequestHead | None:
        async def send() -> None:
            for a, b in itertools.pairwise(edges):
                far.try_send(data[a:b])
                await trio.testing.wait_all_tasks_blocked()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            found = await read_head(near)
            nursery.cancel_scope.cancel()
        return found

    head = trio.run(main)
    assert head is not None
    assert head.is_upgrade
    assert head.raw == WHOLE
    assert data.startswith(head.raw + head.rest)
