"""RFC 6455 byte by byte: what each sequence of frames must come to, on both sides and however it is cut."""

from typing import NamedTuple

import pytest

from server.transport.inbound import MAX_FRAGMENTS, Inbound, Message, Step
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
)

LIMIT = 70_000


class Case(NamedTuple):
    """Frames, as arguments of `frame` or raw bytes, and what they must come to."""

    name: str
    frames: list[tuple[int, bytes, dict[str, object]] | bytes]
    messages: list[str | bytes]
    pongs: list[bytes]
    closed_with: int | None


def F(opcode: int, payload: bytes = b"", **how: object) -> tuple[int, bytes, dict[str, object]]:  # noqa: N802
    return opcode, payload, how


def says(name: str, *frames: tuple[int, bytes, dict[str, object]], messages: list[str | bytes]) -> Case:
    return Case(name, list(frames), messages, [], None)


def fails(
    name: str, code: int, *frames: tuple[int, bytes, dict[str, object]], before: list[str | bytes] | None = None
) -> Case:
    return Case(name, list(frames), before or [], [], code)


EURO = "€".encode()
BAD_UTF8 = {
    "lone continuation byte": b"\x80",
    "lone lead byte": b"\xc3",
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xe0\x80\x80",
    "surrogate": b"\xed\xa0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "five-byte form": b"\xf8\x88\x80\x80\x80",
    "byte FF": b"ok\xff",
    "cut euro": b"ok" + EURO[:2],
    "bad byte after good text": "κόσμε".encode() + b"\xed\xa0\x80" + b"edited",
}
GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4413, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]

