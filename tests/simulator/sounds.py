"""Sounds for the simulator's tests, PCM16 at 24 kHz."""

import math
from array import array

RATE_HZ = 24_000
BYTES_PER_MS = 48


def tone(ms: int, amplitude: int = 8_000, hz: float = 220.0) -> bytes:
    """A steady tone, taken for speech by its energy."""
    count = RATE_HZ * ms // 1000
    return array("h", [round(amplitude * math.sin(2 * math.pi * hz * n / RATE_HZ)) for n in range(count)]).tobytes()


def silence(ms: int) -> bytes:
    """Nothing."""
    return bytes(BYTES_PER_MS * ms)
