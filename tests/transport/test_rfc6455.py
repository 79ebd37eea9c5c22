"""RFC 6455 byte by byte: what each sequence of frames must come to, on both sides and however it is cut."""

import pytest
import trio
from trio.testing import MockClock

from server.transport.accept import accept_websocket
from server.transport.client import handshake
from server.transport.errors import ConnectionLost
from server.transport.inbound import Inbound, Message, Step
from server.transport.memory import memory_wire_pair
from server.transport.websocket import WebSocket, WebSocketOptions
from server.transport.wire import send_all
from tests.transport.frame_corpus import FRAME_CASES, LIMIT, MASKS, Case, wire_bytes
from tests.transport.peers import (
    BINARY,
    CLOSE,
    CONT,
    MASK,
    PING,
    PONG,
    TEXT,
    frame,
    parse_frames,
    protocol_of,
    read_head,
    receive_to_end,
    switching,
)
from tests.transport.text_corpus import TEXT_CASES

CASES = (*FRAME_CASES, *TEXT_CASES)
ROLES = pytest.mark.parametrize("role", ["server", "client"])

# Up to here a sequence is also given byte by byte.
BYTEWISE_BYTES = 1000


def arriving(case: Case, role: str) -> bytes:
    return wire_bytes(case, mask=MASK if role == "server" else None)


def converse(role: str, pieces: list[bytes], limit: int = LIMIT) -> tuple[list[str | bytes], list[tuple[int, bytes]]]:
    """What comes out of a connection's receiving half, and what it answers."""
    protocol = protocol_of(role, limit)
    inbound = Inbound(protocol)
    messages: list[str | bytes] = []
    answers: list[tuple[int, bytes]] = []
    for piece in pieces:
        inbound.feed(piece)
        while True:
            step = inbound.step()
            if isinstance(step, Message):
                messages.append(step.data.decode() if step.is_text else step.data)
            answers += parse_frames(b"".join(protocol.data_to_send()))
            if step is Step.ENDED:
                return messages, answers
            if step is Step.NEED_DATA:
                break
    return messages, answers


def closing_code(answers: list[tuple[int, bytes]]) -> int | None:
    closes = [payload for opcode, payload in answers if opcode == CLOSE]
    assert len(closes) <= 1
    if not closes:
        return None
    return int.from_bytes(closes[0][:2], "big") if closes[0] else 1005


def judge(case: Case, messages: list[str | bytes], answers: list[tuple[int, bytes]]) -> None:
    assert tuple(messages) == case.messages
    assert tuple(payload for opcode, payload in answers if opcode == PONG) == case.pongs
    assert closing_code(answers) == case.closed_with
    assert {opcode for opcode, _ in answers} <= {PONG, CLOSE}


def judge_end(case: Case, loss: ConnectionLost) -> None:
    """A fault is ended by us with its code, a close by the peer with its own, and silence by the network."""
    if case.closed_with is None:
        assert (loss.code, loss.by) == (None, "network")
    else:
        assert loss.code == case.closed_with
        assert loss.by in {"us", "peer"}


OPTIONS = WebSocketOptions(max_message_bytes=LIMIT, ping_interval_s=1e9)
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def received(websocket: WebSocket) -> tuple[list[str | bytes], ConnectionLost]:
    """Everything that a connection gives until it is lost; then it is closed."""
    messages: list[str | bytes] = []
    try:
        while True:
            message = await websocket.receive()
            messages.append(message.data.decode() if message.is_text else message.data)
    except ConnectionLost as loss:
        await websocket.aclose(1.0)
        return messages, loss


async def behind_a_clients_handshake(case: Case) -> tuple[list[str | bytes], ConnectionLost, bytes]:
    """What a server of ours gives, how it ends, and the bytes that its client sees."""
    near, far = memory_wire_pair(capacity_bytes=2**20)
    websocket = await accept_websocket(near, REQUEST, rest=arriving(case, "server"), options=OPTIONS)
    far.send_eof()
    messages, loss = await received(websocket)
    _, frames = await read_head(far)
    return messages, loss, frames + await receive_to_end(far)


