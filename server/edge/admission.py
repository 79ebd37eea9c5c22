"""Lets WebSocket clients in: which endpoint, which credential, which knowledge base; then hands them to a session.

Before a client is let in nothing of a session happens, and it may send one frame of 64 KiB.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import trio

from protocol.avatar.codec import decode_init
from protocol.avatar.events import SessionInit
from protocol.conversation.configuration import BROWSER_FIELDS
from protocol.endings import EndReason
from protocol.errors import ClientFault, InternalFault, LiveAvatarError
from protocol.realtime.codec import InvalidEvent, encode
from protocol.realtime.dialects.dialect import Beta, Dialect, Undeclared
from protocol.realtime.server_events import Error, ErrorDetail
from server.edge.access import IN_FRAME, KEY_SUBPROTOCOL, AccessPolicy, NotLocal, error_type_of, origin_of, refusal_of
from server.edge.allowances import Allowances
from server.edge.answers import Refusal
from server.edge.client_socket import ClientSocket, refusal_code
from server.edge.person import SAFETY_IDENTIFIER, named_person, person_in_header
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.security.base import Unauthenticated, lacks_scope, missing_credential
from server.security.principal import Principal
from server.security.refusals import RateLimited
from server.session.base import ClientConnection, SessionRequest
from server.session.registry import SessionRegistry
from server.transport.errors import ConnectionLost
from server.transport.websocket import WebSocket, WebSocketOptions

_log = structlog.get_logger("liveavatar.edge")

AVATAR_PATH = "/ws"
# VoiceRAG's page comes by this path, and knows one event more than others.
VOICERAG_PATH = "/realtime"
# Azure's dated path (with or without its ``api-version``), and VoiceRAG's: mostly clients of the beta come here.
PREVIEW_PATHS = frozenset({"/openai/realtime", VOICERAG_PATH})
REALTIME_PATHS = frozenset({"/v1/realtime", "/openai/v1/realtime"}) | PREVIEW_PATHS

MAX_BYTES_BEFORE_AUTHENTICATION = 64 * 1024
# Who was turned away has so long to read why, and to say goodbye.
STRANGER_CLOSE_S = 1.0
MAX_AVATAR_MESSAGE_BYTES = 1024 * 1024
# The service takes 15 MiB of audio in one append, which is 20 MiB of base64 and a little JSON around it.
MAX_REALTIME_MESSAGE_BYTES = 21 * 1024 * 1024

# Clients ping once in seconds, and few cut their messages into pieces.
IDLE_FRAMES_PER_S = 20.0

_EXTENSIONS = frozenset({"avatar", "tools", "voicerag"})
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_BETA_HEADER = "realtime=v1"
_EVENT_ID = "event_la_refused"
_OUR_FAULT = InternalFault(EndReason.INTERNAL.text, code=EndReason.INTERNAL.label)


@dataclass(frozen=True, slots=True)
class ClientBounds:
    """Waits and bounds of client connections: seconds, and milliseconds of audio."""

    init_timeout_s: float
    ping_interval_s: float
    pong_timeout_s: float
    send_timeout_s: float
    audio_backlog_ms: float
    close_timeout_s: float

    def options(self, max_message_bytes: int) -> WebSocketOptions:
        """The same for the transport."""
        return WebSocketOptions(
            max_message_bytes=max_message_bytes,
            ping_interval_s=self.ping_interval_s,
            pong_timeout_s=self.pong_timeout_s,
            stall_s=self.send_timeout_s,
            max_audio_ms=self.audio_backlog_ms,
            audio_overflow="slow-consumer",
            idle_frames_per_s=IDLE_FRAMES_PER_S,
        )


class Admission:
    """Handles each WebSocket from its handshake to its end; ``on_websocket`` is the door's handler."""

    def __init__(
        self, policy: AccessPolicy, registry: SessionRegistry, bounds: ClientBounds, allowances: Allowances
    ) -> None:
        self._policy = policy
        self._registry = registry
        self._bounds = bounds
        self._allowances = allowances
        self._waiting: set[trio.CancelScope] = set()

    def stop(self) -> None:
        """Turns away those who have not sent their first frame, after the registry was stopped."""
        for scope in self._waiting:
            scope.cancel()

    async def on_websocket(self, request: UpgradeRequest, upgrade: Upgrade) -> None:
        """Lets a client in or refuses it; returns when its connection has ended."""
        if request.path == AVATAR_PATH:
            await self._serve_avatar(request, upgrade)
        elif request.path in REALTIME_PATHS:
            await self._serve_realtime(request, upgrade)
        else:
            paths = ", ".join(sorted({AVATAR_PATH, *REALTIME_PATHS}))
            self._allowances.refusals.count("unknown_path")
            await _refuse(upgrade, Refusal(404, "unknown_path", f"WebSockets are served at {paths}."))

    async def _serve_avatar(self, request: UpgradeRequest, upgrade: Upgrade) -> None:
        try:
            principal = await self._policy.admit(request, to_avatar=True)
            if principal is not None:
                _check_may_talk(principal)
        except LiveAvatarError as fault:
            self._note(fault, request)
            await _refuse(upgrade, refusal_of(fault))
            return
        websocket = await upgrade.accept(options=self._bounds.options(MAX_BYTES_BEFORE_AUTHENTICATION))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            patience_s = min(self._bounds.close_timeout_s, STRANGER_CLOSE_S)
            try:
                if await self._converse_avatar(request, websocket, principal):
                    patience_s = self._bounds.close_timeout_s
            except Exception:
                # The door logs it and cuts the connection; whose fault it is must be said before.
                _turn_away(websocket, _OUR_FAULT, openai=False)
                raise
            finally:
                await websocket.aclose(patience_s)  # noqa: ASYNC102 - shields itself, with a deadline
            nursery.cancel_scope.cancel()

    async def _converse_avatar(
        self, request: UpgradeRequest, websocket: WebSocket, in_handshake: Principal | None
    ) -> bool:
        """True if the client had a session, False if it was turned away."""
        try:
            extensions = _extensions(request)
            init = await self._first_frame(websocket)
            if not init.resume:
                await self._allowances.begin_session(request.client)
            principal = await self._identify(request, init, in_handshake)
            dialect = _named_dialect(init.dialect or "ga")
            client = self._client(websocket, request, dialect, openai=False)
            websocket.max_message_bytes = MAX_AVATAR_MESSAGE_BYTES
            if init.resume:
                origin = origin_of(request.headers)
                await self._registry.resume(client, init.resume, init.kb_id or None, principal, origin=origin)
                return True
            if principal is None:
                raise AssertionError("who does not resume was identified")
            wanted = SessionRequest(
                kb_id=principal.choose(init.kb_id or None),
                person=named_person(init.user or None, "user"),
                avatar_events=True,
                show_tools="tools" in extensions,
                voicerag_events="voicerag" in extensions,
                # Whoever comes without a credential is a page on this machine, most likely, and nobody's operator.
                settable=BROWSER_FIELDS if principal.kind == "open" else principal.settable,
                endpoint=request.path,
                principal=principal,
                resumable=True,
                room=self._allowances.room(principal, request.client),
                traceparent=request.headers.get("traceparent"),
                pace=self._allowances.pace(principal, request.client),
            )
            await self._registry.serve(client, wanted)
        except ConnectionLost as loss:
            if (code := refusal_code(loss)) is not None:
                self._refused(code, request)
            _log.debug("client left before its session began", client=request.client)
        except LiveAvatarError as fault:
            self._note(fault, request)
            _turn_away(websocket, fault, openai=False)
        else:
            return True
        return False

    async def _identify(
        self, request: UpgradeRequest, init: SessionInit, in_handshake: Principal | None
    ) -> Principal | None:
        """Who sent a first frame; None for one that comes back to its session and may have nothing but its token."""
        shown = init.credential
        if init.resume and (shown is None or self._policy.is_minted(shown)):
            # The resume token stands for what was minted: a ticket is spent, and a client secret may have expired. The
            # registry knows whether the session was opened with one of these.
            return in_handshake
        if shown is None:
            if in_handshake is None:
                raise missing_credential(IN_FRAME)
            return in_handshake
        principal = await self._policy.check_frame(request, shown)
        # A credential in the handshake was checked there; one in the frame must be right too, and the same one's.
        if in_handshake is not None and in_handshake.kind != "open" and in_handshake.account != principal.account:
            text = "The credential of the handshake and that of session.init are two people's. Send one of them."
            raise Unauthenticated(text, code="ambiguous_credential")
        _check_may_talk(principal)
        return principal

    async def _first_frame(self, websocket: WebSocket) -> SessionInit:
        self._registry.check_open()
        with trio.move_on_after(self._bounds.init_timeout_s) as waiting:
            self._waiting.add(waiting)
            try:
                message = await websocket.receive()
            finally:
                self._waiting.discard(waiting)
        if waiting.cancelled_caught:
            self._registry.check_open()
            text = f"No session.init came within {self._bounds.init_timeout_s:g} seconds."
            raise ClientFault(text, code="init_timeout", reason=EndReason.INIT_TIMEOUT)
        if not message.is_text:
            raise ClientFault("The first frame must be text.", code="invalid_event", reason=EndReason.BINARY)
        try:
            return decode_init(message.data)
        except InvalidEvent as error:
            raise ClientFault(error.detail.message, code=error.detail.code or "invalid_event") from None

    async def _serve_realtime(self, request: UpgradeRequest, upgrade: Upgrade) -> None:
        """All that is asked for stands in the handshake, so whoever cannot have it learns so by an HTTP status."""
        try:
            await self._allowances.begin_session(request.client)
            wanted = await self._realtime_request(request)
            async with self._registry.reserved(wanted) as serve:
                # Minutes of speech in one event are for programs; who holds what is made for pages has /ws's bound.
                is_page = wanted.settable is not None
                options = self._bounds.options(MAX_AVATAR_MESSAGE_BYTES if is_page else MAX_REALTIME_MESSAGE_BYTES)
                await self._converse_realtime(request, await upgrade.accept(options=options), serve)
        except LiveAvatarError as fault:
            self._note(fault, request)
            if _is_told_in_socket(fault, request):
                await self._tell_realtime(upgrade, fault)
            else:
                await _refuse(upgrade, refusal_of(fault))

    async def _converse_realtime(
        self, request: UpgradeRequest, websocket: WebSocket, serve: Callable[[ClientConnection], Awaitable[None]]
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            try:
                await serve(self._client(websocket, request, _dialect(request), openai=True))
            except LiveAvatarError as fault:
                self._note(fault, request)
                _turn_away(websocket, fault, openai=True)
            except Exception:
                _turn_away(websocket, _OUR_FAULT, openai=True)
                raise
            finally:
                await websocket.aclose(self._bounds.close_timeout_s)  # noqa: ASYNC102 - shields itself, with a deadline
            nursery.cancel_scope.cancel()

    async def _tell_realtime(self, upgrade: Upgrade, fault: LiveAvatarError) -> None:
        # Who is let in only to be told has not shown anything that would make it more than a stranger.
        websocket = await upgrade.accept(options=self._bounds.options(MAX_BYTES_BEFORE_AUTHENTICATION))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            _turn_away(websocket, fault, openai=True)
            await websocket.aclose(min(self._bounds.close_timeout_s, STRANGER_CLOSE_S))
            nursery.cancel_scope.cancel()

    async def _realtime_request(self, request: UpgradeRequest) -> SessionRequest:
        principal = await self._policy.admit(request)
        if principal is None:
            raise AssertionError("only avatars have a first frame for their credential")
        _check_may_talk(principal)
        extensions = _extensions(request)
        return SessionRequest(
            person=person_in_header(request.headers.get(SAFETY_IDENTIFIER)),
            kb_id=principal.choose(request.query.get("kb_id") or None),
            avatar_events="avatar" in extensions,
            show_tools="tools" in extensions,
            voicerag_events="voicerag" in extensions or request.path == VOICERAG_PATH,
            settable=principal.settable,
            endpoint=request.path,
            principal=principal,
            room=self._allowances.room(principal, request.client),
            traceparent=request.headers.get("traceparent"),
            pace=self._allowances.pace(principal, request.client),
        )

    def _client(
        self, websocket: WebSocket, request: UpgradeRequest, dialect: Dialect | None, *, openai: bool
    ) -> ClientSocket:
        return ClientSocket(
            websocket, openai=openai, dialect=dialect, refused=lambda code: self._refused(code, request)
        )

    def _note(self, fault: LiveAvatarError, request: UpgradeRequest) -> None:
        """Count who was turned away, and say so in a line or a sum; what was shown stands nowhere."""
        if not isinstance(fault, RateLimited):  # noted where it was raised
            self._refused(fault.code, request, why=fault.why if isinstance(fault, Unauthenticated) else None)

    def _refused(self, code: str, request: UpgradeRequest, *, why: str | None = None) -> None:
        self._allowances.refusals.note(code, request.client, why=why or code, path=request.path[:64])


def _check_may_talk(principal: Principal) -> None:
    if not principal.may("talk"):
        raise lacks_scope("talk")


def _is_told_in_socket(fault: LiveAvatarError, request: UpgradeRequest) -> bool:
    """Whether a client of the Realtime paths is let in to be told, in the service's own manner, why it may not stay."""
    # A page cannot read an HTTP status; and what a client asks for wrongly, it is told as the services tell it.
    in_page = any(name.startswith(KEY_SUBPROTOCOL) for name in request.subprotocols)
    return (in_page or fault.reason is EndReason.BAD_REQUEST) and not isinstance(fault, NotLocal)


def _dialect(request: UpgradeRequest) -> Dialect | None:
    """What a client of the Realtime paths speaks: as it says, else as its path suggests. None is GA."""
    if _BETA_SUBPROTOCOL in request.subprotocols or _BETA_HEADER in request.headers.tokens("openai-beta"):
        return Beta()
    return Undeclared() if request.path in PREVIEW_PATHS else None


def _named_dialect(name: str) -> Dialect | None:
    if name not in ("ga", "beta"):
        raise ClientFault(f"Unknown dialect '{name[:40]}'; there are 'ga' and 'beta'.", code="unsupported_dialect")
    return Beta() if name == "beta" else None


def _extensions(request: UpgradeRequest) -> frozenset[str]:
    extensions = frozenset(name.strip() for name in request.query.get("extensions", "").split(",") if name.strip())
    if unknown := extensions - _EXTENSIONS:
        text = f"Unknown extension '{min(unknown)[:40]}'; there are {', '.join(sorted(_EXTENSIONS))}."
        raise ClientFault(text, code="unknown_extension")
    return extensions


def _turn_away(websocket: WebSocket, fault: LiveAvatarError, *, openai: bool) -> None:
    """Says why in an ``error`` event, and closes with the code of the reason."""
    detail = ErrorDetail(type=error_type_of(fault), code=fault.code, message=fault.message)
    if fault.retry_after_s is not None:
        detail.retry_after = fault.retry_after_s
    websocket.send(encode(Error(event_id=_EVENT_ID, error=detail)))
    websocket.close(fault.reason.close_code(openai=openai), fault.message)


async def _refuse(upgrade: Upgrade, refusal: Refusal) -> None:
    await upgrade.refuse(refusal.status, refusal.body(), dict(refusal.headers))
