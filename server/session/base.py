"""The ports of the session room: what a session needs of a client's connection, and of whoever furnishes it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from protocol.avatar.events import ProfileView
from protocol.conversation.actions import Verdict
from protocol.endings import EndReason
from protocol.errors import LiveAvatarError
from server.security.pace import ClientPace
from server.security.principal import Principal
from server.tools.base import ToolBox
from server.upstream.base import UpstreamConnection


class ClientMessage(Protocol):
    """A whole message from the client. Text is UTF-8."""

    @property
    def data(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def is_text(self) -> bool:
        """Whether it is text."""
        ...


class ClientGone(Exception):
    """The client's connection has ended; ``reason`` is what that means for the session."""

    def __init__(self, reason: EndReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ClientConnection(Protocol):
    """A client's connection. One task receives; sending never waits and never raises."""

    async def receive(self) -> ClientMessage:
        """The next message. Cancelling loses nothing.

        Raises:
            ClientGone: the connection has ended; again at every later call.
        """
        ...

    def send(self, frame: bytes, *, item_id: str | None = None, audio_ms: float = 0.0) -> None:
        """Sends a text frame, now or as soon as the client takes it."""
        ...

    def purge(self, item_id: str) -> None:
        """Drops what has not been sent of this item's audio."""
        ...

    def close(self, reason: EndReason, message: str) -> None:
        """Ends the connection behind what waits to be sent."""
        ...

    def keep_pace(self, pace: ClientPace) -> None:
        """Holds the client to the pace of its session from now on."""
        ...


class Link(Protocol):
    """The way to the Realtime service."""

    @property
    def name(self) -> str:
        """What it connects to."""
        ...

    @property
    def has_others(self) -> bool:
        """Whether another deployment may do where one cannot."""
        ...

    async def connect(self, *, timeout_s: float | None = None, patient: bool = False) -> UpstreamConnection:
        """A new connection; raises ``UpstreamFault`` when there is none to be had.

        ``timeout_s`` is for all tries together, None leaves it to the link; ``patient``: it tries all that time.
        """
        ...


class TranscriptGuard(Protocol):
    """Looks at what a person said before it is answered."""

    async def check(self, text: str) -> Verdict:
        """Whether ``text`` may be answered. Never raises; takes no longer than it may."""
        ...


Room = Callable[[Callable[[LiveAvatarError], None]], AbstractAsyncContextManager[None]]
"""What a session lives in. Entering it takes what the session needs, or raises a ``LiveAvatarError``; what it is given
may be called once, and ends the session."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a client asks for, after it was let in.

    Attributes:
        kb_id: the knowledge base it wants; None leaves it to the server.
        avatar_events: it understands the extension events.
        show_tools: it wants to see server tools at work.
        voicerag_events: it understands VoiceRAG's event with the sources of an answer.
        settable: dotted paths of the session it may set; None is everything but server tools and the model.
        endpoint: the path it came by, for logs.
        principal: who asks; the session is theirs.
        resumable: should its connection be lost, it may come back.
        room: what the session lives in, from before its beginning to its end.
        pace: how fast its client may send, on this connection and on those it comes back by; None: as it likes.
    """

    kb_id: str | None
    avatar_events: bool
    show_tools: bool
    settable: frozenset[str] | None
    endpoint: str
    principal: Principal
    resumable: bool = False
    voicerag_events: bool = False
    room: Room | None = None
    pace: ClientPace | None = None


@dataclass(frozen=True, slots=True)
class Furnishing:
    """What a session is furnished with: the persona of its knowledge base, and tools bound to it."""

    kb_id: str
    profile: ProfileView
    instructions: str
    tools: ToolBox
