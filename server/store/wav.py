"""The head of a WAV file with 24 kHz mono 16-bit sound, and its repair after a kill. It knows no sessions."""

import os
import struct
from pathlib import Path
from typing import Final

__all__ = ["BYTES_PER_MS", "HEAD_BYTES", "WAV_MAX_BYTES", "head", "repair"]

RATE_HZ: Final = 24_000
BYTES_PER_MS: Final = RATE_HZ * 2 // 1000
# RIFF, size, WAVE; fmt, its size, PCM, one channel, rate, bytes a second, bytes a sample, bits a sample; data, size.
_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
HEAD_BYTES: Final = _HEAD.size
# Sizes are 32 bits wide; half of that is what every player takes, and twelve hours.
WAV_MAX_BYTES: Final = 2**31


def head(data_bytes: int) -> bytes:
    """The head of a file with so many bytes of sound."""
    return _HEAD.pack(
        *(b"RIFF", HEAD_BYTES - 8 + data_bytes, b"WAVE"),
        *(b"fmt ", 16, 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16),
        *(b"data", data_bytes),
    )


def repair(file: Path) -> int | None:
    """Makes the head of a file fit what follows it; whole samples only.

    Returns:
        The bytes of sound, if there was something to repair; None where the head was right. Raises OSError.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        data_bytes = max(0, size - HEAD_BYTES) // 2 * 2
        if size == HEAD_BYTES + data_bytes and os.pread(descriptor, HEAD_BYTES, 0) == head(data_bytes):
            return None
        os.ftruncate(descriptor, HEAD_BYTES + data_bytes)
        os.pwrite(descriptor, head(data_bytes), 0)
        return data_bytes
    finally:
        os.close(descriptor)
