"""Price files: the list that comes along, the operator's own, and what is said about one that cannot be."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.prices.book import EMBEDDED_MODEL
from server.prices.files import LIST, open_book, read_prices
from server.settings import SettingsError, load

DAY = date(2026, 11, 23)
ROW = '[[price]]\nmodels = ["m"]\nunit = "1M tokens"\n'
GOOD = ROW + "text = { input = 4, cached = 0.40, output = 16 }\n"

# The table of the vendors' pages: text in, cached, out; audio in, cached, out; image in, cached.
CONVERSATIONS = {
    "gpt-realtime-2.1": "4 0.40 24 32 0.40 64 5 0.50",
    "gpt-realtime-2": "4 0.40 24 32 0.40 64 5 0.50",
    "gpt-realtime-2.1-mini": "0.60 0.06 2.40 10 0.30 20 0.80 0.08",
    "gpt-realtime-1.5": "4 0.40 16 32 0.40 64 5 0.50",
    "gpt-realtime": "4 0.40 16 32 0.40 64 5 0.50",
    "gpt-realtime-2025-08-28": "4 0.40 16 32 0.40 64 5 0.50",
    "gpt-realtime-mini": "0.60 0.06 2.40 10 0.30 20 0.80 0.08",
    "gpt-realtime-mini-2025-10-06": "0.60 0.06 2.40 10 0.30 20 0.80 0.08",
    "gpt-realtime-mini-2025-12-15": "0.60 0.06 2.40 10 0.30 20 0.80 0.08",
    "gpt-4o-realtime-preview": "5 2.50 20 40 2.50 80",
    "gpt-4o-realtime-preview-2024-12-17": "5 2.50 20 40 2.50 80",
    "gpt-4o-realtime-preview-2025-06-03": "5 2.50 20 40 2.50 80",
    "gpt-4o-realtime-preview-2024-10-01": "5 2.50 20 100 20 200",
    "gpt-4o-mini-realtime-preview": "0.60 0.30 2.40 10 0.30 20",
}
MINUTES = {
    "whisper-1": "0.006",
    "gpt-transcribe": "0.0045",
    "gpt-live-transcribe": "0.017",
    "gpt-realtime-whisper": "0.017",
    "gpt-realtime-translate": "0.034",
}
COLUMNS = [(modality, kind) for modality in ("text", "audio", "image") for kind in ("input", "cached", "output")]


@pytest.mark.parametrize("model", CONVERSATIONS)
def test_the_list_has_what_the_vendors_pages_said(model: str) -> None:
    row = open_book().row(model, "conversation", DAY)
    assert row is not None
    listed = [Decimal(text) for text in CONVERSATIONS[model].split()]
    assert row.rates.tokens == dict(zip(COLUMNS, listed, strict=False))


@pytest.mark.parametrize("model", MINUTES)
def test_the_list_has_transcriptions_by_the_minute(model: str) -> None:
    row = open_book().row(model, "transcription", DAY)
    assert row is not None
    assert (row.rates.minute, dict(row.rates.tokens)) == (Decimal(MINUTES[model]), {})


def test_the_list_has_transcriptions_by_the_token_and_our_simulator() -> None:
    book = open_book()
    for model, prices in {"gpt-4o-transcribe": "2.50 10 6", "gpt-4o-mini-transcribe": "1.25 5 3"}.items():
        row = book.row(model, "transcription", DAY)
        assert row is not None
        columns = [("text", "input"), ("text", "output"), ("audio", "input")]
        assert row.rates.tokens == dict(zip(columns, map(Decimal, prices.split()), strict=True))
    free = book.row(EMBEDDED_MODEL, "conversation", DAY)
    assert free is not None
    assert set(free.rates.tokens.values()) == {Decimal(0)}
    assert book.version == "2026-11-22"


def test_every_row_of_the_list_has_its_day() -> None:
    problems: list[str] = []
    rows = read_prices(LIST, problems)
    assert not problems
    assert all(row.valid_from.year >= 2024 for row in rows)


# The operator's own


def own(tmp_path: Path, text: str) -> tuple[Path, list[str]]:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    problems: list[str] = []
    read_prices(file, problems)
    return file, problems


def test_a_file_of_the_operators_overrides_and_adds(tmp_path: Path) -> None:
    file, problems = own(
        tmp_path,
        'version = "our contract"\n'
        '[[price]]\nmodels = ["gpt-realtime", "avatar-prod"]\nvalid_from = 2026-07-01\nunit = "1M tokens"\n'
        "text = { input = 3.33, output = 12 }\n"
        '[[price]]\nmodels = ["whisper-ours"]\nuse = "transcription"\nunit = "minute"\naudio = { input = 0.005 }\n',
    )
    assert problems == []
    book = load({"LIVEAVATAR_PRICES": str(file)}).price_book()
    assert book.version == "2026-11-22 and prices.toml"
    for model in ("gpt-realtime", "avatar-prod"):
        row = book.row(model, "conversation", DAY)
        assert row is not None
        assert row.rates.tokens["text", "input"] == Decimal("3.33")
    before = book.row("gpt-realtime", "conversation", date(2026, 6, 30))
    assert before is not None
    assert before.rates.tokens["text", "input"] == 4
    assert book.knows("whisper-ours", "transcription")
    assert book.knows("gpt-realtime-mini", "conversation")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it lists no [[price]]"),
        ("price = 3", "it lists no [[price]]"),
        ("price = [3]", "[[price]] 1: Expected `object`"),
        ("= 3", "is not TOML"),
        ("currency = 1\n" + GOOD, "unknown field `currency`"),
        ("version = 3\n" + GOOD, "version must be a text"),
        (GOOD + "vaild_from = 2026-01-01", "[[price]] 1 (m): Object contains unknown field `vaild_from`"),
        (ROW + "text = { inptu = 4 }", "[[price]] 1 (m): Object contains unknown field `inptu` - at `text`"),
        ('[[price]]\nmodels = ["m"]\ntext = { input = 4 }', "[[price]] 1 (m): Object missing required field `unit`"),
        (GOOD.replace("1M tokens", "1K tokens"), "Invalid enum value '1K tokens' - at `unit`"),
        (ROW + "text = { input = -4 }", "[[price]] 1 (m): text.input must be from 0 to 10,000, not -4"),
        (ROW + "audio = { output = 64000000 }", "audio.output must be from 0 to 10,000, not 64000000"),
        (ROW + "text = { input = 1e999999 }", "text.input must be from 0 to 10,000"),
        (ROW + "text = { input = 1e-30 }", "text.input must have at most 9 decimals"),
        (ROW + "text = { input = nan }", "text.input must be a number"),
        (ROW + "text = { input = inf }", "text.input must be a number"),
        (ROW + 'text = { input = "much" }', "at `text.input`"),
        (ROW + "text = { input = true }", "Expected a number, got `bool` - at `text.input`"),
        (ROW, "it says no price"),
        (ROW.replace('["m"]', "[]") + "text = { input = 4 }", "models is empty"),
        (ROW.replace('["m"]', '[" "]') + "text = { input = 4 }", "models is empty, or names none"),
        (GOOD + GOOD, "m has two prices"),
        (GOOD + "valid_from = 2026-01-01\n" + GOOD + "valid_from = 2026-01-01", "m has two prices from 2026-01-01 on"),
        (ROW.replace("1M tokens", "minute") + "text = { input = 1 }", "text.input cannot be priced by the minute"),
        (ROW.replace("1M tokens", "minute") + "audio = { input = 11 }", "audio.input must be from 0 to 10, not 11"),
        (GOOD + 'use = "dreaming"', "Invalid enum value 'dreaming' - at `use`"),
    ],
)
def test_what_cannot_be_is_named_with_file_table_and_field(tmp_path: Path, text: str, said: str) -> None:
    file, problems = own(tmp_path, text)
    assert any(said in problem for problem in problems), problems
    assert all(problem.startswith(f"{file}: ") for problem in problems)
    with pytest.raises(SettingsError, match=r"LIVEAVATAR_PRICES: .*prices\.toml"):
        load({"LIVEAVATAR_PRICES": str(file)})


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    _, problems = own(tmp_path, ROW + "text = { input = -1, output = -2 }\n" + ROW.replace('"m"', '"n"'))
    assert len(problems) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    problems: list[str] = []
    assert read_prices(Path("a\0b"), problems) == ()
    assert len(problems) == 1
    with pytest.raises(SettingsError, match=r"LIVEAVATAR_PRICES: .*cannot be read"):
        load({"LIVEAVATAR_PRICES": str(tmp_path / "none.toml")})


@given(st.text())
def test_whatever_a_file_says_is_read_or_a_problem(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("any") / "prices.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems: list[str] = []
    assert bool(read_prices(file, problems)) != bool(problems)
