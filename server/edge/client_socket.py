"""A client's WebSocket as a session sees it; translates the transport's losses into endings, and dialects into GA."""

import itertools
from collections.abc import Callable

from protocol.endings import EndReason
from protocol.realtime.codec import InvalidEvent, encode
from protocol.realtime.dialects.dialect import Dialect
from protocol.realtime.server_events import Error, ErrorDetail
from server.security.pace import ClientPace
from server.security.refusals import RateLimited
from server.session.base import ClientGone
from server.transport.errors import ConnectionLost
from server.transport.websocket import TOO_MANY_FRAMES, Message, WebSocket

# What our own side closed for, and what that means for the session.
_OUR_CODES = {
    1002: EndReason.PROTOCOL_ERROR,
    1007: EndReason.BAD_UTF8,
    1009: EndReason.TOO_BIG,
    4413: EndReason.SLOW_CONSUMER,
    4429: EndReason.RATE_LIMITED,
}
# What the transport itself ends a connection for is a refusal too, and is counted under these names.
_REFUSALS = {
    1002: EndReason.PROTOCOL_ERROR.label,
    1007: EndReason.BAD_UTF8.label,
    1009: EndReason.TOO_BIG.label,
    TOO_MANY_FRAMES: "frame_rate_limit",
}
# Close codes of a client that means to go. 1005: it closed without a code, as browsers do.
_MEANT_TO_GO = frozenset({1000, 1001, 1005})
# Ids of errors that a dialect gave; no session knows them.
_REFUSED_ID = "event_la_dialect_"
_TOO_FAST_ID = "event_la_too_fast"


class ClientSocket:
    """Implements ``ClientConnection`` over a WebSocket.

    Args:
        openai: the client came by a drop-in endpoint and knows the services' own close codes.
        dialect: what it speaks; None is GA. What the dialect refuses is answered here, and the session never sees it.
        refused: is told the code of whatever the connection is ended for here.
    """

    def __init__(
        self,
        websocket: WebSocket,
        *,
        openai: bool,
        dialect: Dialect | None = None,
        refused: Callable[[str], None] = lambda _code: None,
    ) -> None:
        self._websocket = websocket
        self._openai = openai
        self._dialect = dialect
        self._pace: ClientPace | None = None
        self._is_closed = False
        self._tell_refused = refused
        self._refused = itertools.count(1)

    def keep_pace(self, pace: ClientPace) -> None:
        """See ``ClientConnection``. Who sends faster is told so, and its connection and session end."""
        self._pace = pace

    async def receive(self) -> Message:
        """See ``ClientConnection``."""
        while True:
            try:
                message = await self._websocket.receive()
            except ConnectionLost as loss:
                if not self._is_closed and (code := refusal_code(loss)) is not None:
                    self._tell_refused(code)
                raise _gone(loss) from None
            if self._pace is not None:
                try:
                    self._pace.check(message.data)
                except RateLimited as fault:
                    raise self._too_fast(fault) from None
            if self._dialect is None or not message.is_text:
                return message
            try:
                return Message(self._dialect.to_server(message.data), is_text=True)
            except InvalidEvent as refused:
                event_id = f"{_REFUSED_ID}{next(self._refused)}"
                self._websocket.send(encode(Error(event_id=event_id, error=refused.detail)))

    def _too_fast(self, fault: RateLimited) -> ClientGone:
        self._tell_refused(fault.code)
        detail = ErrorDetail(type=fault.error_type, code=fault.code, message=fault.message)
        detail.retry_after = fault.retry_after_s or 1.0
        self._websocket.send(encode(Error(event_id=_TOO_FAST_ID, error=detail)))
        self.close(fault.reason, fault.message)
        return ClientGone(fault.reason, fault.message)

    def send(self, frame: bytes, *, item_id: str | None = None, audio_ms: float = 0.0) -> None:
        """See ``ClientConnection``."""
        if self._dialect is None:
            self._websocket.send(frame, item_id=item_id, audio_ms=audio_ms)
            return
        for told in self._dialect.to_client(frame):
            self._websocket.send(told, item_id=item_id, audio_ms=audio_ms)

    @property
    def waiting_bytes(self) -> int:
        """See ``ClientConnection``."""
        return self._websocket.waiting_bytes

    def purge(self, item_id: str) -> None:
        """See ``ClientConnection``."""
        self._websocket.purge(item_id)

    def close(self, reason: EndReason, message: str) -> None:
        """See ``ClientConnection``. The message is cut to what a close frame holds."""
        self._is_closed = True
        self._websocket.close(reason.close_code(openai=self._openai), message)


def refusal_code(loss: ConnectionLost) -> str | None:
    """What a connection was ended for that nobody closed but the transport; None if that refused nothing."""
    return _REFUSALS.get(loss.code or 0) if loss.by == "us" else None


def _gone(loss: ConnectionLost) -> ClientGone:
    if loss.by == "us":
        reason = _OUR_CODES.get(loss.code or 0, EndReason.CLIENT_LOST)
        return ClientGone(reason, reason.text if reason is not EndReason.CLIENT_LOST else loss.reason)
    if loss.by == "peer" and loss.code in _MEANT_TO_GO:
        return ClientGone(EndReason.COMPLETED, f"The client closed the connection with code {loss.code}.")
    return ClientGone(EndReason.CLIENT_LOST, f"The client's connection was lost (code {loss.code}).")
