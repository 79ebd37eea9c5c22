"""What sessions were told and what they decided: the one place that looks into the server's sessions.

It wraps ``Session._do``, through which every action of the machine passes, and ``Conversation.on_client``, through
which every message of a client does, and changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from protocol.conversation.actions import Action, Disconnect
from protocol.conversation.machine import Conversation
from server.session.session import Session


@dataclass(slots=True, eq=False)
class Observed:
    """One session of the server: what it did, ``(virtual seconds, action)``, and what it was told by clients."""

    session: Session
    number: int
    actions: list[tuple[float, Action]] = field(default_factory=list)
    told: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"session {self.number}"


class Observer:
    """All sessions of a run.

    Attributes:
        acting: the session that performs an action just now; action: that action.
        on_left: called when a session leaves one of its connections, by its number.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, Observed] = {}
        self.acting: Session | None = None
        self.action: Action | None = None
        self.on_left: Callable[[Session, int], None] = lambda _session, _number: None

    def of(self, session: Session) -> Observed:
        """What is known of a session."""
        known = self.sessions.get(session.session_id)
        if known is None:
            known = self.sessions[session.session_id] = Observed(session, len(self.sessions))
        return known

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block every action of every session is seen."""
        do, on_client = Session._do, Conversation.on_client

        def seen(session: Session, action: Action) -> None:
            self.of(session).actions.append((trio.current_time(), action))
            before, self.acting, self.action = self.acting, session, action
            if isinstance(action, Disconnect):
                self.on_left(session, action.connection)
            try:
                do(session, action)
            finally:
                self.acting = before

        def heard(conversation: Conversation, frame: bytes, now: float, *, is_text: bool = True) -> list[Action]:
            for known in self.sessions.values():
                if known.session._conversation is conversation:
                    known.told.append((now, frame))
            return on_client(conversation, frame, now, is_text=is_text)

        Conversation.on_client = heard  # type: ignore[method-assign,assignment]
        Session._do = seen  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            Session._do = do  # type: ignore[method-assign]
            Conversation.on_client = on_client  # type: ignore[method-assign]
