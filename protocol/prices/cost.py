"""What a usage costs, line by line: exact, and never less than it can have cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Literal

from protocol.prices.metering import NOTHING, Doubt, Metered
from protocol.prices.rates import MODALITIES, Kind, Modality
from protocol.prices.terms import Quote

# A sixtieth of a price need not be a decimal number: what sound costs is rounded up to a millionth of a millionth.
_FINEST_USD = Decimal("1e-12")
_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill.

    Attributes:
        amount: tokens, or seconds of sound.
        rate: US dollars per million tokens, or per minute.
        usd: what it comes to.
    """

    modality: Modality
    kind: Kind
    amount: int | Decimal
    unit: Literal["token", "second"]
    rate: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """What a usage costs.

    Attributes:
        priced_as, version: see ``Quote``.
        doubts: why it may not be what the service will bill; empty for nearly all.
    """

    priced_as: str
    version: str
    lines: tuple[Line, ...] = ()
    doubts: frozenset[Doubt] = frozenset()

    @property
    def usd(self) -> Decimal:
        """US dollars, exact."""
        return sum((line.usd for line in self.lines), Decimal(0))


def cost_of(used: Metered | None, quote: Quote, *, is_owed: bool = True) -> Cost:
    """Prices what was used.

    Tokens of an unknown modality are of the dearest that the model has. What was cached is part of the input and costs
    its modality's cached rate; where nobody says how it divides, it is taken off where that saves least: text first.

    Args:
        used: None if the service said nothing, which cannot be priced.
        is_owed: whether something must have been used; not by what failed, perhaps before it began.
    """
    used = NOTHING if used is None else used
    bill = _Bill(quote)
    read, written = dict(used.read), dict(used.written)
    read[bill.dearest("input")] += used.read_besides
    written[bill.dearest("output")] += used.written_besides
    cached = bill.cached(read, used)
    for modality in MODALITIES:
        bill.tokens(modality, "input", read[modality] - cached[modality])
        bill.tokens(modality, "cached", cached[modality])
        bill.tokens(modality, "output", written[modality])
    bill.seconds(used.seconds)
    doubts = used.doubts | bill.doubts
    if is_owed and not bill.lines and not doubts:
        doubts = frozenset({"no_usage"})
    if not quote.priced_as:
        # That a rate is not known follows from it.
        doubts = (doubts - {"no_rate"}) | {"unknown_model"}
    return Cost(quote.priced_as, quote.version, tuple(bill.lines), doubts)


class _Bill:
    """Writes lines by one quote."""

    def __init__(self, quote: Quote) -> None:
        self._quote = quote
        self.lines: list[Line] = []
        self.doubts: frozenset[Doubt] = frozenset()

    def dearest(self, kind: Kind) -> Modality:
        """What tokens are taken for of which nobody says what they are."""
        found = self._quote.rates.dearest(kind) or self._quote.dearest.dearest(kind)
        if found is None:
            raise AssertionError("the dearest rates leave no kind out")
        return found[0]

    def cached(self, read: Mapping[Modality, int], used: Metered) -> dict[Modality, int]:
        """How the cached tokens divide: no more of a modality than was read of it, nor than the details say."""
        cached: dict[Modality, int] = dict.fromkeys(MODALITIES, 0)
        left = used.cached
        for modality in sorted(MODALITIES, key=self._saving):
            most = read[modality] if used.cached_by is None else min(read[modality], used.cached_by[modality])
            cached[modality] = min(left, most)
            left -= cached[modality]
        return cached

    def _saving(self, modality: Modality) -> Decimal:
        return self._quote.rate(modality, "input")[0] - self._quote.rate(modality, "cached")[0]

    def tokens(self, modality: Modality, kind: Kind, amount: int) -> None:
        """A line of tokens, if there are any."""
        if amount:
            rate, is_known = self._quote.rate(modality, kind)
            self._add(Line(modality, kind, amount, "token", rate, (amount * rate).scaleb(-6)), is_known=is_known)

    def seconds(self, amount: Decimal) -> None:
        """A line of sound, if there is any."""
        if amount:
            rate, is_known = self._quote.minute
            usd = (amount * rate / _SECONDS_PER_MINUTE).quantize(_FINEST_USD, ROUND_UP)
            self._add(Line("audio", "input", amount, "second", rate, usd), is_known=is_known)

    def _add(self, line: Line, *, is_known: bool) -> None:
        self.lines.append(line)
        if not is_known:
            self.doubts |= {"no_rate"}
