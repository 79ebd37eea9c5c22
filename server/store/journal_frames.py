"""How records lie in a journal file: framed, numbered and checksummed. It reads and writes no file.

A file begins with `FILE_MARK` and the 16 bytes of its epoch. Frames follow: marker, length of the payload, CRC-32 of
all but marker and checksum, number, payload.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = [
    "FILE_HEAD_BYTES",
    "FRAME_HEAD_BYTES",
    "PAYLOAD_MAX_BYTES",
    "Damage",
    "Frame",
    "file_head",
    "frame",
    "frames",
]

# The version is in it: a file of another one is not taken for a damaged one.
FILE_MARK: Final = b"LAjrnl\x00\x01"
_FILE_HEAD: Final = struct.Struct("<8s16s")
FILE_HEAD_BYTES: Final = _FILE_HEAD.size
# By which the next whole frame is found behind a damaged one. No UTF-8 text holds its first byte.
_MARKER: Final = b"\xf5LAr"
_HEAD: Final = struct.Struct("<4sIIQ")
FRAME_HEAD_BYTES: Final = _HEAD.size
_CHECKED: Final = struct.Struct("<IQ")
# A message of a client is at most 1 MiB on /ws; what is larger is no record.
PAYLOAD_MAX_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame; ``start`` and ``end`` are where it lies in what was looked through."""

    number: int
    payload: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no frame. ``is_tail``: no frame comes behind them, as when a write was cut off."""

    start: int
    end: int
    is_tail: bool


def file_head(epoch: bytes) -> bytes:
    """What a file begins with."""
    return _FILE_HEAD.pack(FILE_MARK, epoch)


def epoch_of(data: bytes) -> bytes | None:
    """The epoch of a file by its beginning, or None where it begins with something else, or is too short."""
    if len(data) < FILE_HEAD_BYTES:
        return None
    mark, epoch = _FILE_HEAD.unpack_from(data)
    return bytes(epoch) if mark == FILE_MARK else None


def frame(number: int, payload: bytes) -> bytes:
    """A frame. Raises ValueError for a payload above `PAYLOAD_MAX_BYTES`."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit into a frame")
    return _HEAD.pack(_MARKER, len(payload), _checksum(number, payload), number) + payload


def frames(data: bytes, start: int = 0) -> Iterator[Frame | Damage]:
    """Everything that ``data`` holds from ``start`` on, in order; every byte of it is in one of them."""
    at = start
    while at < len(data):
        found = _frame_at(data, at)
        if found is None:
            behind = _next_frame(data, at + 1)
            yield Damage(at, len(data) if behind is None else behind.start, is_tail=behind is None)
            if behind is None:
                return
            found = behind
        yield found
        at = found.end


def _frame_at(data: bytes, at: int) -> Frame | None:
    if len(data) - at < FRAME_HEAD_BYTES:
        return None
    marker, length, checksum, number = _HEAD.unpack_from(data, at)
    end = at + FRAME_HEAD_BYTES + length
    if marker != _MARKER or length > PAYLOAD_MAX_BYTES or end > len(data):
        return None
    payload = data[at + FRAME_HEAD_BYTES : end]
    return Frame(number, payload, at, end) if _checksum(number, payload) == checksum else None


def _next_frame(data: bytes, at: int) -> Frame | None:
    while (at := data.find(_MARKER, at)) >= 0:
        found = _frame_at(data, at)
        if found is not None:
            return found
        at += 1
    return None


def _checksum(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(len(payload), number)))
