"""What strangers may send to an open port, by a seed: handshakes and frames, right and then spoilt, and plain garbage.

It makes bytes and says how they are to be sent; it opens no connection.
"""

import base64
import random
from typing import Literal, NamedTuple

from tests.transport.peers import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

__all__ = ["Attempt", "Ending", "attempt"]

Ending = Literal["read to the end", "half close", "close", "reset", "linger a little"]
ENDINGS: tuple[Ending, ...] = ("read to the end", "half close", "half close", "close", "reset", "linger a little")

OPCODES = (TEXT, TEXT, TEXT, BINARY, CONT, CLOSE, PING, PONG, 3, 11, 15)
LENGTHS = (0, 0, 1, 2, 5, 30, 124, 125, 126, 127, 300, 2000)

# Header values that have brought down other servers: beyond ASCII, names for IDNA, control characters, great length.
VALUES = (
    b"", b" ", b"\xff\xfe\x80", "bücher.example".encode(), "bücher.example".encode("latin-1"), "日本.jp".encode(),
    b"xn--bcher-kva.example", b"xn--\xff", b"xn--" + b"a" * 300, b".", b"a..b", b"localhost:99999999", b"[::1",
    b"[::1]:80", b"a\x00b", b"a\rb", b"a\tb", b"a\x7fb", b"\x1b[31m", b"\xc0\xaf", b"\xed\xa0\x80", b"%s%n{0}$",
    b'"' * 40, b"a," * 500, b";" * 300, b"x" * 3000, b"x" * 20_000, b"-1", b"0", b"18446744073709551616", b"1e9",
    b"+13", b"13, 8", b"chunked", b"gzip, chunked", b"permessage-deflate; client_max_window_bits=99",
    b"permessage-deflate" + b", a=b" * 100, b"h2c", b"websocket, websocket", b"WEBSOCKET", b"keep-alive",
    b"upgrade, close",
)  # fmt: skip
NAMES = (
    b"Host", b"Upgrade", b"Connection", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Sec-WebSocket-Protocol",
    b"Sec-WebSocket-Extensions", b"Origin", b"Authorization", b"Cookie", b"Content-Length", b"Transfer-Encoding",
    b"Expect", b"TE", b"Trailer", b"X-Forwarded-For", b"X-\xe4", b"", b"X Y", b"X:", b":authority", b"\x00",
)  # fmt: skip
TARGETS = (
    b"/ws", b"/ws?kb=museum", b"/", b"/none", b"//", b"/%", b"/%zz", b"/%ff%fe", b"/%00", b"/\xc3\xa4", b"*", b"ws",
    b"http://a/ws", b"/ws?" + b"a&" * 70, b"/ws?" + b"=" * 60, b"/ws?%f0%9f=%ed%a0%80", b"/" + b"a" * 9000, b"/ws#x",
    b"",
)  # fmt: skip
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x00" * 50, b"\r\n" * 50, b"GET", b"GET ", b"HTTP/1.1 200 OK\r\n\r\n", b"EHLO x\r\n",
    b"\x81\x85\x00\x00\x00\x00hello",
)  # fmt: skip


class Attempt(NamedTuple):
    """One connection: the bytes, where they are cut into sends, and how it ends."""

    data: bytes
    cuts: list[int]
    ending: Ending


def attempt(seed: str) -> Attempt:
    """The connection that belongs to a seed."""
    chance = random.Random(seed)
    kind = chance.random()
    if kind < 0.45:
        data = _head(chance, _upgrade_fields(chance)) + _frames(chance)
    elif kind < 0.7:
        data = _spoil_lines(chance, _head(chance, _upgrade_fields(chance))) + _frames(chance)
    elif kind < 0.85:
        data = _spoil_lines(chance, _request(chance))
    else:
        data = chance.choice(GARBAGE) + chance.randbytes(chance.choice((0, 0, 5, 300)))
    if chance.random() < 0.4:
        data = _spoil_bytes(chance, data)
    if chance.random() < 0.25:
        data = data[: chance.randrange(len(data) + 1)]
    cuts: list[int] = []
    if data and chance.random() < 0.4:
        cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice((1, 2, 5))))
    return Attempt(data, cuts, chance.choice(ENDINGS))


def _upgrade_fields(chance: random.Random) -> list[tuple[bytes, bytes]]:
    fields = [
        (b"Host", b"localhost"),
        (b"Upgrade", b"websocket"),
        (b"Connection", chance.choice((b"Upgrade", b"keep-alive, Upgrade", b"upgrade"))),
        (b"Sec-WebSocket-Key", base64.b64encode(chance.randbytes(16))),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    if chance.random() < 0.3:
        fields.append((b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"))
    if chance.random() < 0.3:
        fields.append((b"Sec-WebSocket-Protocol", b"realtime, openai-insecure-api-key.sk-1"))
    return fields


def _head(chance: random.Random, fields: list[tuple[bytes, bytes]]) -> bytes:
    target = b"/ws" if chance.random() < 0.8 else chance.choice(TARGETS)
    if chance.random() < 0.3:
        chance.shuffle(fields)
    lines = [b"GET " + target + b" HTTP/1.1", *(name + b": " + value for name, value in fields)]
    return b"\r\n".join([*lines, b"", b""])


def _request(chance: random.Random) -> bytes:
    body = chance.randbytes(chance.choice((0, 3, 500)))
    framing = chance.choice((b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked", b"X-None: x"))
    if framing.endswith(b"chunked"):
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    target = chance.choice((b"/", b"/page", *TARGETS))
    method = chance.choice((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE"))
    return method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body


def _frames(chance: random.Random) -> bytes:
    frames = b""
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        rsv = chance.choice((0, 0, 0, 0, 0, 0, 0, chance.randrange(8)))
        payload = chance.randbytes(chance.choice(LENGTHS))
        if chance.random() < 0.6:
            payload = payload.hex().encode()
        mask = None if chance.random() < 0.05 else chance.randbytes(4)
        fin = chance.random() < 0.85
        frames += frame(chance.choice(OPCODES), payload, fin=fin, rsv=rsv, mask=mask)
    if chance.random() < 0.1:
        # Announces more than anybody will send.
        frames += b"\x82\xff" + chance.choice((2**16, 2**31, 2**63 - 1, 2**64 - 1)).to_bytes(8, "big") + b"mask"
    return frames


def _spoil_lines(chance: random.Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines))
        name = lines[at].split(b":")[0] if b":" in lines[at] else chance.choice(NAMES)
        what = chance.randrange(7)
        if what == 0:
            lines[at] = name + b": " + chance.choice(VALUES)
        elif what == 1:
            lines.insert(at, chance.choice(NAMES) + b": " + chance.choice(VALUES))
        elif what == 2 and len(lines) > 1:
            del lines[at]
        elif what == 3:
            lines.insert(at, lines[at])
        elif what == 4:
            lines.insert(at, b" folded " + chance.choice(VALUES))
        elif what == 5:
            lines[0] = (
                chance.choice((b"GET ", b"get ", b"", b"POST "))
                + chance.choice(TARGETS)
                + chance.choice(
                    (b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b" HTTP/1.", b" HTTP/9.9", b"", b" HTTP/1.1 x")
                )
            )
        else:
            lines[at : at + 1] = [lines[at]] * chance.choice((2, 60, 200))
    return (b"\n" if chance.random() < 0.05 else b"\r\n").join(lines)


def _spoil_bytes(chance: random.Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(spoilt) + 1)
        spoilt[at : at + chance.choice((0, 1, 1, 3))] = chance.randbytes(chance.choice((0, 1, 1, 4)))
    return bytes(spoilt)
