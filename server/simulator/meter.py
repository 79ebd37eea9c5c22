"""Counts tokens and adds up what was used: per response, and over a session or the whole service. Knows no prices.

The counts follow the reference's rules for audio (a token per 100 ms of the user, per 50 ms of the assistant) and a
plain rule for text; they are not the vendor's tokenizer. They grow with the history as real ones do.
"""

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from protocol.realtime.items import Item
from protocol.realtime.usage import (
    CachedTokensDetails,
    InputTokenDetails,
    OutputTokenDetails,
    Usage,
)
from server.simulator.conversation import Entry

# English text comes to about four characters a token.
CHARS_PER_TOKEN = 4
USER_AUDIO_MS_PER_TOKEN = 100
ASSISTANT_AUDIO_MS_PER_TOKEN = 50
# "Plus small per-item overhead": role and separators.
ITEM_OVERHEAD_TOKENS = 3
# A small picture in one tile.
IMAGE_TOKENS = 85
# A prefix is cached in blocks of this many tokens.
CACHE_BLOCK_TOKENS = 64


def text_tokens(text: str) -> int:
    """Tokens of a text: one for every four characters begun."""
    return -(-len(text) // CHARS_PER_TOKEN)


def assistant_audio_tokens(audio_ms: float) -> int:
    """Tokens of spoken output."""
    return math.ceil(audio_ms / ASSISTANT_AUDIO_MS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt: who it is, and its tokens. Two prompts share a prefix as far as their segments are equal."""

    key: str
    text: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        """Tokens of every modality."""
        return self.text + self.audio + self.image


def item_segment(entry: Entry) -> Segment:
    """What an item costs as input."""
    item = entry.item
    text = ITEM_OVERHEAD_TOKENS + sum(text_tokens(part) for part in _texts(item))
    audio = 0
    if entry.audio_ms:
        per_token = ASSISTANT_AUDIO_MS_PER_TOKEN if item.role == "assistant" else USER_AUDIO_MS_PER_TOKEN
        audio = math.ceil(entry.audio_ms / per_token)
    return Segment(entry.id, text, audio, entry.images * IMAGE_TOKENS)


def _texts(item: Item) -> list[str]:
    texts = [text for text in (item.name, item.arguments, item.output) if isinstance(text, str)]
    for part in item.content or []:
        if part.text:
            texts.append(part.text)
        # The transcript of the user's audio is not part of the prompt: the audio itself is.
        elif part.transcript and part.type == "output_audio":
            texts.append(part.transcript)
    return texts


def prompt_segments(instructions: str, tools: list[Any], entries: list[Entry]) -> list[Segment]:
    """The prompt of a response, in the order in which it is cached."""
    schema = msgspec.json.encode(tools).decode() if tools else ""
    head = Segment(f"{instructions}\0{schema}", text_tokens(instructions) + text_tokens(schema))
    return [head, *map(item_segment, entries)]


def within_window(segments: list[Segment], limit: int) -> list[Segment]:
    """The head and the newest items that fit: what ``truncation: auto`` leaves of a prompt."""
    total = sum(segment.total for segment in segments)
    first = 1
    while total > limit and first < len(segments) - 1:
        total -= segments[first].total
        first += 1
    return [*segments[:1], *segments[first:]]


def shared_prefix(earlier: list[Segment], prompt: list[Segment]) -> list[Segment]:
    """The segments that both prompts begin with."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(earlier, prompt, strict=False))
    return [segment for segment, _ in pairs]


def usage_of(prompt: list[Segment], cached_prefix: list[Segment], output_text: int, output_audio: int) -> Usage:
    """The bill of one response, given an earlier prompt whose prefix is cached."""
    text = sum(segment.text for segment in prompt)
    audio = sum(segment.audio for segment in prompt)
    image = sum(segment.image for segment in prompt)
    shared = shared_prefix(cached_prefix, prompt)
    cached = sum(segment.total for segment in shared) // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS
    cached_text = min(cached, sum(segment.text for segment in shared))
    cached_audio = min(cached - cached_text, sum(segment.audio for segment in shared))
    details = CachedTokensDetails(
        text_tokens=cached_text, audio_tokens=cached_audio, image_tokens=cached - cached_text - cached_audio
    )
    return Usage(
        total_tokens=text + audio + image + output_text + output_audio,
        input_tokens=text + audio + image,
        output_tokens=output_text + output_audio,
        input_token_details=InputTokenDetails(
            text_tokens=text,
            audio_tokens=audio,
            image_tokens=image,
            cached_tokens=cached,
            cached_tokens_details=details,
        ),
        output_token_details=OutputTokenDetails(text_tokens=output_text, audio_tokens=output_audio),
    )


@dataclass(slots=True)
class Meter:
    """What was used so far: an account of its own, to compare a client's bill with.

    ``responses`` counts ``response.done`` events by status. A meter with a ``parent`` adds to that one as well.
    """

    parent: "Meter | None" = None
    usage: Usage = field(default_factory=Usage)
    responses: Counter[str] = field(default_factory=Counter)
    transcribed_seconds: float = 0.0

    def charge(self, status: str, usage: Usage | None) -> None:
        """Count a finished response."""
        self.responses[status] += 1
        if usage is not None:
            self.usage += usage
        if self.parent is not None:
            self.parent.charge(status, usage)

    def transcribed(self, seconds: float) -> None:
        """Count input audio that a recogniser transcribed."""
        self.transcribed_seconds += seconds
        if self.parent is not None:
            self.parent.transcribed(seconds)


class TokenRate:
    """The tokens-per-minute limit that ``rate_limits.updated`` reports: a bucket that leaks evenly. Refuses nothing."""

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._level = 0.0
        self._at = now

    def spend(self, tokens: int, now: float) -> tuple[int, float]:
        """Take tokens; gives what remains and the seconds until the bucket is empty again. ``now`` in seconds."""
        per_second = self.limit / 60
        self._level = max(0.0, self._level - (now - self._at) * per_second) + tokens
        self._at = now
        return max(0, round(self.limit - self._level)), round(self._level / per_second, 3)
