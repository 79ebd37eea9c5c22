"""What the avatar is doing, as its face shows it. Told to avatar clients when it changes; decides nothing."""

from protocol.avatar.events import AvatarState, State
from protocol.conversation.outlet import Outlet


class AvatarStates:
    """The present state.

    Args:
        told: the client understands ``avatar.state``.
    """

    __slots__ = ("_behind", "_outlet", "_told", "present")

    def __init__(self, outlet: Outlet, *, told: bool) -> None:
        self._outlet = outlet
        self._told = told
        # What the client was last told.
        self.present: State | None = None
        # What the state will be when the connection to the service is there again; None while there is one.
        self._behind: State | None = None

    def enter(self, state: State) -> None:
        """It is doing this now."""
        if self._behind is not None:
            self._behind = state
        elif state != self.present:
            self.present = state
            if self._told:
                self._outlet.announce(AvatarState(state=state))

    def degraded(self, detail: str) -> None:
        """Something of the conversation was lost; what it is doing now is told again behind it."""
        state, self.present = self.present, None
        if self._told:
            self._outlet.announce(AvatarState(state="degraded", detail=detail))
        if state is not None:
            self.present = state
            if self._told:
                self._outlet.announce(AvatarState(state=state))

    def connection_lost(self) -> None:
        """There is no connection to the service, and another is looked for."""
        if self._behind is None:
            behind: State = self.present or "listening"
            self.enter("reconnecting")
            self._behind = behind

    def connection_found(self) -> None:
        """There is one again."""
        behind, self._behind = self._behind, None
        if behind is not None:
            self.enter(behind)
