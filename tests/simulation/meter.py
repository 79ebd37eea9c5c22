"""The model service's meter: what it uses, and what that costs by a price list and an arithmetic of its own.

It shares nothing with the server's ledger: whole picodollars (a millionth of a millionth of a dollar), models by the
names that the service gives them, and the cases of the protocol written out one by one.
"""

from typing import Any

Json = dict[str, Any]

# The lines of the service run these in turn; one has a date in its name, and one nobody knows.
MODELS = ("gpt-realtime", "gpt-realtime-2.1", "gpt-realtime-mini-2025-12-15", "gpt-nobody-knows")
TRANSCRIPTION_MODEL = "gpt-4o-transcribe"
# What the deployment is dearer than the list.
UPLIFT_PERCENT = 10

# Picodollars per token: text, audio, image read; the same cached; text, audio written.
_PRICES = {
    "gpt-realtime": (4_000_000, 32_000_000, 5_000_000, 400_000, 400_000, 500_000, 16_000_000, 64_000_000),
    "gpt-realtime-2.1": (4_000_000, 32_000_000, 5_000_000, 400_000, 400_000, 500_000, 24_000_000, 64_000_000),
    "gpt-realtime-mini-2025-12-15": (600_000, 10_000_000, 800_000, 60_000, 300_000, 80_000, 2_400_000, 20_000_000),
    # The dearest there are.
    "gpt-nobody-knows": (5_000_000, 100_000_000, 5_000_000, 2_500_000, 20_000_000, 500_000, 24_000_000, 200_000_000),
}
_TRANSCRIBED_TEXT, _TRANSCRIBED_AUDIO, _TRANSCRIPT = 2_500_000, 6_000_000, 10_000_000
# A model that is sold by the token, billed by the minute: the dearest minute there is.
_MINUTE = 34_000_000_000
_WRITTEN = 7


def _mark(name: str) -> int:
    return sum(name.encode())


def tokens_of(response_id: str, items: int) -> int:
    """All tokens of a response; each has its own number, so that a charge tells what it is for."""
    return 1000 + 7 * _mark(response_id) + items


def usage_of(response_id: str, tokens: int) -> Json:
    """What the service says of it: in full, without saying what was cached of which kind, or the sums only."""
    text, audio, image, cached = _parts(tokens)
    usage: Json = {"total_tokens": tokens, "input_tokens": tokens - _WRITTEN, "output_tokens": _WRITTEN}
    detail = _mark(response_id) % 3
    if detail == 2:
        return usage
    read: Json = {"text_tokens": text, "audio_tokens": audio, "image_tokens": image, "cached_tokens": sum(cached)}
    if detail == 0:
        kinds = ("text_tokens", "audio_tokens", "image_tokens")
        read["cached_tokens_details"] = dict(zip(kinds, cached, strict=True))
    return {**usage, "input_token_details": read, "output_token_details": {"text_tokens": 2, "audio_tokens": 5}}


def price_of(response_id: str, tokens: int, model: str) -> int:
    """Picodollars of a response."""
    text, audio, image, cached = _parts(tokens)
    t, a, i, ct, ca, ci, wt, wa = _PRICES[model]
    detail = _mark(response_id) % 3
    if detail == 2:
        return _raised((tokens - _WRITTEN) * a + _WRITTEN * wa)
    if detail == 1:
        left = sum(cached)
        cached_text = min(left, text)
        cached_image = min(left - cached_text, image)
        cached = (cached_text, left - cached_text - cached_image, cached_image)
    read = (text - cached[0]) * t + (audio - cached[1]) * a + (image - cached[2]) * i
    return _raised(read + cached[0] * ct + cached[1] * ca + cached[2] * ci + 2 * wt + 5 * wa)


def _parts(tokens: int) -> tuple[int, int, int, tuple[int, int, int]]:
    """Text, audio and image read, and what of each was cached."""
    read = tokens - _WRITTEN
    image, audio = 11, read // 3
    text = read - image - audio
    return text, audio, image, (text // 2, audio // 3, image // 2)


def transcription_usage(item_id: str) -> Json:
    """What the service says of a transcription: by the second, or by the token."""
    mark = _mark(item_id)
    if mark % 2:
        return {"type": "duration", "seconds": 1 + mark % 5 / 2}
    details = {"text_tokens": 4, "audio_tokens": 10 + mark % 7}
    read = 14 + mark % 7
    usage: Json = {"type": "tokens", "total_tokens": read + 6, "input_tokens": read, "output_tokens": 6}
    return {**usage, "input_token_details": details}


def transcription_price(item_id: str) -> int:
    """Picodollars of a transcription."""
    mark = _mark(item_id)
    if mark % 2:
        half_seconds = 2 + mark % 5
        return -(-_MINUTE * (100 + UPLIFT_PERCENT) * half_seconds // (100 * 120))
    audio = (10 + mark % 7) * _TRANSCRIBED_AUDIO
    # The service does not say of what kind the six are that it wrote; words are all that it can write.
    return _raised(4 * _TRANSCRIBED_TEXT + audio + 6 * _TRANSCRIPT)


def _raised(pico: int) -> int:
    return pico * (100 + UPLIFT_PERCENT) // 100
