"""Rates: US dollars by modality and kind of token, or by the minute. It knows no model's name and no date."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

Modality: TypeAlias = Literal["text", "audio", "image"]
Kind: TypeAlias = Literal["input", "cached", "output"]

MODALITIES: tuple[Modality, ...] = ("text", "audio", "image")
KINDS: tuple[Kind, ...] = ("input", "cached", "output")


@dataclass(frozen=True, slots=True)
class Rates:
    """What something costs.

    Attributes:
        tokens: US dollars per million tokens.
        minute: US dollars per minute of sound; None where it is not sold so.
    """

    tokens: Mapping[tuple[Modality, Kind], Decimal] = field(default_factory=dict)
    minute: Decimal | None = None

    def over(self, other: "Rates") -> "Rates":
        """These, and the other's where these say nothing."""
        minute = other.minute if self.minute is None else self.minute
        return Rates({**other.tokens, **self.tokens}, minute)

    def raised(self, percent: Decimal) -> "Rates":
        """All of them dearer by so many per cent; exact."""
        if not percent:
            return self
        factor = 1 + percent.scaleb(-2)
        minute = None if self.minute is None else self.minute * factor
        return Rates({which: rate * factor for which, rate in self.tokens.items()}, minute)

    def dearest(self, kind: Kind) -> tuple[Modality, Decimal] | None:
        """The modality that costs most of a kind, and its rate; None if there is none of that kind."""
        known = [(modality, self.tokens[modality, kind]) for modality in MODALITIES if (modality, kind) in self.tokens]
        return max(known, key=lambda one: one[1], default=None)


def dearest_of(several: list[Rates]) -> Rates:
    """Of each kind the highest rate that any of them has."""
    tokens: dict[tuple[Modality, Kind], Decimal] = {}
    for rates in several:
        for which, rate in rates.tokens.items():
            tokens[which] = max(rate, tokens.get(which, rate))
    minutes = [rates.minute for rates in several if rates.minute is not None]
    return Rates(tokens, max(minutes, default=None))


def dollars(usd: Decimal) -> str:
    """An amount as it is written on a wire: a decimal number without exponent, in US dollars, nothing rounded away."""
    return format(usd.normalize(), "f")
