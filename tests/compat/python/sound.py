"""Sound for clients to send: 24 kHz mono pcm16. Knows no client."""

import base64
import math
import struct
from collections.abc import Iterator

BYTES_PER_MS = 48
# 100 ms, what microphone clients send at a time.
PIECE_BYTES = 4800


def tone(ms: int) -> bytes:
    """Something that a voice detection takes for speech."""
    samples = (round(8000 * math.sin(2 * math.pi * 220 * number / 24_000)) for number in range(24 * ms))
    return struct.pack(f"<{24 * ms}h", *samples)


def silence(ms: int) -> bytes:
    """And something that it does not."""
    return bytes(BYTES_PER_MS * ms)


def pieces(sound: bytes) -> Iterator[str]:
    """The sound as base64, as it goes into one append after the other."""
    for start in range(0, len(sound), PIECE_BYTES):
        yield base64.b64encode(sound[start : start + PIECE_BYTES]).decode()
