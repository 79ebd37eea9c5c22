"""A connection to a Realtime service over our own WebSocket; translates the transport's losses and refusals."""

import math
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import trio

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from protocol.realtime.codec import InvalidEvent, decode_server, read_head
from protocol.realtime.error_classes import ErrorClass, class_of_close, class_of_error, class_of_status
from protocol.realtime.server_events import Error
from server.transport.client import connect_websocket
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused
from server.transport.websocket import SLOW_CONSUMER, WebSocket, WebSocketOptions
from server.upstream.base import Origin, UpstreamLost, UpstreamRefused, UpstreamUnreachable
from server.upstream.credentials import Credential

# The service names no limit for its frames; a retrieved item with minutes of audio is the largest that is known.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# What OpenAI means by the codes that it closes a connection with in place of a greeting.
_CODE_OF_CLOSE: Mapping[int, str] = {3000: "invalid_api_key", 4000: "invalid_model", 4004: "model_not_found"}

# What keys look like, also where a service has starred out the middle: a prefix, or a long run without a blank.
_KEY_LIKE = re.compile(r"\b(?:sk|ek|key)[-_][\w*.-]+|[A-Za-z0-9*_-]{24,}")


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """Waits and bounds of upstream connections: seconds, and milliseconds of audio."""

    attempt_timeout_s: float
    ping_interval_s: float
    pong_timeout_s: float
    send_timeout_s: float
    audio_backlog_ms: float
    close_timeout_s: float

    def options(self) -> WebSocketOptions:
        """The same for the transport."""
        return WebSocketOptions(
            max_message_bytes=MAX_MESSAGE_BYTES,
            ping_interval_s=self.ping_interval_s,
            pong_timeout_s=self.pong_timeout_s,
            stall_s=self.send_timeout_s,
            max_audio_ms=self.audio_backlog_ms,
            audio_overflow="drop-oldest",
        )


class WebSocketConnection:
    """An open connection; see ``UpstreamConnection``."""

    def __init__(self, websocket: WebSocket, service: str, close_timeout_s: float) -> None:
        self._websocket = websocket
        self._service = service
        self._close_timeout_s = close_timeout_s
        self._greeting: bytes | None = None
        self.origin: Origin | None = None

    @property
    def on_audio_dropped(self) -> Callable[[float], None] | None:
        """See ``UpstreamConnection``."""
        return self._websocket.on_audio_dropped

    @on_audio_dropped.setter
    def on_audio_dropped(self, callback: Callable[[float], None] | None) -> None:
        self._websocket.on_audio_dropped = callback

    @property
    def waiting_bytes(self) -> int:
        """See ``UpstreamConnection``."""
        return self._websocket.waiting_bytes

    async def receive(self) -> bytes:
        """See ``UpstreamConnection``. Binary frames, which no such service sends, are passed over."""
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            await trio.lowlevel.checkpoint_if_cancelled()
            return greeting
        while True:
            try:
                message = await self._websocket.receive()
            except ConnectionLost as loss:
                raise _lost(self._service, loss) from None
            if message.is_text:
                return message.data

    async def greeting(self) -> bytes:
        """Waits for the first frame, which ``receive`` still gives; raises what that raises."""
        if self._greeting is None:
            self._greeting = await self.receive()
        return self._greeting

    def send(self, frame: bytes, *, audio_ms: float = 0.0) -> None:
        """See ``UpstreamConnection``."""
        self._websocket.send(frame, audio_ms=audio_ms)

    async def run(self) -> None:
        """See ``UpstreamConnection``."""
        await self._websocket.run()

    async def aclose(self) -> None:
        """See ``UpstreamConnection``."""
        self._websocket.close(1000)
        await self._websocket.aclose(self._close_timeout_s)

    def abandon(self) -> None:
        """Ends the connection at once, without a word."""
        self._websocket.abort()


def _lost(service: str, loss: ConnectionLost) -> UpstreamLost:
    if loss.by == "us" and loss.code == SLOW_CONSUMER:
        text, reason = f"{service} does not take what is sent to it.", EndReason.UPSTREAM_TOO_SLOW
        return UpstreamLost(text, close_code=loss.code, reason=reason)
    if loss.by == "peer":
        # Its reason is the service's own words, which may quote the key.
        text, said = f"{service} ended the connection with code {loss.code}.", _fit_for_the_log(loss.reason)
        return UpstreamLost(text, close_code=loss.code, said=said)
    # Ours, or the network's.
    why = f" ({loss.reason})" if loss.reason else ""
    return UpstreamLost(f"The connection to {service} was lost{why}.", close_code=loss.code)


