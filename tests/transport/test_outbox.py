from hypothesis import given
from hypothesis import strategies as st

from server.transport.outbox import Outbox


class Taker:
    """A wire that takes as much as it is allowed to."""

    def __init__(self, allowance: int = 0) -> None:
        self.allowance = allowance
        self.taken = b""

    def __call__(self, data: bytes | memoryview) -> int:
        piece = bytes(data[: self.allowance])
        self.allowance -= len(piece)
        self.taken += piece
        return len(piece)


def test_frames_leave_in_order() -> None:
    outbox, taker = Outbox(), Taker(100)
    for text in (b"one", b"two", b"three"):
        outbox.put(text)
    outbox.pour(taker)
    assert taker.taken == b"onetwothree"
    assert not outbox
    assert outbox.waiting_bytes == 0


def test_a_purge_leaves_the_half_sent_frame_whole() -> None:
    outbox, taker = Outbox(), Taker(3)
    outbox.put(b"audio-1", "item", 100.0)
    outbox.put(b"audio-2", "item", 100.0)
    outbox.pour(taker)
    assert outbox.purge("item") == 100.0
    taker.allowance = 100
    outbox.pour(taker)
    assert taker.taken == b"audio-1"
    assert outbox.waiting_audio_ms == 0


def test_a_frame_of_which_nothing_left_can_be_purged() -> None:
    outbox, taker = Outbox(), Taker(0)
    outbox.put(b"audio", "item", 100.0)
    outbox.pour(taker)
    assert outbox.purge("item") == 100.0
    assert not outbox


def test_a_purge_spares_other_items_and_control_frames() -> None:
    outbox, taker = Outbox(), Taker(100)
    outbox.put(b"A", "one", 10.0)
    outbox.put(b"c", None)
    outbox.put(b"B", "two", 10.0)
    outbox.put(b"A", "one", 10.0)
    assert outbox.purge("one") == 20.0
    outbox.pour(taker)
    assert taker.taken == b"cB"


def test_pings_and_pongs_go_first_but_behind_the_half_sent_frame() -> None:
    outbox, taker = Outbox(), Taker(2)
    outbox.put(b"half")
    outbox.put(b"last")
    outbox.pour(taker)
    outbox.put_urgent(b"\x8apong")
    taker.allowance = 100
    outbox.pour(taker)
    assert taker.taken == b"half" + b"\x8apong" + b"last"


def test_only_the_latest_pong_waits() -> None:
    outbox, taker = Outbox(), Taker(0)
    for number in range(1000):
        outbox.put_urgent(b"\x8a" + bytes([number % 250]) * 4)
    assert outbox.waiting_bytes == 5
    taker.allowance = 100
    outbox.pour(taker)
    assert taker.taken == b"\x8a" + bytes([999 % 250]) * 4


def test_the_oldest_audio_is_dropped_and_control_keeps_its_order() -> None:
    outbox, taker = Outbox(), Taker(100)
    for frame, ms in ((b"c1", 0.0), (b"A1", 100.0), (b"c2", 0.0), (b"A2", 100.0), (b"A3", 100.0)):
        outbox.put(frame, None, ms)
    assert outbox.drop_oldest_audio(150.0) == 200.0
    outbox.pour(taker)
    assert taker.taken == b"c1c2A3"


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.binary(min_size=1, max_size=9), st.sampled_from([None, "a", "b"])),
        st.tuples(st.just("pour"), st.integers(0, 30), st.none()),
        st.tuples(st.just("purge"), st.just(0), st.sampled_from(["a", "b"])),
        st.tuples(st.just("oldest"), st.integers(0, 5), st.none()),
    ),
    max_size=40,
)


@given(operations)
def test_what_arrives_is_whole_frames_in_order_and_the_counts_are_right(
    ops: list[tuple[str, object, str | None]],
) -> None:
    outbox, taker = Outbox(), Taker()
    sent: list[tuple[bytes, str | None]] = []
    for kind, value, item in ops:
        if kind == "put":
            assert isinstance(value, bytes)
            # Framed, so that what arrives can be told apart again.
            data = bytes([len(value)]) + value
            outbox.put(data, item, 10.0 if item else 0.0)
            sent.append((data, item))
        elif kind == "pour":
            assert isinstance(value, int)
            taker.allowance = value
            outbox.pour(taker)
        elif kind == "purge":
            assert item is not None
            outbox.purge(item)
        else:
            assert isinstance(value, int)
            outbox.drop_oldest_audio(value * 10.0)
            assert outbox.waiting_audio_ms <= value * 10.0
        assert outbox.waiting_bytes >= outbox.waiting_control_bytes >= 0
        assert bool(outbox) == (outbox.waiting_bytes > 0)
    taker.allowance = 10_000
    outbox.pour(taker)
    assert (outbox.waiting_bytes, outbox.waiting_audio_ms, outbox.waiting_control_bytes) == (0, 0, 0)
    arrived, rest = [], taker.taken
    while rest:
        size = rest[0] + 1
        assert len(rest) >= size
        arrived.append(rest[:size])
        rest = rest[size:]
    expected = iter([data for data, _ in sent])
    assert all(frame in expected for frame in arrived), "a subsequence of what was put, in order"
    control = [data for data, item in sent if item is None]
    assert len(arrived) >= len(control), "control frames are never dropped"
