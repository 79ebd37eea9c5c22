"""What the next response reads, at most."""

import json

from hypothesis import given
from hypothesis import strategies as st

from protocol.conversation.configuration import Configuration
from protocol.conversation.context_size import WINDOW_TOKENS, ContextSize
from protocol.realtime.usage import InputTokenDetails, OutputTokenDetails, Usage


def fresh() -> ContextSize:
    return ContextSize(Configuration({"type": "realtime", "instructions": "Be kind."}, []))


def typed(text: str) -> bytes:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return json.dumps({"type": "conversation.item.create", "item": item}).encode()


def usage(text: int, audio: int, out: int) -> Usage:
    return Usage(
        total_tokens=text + audio + out,
        input_tokens=text + audio,
        output_tokens=out,
        input_token_details=InputTokenDetails(text_tokens=text, audio_tokens=audio),
        output_token_details=OutputTokenDetails(audio_tokens=out),
    )


@given(st.text(max_size=200))
def test_a_token_is_at_least_a_byte(text: str) -> None:
    size = fresh()
    before = size.bound()[0]["text"]
    size.sent("conversation.item.create", typed(text), 0.0)
    assert size.bound()[0]["text"] - before >= len(text.encode("utf-8", "surrogatepass")) // 2


def test_sound_counts_by_its_milliseconds_also_in_an_item() -> None:
    size = fresh()
    size.sent("input_audio_buffer.append", b"", 1000.0)
    assert size.bound()[0]["audio"] == 20
    content = [{"type": "input_audio", "audio": "A" * 64_000}]
    item = {"type": "message", "role": "user", "content": content}
    text = size.bound()[0]["text"]
    size.sent("conversation.item.create", json.dumps({"item": item}).encode(), 0.0)
    assert 40 <= size.bound()[0]["audio"] <= 42
    assert size.bound()[0]["text"] - text < 200


def test_what_a_response_told_stands_for_all_before_it() -> None:
    size = fresh()
    size.sent("conversation.item.create", typed("x" * 1000), 0.0)
    size.began()
    size.sent("conversation.item.create", typed("y" * 100), 0.0)
    size.ended(usage(30, 40, 50))
    bound, besides = size.bound()
    assert (bound["audio"], besides) == (90, 0)
    assert 30 + 100 < bound["text"] < 30 + 300


def test_a_response_that_told_nothing_changes_nothing() -> None:
    size = fresh()
    size.sent("conversation.item.create", typed("x" * 1000), 0.0)
    before = size.bound()
    size.began()
    assert size.bound() == before
    size.ended(None)
    assert size.bound() == before


def test_no_context_is_longer_than_the_longest() -> None:
    size = fresh()
    size.sent("conversation.item.create", typed("x" * 1_000_000), 0.0)
    bound, besides = size.bound()
    assert sum(bound.values()) + besides == WINDOW_TOKENS
