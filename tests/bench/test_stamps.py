import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from bench.stamps import AUDIO_BYTES, HEAD_BYTES, Arrivals, Stamp, read_stamp, stamped_audio

stamps = st.builds(Stamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))


@given(stamps)
def test_a_stamp_is_read_from_the_event_that_carries_it(stamp: Stamp) -> None:
    event = b'{"type":"response.output_audio.delta","delta":"' + stamped_audio(stamp) + b'"}'
    assert read_stamp(event[:HEAD_BYTES], b"delta") == stamp


def test_stamped_audio_is_a_whole_frame_of_sound() -> None:
    assert len(base64.b64decode(stamped_audio(Stamp(1, 2, 3)), validate=True)) == AUDIO_BYTES == 4800


@given(st.binary(max_size=200))
def test_other_sound_and_other_events_carry_no_stamp(sound: bytes) -> None:
    event = json.dumps({"type": "x", "audio": base64.b64encode(sound).decode()}, separators=(",", ":")).encode()
    assert read_stamp(event, b"audio") is None
    assert read_stamp(sound, b"audio") is None


def test_arrivals_tell_foreign_frames_and_gaps() -> None:
    arrivals = Arrivals()
    for stream, number in ((7, 0), (7, 1), (8, 2), (7, 3)):
        arrivals.take(Stamp(stream, number, sent_ns=1000 * number), received_ns=1000 * number + 500_000)
    assert (arrivals.foreign, arrivals.out_of_order, len(arrivals.taken)) == (1, 1, 3)
    assert arrivals.latencies_ms(1000, 4000) == [0.5, 0.5]
    assert arrivals.received_between(500_000, 501_000) == 1
