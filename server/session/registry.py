"""The registry owns every session: it opens them, counts them, and ends them together. It lets nobody in or out."""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from protocol.avatar.events import AvatarSession
from protocol.conversation.configuration import Configuration
from protocol.conversation.machine import Conversation
from protocol.endings import EndReason
from protocol.errors import InternalFault
from protocol.realtime.base import UNSET
from protocol.realtime.session import INCLUDE_VISEMES
from server.session.base import ClientConnection, Furnishing, Link, SessionRequest
from server.session.session import Session

# Seconds to wait before trying again when there is no room: about as long as a short conversation's turn.
_RETRY_WHEN_FULL_S = 10.0


class SessionRegistry:
    """All sessions of this process.

    Args:
        nursery: the nursery that sessions live in; it outlives every connection.
        furnish: gives a session its persona and tools, by ``kb_id`` (None: the default). Raises ``ClientFault``.
        link: makes a session's way to the Realtime service.
        max_sessions: how many may live at once.
        tools_at_once: tool calls of one session that may run side by side.
        visemes: the service sends mouth positions where it is asked to; avatar clients get them.
        transcription_model: asks the service for transcripts of the user's speech; None does not.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        furnish: Callable[[str | None], Awaitable[Furnishing]],
        link: Callable[[], Link],
        max_sessions: int,
        tools_at_once: int,
        transcription_model: str | None = None,
        visemes: bool = False,
    ) -> None:
        self._nursery = nursery
        self._furnish = furnish
        self._link = link
        self._max_sessions = max_sessions
        self._tools_at_once = tools_at_once
        self._transcription_model = transcription_model
        self._visemes = visemes
        self._sessions: dict[str, Session] = {}
        self._opening = 0
        self._stopping: tuple[EndReason, str] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    async def serve(self, client: ClientConnection, request: SessionRequest, *, resume_refused: bool = False) -> None:
        """Opens a session for a client and stays until the client is detached.

        Raises:
            LiveAvatarError: there is no room, no such knowledge base, or the server or the session came to its end
                meanwhile; the client was told nothing.
        """
        self.check_open()
        if len(self._sessions) + self._opening >= self._max_sessions:
            raise InternalFault(
                "The server has no room for another session; try again later.",
                code="overloaded",
                reason=EndReason.OVERLOADED,
                retry_after_s=_RETRY_WHEN_FULL_S,
            )
        self._opening += 1
        try:
            furnishing = await self._furnish(request.kb_id)
        finally:
            self._opening -= 1
        self.check_open()
        session = self._make(request, furnishing)
        hello = _hello(session.session_id, furnishing, resume_refused) if request.avatar_events else None
        self._sessions[session.session_id] = session
        try:
            await self._open(session)
            await session.attach(client, hello)
        finally:
            # A session that nobody is attached to has nobody to speak to.
            session.end(EndReason.CLIENT_LOST, "The client's connection was lost.")

    def check_open(self) -> None:
        """Raises ``InternalFault`` after ``stop``."""
        if self._stopping is not None:
            reason, message = self._stopping
            raise InternalFault(message, code=reason.label, reason=reason)

    async def _open(self, session: Session) -> None:
        try:
            await self._nursery.start(self._live, session)
        except BaseException:  # cancelled, or the nursery is gone: then the session never lived
            self._sessions.pop(session.session_id, None)
            raise

    async def _live(self, session: Session, *, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - run does
        try:
            await session.run(task_status=task_status)
        finally:
            self._sessions.pop(session.session_id, None)

    def _make(self, request: SessionRequest, furnishing: Furnishing) -> Session:
        session_id = f"sess_la_{secrets.token_hex(12)}"
        # Unique and not to be guessed by the random part; cheap by the counter.
        prefix, numbers = secrets.token_hex(6), itertools.count()
        configuration = Configuration(
            base=self._opening_session(furnishing, request),
            server_tools=furnishing.tools.definitions,
            settable=request.settable,
            show_tools=request.show_tools,
        )
        conversation = Conversation(
            configuration, avatar_events=request.avatar_events, new_id=lambda: f"{prefix}{next(numbers):x}"
        )
        return Session(
            session_id,
            conversation,
            self._link(),
            furnishing.tools,
            tools_at_once=self._tools_at_once,
            log_fields={"kb_id": furnishing.kb_id, "endpoint": request.endpoint},
        )

    def _opening_session(self, furnishing: Furnishing, request: SessionRequest) -> dict[str, Any]:
        session: dict[str, Any] = {"type": "realtime", "instructions": furnishing.instructions, "tool_choice": "auto"}
        audio: dict[str, Any] = {}
        if furnishing.profile.voice:
            audio["output"] = {"voice": furnishing.profile.voice}
        if self._transcription_model is not None:
            audio["input"] = {"transcription": {"model": self._transcription_model}}
        if audio:
            session["audio"] = audio
        if self._visemes and request.avatar_events:
            session["include"] = [INCLUDE_VISEMES]
        return session

    def stop(self, reason: EndReason, message: str) -> None:
        """Ends every session, and opens none from now on. Clients are told the reason."""
        self._stopping = (reason, message)
        for session in list(self._sessions.values()):
            session.end(reason, message)


def _hello(session_id: str, furnishing: Furnishing, resume_refused: bool) -> AvatarSession:
    recovered = False if resume_refused else UNSET
    return AvatarSession(session_id=session_id, kb_id=furnishing.kb_id, profile=furnishing.profile, recovered=recovered)
