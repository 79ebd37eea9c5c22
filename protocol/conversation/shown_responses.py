"""Which responses the client has seen begin and end, and how those end that the service does not end itself."""

from collections import OrderedDict
from typing import Any

from protocol.conversation.open_items import OpenItems
from protocol.conversation.outlet import Outlet
from protocol.conversation.synthetic import done_from
from protocol.conversation.turns import Turn
from protocol.realtime.codec import decode_object, encode
from protocol.realtime.usage import Usage

# Ended responses remembered, to tell a late or repeated event from a new one.
ENDED_KEPT = 256
# What a response fails with whose connection is gone.
LOST = {"type": "server_error", "code": "upstream_lost", "message": "The connection to the Realtime service was lost."}


class ShownResponses:
    """The responses of one conversation as its client sees them.

    Attributes:
        open_items: the items under way.
        out_of_band: responses outside the conversation that are under way, with the frame each began with.
    """

    __slots__ = ("_ended", "_outlet", "open_items", "out_of_band")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self.open_items = OpenItems()
        self.out_of_band: dict[str, bytes] = {}
        # Responses that are over for the client.
        self._ended: OrderedDict[str, None] = OrderedDict()

    def has_ended(self, response_id: str) -> bool:
        """Whether a response is over for the client."""
        return response_id in self._ended

    def ended(self, response_id: str) -> None:
        """A response is over."""
        self._ended[response_id] = None
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def show(self, turn: Turn) -> None:
        """Shows that a turn's response began, if that was held back."""
        if turn.held:
            turn.held, turn.open_to_client = False, True
            self._outlet.to_client(turn.created)

    def end_turn(self, turn: Turn, status: str, error: dict[str, Any] | None, reason: str | None = None) -> None:
        """Ends a turn's response for the client that the service did not end, or that the client never saw begin."""
        self.show(turn)
        turn.open_to_client = False
        usage, _ = turn.take_hidden()
        details = {"reason": reason} if reason else {"error": error} if error else {}
        self._end(turn.response_id, turn.created, status, details, usage)

    def fail_out_of_band(self) -> None:
        """The connection is gone: responses outside the conversation are not asked for again: nobody may want them."""
        for response_id, created in self.out_of_band.items():
            self.ended(response_id)
            self._end(response_id, created, "failed", {"error": LOST})
        self.out_of_band.clear()

    def _end(
        self, response_id: str, created: bytes, status: str, details: dict[str, Any], usage: Usage | None = None
    ) -> None:
        """Ends what is open of a response, and the response: ``details`` go with its status."""
        output = []
        for event in self.open_items.wind_down(response_id):
            if event["type"] == "response.output_item.done":
                output.append(event["item"])
            self._outlet.to_client(encode({**event, "event_id": self._outlet.new_event_id()}))
        done = done_from(decode_object(created), self._outlet.new_event_id(), status, details, output, usage)
        self._outlet.to_client(done)
