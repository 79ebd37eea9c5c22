"""Prices to test with: a small book, and what services say of usages."""

from datetime import date
from decimal import Decimal
from typing import Any

from protocol.prices.book import PriceBook, PriceRow, Use
from protocol.prices.rates import Kind, Modality, Rates

Json = dict[str, Any]
DAY = date(2026, 11, 23)
LONG_AGO = date(2024, 1, 1)


def rates(**tokens: str) -> Rates:
    """Rates by names such as ``text_input``."""
    table: dict[tuple[Modality, Kind], Decimal] = {}
    for name, rate in tokens.items():
        modality, kind = name.split("_")
        table[modality, kind] = Decimal(rate)  # type: ignore[index]
    return Rates(table)


REALTIME = rates(
    text_input="4", text_cached="0.40", text_output="16", audio_input="32", audio_cached="0.40", audio_output="64",
    image_input="5", image_cached="0.50",
)  # fmt: skip
MINI = rates(text_input="0.60", text_cached="0.06", text_output="2.40", audio_input="10", audio_output="20")
WHISPER = Rates(minute=Decimal("0.006"))


def row(model: str, what: Rates, use: Use = "conversation", valid_from: date = LONG_AGO) -> PriceRow:
    return PriceRow(model=model, use=use, valid_from=valid_from, rates=what)


ROWS = (row("big", REALTIME), row("small", MINI), row("ears", WHISPER, "transcription"))
BOOK = PriceBook(ROWS, version="test")


def said(text: int = 0, audio: int = 0, image: int = 0, *, out_text: int = 0, out_audio: int = 0, **more: Any) -> Json:
    """``response.usage`` as services write it; ``more`` goes into the details of the input."""
    return {
        "total_tokens": text + audio + image + out_text + out_audio,
        "input_tokens": text + audio + image,
        "output_tokens": out_text + out_audio,
        "input_token_details": {"text_tokens": text, "audio_tokens": audio, "image_tokens": image, **more},
        "output_token_details": {"text_tokens": out_text, "audio_tokens": out_audio},
    }


def cached(total: int, text: int = 0, audio: int = 0, image: int = 0) -> Json:
    """The part of the details that says what was cached."""
    details = {"text_tokens": text, "audio_tokens": audio, "image_tokens": image}
    return {"cached_tokens": total, "cached_tokens_details": details}
