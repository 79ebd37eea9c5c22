"""A client's connection to the avatar endpoint: opens it, introduces itself, asks, cancels. Prints nothing."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from protocol.avatar.events import SessionInit
from protocol.realtime.base import UNSET
from protocol.realtime.client_events import ConversationItemCreate, ResponseCancel, ResponseCreate
from protocol.realtime.codec import encode
from protocol.realtime.items import ContentPart, Item
from server.cli.command import CommandFailed
from server.cli.endings import connect_failed, connection_lost, handshake_refused, shown_url
from server.secret import Secret
from server.transport.client import connect_websocket
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused
from server.transport.websocket import WebSocket, WebSocketOptions

# What a server sends in one event stays far below this, an audio delta for one below 100 KiB.
MAX_EVENT_BYTES = 16 * 1024 * 1024
# A person waits for it.
CLOSE_S = 2.0


class AvatarConnection:
    """An open connection on which ``session.init`` was sent."""

    def __init__(self, websocket: WebSocket, url: str) -> None:
        self._websocket = websocket
        self._url = url
        self._numbers = itertools.count(1)

    async def receive(self) -> bytes:
        """The next event, undecoded.

        Cancelling it loses nothing. Raises CommandFailed when the connection has ended, with the reason in words.
        """
        try:
            while True:
                message = await self._websocket.receive()
                if message.is_text:
                    return message.data
        except ConnectionLost as loss:
            raise CommandFailed(connection_lost(loss, self._url)) from None

    def ask(self, question: str) -> frozenset[str]:
        """Add a typed question to the conversation and ask for an answer; the ids of the two events."""
        number = next(self._numbers)
        item_event, answer_event = f"talk_question_{number}", f"talk_answer_{number}"
        content = [ContentPart(type="input_text", text=question)]
        item = Item(type="message", role="user", content=content)
        self._websocket.send(encode(ConversationItemCreate(event_id=item_event, item=item)))
        self._websocket.send(encode(ResponseCreate(event_id=answer_event)))
        return frozenset((item_event, answer_event))

    def cancel(self) -> None:
        """Ask for the end of the answer that is being given."""
        self._websocket.send(encode(ResponseCancel()))


@asynccontextmanager
async def connect_avatar(
    url: str, *, kb_id: str | None, key: Secret | None, timeout_s: float
) -> AsyncIterator[AvatarConnection]:
    """A connection to the avatar endpoint at ``url`` that is closed properly when the block is left.

    Raises CommandFailed, with what to do about it, if there is none within ``timeout_s`` seconds.
    """
    try:
        websocket = await connect_websocket(
            url, options=WebSocketOptions(max_message_bytes=MAX_EVENT_BYTES), deadline_s=timeout_s
        )
    except HandshakeRefused as refusal:
        raise CommandFailed(handshake_refused(refusal, url)) from None
    except ConnectFailed as failure:
        raise CommandFailed(connect_failed(failure, url)) from None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(websocket.run)
        try:
            websocket.send(encode(SessionInit(kb_id=kb_id or UNSET, token=key.reveal() if key else UNSET)))
            yield AvatarConnection(websocket, shown_url(url))
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await websocket.aclose(CLOSE_S)
            nursery.cancel_scope.cancel()
