"""Token counts and bills."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.realtime.items import ContentPart, Item
from protocol.realtime.usage import Usage
from server.simulator.conversation import Entry, audio_entry
from server.simulator.meter import (
    Meter,
    Segment,
    TokenRate,
    assistant_audio_tokens,
    item_segment,
    prompt_segments,
    text_tokens,
    usage_of,
    within_window,
)

SEGMENTS = st.lists(
    st.builds(Segment, st.sampled_from("abcdef"), st.integers(0, 300), st.integers(0, 300), st.integers(0, 90)),
    max_size=8,
)


def test_text_is_counted_by_four_characters() -> None:
    assert [text_tokens(text) for text in ("", "a", "four", "fives")] == [0, 1, 1, 2]


def test_audio_is_counted_by_100_ms_of_the_user_and_50_ms_of_the_assistant() -> None:
    assert item_segment(audio_entry("a", b"", 1001.0)).audio == 11
    part = ContentPart(type="output_audio", transcript="Hi.")
    said = Entry(Item(id="b", type="message", role="assistant", content=[part]), audio_ms=1001.0)
    assert item_segment(said).audio == 21
    assert assistant_audio_tokens(1001.0) == 21


def test_the_prompt_grows_with_the_history() -> None:
    entry = audio_entry("a", b"", 2000.0)
    short = usage_of(prompt_segments("Be kind.", [], []), [], 0, 0)
    longer = usage_of(prompt_segments("Be kind.", [], [entry]), [], 0, 0)
    assert longer.input_tokens == short.input_tokens + 20 + 3


def test_a_shared_prefix_is_cached_in_blocks_of_64() -> None:
    head, first = Segment("head", text=100), Segment("a", audio=50)
    usage = usage_of([head, first, Segment("b", text=10)], [head, first], 5, 7)
    assert usage.input_token_details.cached_tokens == 128
    details = usage.input_token_details.cached_tokens_details
    assert details
    assert (details.text_tokens, details.audio_tokens) == (100, 28)
    assert (usage.total_tokens, usage.input_tokens, usage.output_tokens) == (172, 160, 12)


def test_nothing_is_cached_behind_the_first_difference() -> None:
    same = Segment("b", text=640)
    usage = usage_of([Segment("new head", text=640), same], [Segment("head", text=640), same], 0, 0)
    assert usage.input_token_details.cached_tokens == 0


@given(SEGMENTS, SEGMENTS, st.integers(0, 100), st.integers(0, 100))
def test_every_bill_adds_up(prompt: list[Segment], earlier: list[Segment], text: int, audio: int) -> None:
    usage = usage_of(prompt, earlier, text, audio)
    into, out = usage.input_token_details, usage.output_token_details
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens == into.text_tokens + into.audio_tokens + into.image_tokens
    assert usage.output_tokens == out.text_tokens + out.audio_tokens == text + audio
    cached = into.cached_tokens_details
    assert cached
    assert into.cached_tokens == cached.text_tokens + cached.audio_tokens + cached.image_tokens
    assert into.cached_tokens % 64 == 0
    assert cached.text_tokens <= into.text_tokens
    assert cached.audio_tokens <= into.audio_tokens
    assert cached.image_tokens <= into.image_tokens


@given(SEGMENTS, st.integers(0, 2000))
def test_a_window_keeps_the_head_and_the_newest(prompt: list[Segment], limit: int) -> None:
    kept = within_window(prompt, limit)
    assert kept[:1] == prompt[:1]
    assert kept[1:] == prompt[len(prompt) - len(kept) + 1 :]
    assert len(kept) >= min(2, len(prompt))
    assert len(kept) <= 2 or sum(segment.total for segment in kept) <= limit


def test_a_meter_adds_up_by_status_and_tells_its_parent() -> None:
    service = Meter()
    first, second = Meter(service), Meter(service)
    first.charge("completed", Usage(total_tokens=3, input_tokens=1, output_tokens=2))
    second.charge("failed", None)
    second.charge("cancelled", Usage(total_tokens=4, input_tokens=4))
    second.transcribed(1.5)
    assert service.responses == {"completed": 1, "failed": 1, "cancelled": 1}
    assert (service.usage.total_tokens, first.usage.total_tokens) == (7, 3)
    assert service.transcribed_seconds == 1.5


def test_the_token_rate_leaks_evenly() -> None:
    rate = TokenRate(60_000, now=0.0)
    assert rate.spend(3_000, now=0.0) == (57_000, 3.0)
    assert rate.spend(0, now=1.0) == (58_000, 2.0)
    assert rate.spend(0, now=60.0) == (60_000, 0.0)
    assert rate.spend(100_000, now=60.0)[0] == 0
    assert rate.limit == pytest.approx(60_000)