async def open_connection(
    url: str,
    credential: Credential | None,
    *,
    service: str,
    hints: Mapping[int | str, str],
    bounds: ConnectionBounds,
    refuses_by_event: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> WebSocketConnection:
    """Opens a connection once, within ``bounds.attempt_timeout_s``; to get a credential may take as long before.

    Args:
        service: what is connected to, for messages.
        hints: for an HTTP status or an error's code, where the operator should look.
        refuses_by_event: the service says no with an ``error`` event in place of its greeting, so that is waited for.

    Raises:
        UpstreamRefused: the service answered with another status than 101, or refused by an event.
        UpstreamUnreachable: it did not answer.
        NoCredential: there is no credential to be had, so nobody was asked.
    """
    # Has a deadline of its own, and faults that are not the service's.
    headers = {} if credential is None else dict([await credential.header(timeout_s=bounds.attempt_timeout_s)])
    give_up_at = trio.current_time() + bounds.attempt_timeout_s
    with trio.move_on_at(give_up_at):
        connection = await _shake_hands(
            url, headers, service=service, hints=hints, bounds=bounds, give_up_at=give_up_at, ssl_context=ssl_context
        )
        if refuses_by_event:
            await _greeted(connection, service, hints)
        return connection
    raise UpstreamUnreachable(
        f"{service} did not answer within {bounds.attempt_timeout_s:g} seconds.",
        code="upstream_timeout",
        reason=EndReason.UPSTREAM_TOO_SLOW,
        retryable=True,
    )


async def _shake_hands(
    url: str,
    headers: Mapping[str, str],
    *,
    service: str,
    hints: Mapping[int | str, str],
    bounds: ConnectionBounds,
    give_up_at: float,
    ssl_context: ssl.SSLContext | None,
) -> WebSocketConnection:
    try:
        websocket = await connect_websocket(
            url,
            headers=headers,
            ssl_context=ssl_context,
            options=bounds.options(),
            deadline_s=max(0.0, give_up_at - trio.current_time()),
        )
    except HandshakeRefused as refusal:
        raise UpstreamRefused(
            f"{service} refused the connection with HTTP {refusal.status}. {hints.get(refusal.status, '')}".rstrip(),
            code=f"upstream_http_{refusal.status}",
            retryable=class_of_status(refusal.status) is ErrorClass.RETRY,
            retry_after_s=_seconds(refusal.headers.get("retry-after")),
            said=_message_in(refusal.body_prefix),
        ) from None
    except ConnectFailed as failure:
        reason = EndReason.UPSTREAM_UNAVAILABLE
        raise UpstreamUnreachable(
            f"{service} cannot be reached: {failure.text}.", code="upstream_unreachable", reason=reason, retryable=True
        ) from None
    return WebSocketConnection(websocket, service, bounds.close_timeout_s)


async def _greeted(connection: WebSocketConnection, service: str, hints: Mapping[int | str, str]) -> None:
    """Returns when the service has greeted; a connection on which it did not is closed."""
    try:
        refusal = _refusal_in(await connection.greeting(), service, hints)
    except UpstreamLost as loss:
        code = _CODE_OF_CLOSE.get(loss.close_code or 0, "")
        refusal = UpstreamRefused(
            f"{loss.message} {hints.get(code, '')}".rstrip(),
            code=f"upstream_{code}" if code else loss.code,
            retryable=class_of_close(loss.close_code) is not ErrorClass.FATAL,
            said=loss.said,
        )
    except BaseException:
        connection.abandon()
        raise
    if refusal is not None:
        await connection.aclose()
        raise refusal


def _refusal_in(frame: bytes, service: str, hints: Mapping[int | str, str]) -> UpstreamFault | None:
    try:
        event = decode_server(frame, read_head(frame))
    except InvalidEvent:
        return None
    if not isinstance(event, Error):
        return None
    code = event.error.code or event.error.type
    return UpstreamRefused(
        f"{service} refused the session ({_KEY_LIKE.sub('***', code)}). {hints.get(code, '')}".rstrip(),
        code=f"upstream_{_KEY_LIKE.sub('***', code)}",
        retryable=class_of_error(event.error.type, event.error.code) is ErrorClass.RETRY,
        said=_fit_for_the_log(event.error.message),
    )


class _Told(msgspec.Struct):
    message: str = ""


class _Body(msgspec.Struct):
    error: _Told | None = None


def _message_in(body: bytes) -> str:
    """The service's own words in a refusal's JSON body, "" if none; bounded, and without the keys it may quote."""
    try:
        told = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if told is None:
        return ""
    return _fit_for_the_log(told.message)


def _fit_for_the_log(text: str) -> str:
    return _KEY_LIKE.sub("***", "".join(char for char in text if char.isprintable()))[:300]


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds; its date form is not used by these services."""
    try:
        seconds = float(retry_after) if retry_after is not None else math.nan
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
