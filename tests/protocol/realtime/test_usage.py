"""Usage adds up field by field."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from protocol.realtime.usage import CachedTokensDetails, Usage
from tests.protocol.realtime.samples import USAGE

COUNTS = st.integers(0, 100_000)
USAGES = st.builds(
    lambda numbers, cached: msgspec.convert(
        {
            "total_tokens": numbers[0],
            "input_tokens": numbers[1],
            "output_tokens": numbers[2],
            "input_token_details": {
                "text_tokens": numbers[3],
                "audio_tokens": numbers[4],
                "image_tokens": numbers[5],
                "cached_tokens": numbers[6],
                **({"cached_tokens_details": {"text_tokens": numbers[6]}} if cached else {}),
            },
            "output_token_details": {"text_tokens": numbers[7], "audio_tokens": numbers[8]},
        },
        Usage,
    ),
    st.tuples(*[COUNTS] * 9),
    st.booleans(),
)


def test_what_the_service_leaves_out_counts_nothing() -> None:
    assert msgspec.json.decode(b"{}", type=Usage) == Usage()


@given(USAGES, USAGES)
def test_a_sum_has_every_token_of_both(a: Usage, b: Usage) -> None:
    both = a + b
    assert both.total_tokens == a.total_tokens + b.total_tokens
    assert both.input_tokens == a.input_tokens + b.input_tokens
    assert both.output_tokens == a.output_tokens + b.output_tokens
    for field in ("text_tokens", "audio_tokens", "image_tokens", "cached_tokens"):
        parts = [getattr(usage.input_token_details, field) for usage in (a, b)]
        assert getattr(both.input_token_details, field) == sum(parts)
    cached = both.input_token_details.cached_tokens_details
    if isinstance(cached, CachedTokensDetails):
        assert cached.text_tokens == both.input_token_details.cached_tokens


@given(USAGES)
def test_nothing_added_changes_no_count(usage: Usage) -> None:
    assert msgspec.structs.asdict(usage + Usage())["output_token_details"] == usage.output_token_details
    assert (usage + Usage()).total_tokens == usage.total_tokens


def test_the_captured_usage_reads_in_full() -> None:
    usage = msgspec.convert(USAGE, Usage)
    assert msgspec.to_builtins(usage) == USAGE
