"""The registry owns every session: it opens them, counts them, and ends them together. It lets nobody in or out."""

import dataclasses
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import structlog
import trio

from protocol.avatar.events import AvatarSession, Resume
from protocol.conversation.actions import Charge
from protocol.conversation.configuration import Configuration, merged
from protocol.conversation.guard import GuardPolicy
from protocol.conversation.limits import Limits
from protocol.conversation.machine import Conversation
from protocol.endings import EndReason
from protocol.errors import ClientFault, InternalFault, LiveAvatarError
from protocol.prices.book import PriceBook
from protocol.realtime.session import INCLUDE_VISEMES
from server.cluster.budgets import Tab
from server.security.base import missing_credential
from server.security.pace import ClientPace
from server.security.principal import Principal, not_allowed_kb
from server.session.base import (
    Census,
    ClientConnection,
    Furnishing,
    Link,
    Room,
    SessionRequest,
    SessionWatch,
    TranscriptGuard,
)
from server.session.recorder import Recorder
from server.session.resumption import ResumeTokens
from server.session.session import Session
from server.session.sound import SoundTap
from server.store.base import SessionRecords

_log = structlog.get_logger("liveavatar.session")

# "At least 128 bit" (OWASP ASVS 7.2.3).
_TOKEN_BYTES = 24

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
        limits: how long a conversation waits for what; resuming and prompts are for those who asked for them.
        objection: why somebody may not have a session with a knowledge base any more, or None; asked when it begins,
            when somebody comes back to it, and by ``end_unwelcome``.
        wall: the time of day, in Unix seconds.
        new_secret: a random text of so many bytes, not to be guessed.
        visemes: the service sends mouth positions where it is asked to; avatar clients get them.
        transcription_model: asks the service for transcripts of the user's speech; None does not.
        guard: looks at what people say before it is answered, and what follows of it; None: nothing is looked at. It
            needs transcripts.
        prices: what models cost.
        charged: is told of every charge, of all sessions.
        budgets: opens the tab of a principal's new session, or None where nobody has a budget. Raises ``ClientFault``
            when one is spent.
        records: where sessions are recorded; None: nowhere.
        watch: gives each session whoever watches it, by its id, what was asked for, and its knowledge base.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        furnish: Callable[[str | None], Awaitable[Furnishing]],
        link: Callable[[], Link],
        max_sessions: int,
        tools_at_once: int,
        limits: Limits | None = None,
        transcription_model: str | None = None,
        visemes: bool = False,
        guard: tuple[TranscriptGuard, GuardPolicy] | None = None,
        prices: PriceBook,
        charged: Callable[[Charge], None] = lambda _charge: None,
        budgets: Callable[[Principal], Awaitable[Tab | None]] | None = None,
        records: SessionRecords | None = None,
        objection: Callable[[Principal, str], LiveAvatarError | None] = lambda _principal, _kb_id: None,
        wall: Callable[[], float] = time.time,
        new_secret: Callable[[int], str] = secrets.token_hex,
        watch: Callable[[str, SessionRequest, str], SessionWatch] = lambda _session_id, _request, _kb_id: (
            SessionWatch()
        ),
    ) -> None:
        self._nursery = nursery
        self._furnish = furnish
        self._link = link
        self._max_sessions = max_sessions
        self._tools_at_once = tools_at_once
        self._transcription_model = transcription_model
        self._visemes = visemes
        self._guard = guard[0] if guard is not None else None
        self._guard_policy = guard[1] if guard is not None else None
        self._prices = prices
        self._charged = charged
        self._budgets = budgets
        self._records = records
        self._objection = objection
        self._limits = limits or Limits()
        self._wall = wall
        self._new_secret = new_secret
        self._watch = watch
        self._sessions: dict[str, Session] = {}
        self._paces: dict[str, ClientPace] = {}
        self._opening = 0
        self._stopping: tuple[EndReason, str] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """Those that live now, in the order in which they began."""
        return iter(tuple(self._sessions.values()))

    def find(self, session_id: str) -> Session | None:
        """One of them, if it lives."""
        return self._sessions.get(session_id)

    def census(self) -> Census:
        """Where the sessions stand now."""
        connections: Counter[str] = Counter()
        attached = client_bytes = upstream_bytes = 0
        for session in self._sessions.values():
            if session.client is not None:
                attached += 1
                client_bytes += session.client.waiting_bytes
            for upstream in session.upstreams:
                upstream_bytes += upstream.waiting_bytes
                if upstream.origin is not None:
                    connections[upstream.origin.name] += 1
        return Census(attached, len(self._sessions) - attached, connections, client_bytes, upstream_bytes)

    async def serve(self, client: ClientConnection, request: SessionRequest) -> None:
        """Opens a session for a client and stays until the client is detached.

        Raises:
            LiveAvatarError: there is no room, no such knowledge base or not for this principal, or the server or the
                session came to its end meanwhile; the client was told nothing.
        """
        async with self.reserved(request) as serve:
            await serve(client)

    @asynccontextmanager
    async def reserved(self, request: SessionRequest) -> AsyncIterator[Callable[[ClientConnection], Awaitable[None]]]:
        """Takes a session's room before its client is connected, for the length of the block.

        The block is given what serves the client then, once, and stays until it is detached. Where that is not called,
        the session never begins.

        Raises:
            LiveAvatarError: as ``serve``, before the block is entered; what the block is given raises the rest of it.
        """
        self.check_open()
        if len(self._sessions) + self._opening >= self._max_sessions:
            raise InternalFault(
                "The server has no room for another session; try again later.",
                code="overloaded",
                reason=EndReason.OVERLOADED,
                retry_after_s=_RETRY_WHEN_FULL_S,
            )
        if self._records is not None and not self._records.accepts_sessions:
            raise InternalFault(
                "Conversations cannot be recorded right now, so none begins; try again later.",
                code="records_unavailable",
                reason=EndReason.OVERLOADED,
                retry_after_s=_RETRY_WHEN_FULL_S,
            )
        self._opening += 1
        try:
            tab = await self._budgets(request.principal) if self._budgets is not None else None
            furnishing = await self._furnish(request.kb_id)
        finally:
            self._opening -= 1
        self.check_open()
        # Whatever was asked for or chosen on the way here: this is the one that would be opened.
        if not request.principal.may_use(furnishing.kb_id):
            raise not_allowed_kb()
        if (objection := self._objection(request.principal, furnishing.kb_id)) is not None:
            raise objection
        opening = _Opening(self._make(request, furnishing, tab), request.pace)
        session_id = opening.session.session_id
        self._sessions[session_id] = opening.session
        if request.pace is not None:
            self._paces[session_id] = request.pace
        try:
            await self._nursery.start(self._live, opening, request.room)
        except BaseException:  # cancelled, or there is no room, or the nursery is gone: then the session never lived
            self._forget(session_id)
            raise
        try:
            yield opening.serve
        finally:
            opening.give_up()

    async def resume(
        self,
        client: ClientConnection,
        resume: Resume,
        kb_id: str | None,
        principal: Principal | None,
        *,
        origin: str | None = None,
    ) -> None:
        """Gives a client its session back and stays until it is detached.

        Args:
            principal: who asks, as is known now; None: somebody who shows the resume token only, which suffices where
                the session was opened with something that was minted and cannot be shown again.
            origin: of the page that asks, if it is one.

        Raises:
            LiveAvatarError: there is no such session any more, or its token is another, or it is somebody else's: which
                of them is not told. Or its owner may not have it any more.
        """
        self.check_open()
        session = self._sessions.get(resume.session_id)
        if session is None or not session.may_resume(resume) or kb_id not in (None, session.kb_id):
            raise self._no_such_session(resume, known=session is not None)
        owner = session.principal
        if principal is None or principal.kind == "open":
            # Nothing was shown. That will do where nothing was shown before, or what cannot be shown again.
            if not owner.is_minted and (principal is None or owner.kind != "open"):
                raise missing_credential("the one that the session was begun with, as token in session.init")
        elif principal.account != owner.account:
            raise self._no_such_session(resume, known=True)
        if not owner.may_come_from(origin):
            raise self._no_such_session(resume, known=True)
        if (objection := self._objection(owner, session.kb_id)) is not None:
            raise objection
        if principal is not None and not principal.may_use(session.kb_id):
            raise not_allowed_kb()
        if (pace := self._paces.get(session.session_id)) is not None:
            client.keep_pace(pace)
        await session.resume(client, resume)

    @staticmethod
    def _no_such_session(resume: Resume, *, known: bool) -> ClientFault:
        _log.debug("resume refused", session_id=resume.session_id[:64], known=known)
        return ClientFault(
            "There is no such session to resume: it is over, or the token is not its own. Begin a new one.",
            code="resume_refused",
            reason=EndReason.OVER,
        )

    def end_unwelcome(self) -> None:
        """Ends the sessions of those who may not have them any more, connected or waiting for their client."""
        for session in list(self._sessions.values()):
            if (objection := self._objection(session.principal, session.kb_id)) is not None:
                session.end(objection.reason, objection.message)

    def check_open(self) -> None:
        """Raises ``InternalFault`` after ``stop``."""
        if self._stopping is not None:
            reason, message = self._stopping
            raise InternalFault(message, code=reason.label, reason=reason)

    async def _live(self, opening: "_Opening", room: Room | None, *, task_status: trio.TaskStatus[None]) -> None:
        session = opening.session

        def end(fault: LiveAvatarError) -> None:
            session.end(fault.reason, fault.message, retry_after_s=fault.retry_after_s)

        try:
            async with nullcontext() if room is None else room(end):
                task_status.started()
                if await opening.is_wanted():
                    await session.run(task_status=opening)
        finally:
            self._forget(session.session_id)
            opening.started()  # whatever became of it: who waits for it is not left waiting

    def _forget(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)
        self._paces.pop(session_id, None)

    def _make(self, request: SessionRequest, furnishing: Furnishing, tab: Tab | None) -> Session:
        session_id = f"sess_la_{self._new_secret(12)}"
        # Unique and not to be guessed by the random part; cheap by the counter.
        prefix, numbers = self._new_secret(6), itertools.count()
        limits = self._limits_of(request)
        resumable = limits.resume_s > 0
        configuration = Configuration(
            base=self._opening_session(furnishing, request),
            server_tools=furnishing.tools.definitions,
            settable=request.settable,
            show_tools=request.show_tools,
            guarded=self._guard is not None,
        )
        if request.pace is not None:
            request.pace.follow(lambda: configuration.input_bytes_per_ms)
        conversation = Conversation(
            configuration,
            avatar_events=request.avatar_events,
            voicerag_events=request.voicerag_events,
            new_id=lambda: f"{prefix}{next(numbers):x}",
            limits=limits,
            guard=self._guard_policy,
            prices=self._prices,
            budgeted=tab is not None,
        )
        recorder, sound = self._recording(session_id, request, furnishing.kb_id, configuration)
        return Session(
            session_id,
            conversation,
            self._link(),
            furnishing.tools,
            kb_id=furnishing.kb_id,
            principal=request.principal,
            endpoint=request.endpoint,
            tools_at_once=self._tools_at_once,
            hello=self._hello(session_id, furnishing, limits) if request.avatar_events else None,
            tokens=ResumeTokens(lambda: self._new_secret(_TOKEN_BYTES)) if resumable else None,
            wall=self._wall,
            guard=self._guard,
            charged=self._charged,
            recorder=recorder,
            tab=tab,
            sound=sound,
            watch=self._watch(session_id, request, furnishing.kb_id),
            log_fields={
                "kb_id": furnishing.kb_id,
                "endpoint": request.endpoint,
                "principal": request.principal.id,
            },
        )

    def _recording(
        self, session_id: str, request: SessionRequest, kb_id: str, configuration: Configuration
    ) -> tuple[Recorder | None, SoundTap | None]:
        """What a session, and its sound, are recorded by."""
        records = self._records
        if records is None:
            return None, None
        journal = records.session(session_id)
        recorder = Recorder(
            session_id,
            journal,
            kb_id=kb_id,
            principal=request.principal,
            person=request.person or request.principal.id,
            endpoint=request.endpoint,
            clock=trio.current_time,
            wall=self._wall,
        )
        return recorder, SoundTap(session_id, lambda: records.sound(session_id, journal), configuration)

    def _limits_of(self, request: SessionRequest) -> Limits:
        """Clients of the services' own protocol cannot resume, and are not spoken to without being asked."""
        resume_s = self._limits.resume_s if request.resumable else 0.0
        idle_prompt_s = self._limits.idle_prompt_s if request.avatar_events else 0.0
        return dataclasses.replace(self._limits, resume_s=resume_s, idle_prompt_s=idle_prompt_s)

    def _hello(self, session_id: str, furnishing: Furnishing, limits: Limits) -> AvatarSession:
        return AvatarSession(
            session_id=session_id,
            kb_id=furnishing.kb_id,
            profile=furnishing.profile,
            resume_window_s=limits.resume_s,
            expires_at=int(self._wall() + limits.duration_s) if limits.duration_s else None,
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
        principal = request.principal
        session = merged(session, dict(principal.preset))
        if self._guard is not None:
            # Whoever minted a credential with settings of its own did not switch the guard off with them.
            transcription = {"model": self._transcription_model}
            session = merged(session, {"audio": {"input": {"transcription": transcription}}})
        if principal.instructions is not None:
            session["instructions"] = principal.instructions
        return session

    def drain(self, reason: EndReason, message: str, within_s: float) -> None:
        """Opens no session from now on. Those there are may finish what is being said, within so many seconds."""
        self._stopping = (reason, message)
        self._nursery.start_soon(self._drain, reason, message, trio.current_time() + within_s)

    async def _drain(self, reason: EndReason, message: str, leave_at: float) -> None:
        for session in list(self._sessions.values()):
            session.drain(reason, message, max(0.0, leave_at - trio.current_time()))
            # Between two of many, others have their turn: the listener closes, clients are written to.
            await trio.lowlevel.checkpoint()

    def stop(self, reason: EndReason, message: str) -> None:
        """Ends every session, and opens none from now on. Clients are told the reason."""
        self._stopping = (reason, message)
        for session in list(self._sessions.values()):
            session.end(reason, message)


class _Opening:
    """A session that has its room, between that and its client's coming; implements trio's ``TaskStatus``."""

    __slots__ = ("_began", "_decided", "_is_wanted", "_pace", "session")

    def __init__(self, session: Session, pace: ClientPace | None) -> None:
        self.session = session
        self._pace = pace
        self._is_wanted = False
        self._decided = trio.Event()
        self._began = trio.Event()

    async def is_wanted(self) -> bool:
        """Waits for the client; False if it does not come."""
        await self._decided.wait()
        return self._is_wanted

    def started(self, _value: None = None) -> None:
        """The session has begun, or is over."""
        self._began.set()

    async def serve(self, client: ClientConnection) -> None:
        """Begins the session with its client, and stays until that is detached."""
        self._is_wanted = True
        self._decided.set()
        began = False
        try:
            await self._began.wait()
            began = True
        finally:
            if not began:
                # A session that nobody was ever attached to has nobody to come back.
                self.session.end(EndReason.CLIENT_LOST, "The client's connection was lost.")
        if self._pace is not None:
            client.keep_pace(self._pace)
        await self.session.attach(client)

    def give_up(self) -> None:
        """No client comes any more; nothing, where one did."""
        self._decided.set()
