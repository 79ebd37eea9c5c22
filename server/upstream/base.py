"""The ports of the upstream room: an open connection to a Realtime service, and whoever can open one."""

from collections.abc import Callable
from typing import Protocol

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from protocol.prices.terms import Terms


class Origin(Protocol):
    """Where a connection goes to."""

    @property
    def name(self) -> str:
        """The deployment's name."""
        ...

    @property
    def region(self) -> str:
        """Where it is; "" if nobody said."""
        ...

    @property
    def transcription_model(self) -> str | None:
        """What transcribes the user's speech there; None is the server's own setting."""
        ...

    @property
    def terms(self) -> Terms:
        """What using it costs."""
        ...

    def leave_alone(self, seconds: float, why: str) -> None:
        """Nobody asks it for a new connection in this time: it cannot serve now. ``why`` is told to who would."""
        ...


class UpstreamConnection(Protocol):
    """An open connection to a Realtime service. One task receives; sending never waits."""

    origin: Origin | None
    """Set by the link that opened it."""
    on_audio_dropped: Callable[[float], None] | None
    """Called with milliseconds of the user's speech that were dropped because the service takes it too slowly."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be taken by the service."""
        ...

    async def receive(self) -> bytes:
        """The next text frame. Cancelling loses nothing.

        Raises:
            UpstreamLost: the connection has ended; again at every later call.
        """
        ...

    def send(self, frame: bytes, *, audio_ms: float = 0.0) -> None:
        """Sends a text frame; never waits and never raises. ``audio_ms`` marks sound, which may be dropped if old."""
        ...

    async def run(self) -> None:
        """Writes what waits and keeps the connection alive; must run as long as the connection is used."""
        ...

    async def aclose(self) -> None:
        """Ends the connection within its own deadline; afterwards nothing of it is open."""
        ...


class Connector(Protocol):
    """Opens connections to one Realtime service."""

    @property
    def name(self) -> str:
        """What it connects to, for people and logs: service and host, never a key."""
        ...

    async def connect(self) -> UpstreamConnection:
        """Opens a new connection.

        Raises:
            UpstreamRefused: the service said no; ``retryable`` says whether a moment later may be different.
            UpstreamUnreachable: nothing answered.

        Cancelling it leaves nothing open.
        """
        ...


class UpstreamRefused(UpstreamFault):
    """The service answered the handshake with a refusal."""


class NoCredential(UpstreamFault):
    """There is nothing to show the service, so it was not asked: its health is not in question."""


class UpstreamUnreachable(UpstreamFault):
    """No connection came about."""


class UpstreamResting(UpstreamFault):
    """Nobody was asked: every deployment failed lately, and none may be asked before ``retry_after_s``."""


class UpstreamLost(UpstreamFault):
    """An open connection has ended. ``close_code`` is the one it was closed with, None if it went without one."""

    def __init__(
        self, message: str, *, close_code: int | None, reason: EndReason | None = None, said: str = ""
    ) -> None:
        super().__init__(message, code="upstream_lost", reason=reason, retryable=True, said=said)
        self.close_code = close_code
