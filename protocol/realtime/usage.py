"""Token usage of a response or a transcription, by modality and with the cached share. Knows no prices."""

import msgspec

from protocol.realtime.base import UNSET, Maybe


class CachedTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    """How the cached input tokens divide by modality."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


class InputTokenDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Input tokens by modality. ``cached_tokens`` are a part of them, not an addition."""

    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: Maybe[CachedTokensDetails | None] = UNSET


class OutputTokenDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Output tokens by modality."""

    text_tokens: int = 0
    audio_tokens: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one response. Every field is optional on the wire and counts 0 when missing."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: InputTokenDetails = InputTokenDetails()
    output_token_details: OutputTokenDetails = OutputTokenDetails()

    def __add__(self, other: "Usage") -> "Usage":
        """The usage of both, field by field. Cached details are kept if either side has them."""
        mine, theirs = self.input_token_details, other.input_token_details
        cached: Maybe[CachedTokensDetails | None] = UNSET
        if mine.cached_tokens_details or theirs.cached_tokens_details:
            a = mine.cached_tokens_details or CachedTokensDetails(text_tokens=mine.cached_tokens)
            b = theirs.cached_tokens_details or CachedTokensDetails(text_tokens=theirs.cached_tokens)
            cached = CachedTokensDetails(
                text_tokens=a.text_tokens + b.text_tokens,
                audio_tokens=a.audio_tokens + b.audio_tokens,
                image_tokens=a.image_tokens + b.image_tokens,
            )
        return Usage(
            total_tokens=self.total_tokens + other.total_tokens,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            input_token_details=InputTokenDetails(
                text_tokens=mine.text_tokens + theirs.text_tokens,
                audio_tokens=mine.audio_tokens + theirs.audio_tokens,
                image_tokens=mine.image_tokens + theirs.image_tokens,
                cached_tokens=mine.cached_tokens + theirs.cached_tokens,
                cached_tokens_details=cached,
            ),
            output_token_details=OutputTokenDetails(
                text_tokens=self.output_token_details.text_tokens + other.output_token_details.text_tokens,
                audio_tokens=self.output_token_details.audio_tokens + other.output_token_details.audio_tokens,
            ),
        )


class TranscriptionUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one input transcription: ``type`` is ``tokens`` or ``duration`` (then ``seconds``)."""

    type: str
    total_tokens: Maybe[int] = UNSET
    input_tokens: Maybe[int] = UNSET
    output_tokens: Maybe[int] = UNSET
    seconds: Maybe[float] = UNSET
