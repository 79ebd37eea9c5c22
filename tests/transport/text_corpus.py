"""The cases of the corpus that are about text, 8.1, and about closing, 7.4; the rest is in `frame_corpus`."""

from collections.abc import Iterator

from tests.transport.frame_corpus import CLEF, EURO, Case, Part, closing, fails, more, says
from tests.transport.peers import BINARY, CLOSE, CONT, PING, TEXT

__all__ = ["TEXT_CASES"]

# Unicode 16, table 3-7: the code points at which a form of UTF-8 begins or ends, and some that only look forbidden.
CODE_POINTS = (
    0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xCFFF, 0xD000, 0xD7FF, 0xE000, 0xFDD0, 0xFFFD, 0xFFFE, 0xFFFF,
    0x10000, 0x1FFFE, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF,
)  # fmt: skip

BAD_UTF8 = {
    "lone continuation byte 80": b"\x80",
    "lone continuation byte BF": b"\xbf",
    "two continuation bytes": b"\x80\xbf",
    "continuation bytes behind text": b"ok\x80\x80\x80",
    "lone lead byte of two": b"\xc3",
    "lone lead byte of three": b"\xe2",
    "lone lead byte of four": b"\xf0",
    "lead byte, then ASCII": b"\xc3(",
    "three-byte form, ASCII second": b"\xe2(\xa1",
    "three-byte form, ASCII third": b"\xe2\x82(",
    "four-byte form, ASCII second": b"\xf0(\x8c\xbc",
    "four-byte form, ASCII third": b"\xf0\x90(\xbc",
    "four-byte form, ASCII last": b"\xf0\x90\x8c(",
    "lead byte, then lead byte": b"\xc3\xc3\xa4",
    "overlong NUL in two": b"\xc0\x80",
    "overlong slash in two": b"\xc0\xaf",
    "overlong 7F in two": b"\xc1\xbf",
    "overlong NUL in three": b"\xe0\x80\x80",
    "overlong slash in three": b"\xe0\x80\xaf",
    "overlong 7FF in three": b"\xe0\x9f\xbf",
    "overlong NUL in four": b"\xf0\x80\x80\x80",
    "overlong FFFF in four": b"\xf0\x8f\xbf\xbf",
    "first high surrogate": b"\xed\xa0\x80",
    "last high surrogate": b"\xed\xaf\xbf",
    "first low surrogate": b"\xed\xb0\x80",
    "last low surrogate": b"\xed\xbf\xbf",
    "surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "U+110000": b"\xf4\x90\x80\x80",
    "lead byte F5": b"\xf5\x80\x80\x80",
    "lead byte F7": b"\xf7\xbf\xbf\xbf",
    "five-byte form": b"\xf8\x88\x80\x80\x80",
    "six-byte form": b"\xfc\x84\x80\x80\x80\x80",
    "byte FE": b"\xfe",
    "byte FF": b"ok\xff",
    "byte order mark of UTF-16": b"\xff\xfea\x00",
    "cut euro": b"ok" + EURO[:2],
    "cut clef": b"ok" + CLEF[:3],
    "latin-1": b"gr\xfc\xdfe",
    "bad byte after good text": "κόσμε".encode() + b"\xed\xa0\x80" + b"edited",
    "bad byte at the end of a long text": b"*" * 70 + b"\xff",
}

# RFC 6455, 7.4.1, and IANA's registry; 3000 to 4999 are everybody's.
GOOD_CODES = (
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4401, 4413, 4999,
)  # fmt: skip
BAD_CODES = (
    0, 1, 16, 100, 998, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 5001, 9999, 32_768, 65_535,
)  # fmt: skip