CASES: list[Case] = [
    # Lengths
    *(
        says(f"text of {n} bytes", F(TEXT, b"*" * n), messages=["*" * n])
        for n in (0, 1, 124, 125, 126, 127, 128, 255, 256, 65535, 65536, LIMIT)
    ),
    *(
        says(f"binary of {n} bytes", F(BINARY, b"\xfe" * n), messages=[b"\xfe" * n])
        for n in (0, 1, 125, 126, 65535, 65536, LIMIT)
    ),
    fails("text beyond the limit", 1009, F(TEXT, b"*" * (LIMIT + 1))),
    fails("binary beyond the limit", 1009, F(BINARY, b"*" * (LIMIT + 1))),
    fails("fragments beyond the limit", 1009, F(TEXT, b"*" * LIMIT, fin=False), F(CONT, b"*")),
    fails("a first fragment beyond the limit", 1009, F(TEXT, b"*" * (LIMIT + 1), fin=False)),
    fails("short length in the 16-bit form", 1002, F(TEXT, b"hi", form=2)),
    fails("short length in the 64-bit form", 1002, F(TEXT, b"hi", form=8)),
    fails("16-bit length in the 64-bit form", 1002, F(TEXT, b"*" * 300, form=8)),
    fails("binary length in a longer form", 1002, F(BINARY, b"hi", form=2)),
    # Reserved bits and opcodes
    *(fails(f"reserved bits {rsv:03b} on text", 1002, F(TEXT, b"x", rsv=rsv)) for rsv in range(1, 8)),
    *(fails(f"reserved bits {rsv:03b} on ping", 1002, F(PING, b"x", rsv=rsv)) for rsv in (1, 2, 4)),
    fails("reserved bit on close", 1002, F(CLOSE, b"\x03\xe8", rsv=4)),
    fails("reserved bit behind good text", 1002, F(TEXT, b"a"), F(TEXT, b"b", rsv=4), before=["a"]),
    *(fails(f"reserved opcode {op}", 1002, F(op, b"")) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    fails("reserved opcode with payload", 1002, F(3, b"payload")),
    # Control frames
    Case("ping", [F(PING, b"")], [], [b""], None),
    Case("ping with payload", [F(PING, b"Hello")], [], [b"Hello"], None),
    Case("ping with 125 bytes", [F(PING, b"\xfe" * 125)], [], [b"\xfe" * 125], None),
    fails("ping with 126 bytes", 1002, F(PING, b"\xfe" * 126)),
    fails("pong with 126 bytes", 1002, F(PONG, b"\xfe" * 126)),
    fails("close with 126 bytes", 1002, F(CLOSE, b"\x03\xe8" + b"*" * 124)),
    fails("fragmented ping", 1002, F(PING, b"a", fin=False)),
    fails("fragmented pong", 1002, F(PONG, b"a", fin=False)),
    fails("fragmented close", 1002, F(CLOSE, b"\x03\xe8", fin=False)),
    says("pong that nobody asked for", F(PONG, b"x"), F(TEXT, b"a"), messages=["a"]),
    Case("pong, then ping", [F(PONG, b"x"), F(PING, b"y")], [], [b"y"], None),
    Case("ten pings", [F(PING, bytes([n])) for n in range(10)], [], [bytes([n]) for n in range(10)], None),
    # Fragmentation
    says("text in two", F(TEXT, b"frag1", fin=False), F(CONT, b"frag2"), messages=["frag1frag2"]),
    says("binary in three", F(BINARY, b"a", fin=False), F(CONT, b"b", fin=False), F(CONT, b"c"), messages=[b"abc"]),
    says("empty fragments", F(TEXT, fin=False), F(CONT, fin=False), F(CONT), messages=[""]),
    says("empty middle", F(TEXT, b"a", fin=False), F(CONT, fin=False), F(CONT, b"b"), messages=["ab"]),
    says("many fragments", F(TEXT, fin=False), *[F(CONT, b"x", fin=False)] * 200, F(CONT), messages=["x" * 200]),
    says(
        "two messages in fragments",
        F(TEXT, b"a", fin=False), F(CONT, b"b"), F(BINARY, b"c", fin=False), F(CONT, b"d"),
        messages=["ab", b"cd"],
    ),
    Case("ping inside a message", [F(TEXT, b"a", fin=False), F(PING, b"p"), F(CONT, b"b")], ["ab"], [b"p"], None),
    says("pong inside a message", F(TEXT, b"a", fin=False), F(PONG, b"p"), F(CONT, b"b"), messages=["ab"]),
    fails("continuation of nothing", 1002, F(CONT, b"x")),
    fails("unfinished continuation of nothing", 1002, F(CONT, b"x", fin=False)),
    fails("continuation after a whole message", 1002, F(TEXT, b"a"), F(CONT, b"x"), before=["a"]),
    fails("continuation after the end", 1002, F(TEXT, b"a", fin=False), F(CONT, b"b"), F(CONT, b"c"), before=["ab"]),
    fails("text inside a message", 1002, F(TEXT, b"a", fin=False), F(TEXT, b"b")),
    fails("binary inside a message", 1002, F(TEXT, b"a", fin=False), F(BINARY, b"b")),
    fails("unfinished text inside a message", 1002, F(TEXT, b"a", fin=False), F(TEXT, b"b", fin=False)),
    fails("close inside a message", 1002, F(TEXT, b"a", fin=False), F(CLOSE, b"\x03\xe8")),
    fails("too many fragments", 1009, F(TEXT, fin=False), *[F(CONT, fin=False)] * MAX_FRAGMENTS),
    # UTF-8
    says("greek", F(TEXT, "κόσμε".encode()), messages=["κόσμε"]),
    says("four-byte characters", F(TEXT, "𝄞🎭".encode()), messages=["𝄞🎭"]),
    says("highest code point", F(TEXT, "\U0010ffff".encode()), messages=["\U0010ffff"]),
    says("noncharacters are allowed", F(TEXT, "\uffff\ufdd0".encode()), messages=["\uffff\ufdd0"]),
    says("byte order mark is kept", F(TEXT, b"\xef\xbb\xbfx"), messages=["\ufeffx"]),
    says("character cut by fragments", F(TEXT, EURO[:1], fin=False), F(CONT, EURO[1:]), messages=["€"]),
    says(
        "character cut by three fragments",
        F(TEXT, EURO[:1], fin=False), F(CONT, EURO[1:2], fin=False), F(CONT, EURO[2:]),
        messages=["€"],
    ),
    says("bad UTF-8 is fine in binary", F(BINARY, b"\xff\xfe"), messages=[b"\xff\xfe"]),
    *(fails(f"UTF-8: {name}", 1007, F(TEXT, data)) for name, data in BAD_UTF8.items()),
    *(
        fails(f"UTF-8 in fragments: {name}", 1007, F(TEXT, data[:1], fin=False), F(CONT, data[1:]))
        for name, data in BAD_UTF8.items()
    ),
    fails("bad fragment fails before the message ends", 1007, F(TEXT, b"\xff", fin=False)),
    fails("bad UTF-8 behind good text", 1007, F(TEXT, b"a"), F(TEXT, b"\xff"), before=["a"]),
    fails("message ends inside a character", 1007, F(TEXT, EURO[:2], fin=False), F(CONT)),
    # Closing
    Case("close without a code", [F(CLOSE)], [], [], 1005),
    fails("close with one byte", 1002, F(CLOSE, b"\x03")),
    *(fails(f"close code {code} is echoed", code, F(CLOSE, code.to_bytes(2, "big"))) for code in GOOD_CODES),
    *(fails(f"close code {code} is wrong", 1002, F(CLOSE, code.to_bytes(2, "big"))) for code in BAD_CODES),
    fails("close with a reason", 1000, F(CLOSE, b"\x03\xe8" + b"Hello World!")),
    fails("close with the longest reason", 1000, F(CLOSE, b"\x03\xe8" + b"*" * 123)),
    fails("close with a bad reason", 1007, F(CLOSE, b"\x03\xe8\xff")),
    fails("close with a cut reason", 1007, F(CLOSE, b"\x03\xe8" + EURO[:2])),
    fails("text behind a close is not read", 1000, F(TEXT, b"a"), F(CLOSE, b"\x03\xe8"), F(TEXT, b"b"), before=["a"]),
    fails("ping behind a close is not answered", 1000, F(CLOSE, b"\x03\xe8"), F(PING, b"x")),
    fails("second close counts for nothing", 1000, F(CLOSE, b"\x03\xe8"), F(CLOSE, b"\x03\xe9")),
    fails("garbage behind a fault is not read", 1002, F(CONT, b"x"), F(TEXT, b"a")),
]  # fmt: skip


def wire_bytes(case: Case, role: str) -> bytes:
    mask = MASK if role == "server" else None
    parts = []
    for item in case.frames:
        if isinstance(item, bytes):
            parts.append(item)
        else:
            opcode, payload, how = item
            parts.append(frame(opcode, payload, mask=mask, **how))  # type: ignore[arg-type]
    return b"".join(parts)


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


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_frames_come_to_what_the_standard_says(case: Case, role: str) -> None:
    data = wire_bytes(case, role)
    ways = [[data], [data[i : i + 1460] for i in range(0, len(data), 1460)]]
    if len(data) < 700:
        ways.append([data[i : i + 1] for i in range(len(data))])
    for pieces in ways:
        messages, answers = converse(role, pieces)
        assert messages == case.messages
        assert [payload for opcode, payload in answers if opcode == PONG] == case.pongs
        assert closing_code(answers) == case.closed_with


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONT, PING, PONG, CLOSE])
def test_a_client_that_does_not_mask_is_refused(opcode: int) -> None:
    assert closing_code(converse("server", [frame(opcode, b"", mask=None)])[1]) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONT, PING, PONG, CLOSE])
def test_a_server_that_masks_is_refused(opcode: int) -> None:
    assert closing_code(converse("client", [frame(opcode, b"")])[1]) == 1002


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"abcd"])
def test_every_mask_is_undone(mask: bytes) -> None:
    assert converse("server", [frame(TEXT, b"masked text", mask=mask)])[0] == ["masked text"]


@pytest.mark.parametrize("length", [2**31, 2**32, 2**63, 2**64 - 1])
def test_an_absurd_length_is_refused_by_its_head_alone(length: int) -> None:
    head = b"\x81\xff" + length.to_bytes(8, "big") + MASK
    assert closing_code(converse("server", [head])[1]) == 1009


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
    assert 2 * len(CASES) >= 290, "each for both roles"
    assert len({case.name for case in CASES}) == len(CASES)
