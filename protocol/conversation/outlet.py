"""The one point through which everything leaves the machine: towards the client, towards the service, and as actions.

Every event to the client passes ``to_client``, so that what must hold for all of them (replay, order, silence after
the end) is kept in one place. It decides nothing about contents.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from protocol.conversation.actions import Action, Close, ToClient, ToUpstream
from protocol.endings import EndReason
from protocol.realtime.codec import encode
from protocol.realtime.server_events import Error, ErrorDetail, ServerEvent

# Ids of events of our own begin so; those of the service and the clients never do.
OWN_EVENT_PREFIX = "event_la_"

# What a client may send before the service's connection is open. Control: the size of one message on /ws.
# Audio: as much as may wait for a slow service afterwards; a client may send a recording faster than it was spoken.
WAITING_CONTROL_MAX_BYTES = 1024 * 1024
WAITING_AUDIO_MAX_MS = 60_000.0
# A third more than that much PCM16 takes as base64; frames can be made that say much and hold little sound.
WAITING_AUDIO_MAX_BYTES = 5 * 1024 * 1024


class Outlet:
    """Collects the actions of a step. After ``close`` nothing more leaves."""

    __slots__ = (
        "_actions",
        "_new_id",
        "_upstream_open",
        "_waiting",
        "_waiting_audio_bytes",
        "_waiting_audio_ms",
        "_waiting_bytes",
        "closed",
        "now",
    )

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._actions: list[Action] = []
        self._upstream_open = False
        self._waiting: deque[ToUpstream] = deque()
        self._waiting_bytes = 0
        self._waiting_audio_ms = 0.0
        self._waiting_audio_bytes = 0
        self.closed = False
        # The time of the step under way, in seconds of the caller's clock.
        self.now = 0.0

    def new_event_id(self) -> str:
        """An id for an event of our own."""
        return OWN_EVENT_PREFIX + self._new_id()

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

    def to_client(self, frame: bytes, item_id: str | None = None, audio_ms: float = 0.0) -> None:
        """Sends a frame to the client."""
        if not self.closed:
            self._actions.append(ToClient(frame, item_id, audio_ms))

    def announce(self, event: ServerEvent) -> None:
        """Sends an event of our own to the client."""
        event.event_id = self.new_event_id()
        self.to_client(encode(event))

    def refuse(self, detail: ErrorDetail) -> None:
        """Tells the client that what it sent was not accepted; the session goes on."""
        self.announce(Error(error=detail))

    def to_upstream(self, frame: bytes, audio_ms: float = 0.0) -> float:
        """Sends a frame to the service; keeps it while the connection is not open yet, within the bounds above.

        Returns the milliseconds of waiting audio that were dropped for it.
        """
        if self.closed:
            return 0.0
        action = ToUpstream(frame, audio_ms)
        if self._upstream_open:
            self._actions.append(action)
            return 0.0
        self._waiting.append(action)
        if audio_ms:
            self._waiting_audio_ms += audio_ms
            self._waiting_audio_bytes += len(frame)
            return self._drop_oldest_waiting_audio()
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > WAITING_CONTROL_MAX_BYTES:
            message = "Too much was sent before the Realtime service was connected."
            self.refuse(ErrorDetail(type="upstream_error", code=EndReason.UPSTREAM_TOO_SLOW.label, message=message))
            self.close(EndReason.UPSTREAM_TOO_SLOW, message)
        return 0.0

    def send_event(self, event: dict[str, Any]) -> None:
        """Sends an object to the service as an event."""
        self.to_upstream(encode(event))

    def _drop_oldest_waiting_audio(self) -> float:
        dropped_ms = 0.0
        while self._waiting_audio_ms > WAITING_AUDIO_MAX_MS or self._waiting_audio_bytes > WAITING_AUDIO_MAX_BYTES:
            oldest = next(action for action in self._waiting if action.audio_ms)
            self._waiting.remove(oldest)
            self._waiting_audio_ms -= oldest.audio_ms
            self._waiting_audio_bytes -= len(oldest.frame)
            dropped_ms += oldest.audio_ms
        return dropped_ms

    def open_upstream(self, opening: dict[str, Any]) -> None:
        """The service's connection is open: sends ``opening`` first, then what has waited, in order."""
        if self.closed:
            return
        self._upstream_open = True
        self._actions.append(ToUpstream(encode(opening)))
        self._actions.extend(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._waiting_audio_ms = 0.0
        self._waiting_audio_bytes = 0

    def close(self, reason: EndReason, message: str) -> None:
        """Ends the session, once; nothing more leaves."""
        if self.closed:
            return
        self._actions.append(Close(reason, message))
        self.closed = True
        self._waiting.clear()
