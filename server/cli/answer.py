"""What a chat knows of one answer so far: its times, its sources, what it took. Prints nothing."""

from protocol.avatar.events import Source
from protocol.realtime.usage import Usage


class Answer:
    """What is known of one answer so far. Times in seconds of the caller's clock."""

    def __init__(self, asked_at: float, event_ids: frozenset[str] = frozenset()) -> None:
        self.asked_at = asked_at
        self.event_ids = event_ids
        """Of the events that asked for it: an error about one of them is the end of it."""
        self.response_id: str | None = None
        self.silenced = False
        """Interrupted: what still comes of it is not shown."""
        self.first_audio_at: float | None = None
        self.first_text_at: float | None = None
        self.sources: list[Source] = []
        self.usage: Usage | None = None

    @property
    def first_audio_ms(self) -> float | None:
        """From the question to the first sound."""
        return None if self.first_audio_at is None else (self.first_audio_at - self.asked_at) * 1000

    @property
    def first_text_ms(self) -> float | None:
        """From the question to the first word."""
        return None if self.first_text_at is None else (self.first_text_at - self.asked_at) * 1000
