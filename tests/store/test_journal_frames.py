"""The framing: whatever is cut, flipped or put in between, whole frames are found and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store.journal_frames import (
    FRAME_HEAD_BYTES,
    PAYLOAD_MAX_BYTES,
    Damage,
    Frame,
    epoch_of,
    file_head,
    frame,
    frames,
)

payloads = st.lists(st.binary(max_size=60) | st.just(frame(7, b"a frame in a frame")), max_size=8)


def joined(some: list[bytes]) -> bytes:
    return b"".join(frame(number, payload) for number, payload in enumerate(some))


def found(data: bytes) -> list[tuple[int, bytes]]:
    return [(piece.number, piece.payload) for piece in frames(data) if isinstance(piece, Frame)]


@given(payloads)
def test_frames_come_back_in_order(some: list[bytes]) -> None:
    assert found(joined(some)) == list(enumerate(some))


@given(payloads, st.data())
def test_every_whole_frame_before_a_cut_is_found_and_the_rest_is_a_tail(some: list[bytes], data: st.DataObject) -> None:
    whole = joined(some)
    cut = data.draw(st.integers(0, len(whole)))
    # A payload that is a frame itself may be found where the one around it was cut off: left out here.
    pieces = list(frames(whole[:cut]))
    before = [number for number in range(len(some)) if len(joined(some[: number + 1])) <= cut]

    assert [piece.number for piece in pieces[: len(before)] if isinstance(piece, Frame)] == before
    assert sum(piece.end - piece.start for piece in pieces) == cut


@given(payloads, st.data())
def test_a_flipped_byte_costs_no_frame_but_its_own(some: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(joined(some))
    if not whole:
        return
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    hit = next(number for number in range(len(some)) if len(joined(some[: number + 1])) > place)

    left = found(bytes(whole))

    expected = [(number, payload) for number, payload in enumerate(some) if number != hit]
    assert [each for each in left if each in expected] == expected


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_accounted_for(noise: bytes) -> None:
    pieces = list(frames(noise))

    assert sum(piece.end - piece.start for piece in pieces) == len(noise)
    assert all(not piece.is_tail for piece in pieces[:-1] if isinstance(piece, Damage))


def test_a_length_beyond_all_bounds_is_damage_and_not_waited_for() -> None:
    huge = bytearray(frame(1, b"x"))
    huge[4:8] = (PAYLOAD_MAX_BYTES + 1).to_bytes(4, "little")

    assert found(bytes(huge) + frame(2, b"y")) == [(2, b"y")]


def test_a_frame_has_a_greatest_size() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        frame(1, bytes(PAYLOAD_MAX_BYTES + 1))


def test_a_file_tells_its_epoch() -> None:
    assert epoch_of(file_head(b"0123456789abcdef")) == b"0123456789abcdef"
    assert epoch_of(file_head(b"0123456789abcdef")[:-1]) is None
    assert epoch_of(b"LAjrnl\x00\x02" + bytes(16)) is None
    assert FRAME_HEAD_BYTES == 20
