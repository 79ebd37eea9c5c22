"""Sequences of frames and what RFC 6455 says they come to; the tests beside it say so to our receiving half.

Written from the standard's text, and from nobody's test suite. Each case is for both roles: what a client sends is
masked, what a server sends is not.
"""

from collections.abc import Iterator
from typing import NamedTuple

from server.transport.inbound import MAX_FRAGMENTS
from tests.transport.peers import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

__all__ = ["FRAME_CASES", "LIMIT", "MASKS", "Case", "wire_bytes"]

# What a message may have in these cases: more than the 16-bit length form holds.
LIMIT = 70_000


class Part(NamedTuple):
    """One frame, as arguments of `frame`; as right or as wrong as the case wants it."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    form: int | None = None


class Case(NamedTuple):
    """Frames, and what they must come to."""

    name: str
    parts: tuple[Part, ...]
    messages: tuple[str | bytes, ...] = ()
    pongs: tuple[bytes, ...] = ()
    closed_with: int | None = None
    """The code of the close frame in answer; 1005 for one without a code, None for none."""


def wire_bytes(case: Case, *, mask: bytes | None) -> bytes:
    """The frames of a case as they arrive."""
    return b"".join(
        frame(part.opcode, part.payload, fin=part.fin, rsv=part.rsv, form=part.form, mask=mask) for part in case.parts
    )


def more(opcode: int, payload: bytes = b"") -> Part:
    """A frame with more to come."""
    return Part(opcode, payload, fin=False)


def says(name: str, *parts: Part, messages: tuple[str | bytes, ...], pongs: tuple[bytes, ...] = ()) -> Case:
    return Case(name, parts, messages, pongs)


def fails(name: str, code: int, *parts: Part, before: tuple[str | bytes, ...] = ()) -> Case:
    return Case(name, parts, before, (), code)


def closing(code: int, reason: bytes = b"") -> Part:
    return Part(CLOSE, code.to_bytes(2, "big") + reason)


EURO, CLEF = "€".encode(), "𝄞".encode()
SHORT_LENGTHS = (0, 1, 2, 124, 125)
LENGTHS = (*SHORT_LENGTHS, 126, 127, 128, 254, 255, 256, 1000, 32_767, 32_768, 65_534, 65_535, 65_536, 65_537)
MASKS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\x01", b"abcd", b"\x81\x85\x88\x00")


def lengths() -> Iterator[Case]:
    """5.2: the three forms of a length, of which the shortest must be used."""
    for n in (*LENGTHS, LIMIT):
        yield says(f"text of {n} bytes", Part(TEXT, b"*" * n), messages=("*" * n,))
        yield says(f"binary of {n} bytes", Part(BINARY, b"\xfe" * n), messages=(b"\xfe" * n,))
    for n in (125, 126, 65_535, 65_536):
        yield says(f"fragments of {n} bytes", more(TEXT, b"a" * n), Part(CONT, b"b" * 9), messages=("a" * n + "b" * 9,))
        yield says(f"a rest of {n} bytes", more(BINARY, b"a"), Part(CONT, b"b" * n), messages=(b"a" + b"b" * n,))
    for form, too_short in ((2, SHORT_LENGTHS), (8, (*SHORT_LENGTHS, 126, 300, 65_535))):
        for n in too_short:
            yield fails(f"text of {n} bytes in the {8 * form}-bit form", 1002, Part(TEXT, b"*" * n, form=form))
    for form in (2, 8):
        yield fails(f"binary in the {8 * form}-bit form", 1002, Part(BINARY, b"hi", form=form))
        yield fails(f"rest in the {8 * form}-bit form", 1002, more(TEXT, b"a"), Part(CONT, b"hi", form=form))
        yield fails(f"ping in the {8 * form}-bit form", 1002, Part(PING, b"hi", form=form))
        yield fails(f"pong in the {8 * form}-bit form", 1002, Part(PONG, b"hi", form=form))
        yield fails(f"close in the {8 * form}-bit form", 1002, Part(CLOSE, b"\x03\xe8", form=form))
    yield fails("longer form behind good text", 1002, Part(TEXT, b"a"), Part(TEXT, b"hi", form=2), before=("a",))


def limits() -> Iterator[Case]:
    """10.4: an implementation may bound the size of messages; that of ours is per message, however it is cut."""
    half = b"*" * (LIMIT // 2)
    yield fails("text beyond the limit", 1009, Part(TEXT, b"*" * (LIMIT + 1)))
    yield fails("binary beyond the limit", 1009, Part(BINARY, b"*" * (LIMIT + 1)))
    yield fails("fragments beyond the limit", 1009, more(TEXT, b"*" * LIMIT), Part(CONT, b"*"))
    yield fails("binary fragments beyond the limit", 1009, more(BINARY, half), more(CONT, half), Part(CONT, b"*"))
    yield fails("a first fragment beyond the limit", 1009, more(TEXT, b"*" * (LIMIT + 1)))
    yield fails("a last fragment beyond the limit", 1009, more(TEXT), Part(CONT, b"*" * (LIMIT + 1)))
    yield fails("beyond the limit behind good text", 1009, Part(TEXT, b"a"), Part(TEXT, half * 3), before=("a",))
    yield says("two halves at the limit", more(TEXT, half), Part(CONT, half), messages=("*" * LIMIT,))
    yield says(
        "at the limit, with an empty end", more(TEXT, half), more(CONT, half), Part(CONT), messages=("*" * LIMIT,)
    )
    yield says("the limit is each message's own", *[Part(TEXT, half + half)] * 2, messages=("*" * LIMIT,) * 2)
    yield says(
        "the limit is each fragmented message's own",
        *[more(TEXT, half), Part(CONT, half)] * 2,
        messages=("*" * LIMIT,) * 2,
    )
    yield says(
        "control frames do not count",
        more(TEXT, half), Part(PING, b"p" * 125), Part(CONT, half),
        messages=("*" * LIMIT,), pongs=(b"p" * 125,),
    )  # fmt: skip
    # Not of the standard: fragments are bounded too, for what they cost beside their bytes.
    empty = [more(CONT)]
    yield says("as many fragments as may be", more(TEXT), *empty * (MAX_FRAGMENTS - 2), Part(CONT), messages=("",))
    yield fails("one fragment too many", 1009, more(TEXT), *empty * MAX_FRAGMENTS)
    yield fails("one byte fragments, one too many", 1009, more(BINARY, b"x"), *[more(CONT, b"x")] * MAX_FRAGMENTS)
    many = (more(TEXT), *empty * (MAX_FRAGMENTS - 2), Part(CONT))
    yield says("fragments are counted anew for each message", *many, *many, messages=("", ""))


def reserved() -> Iterator[Case]:
    """5.2: reserved bits without an extension, and reserved opcodes, fail the connection."""
    for name, opcode, payload in (
        ("text", TEXT, b"x"), ("binary", BINARY, b"x"), ("ping", PING, b"x"), ("pong", PONG, b"x"),
        ("close", CLOSE, b"\x03\xe8"), ("empty text", TEXT, b""),
    ):  # fmt: skip
        for rsv in range(1, 8):
            yield fails(f"reserved bits {rsv:03b} on {name}", 1002, Part(opcode, payload, rsv=rsv))
    for rsv in (1, 2, 4):
        yield fails(f"reserved bits {rsv:03b} on a rest", 1002, more(TEXT, b"a"), Part(CONT, b"b", rsv=rsv))
        yield fails(f"reserved bits {rsv:03b} behind text", 1002, Part(TEXT, b"a"), Part(TEXT, rsv=rsv), before=("a",))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield fails(f"opcode {opcode}", 1002, Part(opcode))
        yield fails(f"opcode {opcode} with payload", 1002, Part(opcode, b"payload"))
        yield fails(f"opcode {opcode} with more to come", 1002, more(opcode, b"a"))
        yield fails(f"opcode {opcode} inside a message", 1002, more(TEXT, b"a"), Part(opcode), Part(CONT, b"b"))
    yield fails("opcode 3 behind good text", 1002, Part(TEXT, b"a"), Part(3), Part(TEXT, b"b"), before=("a",))


def control() -> Iterator[Case]:
    """5.5: control frames hold 125 bytes, are never in fragments, and may come inside a message."""
    for n in (0, 1, 2, 124, 125):
        yield says(f"ping of {n} bytes", Part(PING, b"\xfe" * n), messages=(), pongs=(b"\xfe" * n,))
        yield says(f"pong of {n} bytes, unasked", Part(PONG, b"\xfe" * n), Part(TEXT, b"a"), messages=("a",))
    for n in (126, 127, 1000, 65_536):
        yield fails(f"ping of {n} bytes", 1002, Part(PING, b"\xfe" * n))
        yield fails(f"pong of {n} bytes", 1002, Part(PONG, b"\xfe" * n))
        yield fails(f"close of {n} bytes", 1002, closing(1000, b"*" * (n - 2)))
    for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE)):
        yield fails(f"{name} with more to come", 1002, more(opcode))
        yield fails(f"{name} in fragments", 1002, more(opcode, b"\x03"), Part(CONT, b"\xe8"))
    yield says("pong, then ping", Part(PONG, b"x"), Part(PING, b"y"), messages=(), pongs=(b"y",))
    tens = tuple(bytes([n]) for n in range(10))
    yield says("ten pings", *(Part(PING, ten) for ten in tens), messages=(), pongs=tens)
    yield says(
        "ping between messages", Part(TEXT, b"a"), Part(PING), Part(TEXT, b"b"), messages=("a", "b"), pongs=(b"",)
    )
    a, b = more(TEXT, b"a"), Part(CONT, b"b")
    yield says("ping inside a message", a, Part(PING, b"p"), b, messages=("ab",), pongs=(b"p",))
    yield says("pings inside a message", a, Part(PING), Part(PING, b"p"), b, messages=("ab",), pongs=(b"", b"p"))
    yield says("pong inside a message", a, Part(PONG, b"p"), b, messages=("ab",))
    yield says(
        "ping between all fragments",
        more(BINARY, b"a"), Part(PING, b"1"), more(CONT), Part(PING, b"2"), Part(CONT, b"b"),
        messages=(b"ab",), pongs=(b"1", b"2"),
    )  # fmt: skip
    yield says(
        "ping inside a character", more(TEXT, EURO[:1]), Part(PING, EURO[1:]), Part(CONT, EURO[1:]),
        messages=("€",), pongs=(EURO[1:],),
    )  # fmt: skip
    yield says("bytes of a ping are no text", Part(PING, b"\xff\xfe"), messages=(), pongs=(b"\xff\xfe",))
    yield fails("long ping inside a message", 1002, a, Part(PING, b"*" * 126), b)


def fragments() -> Iterator[Case]:
    """5.4: fragments of one message come in order and are not interleaved with those of another."""
    yield says("text in two", more(TEXT, b"frag1"), Part(CONT, b"frag2"), messages=("frag1frag2",))
    yield says("binary in three", more(BINARY, b"a"), more(CONT, b"b"), Part(CONT, b"c"), messages=(b"abc",))
    yield says("empty fragments", more(TEXT), more(CONT), Part(CONT), messages=("",))
    yield says("empty binary fragments", more(BINARY), Part(CONT), messages=(b"",))
    yield says("empty beginning", more(TEXT), Part(CONT, b"a"), messages=("a",))
    yield says("empty middle", more(TEXT, b"a"), more(CONT), Part(CONT, b"b"), messages=("ab",))
    yield says("empty end", more(TEXT, b"a"), Part(CONT), messages=("a",))
    yield says("many fragments", more(TEXT), *[more(CONT, b"x")] * 200, Part(CONT), messages=("x" * 200,))
    yield says(
        "two messages in fragments",
        more(TEXT, b"a"), Part(CONT, b"b"), more(BINARY, b"c"), Part(CONT, b"d"), messages=("ab", b"cd"),
    )  # fmt: skip
    yield says(
        "whole, in fragments, whole",
        Part(TEXT, b"1"), more(TEXT, b"2"), Part(CONT, b"3"), Part(BINARY, b"4"), messages=("1", "23", b"4"),
    )  # fmt: skip
    yield Case("a message without an end comes to nothing yet", (more(TEXT, b"a"), more(CONT, b"b")))
    for name, rest in (("continuation", Part(CONT, b"x")), ("unfinished continuation", more(CONT, b"x"))):
        yield fails(f"{name} of nothing", 1002, rest)
        yield fails(f"{name} after a whole message", 1002, Part(TEXT, b"a"), rest, before=("a",))
        yield fails(f"{name} after the end", 1002, more(TEXT, b"a"), Part(CONT, b"b"), rest, before=("ab",))
        yield Case(f"{name} after a ping", (Part(PING, b"p"), rest), (), (b"p",), 1002)
    yield fails("empty continuation of nothing", 1002, Part(CONT))
    for outer, of in ((TEXT, "text"), (BINARY, "binary")):
        for inner, name in ((TEXT, "text"), (BINARY, "binary")):
            yield fails(f"{name} inside {of}", 1002, more(outer, b"a"), Part(inner, b"b"))
            yield fails(f"unfinished {name} inside {of}", 1002, more(outer, b"a"), more(inner, b"b"))
        yield fails(f"empty text inside {of}", 1002, more(outer, b"a"), Part(TEXT), Part(CONT, b"c"))
        yield fails(f"close inside {of}", 1002, more(outer, b"a"), closing(1000))


FRAME_CASES: tuple[Case, ...] = (*lengths(), *limits(), *reserved(), *control(), *fragments())
