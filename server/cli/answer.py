"""What a chat knows of one answer so far: its words, its times, its sources, what it took. Prints nothing."""

from protocol.avatar.events import Source
from protocol.realtime.usage import Usage
from server.cli.seam import Seam


class Answer:
    """What is known of one answer so far. Times in seconds of the caller's clock.

    Args:
        question: what was asked; None for an answer that nobody asked for.
        item_id: of the question.
        event_ids: of the events that asked for it: an error about one of them is the end of it.
    """

    def __init__(
        self,
        asked_at: float,
        *,
        question: str | None = None,
        item_id: str | None = None,
        event_ids: frozenset[str] = frozenset(),
    ) -> None:
        self.asked_at = asked_at
        self.question = question
        self.item_id = item_id
        self.event_ids = event_ids
        self.response_id: str | None = None
        self.text = ""
        self.silenced = False
        """Interrupted: what still comes of it is not shown."""
        self.broken = False
        """The service was lost within it; the rest is yet to begin."""
        self.first_audio_at: float | None = None
        self.first_text_at: float | None = None
        self.sources: list[Source] = []
        self.usage: Usage | None = None
        self._seam: Seam | None = None

    def begin(self, response_id: str) -> None:
        """A response began: the answer, or the rest of it."""
        self.response_id = response_id
        if self.broken:
            self.broken = False
            self._seam = Seam(self.text)

    def add(self, words: str) -> str:
        """Words came: returns what of them is to be shown."""
        new = words if self._seam is None else self._seam.add(words)
        self.text += new
        return new

    def missed(self, words: str) -> str:
        """These are all its words so far, some of which did not come: returns those."""
        self._seam = Seam(self.text)
        return self.add(words) + self.end()

    def end(self) -> str:
        """A response of it ended: returns words that were held back."""
        new = self._seam.end() if self._seam is not None else ""
        self._seam = None
        self.text += new
        return new

    def cite(self, sources: list[Source]) -> None:
        """It rests on these; both parts of a broken answer may name the same."""
        known = {source.id for source in self.sources}
        self.sources += [source for source in sources if source.id not in known]

    def count(self, usage: Usage | None) -> None:
        """A response of it took this."""
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage

    @property
    def first_audio_ms(self) -> float | None:
        """From the question to the first sound."""
        return None if self.first_audio_at is None else (self.first_audio_at - self.asked_at) * 1000

    @property
    def first_text_ms(self) -> float | None:
        """From the question to the first word."""
        return None if self.first_text_at is None else (self.first_text_at - self.asked_at) * 1000
