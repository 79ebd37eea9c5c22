"""When the parts of the conversation happened, for the record. It decides nothing, and nothing depends on it."""

from dataclasses import dataclass

from protocol.conversation.actions import Record, Timed
from protocol.conversation.outlet import Outlet

# Items whose beginning is remembered: a transcript comes seconds after its speech, not hundreds of items.
_ONSETS_KEPT = 256


@dataclass(slots=True)
class _Answer:
    """An answer under way; times on the machine's clock, None for what has not happened."""

    since: float
    item_id: str | None = None
    search_began: float | None = None
    search_ended: float | None = None
    first_token: float | None = None
    first_audio: float | None = None


class Times:
    """The times of one conversation."""

    __slots__ = ("_answer", "_onsets", "_outlet", "_question_at")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._onsets: dict[str, float] = {}
        self._question_at: float | None = None
        self._answer: _Answer | None = None

    # Items

    def item_began(self, item_id: str | None) -> None:
        """Something begins to be said; what was begun before stays as it was."""
        if item_id and item_id not in self._onsets:
            self._onsets[item_id] = self._outlet.now
            if len(self._onsets) > _ONSETS_KEPT:
                del self._onsets[next(iter(self._onsets))]

    def onset(self, item_id: str | None) -> float:
        """When an item began to be said; one that nobody saw begin, now."""
        return self._onsets.get(item_id or "", self._outlet.now)

    # Answers

    def question_ended(self) -> None:
        """The person has finished speaking, or a client asks for an answer."""
        self._question_at = self._outlet.now

    def answer_began(self) -> None:
        """The service begins an answer to the newest question, or one that nobody asked for."""
        since, self._question_at = self._question_at, None
        self._answer = _Answer(self._outlet.now if since is None else since)

    def search_began(self) -> None:
        """The answer calls a tool; of several the first counts."""
        if self._answer is not None and self._answer.search_began is None:
            self._answer.search_began = self._outlet.now

    def search_ended(self) -> None:
        """A tool of the answer has finished; of several the last counts."""
        if self._answer is not None:
            self._answer.search_ended = self._outlet.now

    def words(self, item_id: str | None) -> None:
        """Words of the answer are there."""
        if self._answer is not None and self._answer.first_token is None:
            self._answer.first_token = self._outlet.now
            self._answer.item_id = self._answer.item_id or item_id

    def sound(self, item_id: str | None) -> None:
        """Sound of the answer is sent. Called for every frame of it."""
        answer = self._answer
        if answer is not None and answer.first_audio is None:
            answer.first_audio = self._outlet.now
            answer.item_id = answer.item_id or item_id

    def answer_ended(self, response_id: str, status: str) -> None:
        """The answer is over; one of which nothing was said has no item that its times could belong to."""
        answer, self._answer = self._answer, None
        if answer is None or answer.item_id is None:
            return

        def after_ms(at: float | None) -> float | None:
            return None if at is None else round((at - answer.since) * 1000, 1)

        self._outlet.do(
            Record(
                Timed(
                    item_id=answer.item_id,
                    response_id=response_id,
                    status=status,
                    at=answer.since,
                    search_began_ms=after_ms(answer.search_began),
                    search_ended_ms=after_ms(answer.search_ended),
                    first_token_ms=after_ms(answer.first_token),
                    first_audio_ms=after_ms(answer.first_audio),
                    ended_ms=after_ms(self._outlet.now),
                )
            )
        )
