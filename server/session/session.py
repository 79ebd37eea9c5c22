"""One session: a nursery whose tasks read the client, read the Realtime service and run tools, around the machine.

It decides nothing: readers await, the machine decides, and its actions are performed here, synchronously, in order.
Connections attach to a session and detach; the nursery is the registry's, not a socket's.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog
import trio

from protocol.avatar.events import AvatarSession, Resume
from protocol.conversation.actions import (
    Action,
    BudgetReached,
    Charge,
    Check,
    Close,
    Connect,
    Disconnect,
    Heard,
    Ignored,
    LeaveAlone,
    PurgeAudio,
    Record,
    Reserve,
    RunTool,
    SetDeadline,
    Stopped,
    ToClient,
    ToolResult,
    ToUpstream,
)
from protocol.conversation.ledger import Ledger
from protocol.conversation.machine import Conversation
from protocol.endings import EndReason
from protocol.errors import InternalFault, UpstreamFault
from protocol.prices.rates import dollars
from protocol.prices.terms import Terms
from protocol.realtime.codec import encode
from protocol.realtime.server_events import Error, ErrorDetail
from server.cluster.budgets import Tab
from server.security.principal import Principal
from server.session.base import ClientConnection, ClientGone, Link, SessionWatch, TranscriptGuard
from server.session.recorder import Recorder
from server.session.resumption import ResumeTokens
from server.session.sound import SoundTap
from server.tools.base import ToolBox
from server.upstream.base import UpstreamConnection

_log = structlog.get_logger("liveavatar.session")

_SUPERSEDED_ID = "event_la_superseded"

# Tool calls of one session that may wait for a free place; a model that asks for more is told that it is too much.
TOOL_CALLS_WAITING = 32


class Session:
    """One conversation between a client and the Realtime service.

    Args:
        principal: whose session it is.
        endpoint: the path that its client came by.
        link: the way to the service.
        tools: the tools, bound to the session's own knowledge base.
        tools_at_once: how many calls may run side by side.
        hello: what an avatar client is greeted with; None for clients that would not understand it.
        tokens: by which a client that was cut off comes back; None for one that cannot.
        wall: the time of day in Unix seconds.
        guard: looks at what the person said; None where the conversation is not guarded.
        watch: sees what happens, for metrics and traces.
        charged: is told of every charge.
        recorder: what it is recorded by; None where nothing is.
        tab: what it spends under its budgets; None where it has none, and the conversation is not budgeted.
        sound: by which its sound is recorded, too; None where it never is.
    """

    def __init__(
        self,
        session_id: str,
        conversation: Conversation,
        link: Link,
        tools: ToolBox,
        *,
        kb_id: str,
        principal: Principal,
        endpoint: str,
        tools_at_once: int,
        hello: AvatarSession | None,
        tokens: ResumeTokens | None,
        wall: Callable[[], float],
        guard: TranscriptGuard | None = None,
        watch: SessionWatch | None = None,
        charged: Callable[[Charge], None],
        recorder: Recorder | None = None,
        tab: Tab | None = None,
        sound: SoundTap | None = None,
        log_fields: dict[str, str],
    ) -> None:
        self.session_id = session_id
        self.kb_id = kb_id
        self.principal = principal
        self.endpoint = endpoint
        self.ending: EndReason | None = None
        self.began_at = wall()
        self._message = ""
        self._began = False
        self._conversation = conversation
        self._link = link
        self._tools = tools
        self._tool_places = trio.Semaphore(tools_at_once)
        self._ask_for_tool, self._tool_calls = trio.open_memory_channel[RunTool](TOOL_CALLS_WAITING)
        self._hello = hello
        self._tokens = tokens
        self._wall = wall
        self._guard = guard
        self._watch = watch or SessionWatch()
        self._charged = charged
        self.recorder = recorder
        self._tab = tab
        self._sound = sound
        self._client: ClientConnection | None = None
        self._client_scope = trio.CancelScope()
        self._upstreams: dict[int, UpstreamConnection] = {}
        self._upstream_scopes: dict[int, trio.CancelScope] = {}
        self._connections: trio.Nursery | None = None
        self._tasks: trio.Nursery | None = None
        self._actions: deque[Action] = deque()
        self._performing = False
        self._deadlines: dict[str, float] = {}
        self._clock_scope = trio.CancelScope()
        self._ended = trio.Event()
        self._counts = dict.fromkeys(
            ("responses", "transcriptions", "tool_calls", "ignored_events", "connections", "resumes", "stopped"), 0
        )
        self._log = _log.bind(session_id=session_id, **log_fields)

    # Life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lives until the session ends, for one ``EndReason``. Never raises for a fault of the session.

        Cancelled, it ends without a word; whoever cancels should ``end`` it first.
        """
        started_at = trio.current_time()
        self._watch.started()
        self._watch.enter()
        if self.recorder is not None:
            self.recorder.began()
        if self._sound is not None and not self._sound.begin():
            self._sound = None
        self._log.info("session started", upstream=self._link.name)
        try:
            # The service's connection is kept alive outside the tasks' nursery, so that it can be closed properly
            # while they are being cancelled.
            async with trio.open_nursery() as self._connections:
                try:
                    async with trio.open_nursery() as self._tasks:
                        for task in (self._tool_executor, self._clock):
                            self._tasks.start_soon(self._vital, task)
                        self._perform(self._conversation.on_start(trio.current_time()))
                        if self.ending is not None:  # it was ended before it began
                            self._tasks.cancel_scope.cancel()
                        task_status.started()
                        self._began = True
                finally:
                    self._tasks = None
                self._connections.cancel_scope.cancel()
        except* Exception as failures:  # noqa: BLE001 - the session's boundary: a fault of ours ends this one only
            self._fail(failures)
        finally:
            if self.ending is None:
                # Cancelled without a word: by the client's connection while it opened, or with the whole server.
                self.ending = EndReason.GOING_AWAY if self._began else EndReason.CLIENT_LOST
            self._ended.set()
            if self._tab is not None:
                # However it ended: what it set aside is for others.
                self._tab.close(self.ledger.usd)
            if self.recorder is not None:
                self.recorder.ended(self.ending, self._message)
            if self._sound is not None:
                self._sound.finish()
            self._watch.ended(self.ending, trio.current_time() - started_at)
            self._log_end(trio.current_time() - started_at)

    async def _vital(self, task: Callable[[], Awaitable[None]]) -> None:
        """Runs a task without which the session is nothing: when it stops, for whatever reason, the session ends."""
        await self._guarded(task)
        if self.ending is None:
            self.end(EndReason.INTERNAL, "A part of the session stopped.")

    async def _guarded(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Runs a part of the session. A fault of ours in it ends the session at once: the reason must stand before
        anything is cancelled, else those who are woken by the cancel take it for a lost client.
        """
        try:
            await task(*args)
        except* Exception as failures:  # noqa: BLE001 - see above
            self._fail(failures)

    def _fail(self, failure: BaseException) -> None:
        message = "The server failed; the session cannot go on."
        self._watch.failed()
        self._log.error("session failed", exc_info=failure)
        try:
            self.end(EndReason.INTERNAL, message)
        except Exception:  # noqa: BLE001 - the machine itself is broken, and can no longer say that the session ends
            self._log.exception("session cannot end in order")
        if self.ending is None:
            self._close(EndReason.INTERNAL, message)

    async def attach(self, client: ClientConnection) -> None:
        """Connects a client; returns when it is detached: its connection is lost, or another took its place, or the

        session has ended. The caller keeps the connection alive, and closes it after. Cancelled, it detaches it.

        Raises:
            InternalFault: the session has ended already, for the reason it names; the client was told nothing.
        """
        self._check_alive()
        hello = self._hello
        if hello is not None and self._tokens is not None:
            hello.resume_token = self._tokens.present
        await self._serve(client, lambda now: self._conversation.on_attached(hello, now))

    def may_resume(self, resume: Resume) -> bool:
        """Whether a client may come back to this session with this token now."""
        return self._tokens is not None and self.ending is None and self._tokens.accepts(resume.token)

    async def resume(self, client: ClientConnection, resume: Resume) -> None:
        """Connects a client that was cut off, after ``may_resume``; an older connection of it is closed.

        Returns and raises as ``attach`` does.
        """
        self._check_alive()
        if self._tokens is None or self._hello is None:
            raise AssertionError("who may resume has a token and was greeted")
        self._counts["resumes"] += 1
        self._watch.resumed()
        self._log.info("client resumed")
        hello = msgspec.structs.replace(self._hello, resume_token=self._tokens.renew(resume.token))
        last_event_id = resume.last_event_id or None
        await self._serve(client, lambda now: self._conversation.on_resumed(hello, last_event_id, now))

    def _check_alive(self) -> None:
        if self._tasks is None or self.ending is not None:
            reason = self.ending or EndReason.OVER
            raise InternalFault(self._message or reason.text, code=reason.label, reason=reason)

    async def _serve(self, client: ClientConnection, attach: Callable[[float], list[Action]]) -> None:
        if self._tasks is None:
            raise AssertionError("a session that is alive has its tasks")
        self._watch.enter()
        self._supersede()
        self._client, self._client_scope = client, trio.CancelScope()
        detached = trio.Event()
        self._tasks.start_soon(self._guarded, self._client_reader, client, self._client_scope, detached)
        try:
            self._perform(attach(trio.current_time()))
            await detached.wait()
        finally:
            self._detach(client, EndReason.CLIENT_LOST, "The client's connection was lost.")

    def _supersede(self) -> None:
        """A newer connection is there: the older one is told, and nothing it says counts any more."""
        older, self._client = self._client, None
        if older is not None:
            self._unheard()
            reason = EndReason.SUPERSEDED
            detail = ErrorDetail(type="invalid_request_error", code=reason.label, message=reason.text)
            older.send(encode(Error(event_id=_SUPERSEDED_ID, error=detail)))
            older.close(reason, reason.text)
        self._client_scope.cancel()

    def _detach(self, client: ClientConnection, reason: EndReason, message: str) -> None:
        if self._client is client:
            self._client = None
            self._unheard()
            self._client_scope.cancel()
            if self.ending is None:
                self._perform(self._conversation.on_detached(reason, message, trio.current_time()))
            if self.ending is None:
                self._log.info("client detached; the session waits for it", reason=reason.label, detail=message)

    def _unheard(self) -> None:
        """What was sent and not heard yet will not be heard; what is heard after all is sent again."""
        if self._sound is not None:
            self._sound.cut()

    def end(self, reason: EndReason, message: str, *, retry_after_s: float | None = None) -> None:
        """Ends the session: the client is told why, then all its tasks are cancelled. The first reason counts."""
        if self.ending is None:
            now = trio.current_time()
            self._perform(self._conversation.on_end(reason, message, now, retry_after_s=retry_after_s))

    def drain(self, reason: EndReason, message: str, within_s: float) -> None:
        """Ends the session when what is being said is over, at latest after ``within_s`` seconds; tells the client."""
        if self.ending is None:
            self._perform(self._conversation.on_drain(reason, message, within_s, trio.current_time()))

    @property
    def state(self) -> str | None:
        """What the avatar is doing, as ``avatar.state`` tells it; None before it has done anything."""
        return self._conversation.state

    @property
    def client(self) -> ClientConnection | None:
        """The client's connection; None while it is waited for."""
        return self._client

    @property
    def upstreams(self) -> list[UpstreamConnection]:
        """The open connections to the service."""
        return list(self._upstreams.values())

    @property
    def ledger(self) -> Ledger:
        """What it has cost so far, by deployment and model."""
        return self._conversation.ledger

    async def wait_ended(self) -> None:
        """Returns when nothing of the session runs any more."""
        await self._ended.wait()

    def _log_end(self, duration_s: float) -> None:
        self._log.info(
            "session ended",
            reason=self.ending.label if self.ending else None,
            detail=self._message,
            duration_s=round(duration_s, 3),
            input_tokens=self.ledger.usage.input_tokens,
            output_tokens=self.ledger.usage.output_tokens,
            cost_usd=dollars(self.ledger.usd),
            cost_by_deployment={name: dollars(usd) for name, usd in self.ledger.by_deployment().items()},
            **self._counts,
        )

    # The three tasks, and the clock

    async def _client_reader(self, client: ClientConnection, scope: trio.CancelScope, detached: trio.Event) -> None:
        try:
            with scope:
                while True:
                    message = await client.receive()
                    if self._tokens is not None:
                        self._tokens.confirm()
                    now = trio.current_time()
                    if self._sound is not None:
                        self._sound.from_client(message.data)
                    self._perform(self._conversation.on_client(message.data, now, is_text=message.is_text))
                    self._watch.from_client(message.data, now)
        except ClientGone as gone:
            self._detach(client, gone.reason, gone.message)
        finally:
            detached.set()

    async def _azure_reader(self, number: int, patience_s: float | None) -> None:
        """One connection to the service, from its opening to its end."""
        with self._upstream_scopes[number]:
            try:
                await self._use_upstream(number, patience_s)
            finally:
                del self._upstream_scopes[number]

    async def _use_upstream(self, number: int, patience_s: float | None) -> None:
        try:
            connection = await self._link.connect(timeout_s=patience_s, patient=patience_s is not None)
        except UpstreamFault as fault:
            self._lose_upstream(number, fault)
            return
        if connection.origin is not None:
            self._log.debug("upstream connected", connection=number, deployment=connection.origin.name)
        connection.on_audio_dropped = self._audio_dropped
        if self._connections is None:
            raise AssertionError("the session's nurseries are open while its tasks run")
        self._connections.start_soon(self._guarded, connection.run)
        self._counts["connections"] += 1
        self._upstreams[number] = connection
        try:
            # Guarded here too: the close below may take seconds, and the client must not wait for it.
            await self._guarded(self._read_upstream, number, connection)
        finally:
            connection.on_audio_dropped = None
            del self._upstreams[number]
            await connection.aclose()  # shields itself, within its own deadline

    async def _read_upstream(self, number: int, connection: UpstreamConnection) -> None:
        now = trio.current_time()
        origin = connection.origin
        self._perform(
            self._conversation.on_upstream_open(
                number,
                now,
                wall=self._wall(),
                transcription_model=origin.transcription_model if origin is not None else None,
                has_others=self._link.has_others,
                terms=origin.terms if origin is not None else Terms(deployment=self._link.name),
            )
        )
        try:
            while True:
                frame = await connection.receive()
                now = trio.current_time()
                self._perform(self._conversation.on_upstream(number, frame, now))
                self._watch.from_upstream(frame, now)
        except UpstreamFault as fault:
            self._lose_upstream(number, fault)

    def _lose_upstream(self, number: int, fault: UpstreamFault) -> None:
        self._watch.lost_upstream(fault)
        self._log.warning("upstream lost", connection=number, error=fault.message, code=fault.code, said=fault.said)
        self._perform(
            self._conversation.on_upstream_lost(
                number,
                fault.reason,
                fault.message,
                trio.current_time(),
                retryable=fault.retryable,
                retry_after_s=fault.retry_after_s,
            )
        )

    def _audio_dropped(self, dropped_ms: float) -> None:
        self._watch.dropped_speech(dropped_ms)
        self._perform(self._conversation.on_audio_dropped(dropped_ms, trio.current_time()))

    async def _tool_executor(self) -> None:
        async with trio.open_nursery() as calls:
            while True:
                # The place comes first: calls without one wait in the channel, which has a bound.
                await self._tool_places.acquire()
                calls.start_soon(self._run_tool, await self._tool_calls.receive())

    async def _run_tool(self, call: RunTool) -> None:
        started_at = trio.current_time()
        if self.recorder is not None:
            self.recorder.runs(call)
        self._perform(self._conversation.on_tool_started(call.call_id, started_at))
        try:
            result = await self._tools.run(call.name, call.arguments)
        finally:
            self._tool_places.release()
        elapsed_ms = (trio.current_time() - started_at) * 1000
        self._log.debug("tool answered", tool=call.name, call_id=call.call_id, elapsed_ms=round(elapsed_ms, 1))
        if self.recorder is not None:
            self.recorder.ran(call, result)
        self._perform(self._conversation.on_result(call.call_id, result, trio.current_time()))

    async def _check(self, check: Check) -> None:
        if self._guard is None:
            raise AssertionError("a conversation without a guard has nothing checked")
        verdict = await self._guard.check(check.text)
        self._perform(self._conversation.on_checked(check.check_id, verdict, trio.current_time()))

    async def _reserve(self, wanted: Reserve) -> None:
        if self._tab is None:
            raise AssertionError("a conversation that is not budgeted sets nothing aside")
        reservation = await self._tab.renew(wanted.spent, wanted.hold)
        if reservation.refused_by:
            self._watch.reservation_refused(reservation.refused_by)
            self._log.debug("no money for the next response", budget=reservation.refused_by, hold=dollars(wanted.hold))
        self._perform(self._conversation.on_reserved(reservation, trio.current_time()))

    async def _clock(self) -> None:
        while True:
            with trio.CancelScope(deadline=min(self._deadlines.values(), default=math.inf)) as self._clock_scope:
                await trio.sleep_forever()
            now = trio.current_time()
            for name in [name for name, at in self._deadlines.items() if at <= now]:
                if name in self._deadlines:  # the one before it may have disarmed it
                    del self._deadlines[name]
                    self._perform(self._conversation.on_deadline(name, now))

    # Actions

    def _perform(self, actions: Iterable[Action]) -> None:
        """Performs actions in order; what an action itself brings about comes after those asked for before."""
        self._actions.extend(actions)
        if self._performing:
            return
        self._performing = True
        try:
            while self._actions:
                self._do(self._actions.popleft())
        finally:
            self._performing = False
        if self.recorder is not None and self.recorder.is_lost and self.ending is None:
            # What is said from now on would be said unrecorded; others, who have room, are not concerned.
            self.end(EndReason.OVERLOADED, "The conversation cannot be recorded any more.")

    def _do(self, action: Action) -> None:
        match action:
            case ToClient(frame, item_id, audio_ms):
                if self._client is not None:
                    self._client.send(frame, item_id=item_id, audio_ms=audio_ms)
                    self._watch.to_client(frame, audio_ms)
                    if audio_ms and self._sound is not None:
                        self._sound.to_client(frame)
            case ToUpstream() | Connect() | Disconnect() | LeaveAlone():
                self._do_upstream(action)
            case PurgeAudio(item_id):
                if self._client is not None:
                    self._client.purge(item_id)
                self._unheard()
            case RunTool():
                self._ask_tool(action)
            case Check() | Reserve():
                self._do_beside(action)
            case SetDeadline(name, at):
                self._set_deadline(name, at)
            case Close(reason, message):
                self._close(reason, message)
            case Charge() | Record() | Ignored() | BudgetReached():
                self._note(action)

    def _do_beside(self, action: Check | Reserve) -> None:
        if self._tasks is None:
            return
        match action:
            case Check():
                # As many as there are unchecked items of speech and one of text: the machine has a bound for them.
                self._tasks.start_soon(self._guarded, self._check, action)
            case Reserve():
                # One at a time.
                self._tasks.start_soon(self._guarded, self._reserve, action)

    def _do_upstream(self, action: ToUpstream | Connect | Disconnect | LeaveAlone) -> None:
        match action:
            case ToUpstream(frame, audio_ms, number):
                if (upstream := self._upstreams.get(number)) is not None:
                    upstream.send(frame, audio_ms=audio_ms)
                    self._watch.to_upstream(frame)
            case Connect(number, patience_s):
                if self._tasks is not None:
                    if number > 1:
                        # A planned successor is opened while there is no hurry, and has no patience of its own.
                        self._watch.connecting_again(is_planned=patience_s is None)
                    # There before the task is, so that it can be given up before it has begun.
                    self._upstream_scopes[number] = trio.CancelScope()
                    self._tasks.start_soon(self._guarded, self._azure_reader, number, patience_s)
            case Disconnect(number):
                if (scope := self._upstream_scopes.get(number)) is not None:
                    scope.cancel()
            case LeaveAlone(number, seconds, why):
                upstream = self._upstreams.get(number)
                if upstream is not None and upstream.origin is not None:
                    upstream.origin.leave_alone(seconds, why)

    def _note(self, action: Charge | Record | Ignored | BudgetReached) -> None:
        match action:
            case BudgetReached(stage, budget):
                self._watch.budget_reached(stage)
                self._log.warning(
                    "a budget nears its end", stage=stage, budget=budget, cost_usd=dollars(self.ledger.usd)
                )
            case Charge(kind=kind, status=status, usage=usage):
                self._counts[f"{kind}s"] += 1
                if kind == "response":
                    self._watch.responded(status, usage)
                self._charged(action)
                if self.recorder is not None:
                    self.recorder.charged(action)
            case Record(entry):
                self._log.debug("record", entry=entry)
                if self.recorder is not None:
                    self.recorder.take(action)
                if isinstance(entry, Heard):
                    self._unheard()
                if isinstance(entry, Stopped):
                    self._counts["stopped"] += 1
                    self._log.info("stopped by the transcript guard", item_id=entry.item_id, rule=entry.rule)
            case Ignored(side, event_type, why):
                self._counts["ignored_events"] += 1
                self._watch.ignored(side)
                self._log.debug("event ignored", side=side, event_type=event_type, why=why)

    def _ask_tool(self, call: RunTool) -> None:
        self._counts["tool_calls"] += 1
        try:
            self._ask_for_tool.send_nowait(call)
            if self.recorder is not None:
                self.recorder.asked(call)
        except trio.WouldBlock:
            if self.recorder is not None:
                self.recorder.refused(call)
            refusal = ToolResult('{"error":"Too many tool calls at once."}')
            self._perform(self._conversation.on_result(call.call_id, refusal, trio.current_time()))

    def _set_deadline(self, name: str, at: float | None) -> None:
        if at is None:
            self._deadlines.pop(name, None)
        else:
            self._deadlines[name] = at
        self._clock_scope.deadline = min(self._deadlines.values(), default=math.inf)

    def _close(self, reason: EndReason, message: str) -> None:
        # The reason is set before the cancel: whoever is woken by the cancel finds it.
        self.ending, self._message = reason, message
        if self._client is not None:
            self._client.close(reason, message)
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
