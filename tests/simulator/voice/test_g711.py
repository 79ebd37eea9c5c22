import math
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.voice.g711 import decode_alaw, decode_mulaw, encode_alaw, encode_mulaw, to_8_khz

Coder = Callable[[bytes], bytes]
LAWS = [(encode_mulaw, decode_mulaw), (encode_alaw, decode_alaw)]


def samples(pcm: bytes) -> list[int]:
    return array("h", pcm).tolist()


@pytest.mark.parametrize(
    ("encode", "sample", "code"),
    [
        # The ends and the middle of the scale, from the Recommendation's tables.
        (encode_mulaw, 0, 0xFF),
        (encode_mulaw, -1, 0x7F),
        (encode_mulaw, 32635, 0x80),
        (encode_mulaw, 32767, 0x80),
        (encode_mulaw, -32768, 0x00),
        (encode_alaw, 0, 0xD5),
        (encode_alaw, -1, 0x55),
        (encode_alaw, 32767, 0xAA),
        (encode_alaw, -32768, 0x2A),
    ],
)
def test_known_codes(encode: Coder, sample: int, code: int) -> None:
    assert encode(array("h", [sample]).tobytes()) == bytes([code])


@pytest.mark.parametrize(("encode", "decode"), LAWS)
def test_every_code_comes_back_after_decoding(encode: Coder, decode: Coder) -> None:
    codes = bytes(range(256))
    again = encode(decode(codes))
    # Mu-law has two zeros, of which one comes back.
    assert [code for code in codes if again[code] != code] in ([], [0x7F])


@pytest.mark.parametrize(("encode", "decode"), LAWS)
@given(values=st.lists(st.integers(-32768, 32767), max_size=50))
def test_a_sample_comes_back_within_its_step(encode: Coder, decode: Coder, values: list[int]) -> None:
    for before, after in zip(values, samples(decode(encode(array("h", values).tobytes()))), strict=True):
        assert abs(before - after) <= max(16, abs(before) / 16)


def test_an_odd_byte_is_left_out() -> None:
    assert encode_mulaw(b"\x00\x00\x01") == b"\xff"
    assert to_8_khz(b"") == b""


def tone(hertz: float, rate_hz: int = 24_000) -> bytes:
    return array("h", [round(20_000 * math.sin(2 * math.pi * hertz * n / rate_hz)) for n in range(2_400)]).tobytes()


def loudness(pcm: bytes) -> float:
    middle = samples(pcm)[50:-50]
    return math.sqrt(sum(value * value for value in middle) / len(middle))


def test_speech_passes_to_8_khz_and_what_would_fold_back_does_not() -> None:
    assert len(to_8_khz(tone(1_000))) == len(tone(1_000)) // 3
    assert loudness(to_8_khz(tone(1_000))) > 0.9 * loudness(tone(1_000))
    assert loudness(to_8_khz(tone(7_000))) < 0.1 * loudness(tone(7_000))


@given(st.binary(max_size=300))
def test_any_audio_can_be_brought_to_8_khz(pcm: bytes) -> None:
    assert len(to_8_khz(pcm)) == 2 * -(-(len(pcm) // 2) // 3)
