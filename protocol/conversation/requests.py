"""The ``response.create`` events that the service has not answered yet. Sends none itself."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from protocol.conversation.journal import Journal
from protocol.conversation.turns import Turn
from protocol.realtime.response import Response

# Requests remembered; the service answers each with created or an error.
REQUESTS_KEPT = 64
# Seconds after which an unanswered request is taken to be lost: an error need not name what it refuses, and a request
# that stays would be taken for the origin of every later response. Longer than any opening of a connection.
REQUEST_LOST_S = 60.0


@dataclass(slots=True)
class Request:
    """A ``response.create`` without its answer: the client's, or ours for ``turn``.

    ``asked_at`` is in seconds of the machine's clock; ``breaks`` counts how often the answer asked for was broken off;
    ``is_goodbye``: it is the last of a session, and paid for.
    """

    event_id: str
    params: dict[str, Any] | None
    asked_at: float
    out_of_band: bool = False
    turn: Turn | None = None
    by_client: bool = False
    breaks: int = 0
    is_goodbye: bool = False
    # An error came that may have meant this request.
    in_doubt: bool = False
    # It was taken back when the service had it already; what comes of it is not known yet.
    cancelled: bool = False

    @property
    def metadata(self) -> dict[str, Any]:
        """What the service echoes in the response."""
        return (self.params or {}).get("metadata") or {}


class Requests:
    """The unanswered requests, in the order they were sent."""

    __slots__ = ("_journal", "_waiting")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: deque[Request] = deque(maxlen=REQUESTS_KEPT)

    def add(self, request: Request) -> None:
        """Remembers a request that is sent."""
        self._waiting.append(request)

    def answered_by(self, response: Response, now: float, *, out_of_band: bool) -> Request | None:
        """Takes out the request that a response answers; None if speech began it.

        The service answers in order and echoes the metadata, so a request before the one answered will not be.
        """
        band = [request for request in self._waiting if request.out_of_band == out_of_band]
        for position, request in enumerate(band):
            if request.asked_at >= now - REQUEST_LOST_S and request.metadata == (response.metadata or {}):
                for passed in band[: position + 1]:
                    self._waiting.remove(passed)
                    self._journal.take(passed.event_id)
                return request
        return None

    def refused(self, event_id: str | None) -> Request | None:
        """Takes out the request that an error names; None if it names none."""
        for request in self._waiting:
            if request.event_id == event_id:
                self._waiting.remove(request)
                return request
        return None

    def withdraw(self, turn: Turn) -> bool:
        """Takes back our own request for ``turn``, which no service has yet; False if there is none."""
        own = [request for request in self._waiting if request.turn is turn]
        for request in own:
            self._waiting.remove(request)
            self._journal.take(request.event_id)
        return bool(own)

    def is_owed(self, now: float) -> bool:
        """Whether the service owes a response within the conversation."""
        since = now - REQUEST_LOST_S
        return any(
            not (request.out_of_band or request.in_doubt or request.cancelled) and request.asked_at >= since
            for request in self._waiting
        )

    def beside(self, now: float) -> int:
        """How many responses outside the conversation the service owes."""
        since = now - REQUEST_LOST_S
        return sum(request.out_of_band and request.asked_at >= since for request in self._waiting)

    def doubt(self) -> None:
        """An error came that names nothing: any of these may have been refused."""
        for request in self._waiting:
            request.in_doubt = True

    def cancel(self, turn: Turn | None = None) -> None:
        """Nobody waits any more for what the service was asked for, nor asks another connection for it.

        ``turn``: only what was asked for it.
        """
        for request in self._waiting:
            if not request.out_of_band and turn in (None, request.turn):
                request.cancelled = True
                self._journal.take(request.event_id)

    def lose_cancelled(self) -> list[Request]:
        """Takes out those that were cancelled: their connection is gone, and their end with it."""
        lost = [request for request in self._waiting if request.cancelled]
        for request in lost:
            self._waiting.remove(request)
        return lost

    def give_up(self) -> list[Request]:
        """Takes out all that ask for a response within the conversation."""
        given_up = [request for request in self._waiting if not request.out_of_band]
        for request in given_up:
            self._waiting.remove(request)
            self._journal.take(request.event_id)
        return given_up

    def sent_again(self, now: float) -> None:
        """Another connection was asked all this anew."""
        for request in self._waiting:
            request.asked_at = now

    def clear(self) -> None:
        """The connection they were sent on is gone."""
        self._waiting.clear()
