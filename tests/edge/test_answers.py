import pytest
import trio
from trio.testing import MockClock

from server.edge.answers import Refusal, linger, refuse, response_bytes
from server.transport.memory import memory_wire_pair
from tests.transport.peers import receive_to_end


def test_an_answer_is_whole_and_ends_the_connection() -> None:
    answer = response_bytes(429, {"a": 1}, {"Retry-After": "7"})
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert answer.endswith(b'\r\n\r\n{"a":1}')
    for line in (b"Connection: close", b"Content-Length: 7", b"Retry-After: 7", b"Content-Type: application/json"):
        assert b"\r\n" + line + b"\r\n" in answer


def test_an_unknown_status_can_be_answered() -> None:
    assert response_bytes(499, {}).startswith(b"HTTP/1.1 499 Refused\r\n")


@pytest.mark.parametrize("headers", [{"X": "a\r\nSet-Cookie: b"}, {"X\nY": "a"}, {"X": "\0"}])
def test_a_header_cannot_break_out_of_its_line(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="line break"):
        response_bytes(400, {}, headers)


async def test_a_refusal_is_read_by_a_peer_that_is_still_sending(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=1000)
    far.try_send(b"x" * 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse, near, Refusal(413, "too_large", "Too large."))
        answer = await receive_to_end(far)
        far.send_eof()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert near.closed
    assert trio.current_time() == 0


async def test_a_peer_that_takes_no_answer_is_given_up(autojump_clock: MockClock) -> None:
    near, far = memory_wire_pair(capacity_bytes=10)
    far.stall()
    await refuse(near, Refusal(400, "a", "b"))
    assert near.closed
    assert trio.current_time() < 10


async def test_a_peer_that_does_not_end_is_not_waited_for_long(autojump_clock: MockClock) -> None:
    near, _far = memory_wire_pair()
    await linger(near)
    assert near.closed
    assert trio.current_time() == 1.0
