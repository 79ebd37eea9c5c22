"""No usage within its bounds costs more than what was set aside for it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.prices.cost import cost_of
from protocol.prices.metering import metered
from protocol.prices.terms import Terms, quote
from protocol.prices.worst_case import dearest_response, dearest_transcription
from tests.protocol.prices.prices import BOOK, DAY, said

MODELS = ("big", "small", "nobody knows")
N = st.integers(0, 5000)


@given(st.sampled_from(MODELS), N, N, N, N, st.integers(0, 100))
def test_a_response_never_costs_more(model: str, text: int, audio: int, out: int, of_sound: int, cached: int) -> None:
    price = quote(BOOK, Terms(deployment="here", uplift_percent=Decimal(10)), model, "conversation", DAY)
    of_sound = min(of_sound, out)
    usage = said(text, audio, out_text=out - of_sound, out_audio=of_sound, cached_tokens=(text + audio) * cached // 100)
    used = metered(usage)
    assert used is not None
    most = dearest_response(price, read={"text": text, "audio": audio}, read_besides=0, written=out)
    assert cost_of(used, price).usd <= most


def test_what_nobody_knows_is_of_the_dearest_kind() -> None:
    price = quote(BOOK, Terms(deployment="here"), "big", "conversation", DAY)
    assert dearest_response(price, read={}, read_besides=1_000_000, written=0) == 32


@pytest.mark.parametrize(("model", "usd"), [("ears", Decimal("0.006")), ("nobody knows", Decimal("0.0192"))])
def test_a_transcription_is_priced_by_what_it_is_sold_by(model: str, usd: Decimal) -> None:
    price = quote(BOOK, Terms(deployment="here"), model, "transcription", DAY)
    found = dearest_transcription(price, seconds=Decimal(60), tokens_read=600, tokens_written=0)
    assert found >= usd if model == "nobody knows" else found == usd
