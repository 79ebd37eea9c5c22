"""Tells the client how much of the user's speech was dropped on the way to the service, at most once a second."""

from protocol.conversation.actions import SetDeadline
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.outlet import Outlet
from protocol.realtime.server_events import ErrorDetail

LOST_SPEECH_DEADLINE = "lost_speech"
# Audio is dropped frame by frame, twenty times a second; a person needs to be told once.
TELL_EVERY_S = 1.0


class LostSpeech:
    """The sum of what was dropped and has not been told yet, in milliseconds."""

    __slots__ = ("_avatar_events", "_outlet", "_states", "_told_at", "_untold_ms")

    def __init__(self, outlet: Outlet, states: AvatarStates, *, avatar_events: bool) -> None:
        self._outlet = outlet
        self._states = states
        self._avatar_events = avatar_events
        self._untold_ms = 0.0
        self._told_at: float | None = None

    def add(self, dropped_ms: float) -> None:
        """Counts what was dropped now; tells it, or arms a deadline to."""
        waits = self._untold_ms > 0
        self._untold_ms += dropped_ms
        if self._told_at is None or self._outlet.now >= self._told_at + TELL_EVERY_S:
            self.tell()
        elif not waits:
            self._outlet.do(SetDeadline(LOST_SPEECH_DEADLINE, self._told_at + TELL_EVERY_S))

    def tell(self) -> None:
        """Tells what has not been told: avatars by their state, other clients by an error event."""
        lost_ms, self._untold_ms = self._untold_ms, 0.0
        if not lost_ms:
            return
        self._told_at = self._outlet.now
        message = f"{lost_ms:.0f} ms of your speech were lost: the Realtime service is slow."
        if self._avatar_events:
            self._states.degraded(message)
        else:
            self._outlet.refuse(ErrorDetail(type="server_error", code="input_audio_dropped", message=message))
