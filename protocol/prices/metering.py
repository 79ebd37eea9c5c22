"""Reads what a service says was used, whatever it leaves out or gets wrong. It decides nothing about money.

A service's numbers are taken as far as they make sense; what does not is noted as a doubt. The fields are those of
``response.usage`` and of a transcription's ``usage`` (all optional on the wire).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from protocol.prices.rates import MODALITIES, Modality
from protocol.realtime.usage import CachedTokensDetails, InputTokenDetails, OutputTokenDetails, Usage

Doubt: TypeAlias = Literal[
    "unknown_model", "no_rate", "no_usage", "no_details", "unreadable", "negative", "absurd", "too_much_cached"
]

# Several times what any model takes and writes in one response (contexts have 128,000 tokens): more is no measurement.
TOKENS_MAX = 1_000_000
# No recording that is transcribed at once is longer than the longest session.
SECONDS_MAX = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What was used, in numbers that make sense: none is negative or absurd.

    Attributes:
        read, written: tokens by modality.
        read_besides, written_besides: tokens of which nobody said what they were.
        cached: of the tokens read, those that the service knew already; never more than were read.
        cached_by: how they divide; None where nobody said so.
        seconds: of sound, where a service counts those.
    """

    read: Mapping[Modality, int]
    written: Mapping[Modality, int]
    read_besides: int = 0
    written_besides: int = 0
    cached: int = 0
    cached_by: Mapping[Modality, int] | None = None
    seconds: Decimal = Decimal(0)
    doubts: frozenset[Doubt] = frozenset()

    @property
    def usage(self) -> Usage:
        """The tokens in the wire's form; what nobody said the modality of is in the totals only."""
        read, written = self.read, self.written
        all_read = sum(read.values()) + self.read_besides
        all_written = sum(written.values()) + self.written_besides
        return Usage(
            total_tokens=all_read + all_written,
            input_tokens=all_read,
            output_tokens=all_written,
            input_token_details=InputTokenDetails(
                text_tokens=read["text"],
                audio_tokens=read["audio"],
                image_tokens=read["image"],
                cached_tokens=self.cached,
                cached_tokens_details=None if self.cached_by is None else _cached_details(self.cached_by),
            ),
            output_token_details=OutputTokenDetails(text_tokens=written["text"], audio_tokens=written["audio"]),
        )


def _none() -> dict[Modality, int]:
    return dict.fromkeys(MODALITIES, 0)


NOTHING = Metered(read=_none(), written=_none())


def metered(usage: object) -> Metered | None:
    """What a decoded ``usage`` object says; None if there is none.

    A number that is missing counts 0. One that is negative or no number counts 0 and is doubted, and so is an absurd
    one, which counts as much as there can be. Tokens beyond those of the details are of an unknown modality. No more
    can be cached than was read.
    """
    if not isinstance(usage, dict):
        return None
    reading = _Reading()
    if usage.get("type") == "duration":
        seconds = reading.number(usage, "seconds", SECONDS_MAX)
        return Metered(read=_none(), written=_none(), seconds=seconds, doubts=reading.result())
    details, written_details = _table(usage, "input_token_details"), _table(usage, "output_token_details")
    read = reading.by_modality(details)
    written = reading.by_modality(written_details)
    if usage.get("type") == "tokens" and not written_details:
        # A transcription's: what is written of speech is text, and no details say so.
        written["text"] = reading.count(usage, "output_tokens")
    read_besides = max(0, reading.count(usage, "input_tokens") - sum(read.values()))
    written_besides = max(0, reading.count(usage, "output_tokens") - sum(written.values()))
    told = sum(read.values()) + read_besides + sum(written.values()) + written_besides
    # A total beyond both is something that was written: that is what is dearer.
    written_besides += max(0, reading.count(usage, "total_tokens") - told)
    if read_besides or written_besides:
        reading.doubt("no_details")
    cached, all_read = reading.count(details, "cached_tokens"), sum(read.values()) + read_besides
    if cached > all_read:
        reading.doubt("too_much_cached")
        cached = all_read
    cached_details = details.get("cached_tokens_details")
    return Metered(
        read=read,
        written=written,
        read_besides=read_besides,
        written_besides=written_besides,
        cached=cached,
        cached_by=reading.by_modality(cached_details) if isinstance(cached_details, dict) else None,
        doubts=reading.result(),
    )


class _Reading:
    """Reads numbers, and collects the doubts about them."""

    def __init__(self) -> None:
        self._doubts: set[Doubt] = set()

    def doubt(self, doubt: Doubt) -> None:
        self._doubts.add(doubt)

    def result(self) -> frozenset[Doubt]:
        return frozenset(self._doubts)

    def number(self, table: Mapping[str, Any], name: str, most: int) -> Decimal:
        value = table.get(name)
        if value is None:
            return Decimal(0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (isinstance(value, float) and not math.isfinite(value)):
            self.doubt("unreadable")
            return Decimal(0)
        if value < 0:
            self.doubt("negative")
            return Decimal(0)
        if value > most:
            self.doubt("absurd")
            return Decimal(most)
        return Decimal(str(value))

    def count(self, table: Mapping[str, Any], name: str) -> int:
        return math.ceil(self.number(table, name, TOKENS_MAX))

    def by_modality(self, table: Mapping[str, Any]) -> dict[Modality, int]:
        return {modality: self.count(table, f"{modality}_tokens") for modality in MODALITIES}


def _table(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = usage.get(name)
    return table if isinstance(table, dict) else {}


def _cached_details(cached: Mapping[Modality, int]) -> CachedTokensDetails:
    return CachedTokensDetails(text_tokens=cached["text"], audio_tokens=cached["audio"], image_tokens=cached["image"])