def texts() -> Iterator[Case]:
    """8.1: text is UTF-8, also where fragments cut a character; anything else is 1007, as soon as it is known."""
    for code_point in CODE_POINTS:
        char = chr(code_point)
        data = char.encode()
        yield says(f"U+{code_point:04X}", Part(TEXT, b"<" + data + b">"), messages=(f"<{char}>",))
    for char in "ä€𝄞":
        data = char.encode()
        for cut in range(1, len(data)):
            yield says(f"{char} cut after {cut}", more(TEXT, data[:cut]), Part(CONT, data[cut:]), messages=(char,))
        bytewise = [more(CONT, data[at : at + 1]) for at in range(1, len(data))]
        yield says(f"{char} byte by byte", more(TEXT, data[:1]), *bytewise, Part(CONT), messages=(char,))
        yield says(f"{char} around nothing", more(TEXT, data[:1]), more(CONT), Part(CONT, data[1:]), messages=(char,))
        yield fails(f"{char} cut, then the end", 1007, more(TEXT, data[:-1]), Part(CONT))
        yield fails(f"{char} cut, then ASCII", 1007, more(TEXT, data[:-1]), Part(CONT, b"a"))
        # A message that ends inside a character does not lend the rest to the next one.
        yield fails(f"{char} over two messages", 1007, Part(TEXT, data[:-1]), Part(TEXT, data[-1:]))
    yield says(
        "several languages", Part(TEXT, "κόσμε 日本語 русский 🎭".encode()), messages=("κόσμε 日本語 русский 🎭",)
    )
    yield says("combining marks stay as they are", Part(TEXT, "e\u0301é".encode()), messages=("e\u0301é",))
    yield says("byte order mark is kept", Part(TEXT, b"\xef\xbb\xbfx"), messages=("\ufeffx",))
    yield says("NUL is a character", Part(TEXT, b"a\0b"), messages=("a\0b",))
    for name, data in BAD_UTF8.items():
        yield fails(f"UTF-8: {name}", 1007, Part(TEXT, data))
        yield fails(f"UTF-8 in fragments: {name}", 1007, more(TEXT, data[:1]), Part(CONT, data[1:]))
    for name in ("lone continuation byte 80", "first high surrogate", "overlong slash in two", "byte FF"):
        data = BAD_UTF8[name]
        yield says(f"fine in binary: {name}", Part(BINARY, data), messages=(data,))
        yield says(f"fine in binary fragments: {name}", more(BINARY, data[:1]), Part(CONT, data[1:]), messages=(data,))
        yield fails(f"known before the message ends: {name}", 1007, more(TEXT, data))
        yield fails(f"behind good text: {name}", 1007, Part(TEXT, b"a"), Part(TEXT, data), before=("a",))


def closes() -> Iterator[Case]:
    """5.5.1, 7.4: a close is answered with its own code; a payload that cannot be one is a fault."""
    yield Case("close without a code", (Part(CLOSE),), closed_with=1005)
    yield fails("close with one byte", 1002, Part(CLOSE, b"\x03"))
    yield fails("close with the byte 00", 1002, Part(CLOSE, b"\0"))
    for code in GOOD_CODES:
        yield fails(f"close code {code} is echoed", code, closing(code))
    for code in BAD_CODES:
        yield fails(f"close code {code} is wrong", 1002, closing(code))
    for name, reason in (
        ("a reason", b"Hello World!"), ("a reason beyond ASCII", "жизнь".encode()), ("a NUL in its reason", b"\0"),
        ("the longest reason", b"*" * 123), ("the longest reason beyond ASCII", EURO * 41),
    ):  # fmt: skip
        yield fails(f"close with {name}", 1000, closing(1000, reason))
        yield fails(f"close of an application with {name}", 4000, closing(4000, reason))
    for name in ("byte FF", "first high surrogate", "overlong slash in two", "cut euro", "lone continuation byte 80"):
        yield fails(f"close with a bad reason: {name}", 1007, closing(1000, BAD_UTF8[name]))
    yield fails("text behind a close", 1000, Part(TEXT, b"a"), closing(1000), Part(TEXT, b"b"), before=("a",))
    yield fails("ping behind a close", 1000, closing(1000), Part(PING, b"x"))
    yield fails("second close", 1000, closing(1000), closing(1001))
    yield fails("fault behind a close", 1000, closing(1000), Part(CONT, b"x"))
    yield fails("text behind a fault", 1002, Part(CONT, b"x"), Part(TEXT, b"a"))
    yield fails("close behind a fault", 1002, Part(CONT, b"x"), closing(1000))
    yield fails("ping behind a fault", 1007, Part(TEXT, b"\xff"), Part(PING, b"x"))
    yield Case("ping, then close", (Part(PING, b"p"), closing(1001)), (), (b"p",), 1001)
    yield Case("all there is", (Part(TEXT, b"a"), Part(PING, b"p"), Part(BINARY, b"b"), closing(4999, b"c")),
               ("a", b"b"), (b"p",), 4999)  # fmt: skip


TEXT_CASES: tuple[Case, ...] = (*texts(), *closes())
