"""The price book: exact names, families, days, and the operator's prices before the list."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from protocol.prices.book import PriceBook
from protocol.prices.rates import Rates, dollars
from server.prices.files import open_book
from tests.protocol.prices.prices import BOOK, DAY, MINI, REALTIME, ROWS, WHISPER, rates, row

LIST = open_book()


def text_input(book: PriceBook, model: str, day: date = DAY) -> Decimal | None:
    found = book.row(model, "conversation", day)
    return found.rates.tokens["text", "input"] if found else None


def test_a_name_with_a_date_is_its_familys() -> None:
    for name in ("gpt-realtime", "gpt-realtime-2025-08-28", " GPT-Realtime ", "gpt-realtime-2031-01-01"):
        found = LIST.row(name, "conversation", DAY)
        assert found is not None, name
        assert found.model == "gpt-realtime"
    assert LIST.row("gpt-realtime-mini-2025-12-15", "conversation", DAY).model == "gpt-realtime-mini"  # type: ignore[union-attr]


def test_an_exact_name_comes_before_its_family() -> None:
    old = LIST.row("gpt-4o-realtime-preview-2024-10-01", "conversation", DAY)
    new = LIST.row("gpt-4o-realtime-preview-2025-06-03", "conversation", DAY)
    assert old is not None
    assert new is not None
    assert old.rates.tokens["audio", "output"] == 200
    assert new.rates.tokens["audio", "output"] == 80


@pytest.mark.parametrize("name", ["", "gpt-realtime-3", "gpt-realtime-2025", "whisper-1", "gpt-realtime-2025-08-28-x"])
def test_other_names_are_unknown(name: str) -> None:
    assert LIST.row(name, "conversation", DAY) is None


def test_a_use_is_part_of_the_name() -> None:
    assert LIST.knows("whisper-1", "transcription")
    assert not LIST.knows("whisper-1", "conversation")
    assert not LIST.knows("gpt-realtime", "transcription")


def test_a_new_price_leaves_the_days_before_as_they_were() -> None:
    change = date(2026, 12, 1)
    dearer = row("big", rates(text_input="6"), valid_from=change)
    book = PriceBook([*ROWS, dearer], version="x")
    assert text_input(book, "big", change - timedelta(days=1)) == 4
    assert text_input(book, "big", change) == 6
    assert text_input(book, "big-2026-05-05", change) == 6
    # Before its first day a model costs what it did then.
    assert text_input(book, "big", date(1999, 1, 1)) == 4


def test_the_operators_prices_hold_from_their_day_on_whatever_the_list_says_later() -> None:
    later = row("big", rates(text_input="6"), valid_from=date(2026, 12, 1))
    own = row("big", rates(text_input="3"), valid_from=date(2026, 6, 1))
    book = PriceBook([*ROWS, later], [own], version="x")
    assert text_input(book, "big", date(2026, 5, 31)) == 4
    assert text_input(book, "big", date(2026, 6, 1)) == 3
    assert text_input(book, "big", date(2027, 1, 1)) == 3
    assert text_input(PriceBook(ROWS, [row("new", MINI)], version="x"), "new") == Decimal("0.60")


def test_the_dearest_follow_the_day() -> None:
    change = date(2026, 12, 1)
    book = PriceBook([*ROWS, row("huge", rates(text_input="99"), valid_from=change)], version="x")
    assert book.dearest("conversation", change).tokens["text", "input"] == 99
    cheap = PriceBook([*ROWS, row("big", rates(text_input="1"), valid_from=change)], version="x")
    assert cheap.dearest("conversation", DAY).tokens["text", "input"] == 4
    assert cheap.dearest("conversation", change).tokens["text", "input"] == 1


def test_the_dearest_are_of_models_for_the_same_use() -> None:
    ears = row("fine ears", rates(audio_input="6"), "transcription")
    book = PriceBook([*ROWS, ears], version="x")
    assert book.dearest("transcription", DAY).tokens["audio", "input"] == 6
    assert book.dearest("conversation", DAY).tokens["audio", "input"] == 32
    # What no transcription has a price for costs the dearest that there is.
    assert BOOK.dearest("transcription", DAY).tokens["audio", "input"] == 32


@pytest.mark.parametrize("rows", [(), (row("a", REALTIME),), (row("a", WHISPER, "transcription"),)])
def test_a_book_that_could_not_price_everything_is_none(rows: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="by the token and one by the minute"):
        PriceBook(rows, version="x")  # type: ignore[arg-type]


def test_rates_fill_each_other_and_rise_exactly() -> None:
    both = rates(text_input="1").over(
        Rates({("text", "input"): Decimal(2), ("text", "output"): Decimal(3)}, Decimal(4))
    )
    assert (both.tokens["text", "input"], both.tokens["text", "output"]) == (Decimal(1), Decimal(3))
    assert both.minute == 4
    assert rates(text_input="0.40").raised(Decimal(10)).tokens["text", "input"] == Decimal("0.44")
    assert WHISPER.raised(Decimal("2.5")).minute == Decimal("0.00615")
    assert Rates().dearest("input") is None


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "0"), ("0.0663160", "0.066316"), ("1E+2", "100"), ("1E-12", "0.000000000001")]
)
def test_dollars_are_plain_numbers(usd: str, text: str) -> None:
    assert dollars(Decimal(usd)) == text
