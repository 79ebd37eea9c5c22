"""Lets WebSocket clients in: which endpoint, which credential, which knowledge base; then hands them to a session.

Before a client is let in nothing of a session happens, and it may send one frame of 64 KiB.
"""

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
from server.edge.access import KEY_SUBPROTOCOL, AccessPolicy
from server.edge.answers import Refusal
from server.edge.client_socket import ClientSocket
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.session.base import SessionRequest
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
MAX_AVATAR_MESSAGE_BYTES = 1024 * 1024
# The service takes 15 MiB of audio in one append, which is 20 MiB of base64 and a little JSON around it.
MAX_REALTIME_MESSAGE_BYTES = 21 * 1024 * 1024

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
        )


class Admission:
    """Handles each WebSocket from its handshake to its end; ``on_websocket`` is the door's handler."""

    def __init__(self, policy: AccessPolicy, registry: SessionRegistry, bounds: ClientBounds) -> None:
        self._policy = policy
        self._registry = registry
        self._bounds = bounds
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
            await _refuse(upgrade, Refusal(404, "unknown_path", f"WebSockets are served at {paths}."))

    async def _serve_avatar(self, request: UpgradeRequest, upgrade: Upgrade) -> None:
        if refusal := self._policy.check_request(request, credential_may_follow=True):
            await _refuse(upgrade, refusal)
            return
        websocket = await upgrade.accept(options=self._bounds.options(MAX_BYTES_BEFORE_AUTHENTICATION))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            try:
                await self._converse_avatar(request, websocket)
            except Exception:
                # The door logs it and cuts the connection; whose fault it is must be said before.
                _turn_away(websocket, _OUR_FAULT, openai=False)
                raise
            finally:
                await websocket.aclose(self._bounds.close_timeout_s)  # noqa: ASYNC102 - shields itself, with a deadline
            nursery.cancel_scope.cancel()

    async def _converse_avatar(self, request: UpgradeRequest, websocket: WebSocket) -> None:
        try:
            extensions = _extensions(request)
            init = await self._first_frame(websocket)
            self._check_credential(request, init)
            dialect = _named_dialect(init.dialect or "ga")
            websocket.max_message_bytes = MAX_AVATAR_MESSAGE_BYTES
            wanted = SessionRequest(
                kb_id=init.kb_id or None,
                avatar_events=True,
                show_tools="tools" in extensions,
                voicerag_events="voicerag" in extensions,
                settable=None if self._policy.needs_credential else BROWSER_FIELDS,
                endpoint=request.path,
                resumable=True,
            )
            client = ClientSocket(websocket, openai=False, dialect=dialect)
            if init.resume:
                await self._registry.resume(client, init.resume, wanted.kb_id)
            else:
                await self._registry.serve(client, wanted)
        except ConnectionLost:
            _log.debug("client left before its session began", peer=str(request.peer))
        except LiveAvatarError as fault:
            _turn_away(websocket, fault, openai=False)

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

    def _check_credential(self, request: UpgradeRequest, init: SessionInit) -> None:
        # A credential in the handshake was checked there; one in the frame must be right too.
        in_handshake = self._policy.check_request(request, credential_may_follow=False) is None
        if init.credential is None and in_handshake:
            return
        if not self._policy.check_credential(init.credential):
            code = "missing_api_key" if init.credential is None else "invalid_api_key"
            text = "A credential is needed: token in session.init." if init.credential is None else "Wrong credential."
            raise ClientFault(text, code=code, reason=EndReason.NOT_AUTHENTICATED)

    async def _serve_realtime(self, request: UpgradeRequest, upgrade: Upgrade) -> None:
        refusal = self._policy.check_request(request, credential_may_follow=False)
        # A page cannot read an HTTP status, so it is let in to be told, in the service's own manner.
        in_page = any(name.startswith(KEY_SUBPROTOCOL) for name in request.subprotocols)
        if refusal is not None and not (in_page and refusal.status == 401):
            await _refuse(upgrade, refusal)
            return
        websocket = await upgrade.accept(options=self._bounds.options(MAX_REALTIME_MESSAGE_BYTES))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(websocket.run)
            try:
                if refusal is not None:
                    reason = EndReason.NOT_AUTHENTICATED
                    raise ClientFault(refusal.message, code=refusal.code, reason=reason)
                client = ClientSocket(websocket, openai=True, dialect=_dialect(request))
                await self._registry.serve(client, self._realtime_request(request))
            except LiveAvatarError as fault:
                _turn_away(websocket, fault, openai=True)
            except Exception:
                _turn_away(websocket, _OUR_FAULT, openai=True)
                raise
            finally:
                await websocket.aclose(self._bounds.close_timeout_s)  # noqa: ASYNC102 - shields itself, with a deadline
            nursery.cancel_scope.cancel()

    def _realtime_request(self, request: UpgradeRequest) -> SessionRequest:
        extensions = _extensions(request)
        return SessionRequest(
            kb_id=request.query.get("kb_id") or None,
            avatar_events="avatar" in extensions,
            show_tools="tools" in extensions,
            voicerag_events="voicerag" in extensions or request.path == VOICERAG_PATH,
            settable=None,
            endpoint=request.path,
        )


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
    detail = ErrorDetail(type=fault.error_type, code=fault.code, message=fault.message)
    if fault.reason is EndReason.NOT_AUTHENTICATED:
        detail.type = "authentication_error"
    if fault.retry_after_s is not None:
        detail.retry_after = fault.retry_after_s
    websocket.send(encode(Error(event_id=_EVENT_ID, error=detail)))
    websocket.close(fault.reason.close_code(openai=openai), fault.message)


async def _refuse(upgrade: Upgrade, refusal: Refusal) -> None:
    await upgrade.refuse(refusal.status, refusal.body(), dict(refusal.headers))