async def behind_a_servers_handshake(case: Case) -> tuple[list[str | bytes], ConnectionLost, bytes]:
    """The same of a client of ours."""
    near, far = memory_wire_pair(capacity_bytes=2**20)
    seen = b""

    async def serve() -> None:
        nonlocal seen
        head, _ = await read_head(near)
        await send_all(near, switching(head) + arriving(case, "client"))
        near.send_eof()
        seen = await receive_to_end(near)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        messages, loss = await received(await handshake(far, "ws://peer/", options=OPTIONS))
    return messages, loss, seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@ROLES
async def test_frames_come_to_what_the_standard_says(role: str, case: Case, autojump_clock: MockClock) -> None:
    data = arriving(case, role)
    ways = [[data], [data[i : i + 1460] for i in range(0, len(data), 1460)]]
    if len(data) < BYTEWISE_BYTES:
        ways.append([data[i : i + 1] for i in range(len(data))])
    for pieces in ways:
        judge(case, *converse(role, pieces))
    # And on a whole connection, glued behind the other side's handshake.
    glued = behind_a_clients_handshake if role == "server" else behind_a_servers_handshake
    messages, loss, seen = await glued(case)
    judge(case, messages, parse_frames(seen))
    judge_end(case, loss)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONT, PING, PONG, CLOSE])
def test_a_client_that_does_not_mask_is_refused(opcode: int) -> None:
    assert closing_code(converse("server", [frame(opcode, b"", mask=None)])[1]) == 1002
    later = frame(TEXT, b"a") + frame(opcode, b"\x03\xe8", mask=None)
    assert closing_code(converse("server", [later])[1]) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONT, PING, PONG, CLOSE])
def test_a_server_that_masks_is_refused(opcode: int) -> None:
    assert closing_code(converse("client", [frame(opcode, b"")])[1]) == 1002
    later = frame(TEXT, b"a", mask=None) + frame(opcode, b"\x03\xe8")
    assert closing_code(converse("client", [later])[1]) == 1002


@pytest.mark.parametrize("length", [1, 5, 126, 65_536])
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_is_undone(mask: bytes, length: int) -> None:
    payload = (b"masked text " * 6000)[:length]
    assert converse("server", [frame(TEXT, payload, mask=mask)])[0] == [payload.decode()]
    pieces = frame(BINARY, payload[:3], mask=mask, fin=False) + frame(CONT, payload[3:], mask=MASK)
    assert converse("server", [pieces])[0] == [payload]
    assert converse("server", [frame(PING, payload[:125], mask=mask)])[1] == [(PONG, payload[:125])]


@pytest.mark.parametrize("length", [LIMIT + 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@ROLES
def test_an_absurd_length_is_refused_by_its_head_alone(role: str, opcode: int, length: int) -> None:
    mask = (0x80, MASK) if role == "server" else (0, b"")
    head = bytes((0x80 | opcode, mask[0] | 127)) + length.to_bytes(8, "big") + mask[1]
    assert closing_code(converse(role, [head])[1]) == 1009


def test_every_prefix_of_a_conversation_is_understood_as_far_as_it_goes() -> None:
    data = (
        frame(TEXT, b"one")
        + frame(PING, b"p")
        + frame(TEXT, b"tw", fin=False)
        + frame(CONT, b"o")
        + frame(BINARY, b"3")
    )
    for cut in range(len(data)):
        messages, answers = converse("server", [data[:cut]])
        assert messages == ["one", "two", b"3"][: len(messages)]
        assert closing_code(answers) is None


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)
    # One may be there twice under two names; what counts is what arrives.
    assert len({arriving(case, "client") for case in CASES}) >= 300
