"""G.711 (mu-law and A-law, ITU-T G.711) to and from PCM16, and 24 kHz down to its 8 kHz. No streaming state."""

import math
import sys
from array import array
from functools import cache
from operator import itemgetter

from server.simulator.voice.speech import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ

G711_RATE_HZ = 8_000
G711_BYTES_PER_MS = G711_RATE_HZ // 1000

_DECIMATION = SAMPLE_RATE_HZ // G711_RATE_HZ
# Telephone speech ends at 3.4 kHz.
_CUTOFF_HZ = 3_400.0
# Nine taps keep what would fold back more than 20 dB down for 4 ms of work per second of sound.
_TAPS = 9
_SCALE_BITS = 15

# Mu-law works on 14 bits: a bias of 33 makes every segment start at a power of two.
_MU_BIAS = 33
_MU_MAX = 8_158


def _decode_mu(code: int) -> int:
    code = ~code & 0xFF
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 1) + _MU_BIAS) << segment) - _MU_BIAS
    return (-magnitude if code & 0x80 else magnitude) << 2


def _encode_mu(sample: int) -> int:
    value = sample >> 2
    sign = 0x80 if value < 0 else 0
    # One's complement for negatives, as the Recommendation's quantiser does, keeps the two halves mirrored.
    magnitude = min(~value if value < 0 else value, _MU_MAX) + _MU_BIAS
    segment = magnitude.bit_length() - 6
    step = (magnitude >> (segment + 1)) & 15
    return ~(sign | segment << 4 | step) & 0xFF


def _decode_a(code: int) -> int:
    code ^= 0x55
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (step << 1) + 1
    if segment:
        magnitude = (magnitude + 32) << (segment - 1)
    return (magnitude if code & 0x80 else -magnitude) << 3


def _encode_a(sample: int) -> int:
    value = sample >> 3
    sign = 0x80 if value >= 0 else 0
    magnitude = value if value >= 0 else ~value
    segment = max(0, magnitude.bit_length() - 5)
    step = (magnitude >> max(1, segment)) & 15
    return (sign | segment << 4 | step) ^ 0x55


def _signed(word: int) -> int:
    return word - 0x1_0000 if word & 0x8000 else word


_MU_TO_PCM = [_decode_mu(code) for code in range(256)]
_A_TO_PCM = [_decode_a(code) for code in range(256)]


# The tables below are indexed by the sample seen as an unsigned word, so that a whole block is one map(). Made at their
# first use: they take 150 ms, and few sessions speak G.711.
@cache
def _pcm_to_mu() -> bytes:
    return bytes(_encode_mu(_signed(word)) for word in range(0x1_0000))


@cache
def _pcm_to_a() -> bytes:
    return bytes(_encode_a(_signed(word)) for word in range(0x1_0000))


def encode_mulaw(pcm: bytes) -> bytes:
    """PCM16LE at any rate to mu-law, one byte per sample. A trailing odd byte is dropped."""
    return bytes(map(_pcm_to_mu().__getitem__, _words(pcm, "H")))


def encode_alaw(pcm: bytes) -> bytes:
    """PCM16LE at any rate to A-law, one byte per sample. A trailing odd byte is dropped."""
    return bytes(map(_pcm_to_a().__getitem__, _words(pcm, "H")))


def decode_mulaw(data: bytes) -> bytes:
    """Mu-law to PCM16LE at the same rate."""
    return _little_endian(array("h", map(_MU_TO_PCM.__getitem__, data)))


def decode_alaw(data: bytes) -> bytes:
    """A-law to PCM16LE at the same rate."""
    return _little_endian(array("h", map(_A_TO_PCM.__getitem__, data)))


def _low_pass() -> tuple[int, ...]:
    # A Hamming-windowed sinc, scaled so that a constant passes unchanged.
    centre = (_TAPS - 1) / 2
    cutoff = 2 * _CUTOFF_HZ / SAMPLE_RATE_HZ
    taps: list[float] = []
    for index in range(_TAPS):
        x = math.pi * (index - centre) * cutoff
        window = 0.54 - 0.46 * math.cos(2 * math.pi * index / (_TAPS - 1))
        taps.append((math.sin(x) / x if x else 1.0) * window)
    total = sum(taps)
    return tuple(round(tap / total * (1 << _SCALE_BITS)) for tap in taps)


_LOW_PASS = _low_pass()


def to_8_khz(pcm: bytes) -> bytes:
    """PCM16LE at 24 kHz to PCM16LE at 8 kHz through a low-pass filter.

    Give it a whole phrase: blocks are filtered as if silence stood around them.
    """
    samples = _words(pcm, "h")
    count = -(-len(samples) // _DECIMATION)
    padded = array("h", bytes(BYTES_PER_SAMPLE * (_TAPS // 2)))
    padded.extend(samples)
    padded.extend([0] * (_TAPS + _DECIMATION))
    span = count * _DECIMATION
    a, b, c, d, e, f, g, h, i = (padded[k : k + span : _DECIMATION] for k in range(_TAPS))
    # The filter is symmetric: five products for nine taps.
    k0, k1, k2, k3, k4 = itemgetter(0, 1, 2, 3, 4)(_LOW_PASS)
    out = [
        (k0 * (s0 + s8) + k1 * (s1 + s7) + k2 * (s2 + s6) + k3 * (s3 + s5) + k4 * s4) >> _SCALE_BITS
        for s0, s1, s2, s3, s4, s5, s6, s7, s8 in zip(a, b, c, d, e, f, g, h, i, strict=True)
    ]
    # The side lobes may overshoot a full-scale edge.
    if out and (max(out) > 0x7FFF or min(out) < -0x8000):
        out = [max(-0x8000, min(0x7FFF, value)) for value in out]
    return _little_endian(array("h", out))


def _words(pcm: bytes, typecode: str) -> "array[int]":
    words = array(typecode)
    words.frombytes(pcm[: len(pcm) & ~1])
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _little_endian(words: "array[int]") -> bytes:
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()
