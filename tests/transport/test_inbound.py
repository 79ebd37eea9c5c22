import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from server.transport.inbound import Inbound, Message, Step
from tests.transport.peers import BINARY, CONT, MASK, PING, TEXT, frame, protocol_of
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
