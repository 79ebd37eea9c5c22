"""Whether the client is there: its coming, its going, its coming back to what it missed. Takes none of its events."""

from protocol.avatar.events import AvatarSession, Snapshot
from protocol.conversation.actions import SetDeadline
from protocol.conversation.answers import Answers
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.history import History
from protocol.conversation.interruption import Interruption
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.replay import Sent
from protocol.conversation.visibility import HiddenItems
from protocol.endings import EndReason, Reconnect
from protocol.realtime.codec import encode

RESUME_DEADLINE = "resume"


class Presence:
    """The client's connections to one conversation, one at a time.

    Attributes:
        attached: a client is there.
        shown_session: the session as the client was last shown it.
    """

    def __init__(
        self,
        outlet: Outlet,
        answers: Answers,
        states: AvatarStates,
        playback: Playback,
        interruption: Interruption,
        history: History,
        hidden: HiddenItems,
        limits: Limits,
    ) -> None:
        self._outlet = outlet
        self._answers = answers
        self._states = states
        self._playback = playback
        self._interruption = interruption
        self._history = history
        self._hidden = hidden
        self._limits = limits
        self.attached = False
        self.shown_session: dict[str, object] | None = None

    def came(self, hello: AvatarSession | None) -> None:
        """The client is there for the first time; ``hello`` greets one that understands it."""
        self.attached = True
        if hello is not None:
            self._outlet.announce(hello)

    def came_back(self, hello: AvatarSession, last_event_id: str | None) -> None:
        """The client is there again: it is greeted, and gets all that it missed, or a snapshot instead."""
        self.attached = True
        self._outlet.do(SetDeadline(RESUME_DEADLINE, None))
        self._playback.resume(self._outlet.now)
        replay = self._outlet.replay
        place = replay.place_of(last_event_id) if replay is not None else None
        missed = replay.since(place, wanted=self._is_wanted) if replay is not None and place is not None else None
        hello.event_id = self._outlet.new_event_id()
        hello.recovered = missed is not None
        if missed is None:
            self._interruption.abandon(self._answers.speaking_item(self._playback.current_id))
            hello.snapshot = self._snapshot()
        self._outlet.to_client_only(encode(hello))
        if replay is not None:
            replay.greeted(hello.event_id, place if missed is not None and place is not None else replay.newest())
        for sent in missed or ():
            self._outlet.to_client_only(sent.frame, sent.item_id, sent.audio_ms)

    def _is_wanted(self, sent: Sent) -> bool:
        """Whether sound that was missed is still to be heard: it was not cut off, nor played already."""
        return sent.item_id is not None and self._playback.is_wanted(sent.item_id, sent.end_ms)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            items=self._history.snapshot(self._hidden),
            session=self.shown_session,
            response_id=self._answers.shown_response_id,
            state=self._states.present,
        )

    def went(self, reason: EndReason) -> bool:
        """The client's connection is gone. True if it is waited for."""
        self.attached = False
        self._playback.pause(self._outlet.now)
        if not self._limits.resume_s or reason.reconnect is not Reconnect.RESUME:
            return False
        self._outlet.do(SetDeadline(RESUME_DEADLINE, self._outlet.now + self._limits.resume_s))
        return True
