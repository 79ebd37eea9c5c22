"""The ports of the session room: what a session needs of a client's connection, and of whoever furnishes it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from protocol.avatar.events import ProfileView
from protocol.conversation.actions import Verdict
from protocol.endings import EndReason
from protocol.errors import LiveAvatarError
from protocol.realtime.usage import Usage
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

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be taken by the client."""
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


class SessionWatch:
    """Is told what happens in one session, for metrics and traces. This one does not care; others derive from it.

    Nothing of it waits or raises. The four methods of frames are on the way of the sound: they cost next to nothing.
    """

    __slots__ = ()

    def started(self) -> None:
        """The session begins."""

    def enter(self) -> None:
        """The calling task, and those that it starts, work for this session from now on."""

    def resumed(self) -> None:
        """The client has come back."""

    def ended(self, reason: EndReason, duration_s: float) -> None:
        """The session is over."""

    def failed(self) -> None:
        """A fault of ours ends the session."""

    def from_client(self, data: bytes, since: float) -> None:
        """A message that came at ``since`` (on the session's clock) was dealt with."""

    def to_client(self, frame: bytes, audio_ms: float) -> None:
        """A frame was handed to the client's connection. ``audio_ms``: milliseconds of sound in it."""

    def from_upstream(self, frame: bytes, since: float) -> None:
        """A frame that came at ``since`` was dealt with."""

    def to_upstream(self, frame: bytes) -> None:
        """A frame was handed to the connection to the service."""

    def connecting_again(self, *, is_planned: bool) -> None:
        """Another connection to the service is asked for: as planned, or because one was lost."""

    def lost_upstream(self, fault: LiveAvatarError) -> None:
        """A connection to the service is gone, or could not be had."""

    def ignored(self, side: str) -> None:
        """An event of this side, ``client`` or ``upstream``, was dropped by rule."""

    def dropped_speech(self, dropped_ms: float) -> None:
        """The service takes the user's speech too slowly; so much was dropped."""

    def reservation_refused(self, budget: str) -> None:
        """A budget had too little for the session's next response."""

    def budget_reached(self, stage: str) -> None:
        """A budget of the session nears its end: ``warning``, ``short`` or ``spent``, each once."""

    def responded(self, status: str, usage: Usage | None) -> None:
        """A response of the service has ended; called once for each."""


@dataclass(frozen=True, slots=True)
class Census:
    """Where the sessions of a server stand at one moment.

    Attributes:
        attached: sessions with their client.
        awaited: sessions that wait for a client that was lost.
        connections: open connections to the service, by deployment.
        client_bytes, upstream_bytes: bytes that wait to be taken by clients, and by the service.
    """

    attached: int
    awaited: int
    connections: Mapping[str, int]
    client_bytes: int
    upstream_bytes: int


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
        person: the user that the client names, by whom all their sessions are found; None: whoever asks.
        traceparent: the caller's place in a trace of its own, as it came; anything may stand in it.
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
    person: str | None = None
    traceparent: str | None = None
    pace: ClientPace | None = None


@dataclass(frozen=True, slots=True)
class Furnishing:
    """What a session is furnished with: the persona of its knowledge base, and tools bound to it."""

    kb_id: str
    profile: ProfileView
    instructions: str
    tools: ToolBox
