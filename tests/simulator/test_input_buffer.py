"""The input buffer's milliseconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator import input_buffer as module
from server.simulator.input_buffer import InputBuffer
from server.simulator.refusal import Refusal


@pytest.mark.parametrize(
    ("bytes_per_ms", "size", "said"), [(48, 4799, "99.98ms"), (48, 0, "0.00ms"), (8, 799, "99.88ms")]
)
def test_less_than_a_tenth_of_a_second_cannot_be_committed(bytes_per_ms: int, size: int, said: str) -> None:
    buffer = InputBuffer(bytes_per_ms)
    buffer.append(bytes(size))
    with pytest.raises(Refusal) as refused:
        buffer.commit()
    assert refused.value.detail.code == "input_audio_buffer_commit_empty"
    assert refused.value.detail.message.endswith(
        f"buffer too small. Expected at least 100ms of audio, but buffer only has {said} of audio."
    )


@pytest.mark.parametrize("bytes_per_ms", [48, 8])
def test_exactly_a_tenth_of_a_second_is_enough(bytes_per_ms: int) -> None:
    buffer = InputBuffer(bytes_per_ms)
    buffer.append(bytes(100 * bytes_per_ms))
    assert buffer.commit() == (bytes(100 * bytes_per_ms), 100.0)
    assert buffer.buffered_ms == 0
    assert buffer.end_ms == 100


def test_positions_go_on_after_a_clear() -> None:
    buffer = InputBuffer(48)
    buffer.append(bytes(4800))
    buffer.clear()
    buffer.append(bytes(4800))
    assert (buffer.start_ms, buffer.end_ms) == (100, 200)


def test_an_append_has_a_limit_and_so_has_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = InputBuffer(48)
    with pytest.raises(Refusal):
        buffer.append(bytes(15 * 1024 * 1024 + 1))
    monkeypatch.setattr(module, "BUFFER_MAX_BYTES", 100)
    buffer.append(bytes(96))
    with pytest.raises(Refusal):
        buffer.append(bytes(48))
    assert buffer.end_ms == 2


@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 40)), max_size=20))
def test_whatever_is_dropped_positions_count_all_that_was_written(steps: list[bytes | int]) -> None:
    buffer, written = InputBuffer(8), b""
    for step in steps:
        if isinstance(step, bytes):
            buffer.append(step)
            written += step
        else:
            buffer.drop_before(step)
        assert buffer.end_ms == pytest.approx(len(written) / 8)
        kept, kept_ms = round(buffer.start_ms * 8), buffer.buffered_ms
        assert kept_ms == pytest.approx((len(written) - kept) / 8)
    start = round(buffer.start_ms * 8)
    assert buffer.take(buffer.start_ms, buffer.end_ms)[0] == written[start:]
