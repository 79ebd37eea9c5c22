"""The terms on which a deployment serves, and the quote that follows from them and the price book for one usage."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from protocol.prices.book import PriceBook, Use
from protocol.prices.rates import Kind, Modality, Rates

_NO_UPLIFT = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What using a deployment costs, as far as its operator says.

    Attributes:
        deployment: its name, for records.
        model: whose prices hold; None leaves it to what the service says that it runs.
        transcription_model: whose prices hold for transcriptions, likewise.
        uplift_percent: by how much it is dearer than the book says (regional and data-zone deployments).
        rates, transcription_rates: its own, before the book's; the uplift is not added to them.
    """

    deployment: str
    model: str | None = None
    transcription_model: str | None = None
    uplift_percent: Decimal = _NO_UPLIFT
    rates: Rates | None = None
    transcription_rates: Rates | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What one usage is priced by.

    Attributes:
        model: what served it, as it was named; "" if nobody named it.
        priced_as: whose prices these are: a model of the book, the deployment's own, or "" for the dearest there are.
        rates: what is known; dearest: for what is not.
        version: of the price book.
    """

    model: str
    priced_as: str
    rates: Rates
    dearest: Rates
    version: str

    def rate(self, modality: Modality, kind: Kind) -> tuple[Decimal, bool]:
        """US dollars per million tokens, and whether that is known. Where nothing is off for what is cached, it costs

        what any other input does.
        """
        known = self.rates.tokens.get((modality, kind))
        if known is None and kind == "cached":
            known = self.rates.tokens.get((modality, "input"))
        if known is not None:
            return known, True
        return self.dearest.tokens[modality, kind], False

    @property
    def minute(self) -> tuple[Decimal, bool]:
        """US dollars per minute of sound, and whether that is known."""
        if self.rates.minute is not None:
            return self.rates.minute, True
        if self.dearest.minute is None:
            raise AssertionError("a price book has a price by the minute")
        return self.dearest.minute, False


def quote(book: PriceBook, terms: Terms, model: str, use: Use, day: date) -> Quote:
    """What a usage costs at a deployment on a day (UTC); ``model`` is what the service said that it runs, or ""."""
    named, own = (
        (terms.model, terms.rates) if use == "conversation" else (terms.transcription_model, terms.transcription_rates)
    )
    model = named or model
    row = book.row(model, use, day)
    rates = row.rates.raised(terms.uplift_percent) if row is not None else Rates()
    return Quote(
        model=model,
        priced_as=row.model if row is not None else terms.deployment if own is not None else "",
        rates=rates if own is None else own.over(rates),
        dearest=book.dearest(use, day).raised(terms.uplift_percent),
        version=book.version,
    )
