"""How much the service reads for the next response, at most: bounds in tokens, of what it was sent. Knows no prices.

Every response reads the whole conversation again. What the last one read and wrote is told by its usage; what was sent
since is counted here, and never too low: a token of text is at least one byte.
"""

from typing import Any

from protocol.conversation.configuration import Configuration
from protocol.prices.rates import Modality
from protocol.realtime.codec import InvalidEvent, decode_object, encode
from protocol.realtime.usage import Usage

# The person's sound takes one token for 100 ms (the services' figure); twice that, for each item has some of its own.
_MS_PER_TOKEN = 50
# No service says what a picture takes; for those of the same makers a large one takes some 1,500.
_IMAGE_TOKENS = 4096
# The longest context of any model; what does not fit is cut off and not billed.
WINDOW_TOKENS = 128_000
_ITEMS = frozenset({"conversation.item.create", "response.create"})
_UPDATE = "session.update"
_READ = frozenset({_UPDATE, *_ITEMS})

Size = tuple[int, int, int, int]


class ContextSize:
    """Bounds of what the next response reads.

    Attributes:
        audio_ms: milliseconds of the person's sound since the last response.
        configured: tokens of what the session is configured with: every response reads them, whatever else it reads.
    """

    __slots__ = ("_configuration", "_since", "_told", "_until", "audio_ms", "configured")

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        # Text, sound, pictures, and what nobody said the kind of: as the last response told, and what came since.
        self._told: Size = (0, 0, 0, 0)
        self.configured = len(encode(configuration.opening_session()))
        self._since: Size = (self.configured, 0, 0, 0)
        self._until: Size = (0, 0, 0, 0)
        self.audio_ms = 0.0

    def sent(self, kind: str, frame: bytes, audio_ms: float) -> None:
        """The service is sent something."""
        if audio_ms:
            self.audio_ms += audio_ms
        elif kind in _READ:
            text, sound, pictures, besides = self._since
            parts = _media(frame) if kind in _ITEMS else []
            bytes_per_ms = self._configuration.input_bytes_per_ms
            for part in parts:
                if part.get("type") == "input_image":
                    pictures += _IMAGE_TOKENS
                else:
                    sound += 1 + len(str(part.get("audio") or "")) * 3 // 4 // bytes_per_ms // _MS_PER_TOKEN
            media = sum(len(str(part.get("audio") or part.get("image_url") or "")) for part in parts)
            self._since = text + max(0, len(frame) - media), sound, pictures, besides
            if kind == _UPDATE:
                self.configured += len(frame)

    def began(self) -> None:
        """A response begins: what is sent from now on it does not read."""
        self._until = self._with_sound()
        self._since, self.audio_ms = (0, 0, 0, 0), 0.0

    def ended(self, usage: Usage | None) -> None:
        """A response of the conversation ended, having read and written so much; None: it told nothing."""
        before, self._until = self._until, (0, 0, 0, 0)
        if usage is None or not usage.total_tokens:
            self._told = _sum(self._told, before)
            return
        read, written = usage.input_token_details, usage.output_token_details
        known = read.text_tokens + read.audio_tokens + read.image_tokens + written.text_tokens + written.audio_tokens
        self._told = (
            read.text_tokens + written.text_tokens,
            read.audio_tokens + written.audio_tokens,
            read.image_tokens,
            max(0, usage.input_tokens + usage.output_tokens - known),
        )

    @property
    def state(self) -> tuple[Size, Size, Size, int]:
        """Another whenever the bounds are."""
        return self._told, self._until, self._since, int(self.audio_ms)

    def bound(self) -> tuple[dict[Modality, int], int]:
        """Tokens by modality, and those of which nobody knows what they are."""
        text, sound, pictures, besides = _sum(_sum(self._told, self._until), self._with_sound())
        # The dearest stay: what is cut off is the oldest, whatever that is.
        sound = min(sound, WINDOW_TOKENS)
        besides = min(besides, WINDOW_TOKENS - sound)
        pictures = min(pictures, WINDOW_TOKENS - sound - besides)
        text = min(text, WINDOW_TOKENS - sound - besides - pictures)
        return {"text": text, "audio": sound, "image": pictures}, besides

    def _with_sound(self) -> Size:
        text, sound, pictures, besides = self._since
        return text, sound + -int(-self.audio_ms // _MS_PER_TOKEN), pictures, besides


def _sum(one: Size, other: Size) -> Size:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _media(frame: bytes) -> list[dict[str, Any]]:
    """The content parts of an event that are no words."""
    try:
        event = decode_object(frame)
    except InvalidEvent:
        return []
    response = event.get("response")
    items = response.get("input") if isinstance(response, dict) else None
    found: list[dict[str, Any]] = []
    for item in [event.get("item"), *(items if isinstance(items, list) else [])]:
        content = item.get("content") if isinstance(item, dict) else None
        found += [
            part
            for part in (content if isinstance(content, list) else [])
            if isinstance(part, dict) and (part.get("audio") or part.get("type") == "input_image")
        ]
    return found
