"""What a usage costs: exactly, line by line, and never less than it can have cost."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.prices.book import EMBEDDED_MODEL, PriceBook
from protocol.prices.cost import Cost, cost_of
from protocol.prices.metering import SECONDS_MAX, TOKENS_MAX, metered
from protocol.prices.rates import MODALITIES, Rates
from protocol.prices.terms import Terms, quote
from server.prices.files import open_book
from tests.protocol.prices.prices import BOOK, DAY, cached, rates, said

LIST = open_book()
HERE = Terms(deployment="here")


def price(usage: object, model: str = "big", *, book: PriceBook = BOOK, terms: Terms = HERE, **more: Any) -> Cost:
    return cost_of(metered(usage), quote(book, terms, model, "conversation", DAY), **more)


def outcome(cost: Cost) -> tuple[Decimal, set[str]]:
    return cost.usd, set(cost.doubts)


def heard(usage: object, model: str = "ears", *, book: PriceBook = BOOK, terms: Terms = HERE) -> Cost:
    return cost_of(metered(usage), quote(book, terms, model, "transcription", DAY))


def test_the_sample_costs_what_it_must() -> None:
    cost = price(said(15_703, out_text=219), "gpt-realtime", book=LIST)
    assert [(line.modality, line.kind, line.amount, line.usd) for line in cost.lines] == [
        ("text", "input", 15_703, Decimal("0.062812")),
        ("text", "output", 219, Decimal("0.003504")),
    ]
    assert cost.usd == Decimal("0.066316")
    assert (cost.priced_as, cost.doubts) == ("gpt-realtime", frozenset())


def test_the_sample_all_cached_and_at_the_newest_model() -> None:
    assert price(said(15_703, out_text=219, **cached(15_703, 15_703)), "gpt-realtime", book=LIST).usd == Decimal(
        "0.0097852"
    )
    assert price(said(15_703, out_text=219), "gpt-realtime-2.1", book=LIST).usd == Decimal("0.068068")


def test_what_was_cached_is_part_of_the_input_at_its_modalitys_rate() -> None:
    cost = price(said(1000, 2000, 300, out_text=10, out_audio=20, **cached(900, 600, 200, 100)))
    # 400 x 4 + 600 x 0.40 + 1800 x 32 + 200 x 0.40 + 200 x 5 + 100 x 0.50 + 10 x 16 + 20 x 64
    assert cost.usd == Decimal("0.062010")
    assert cost.doubts == frozenset()


def test_where_nobody_says_what_was_cached_text_comes_first() -> None:
    cost = price(said(100, 1000, cached_tokens=150))
    assert [(line.modality, line.kind, line.amount) for line in cost.lines] == [
        ("text", "cached", 100),
        ("audio", "input", 950),
        ("audio", "cached", 50),
    ]


def test_no_more_is_taken_off_than_the_sum_says_nor_than_the_details_do() -> None:
    by_sum = price(said(1000, 1000, **cached(100, 500, 500)))
    assert {line.modality: line.amount for line in by_sum.lines if line.kind == "cached"} == {"text": 100}
    by_details = price(said(1000, 1000, **cached(900, 10)))
    assert {line.modality: line.amount for line in by_details.lines if line.kind == "cached"} == {"text": 10}


def test_more_cached_than_was_read_is_doubted_and_bounded() -> None:
    cost = price(said(100, **cached(500, 500)))
    assert [(line.kind, line.amount) for line in cost.lines] == [("cached", 100)]
    assert cost.doubts == {"too_much_cached"}


def test_a_model_without_a_cached_rate_takes_nothing_off() -> None:
    assert price(said(0, 1000, **cached(1000, 0, 1000)), "small").usd == Decimal("0.01")


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({"input_tokens": 1000, "output_tokens": 100}, "0.0384"),
        ({"total_tokens": 1100, "input_tokens": 1000}, "0.0384"),
        ({"total_tokens": 100}, "0.0064"),
        ({"input_tokens": 1000, "input_token_details": {"text_tokens": 400}}, "0.0208"),
        ({"input_tokens": 1000, "input_token_details": None, "output_token_details": []}, "0.032"),
    ],
)
def test_tokens_of_an_unknown_kind_are_the_dearest(usage: dict[str, Any], usd: str) -> None:
    cost = price(usage)
    assert cost.usd == Decimal(usd)
    assert cost.doubts == {"no_details"}


@pytest.mark.parametrize(
    ("tokens", "doubt", "usd"),
    [
        (-5, "negative", "0"),
        ("many", "unreadable", "0"),
        (True, "unreadable", "0"),
        ([3], "unreadable", "0"),
        (10**400, "absurd", "16"),
        (1e300, "absurd", "16"),
        (TOKENS_MAX, None, "16"),
        (12.0, None, "0.000192"),
        (11.2, None, "0.000192"),
        (None, "no_usage", "0"),
        (0, "no_usage", "0"),
    ],
)
def test_numbers_that_make_no_sense(tokens: object, doubt: str | None, usd: str) -> None:
    cost = price({"output_token_details": {"text_tokens": tokens}})
    assert cost.usd == Decimal(usd)
    assert cost.doubts == ({doubt} if doubt else frozenset())


def test_one_bad_number_spoils_no_other() -> None:
    usage = said(100, out_text=10)
    usage["input_token_details"]["audio_tokens"] = -7
    assert price(usage).usd == price(said(100, out_text=10)).usd


@pytest.mark.parametrize("nothing", [None, 5, "x", []])
def test_no_usage_cannot_be_priced_and_is_doubted_unless_nothing_was_owed(nothing: object) -> None:
    assert price(nothing).doubts == {"no_usage"}
    failed = price(nothing, is_owed=False)
    assert outcome(failed) == (Decimal(0), set())


# Models and deployments


def test_an_unknown_model_costs_the_dearest_of_each_kind_and_is_an_alarm() -> None:
    cost = price(said(1000, 1000, 1000, out_text=1000, out_audio=1000), "nobody")
    assert cost.usd == Decimal("0.121")  # big's: 4 + 32 + 5 + 16 + 64
    assert cost.priced_as == ""
    assert cost.doubts == {"unknown_model"}
    assert price(said(1000), "").doubts == {"unknown_model"}
    cheap = price(said(1000, 1000, out_text=1000, out_audio=1000), "nobody", book=LIST).usd
    assert cheap == Decimal("0.329")  # 5 + 100 + 24 + 200


def test_a_kind_that_a_model_has_no_price_for_costs_the_dearest() -> None:
    cost = price(said(image=1000), "small")
    assert outcome(cost) == (Decimal("0.005"), {"no_rate"})


def test_the_embedded_simulator_is_in_the_list_and_free() -> None:
    cost = price(said(1000, 1000, 50, out_text=10, out_audio=10, **cached(64, 64)), EMBEDDED_MODEL, book=LIST)
    assert outcome(cost) == (Decimal(0), set())
    assert cost.priced_as == EMBEDDED_MODEL
    assert heard({"type": "duration", "seconds": 4}, EMBEDDED_MODEL, book=LIST).usd == 0


def test_a_regional_deployment_is_dearer_by_its_uplift() -> None:
    regional = Terms(deployment="eu", uplift_percent=Decimal(10))
    assert price(said(15_703, out_text=219), terms=regional).usd == Decimal("0.0729476")
    assert price(said(1000), "nobody", terms=regional).usd == Decimal("0.0044")


def test_a_deployments_own_prices_come_first_and_without_uplift() -> None:
    terms = Terms(deployment="ours", uplift_percent=Decimal(10), rates=rates(text_input="1"))
    cost = price(said(1000, 1000), terms=terms)
    assert [line.usd for line in cost.lines] == [Decimal("0.001"), Decimal("0.0352")]
    unknown = price(said(1000), "our-own-name", terms=terms)
    assert (unknown.priced_as, unknown.doubts) == ("ours", frozenset())


def test_the_deployments_model_counts_whatever_the_service_calls_it() -> None:
    terms = Terms(deployment="azure", model="small")
    assert price(said(1000), "avatar-prod", terms=terms).usd == Decimal("0.0006")


# Transcriptions


def test_speech_by_the_minute() -> None:
    cost = heard({"type": "duration", "seconds": 90})
    assert cost.usd == Decimal("0.009")
    assert [(line.amount, line.unit, line.rate) for line in cost.lines] == [(90, "second", Decimal("0.006"))]
    # A third of a cent has no end: it is rounded up, at the twelfth place.
    assert heard({"type": "duration", "seconds": 1}, "gpt-realtime-whisper", book=LIST).usd == Decimal("0.000283333334")


def test_speech_by_the_token() -> None:
    usage = {
        "type": "tokens", "total_tokens": 34, "input_tokens": 14, "output_tokens": 20,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
    }  # fmt: skip
    cost = heard(usage, "gpt-4o-transcribe", book=LIST)
    assert cost.usd == Decimal("0.00027")  # 4 x 2.50 + 10 x 6 + 20 x 10
    assert cost.doubts == frozenset()


def test_speech_in_a_unit_that_its_model_is_not_sold_in_costs_the_dearest() -> None:
    cost = heard({"type": "duration", "seconds": 60}, "gpt-4o-transcribe", book=LIST)
    assert outcome(cost) == (Decimal("0.034"), {"no_rate"})
    cost = heard({"type": "tokens", "input_tokens": 1000, "output_tokens": 0}, "whisper-1", book=LIST)
    assert cost.usd == Decimal("0.006")
    assert "no_rate" in cost.doubts


def test_an_absurd_duration_is_bounded() -> None:
    cost = heard({"type": "duration", "seconds": 1e30})
    assert outcome(cost) == (Decimal("0.006") * SECONDS_MAX / 60, {"absurd"})
    assert heard({"type": "duration", "seconds": -1}).doubts == {"negative"}


# Whatever a service says

COUNTS = st.integers(-10, 3_000_000) | st.floats() | st.none() | st.text(max_size=3) | st.booleans()
DETAILS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["text_tokens", "audio_tokens", "image_tokens", "cached_tokens"]), COUNTS
) | st.sampled_from([None, 3, []])
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["tokens", "duration", "other"]),
        "seconds": COUNTS,
        "total_tokens": COUNTS,
        "input_tokens": COUNTS,
        "output_tokens": COUNTS,
        "input_token_details": DETAILS,
        "output_token_details": DETAILS,
    },
)
MODELS = st.sampled_from(["big", "small", "nobody", ""])


@given(USAGES, MODELS, st.sampled_from(["conversation", "transcription"]))
def test_any_usage_has_a_price(usage: dict[str, Any], model: str, use: Any) -> None:
    used = metered(usage)
    cost = cost_of(used, quote(BOOK, HERE, model, use, DAY))
    assert used is not None
    assert cost.usd >= 0
    assert all(line.amount > 0 for line in cost.lines)
    assert sum(line.amount for line in cost.lines if line.unit == "token") == used.usage.total_tokens
    assert used.usage.input_token_details.cached_tokens <= used.usage.input_tokens


@given(st.lists(st.integers(0, 200_000), min_size=9, max_size=9), st.booleans(), MODELS)
def test_saying_less_never_makes_it_cheaper(numbers: list[int], divides: bool, model: str) -> None:
    text, audio, image, out_text, out_audio, a, b, c, _ = numbers
    a, b, c = min(a, text), min(b, audio), min(c, image)
    whole = price(said(text, audio, image, out_text=out_text, out_audio=out_audio, **cached(a + b + c, a, b, c)), model)
    vague = said(text, audio, image, out_text=out_text, out_audio=out_audio, cached_tokens=a + b + c)
    if not divides:
        del vague["input_token_details"], vague["output_token_details"]
    assert price(vague, model).usd >= whole.usd


@given(st.lists(st.integers(0, 1_000_000), min_size=5, max_size=5))
def test_it_is_exact(numbers: list[int]) -> None:
    text, audio, image, out_text, out_audio = numbers
    terms = Terms(deployment="eu", uplift_percent=Decimal("12.345"))
    fine = rates(text_input="9999.123456789").raised(Decimal("99.999")).tokens["text", "input"]
    assert Fraction(fine * text) == Fraction(9999123456789, 10**9) * Fraction(199_999, 100_000) * text
    exact = text * 4 + audio * 32 + image * 5 + out_text * 16 + out_audio * 64
    cost = price(said(text, audio, image, out_text=out_text, out_audio=out_audio), terms=terms)
    assert int(cost.usd.scaleb(11)) == exact * 112_345
    assert cost.usd.scaleb(11) == exact * 112_345


def test_dearest_rates_leave_no_kind_out() -> None:
    dearest = BOOK.dearest("transcription", DAY)
    assert all((modality, kind) in dearest.tokens for modality in MODALITIES for kind in ("input", "cached", "output"))
    assert isinstance(dearest, Rates)
