"""The one point through which everything leaves the machine: towards the client, towards the service, and as actions.

Every event to the client passes ``to_client`` and every event to the service ``to_upstream``, so that what must hold
for all of them (replay, order, silence after the end) is kept in one place. It decides nothing about contents.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from protocol.conversation.actions import Action, Close, ToClient, ToUpstream
from protocol.conversation.context_size import ContextSize
from protocol.conversation.journal import Journal, Unsettled
from protocol.conversation.replay import Replay
from protocol.endings import EndReason
from protocol.realtime.codec import encode
from protocol.realtime.server_events import Error, ErrorDetail, ServerEvent

# Ids of events of our own begin so; those of the service and the clients never do.
OWN_EVENT_PREFIX = "event_la_"
# Events of clients that gave them no id, as far back as errors for them may come.
_ANONYMOUS_KEPT = 256


class Outlet:
    """Collects the actions of a step. After ``close`` nothing more leaves.

    Args:
        replay: keeps what is sent to a client that may come back; None for one that cannot.
    """

    __slots__ = ("_actions", "_anonymous", "_connection", "_new_id", "closed", "journal", "now", "replay", "size")

    def __init__(self, new_id: Callable[[], str], replay: Replay | None = None) -> None:
        self._new_id = new_id
        self._actions: list[Action] = []
        self._anonymous: deque[str] = deque(maxlen=_ANONYMOUS_KEPT)
        self._connection = 0
        self.replay = replay
        self.journal = Journal()
        self.closed = False
        # Counts what the service is sent, where that matters.
        self.size: ContextSize | None = None
        # The time of the step under way, in seconds of the caller's clock.
        self.now = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to the service: what is sent goes now, else it waits."""
        return self.journal.open

    def new_event_id(self) -> str:
        """An id for an event of our own."""
        return OWN_EVENT_PREFIX + self._new_id()

    def name_for_client(self) -> str:
        """An id for a client's event that has none: the service names what it refuses only by its id."""
        event_id = self.new_event_id()
        self._anonymous.append(event_id)
        return event_id

    def is_anonymous(self, event_id: str | None) -> bool:
        """Whether this id was given by us to a client's event that had none."""
        return event_id in self._anonymous

    def new_item_id(self) -> str:
        """An id for a conversation item of our own; at most 32 characters, the most the services are known to take."""
        return f"item_la_{self._new_id()}"[:32]

    def take(self) -> list[Action]:
        """The actions since the last call."""
        actions, self._actions = self._actions, []
        return actions

    def do(self, action: Action) -> None:
        """Asks for an action that is no sending."""
        if not self.closed:
            self._actions.append(action)

    # To the client

    def to_client(self, frame: bytes, item_id: str | None = None, audio_ms: float = 0.0, end_ms: float = 0.0) -> None:
        """Sends a frame to the client. ``end_ms``: where its sound ends in the sound of its item."""
        if not self.closed:
            if self.replay is not None:
                self.replay.add(frame, self.now, item_id=item_id, audio_ms=audio_ms, end_ms=end_ms)
            self._actions.append(ToClient(frame, item_id, audio_ms))

    def to_client_only(self, frame: bytes, item_id: str | None = None, audio_ms: float = 0.0) -> None:
        """Sends a frame that is kept already, or that only this very client needs: not to be sent again."""
        if not self.closed:
            self._actions.append(ToClient(frame, item_id, audio_ms))

    def announce(self, event: ServerEvent) -> None:
        """Sends an event of our own to the client."""
        event.event_id = self.new_event_id()
        self.to_client(encode(event))

    def refuse(self, detail: ErrorDetail) -> None:
        """Tells the client that what it sent was not accepted; the session goes on."""
        self.announce(Error(error=detail))

    # To the service

    def to_upstream(
        self, frame: bytes, *, kind: str, event_id: str | None = None, key: str | None = None, audio_ms: float = 0.0
    ) -> float:
        """Sends a frame to the service, and keeps it until it is settled; without a connection it waits, within bounds.

        Args:
            kind: its event type.
            key: the item it is about.

        Returns the milliseconds of waiting audio that were dropped for it.
        """
        if self.closed:
            return 0.0
        if self.size is not None:
            self.size.sent(kind, frame, audio_ms)
        dropped_ms = self.journal.add(Unsettled(frame, kind, event_id, key, audio_ms))
        if self.journal.open:
            self._actions.append(ToUpstream(frame, audio_ms, self._connection))
        elif self.journal.is_overfull:
            message = "Too much was sent while the Realtime service was not connected."
            self.refuse(ErrorDetail(type="upstream_error", code=EndReason.UPSTREAM_TOO_SLOW.label, message=message))
            self.close(EndReason.UPSTREAM_TOO_SLOW, message)
        return dropped_ms

    def send_event(self, event: dict[str, Any]) -> None:
        """Sends an object to the service as an event."""
        item = event.get("item")
        key = item.get("id") if isinstance(item, dict) else event.get("item_id")
        self.to_upstream(
            encode(event),
            kind=str(event["type"]),
            event_id=event.get("event_id"),
            key=key if isinstance(key, str) else None,
        )

    def send_once(self, event: dict[str, Any], connection: int) -> None:
        """Sends an event by one connection only: it concerns that connection, and no other is sent it again."""
        if not self.closed:
            self._actions.append(ToUpstream(encode(event), 0.0, connection))

    def open_upstream(self, connection: int) -> None:
        """From now on the service is reached by this connection: sends it all that is not settled, in order."""
        if self.closed:
            return
        self._connection = connection
        self._actions.extend(ToUpstream(kept.frame, kept.audio_ms, connection) for kept in self.journal.reopened())

    def lose_upstream(self) -> None:
        """There is no connection any more: what is sent waits for the next."""
        self.journal.lost()

    # The end

    def close(self, reason: EndReason, message: str) -> None:
        """Ends the session, once; nothing more leaves."""
        if self.closed:
            return
        self._actions.append(Close(reason, message))
        self.closed = True
