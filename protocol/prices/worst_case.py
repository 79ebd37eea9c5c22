"""What a response can cost at most, before it is given: bounds of its tokens, at the dearest that they can be."""

from collections.abc import Mapping
from decimal import Decimal

from protocol.prices.rates import MODALITIES, Modality
from protocol.prices.terms import Quote

_SECONDS_PER_MINUTE = 60


def dearest_response(quote: Quote, *, read: Mapping[Modality, int], read_besides: int, written: int) -> Decimal:
    """US dollars of a response that reads and writes no more tokens than these.

    Nothing is taken to be cached, and all that is written to be of the dearest modality.

    Args:
        read: tokens by modality; read_besides: those of which nobody knows what they are.
        written: tokens of the answer.
    """
    rates = {modality: _reading(quote, modality) for modality in MODALITIES}
    usd = sum((read.get(modality, 0) * rate for modality, rate in rates.items()), Decimal(0))
    usd += read_besides * max(rates.values())
    # What is written has no pictures; a model that sells one modality only has no rate for the other.
    writing = quote.rates.dearest("output") or quote.dearest.dearest("output")
    if writing is None:
        raise AssertionError("the dearest rates leave no kind out")
    return (usd + written * writing[1]).scaleb(-6)


def dearest_transcription(quote: Quote, *, seconds: Decimal, tokens_read: int, tokens_written: int) -> Decimal:
    """US dollars of a transcription, sold by the minute or by the token: whichever is dearer where both are known."""
    by_minute = seconds * quote.rates.minute / _SECONDS_PER_MINUTE if quote.rates.minute is not None else Decimal(0)
    if quote.rates.minute is not None and not quote.rates.tokens:
        return by_minute
    reading, writing = _reading(quote, "audio"), quote.rate("text", "output")[0]
    return max(by_minute, (tokens_read * reading + tokens_written * writing).scaleb(-6))


def _reading(quote: Quote, modality: Modality) -> Decimal:
    return max(quote.rate(modality, "input")[0], quote.rate(modality, "cached")[0])
