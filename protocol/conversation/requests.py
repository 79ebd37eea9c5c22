"""The ``response.create`` events that the service has not answered yet. Sends none itself."""

from collections import deque
from dataclasses import dataclass
from typing import Any

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

    ``asked_at`` is in seconds of the machine's clock.
    """

    event_id: str
    params: dict[str, Any] | None
    asked_at: float
    out_of_band: bool = False
    turn: Turn | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What the service echoes in the response."""
        return (self.params or {}).get("metadata") or {}


class Requests:
    """The unanswered requests, in the order they were sent."""

    __slots__ = ("_anonymous", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        # Event ids of ours in requests to which the client gave none.
        self._anonymous: deque[str] = deque(maxlen=REQUESTS_KEPT)

    def add(self, request: Request, *, anonymous: bool = False) -> None:
        """Remembers a request that is sent; ``anonymous``: it is a client's that had no event id."""
        self._waiting.append(request)
        if anonymous:
            self._anonymous.append(request.event_id)

    def answered_by(self, response: Response, now: float, *, out_of_band: bool) -> Request | None:
        """Takes out the request that a response answers; None if speech began it.

        The service answers in order and echoes the metadata, so a request before the one answered will not be.
        """
        band = [request for request in self._waiting if request.out_of_band == out_of_band]
        for position, request in enumerate(band):
            if request.asked_at >= now - REQUEST_LOST_S and request.metadata == (response.metadata or {}):
                for passed in band[: position + 1]:
                    self._waiting.remove(passed)
                return request
        return None

    def refused(self, event_id: str | None) -> Request | None:
        """Takes out the request that an error names; None if it names none."""
        for request in self._waiting:
            if request.event_id == event_id:
                self._waiting.remove(request)
                return request
        return None

    def forget(self, turn: Turn) -> None:
        """Nobody waits for our own request for ``turn`` any more."""
        for request in [request for request in self._waiting if request.turn is turn]:
            self._waiting.remove(request)

    def is_anonymous(self, event_id: str | None) -> bool:
        """Whether this event id was given by us to a client's request that had none."""
        return event_id in self._anonymous

    def clear(self) -> None:
        """The connection they were sent on is gone."""
        self._waiting.clear()
