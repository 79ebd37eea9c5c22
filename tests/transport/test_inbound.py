import itertools
import tracemalloc

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from server.transport.inbound import Inbound, Message, Step
from tests.transport.peers import BINARY, CONT, MASK, PING, PONG, TEXT, close_frame, frame, protocol_of
from tests.transport.test_rfc6455 import converse

# Characters of one to four bytes, so that cuts fall inside them often.
texts = st.lists(st.sampled_from("aé€🎭\0"), max_size=150).map("".join)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[str | bytes], bytes, list[int]]:
    """Messages, the bytes of frames that carry them, and where those are cut."""
    messages: list[str | bytes] = []
    data = b""
    for _ in range(draw(st.integers(0, 6))):
        message = draw(st.one_of(texts, st.binary(max_size=300)))
        messages.append(message)
        payload = message.encode() if isinstance(message, str) else message
        opcode = TEXT if isinstance(message, str) else BINARY
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for number, part in enumerate(parts):
            data += frame(opcode if number == 0 else CONT, part, fin=number == len(parts) - 1)
            if draw(st.booleans()):
                data += frame(PING, b"still there?")
    return messages, data, draw(st.lists(st.integers(0, len(data)), max_size=8))


@given(conversations())
def test_messages_come_out_whole_however_the_bytes_are_cut(
    conversation: tuple[list[str | bytes], bytes, list[int]],
) -> None:
    messages, data, cuts = conversation
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert converse("server", pieces)[0] == messages


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_random_bytes_end_in_a_close_frame_or_in_waiting(pieces: list[bytes]) -> None:
    _, answers = converse("server", pieces)
    assert all(opcode in {8, 10} for opcode, _ in answers)


def test_text_stays_bytes_that_a_decoder_takes() -> None:
    inbound = Inbound(protocol_of("server"))
    inbound.feed(frame(TEXT, '{"type":"ä"}'.encode()))
    message = inbound.step()
    assert isinstance(message, Message)
    assert type(message.data) is bytes
    assert msgspec.json.decode(message.data) == {"type": "ä"}


def test_one_step_deals_with_one_frame() -> None:
    inbound = Inbound(protocol_of("server"))
    inbound.feed(frame(PING) * 3)
    assert [inbound.step() for _ in range(4)] == [Step.FRAME, Step.FRAME, Step.FRAME, Step.NEED_DATA]


def test_a_new_size_limit_holds_from_the_next_frame_on() -> None:
    protocol = protocol_of("server", 10)
    inbound = Inbound(protocol)
    protocol.max_message_size = 20
    inbound.feed(frame(TEXT, b"x" * 20))
    assert isinstance(inbound.step(), Message)


def test_what_follows_a_partial_frame_is_not_lost() -> None:
    inbound = Inbound(protocol_of("server"))
    data = frame(BINARY, b"x" * 200, mask=MASK) + frame(TEXT, b"after")
    inbound.feed(data[:100])
    assert inbound.step() is Step.NEED_DATA
    inbound.feed(data[100:])
    assert inbound.step() == Message(b"x" * 200, False)
    assert inbound.step() == Message(b"after", True)


@given(conversations())
def test_behind_our_own_close_nothing_is_kept_and_the_peers_close_is_found(
    conversation: tuple[list[str | bytes], bytes, list[int]],
) -> None:
    _, data, cuts = conversation
    data += frame(TEXT, b"x" * 5000) + close_frame(1000)
    edges = [0, *sorted(cuts), len(data)]
    inbound = Inbound(protocol_of("server"))
    inbound.protocol.send_close(1000)
    inbound.skip_messages()
    for a, b in itertools.pairwise(edges):
        inbound.feed(data[a:b])
        while (step := inbound.step()) not in {Step.NEED_DATA, Step.ENDED}:
            assert step is Step.FRAME
    assert step is Step.ENDED
    assert inbound.protocol.close_rcvd is not None


def test_a_frame_without_end_behind_our_close_fills_no_memory() -> None:
    inbound = Inbound(protocol_of("server", 2**30))
    whole = frame(TEXT, b"x" * 2_000_000)
    inbound.feed(whole[:1000])
    assert inbound.step() is Step.NEED_DATA
    inbound.protocol.send_close(1000)
    inbound.skip_messages()
    tracemalloc.start()
    try:
        for at in range(1000, len(whole), 10_000):
            inbound.feed(whole[at : at + 10_000])
            inbound.step()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 * 1024
    inbound.feed(close_frame(1000))
    assert inbound.step() is Step.ENDED
    assert inbound.protocol.close_rcvd is not None


def test_what_is_no_message_is_counted_but_for_fragments_worth_their_frame() -> None:
    inbound = Inbound(protocol_of("server"))
    inbound.feed(frame(PING) * 3 + frame(PONG) + frame(TEXT, b"x" * 5000, fin=False) + frame(CONT, b"", fin=False))
    inbound.feed(frame(CONT, b"end") + frame(TEXT, b"whole"))
    while inbound.step() is not Step.NEED_DATA:
        pass
    assert inbound.idle_frames == 5
