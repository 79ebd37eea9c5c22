"""A client's connection to the avatar endpoint: opens it, asks, and comes back when it is lost. Prints nothing."""

import itertools
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import trio

from protocol.avatar.events import AvatarSession, SessionInit
from protocol.realtime.base import UNSET
from protocol.realtime.client_events import (
    ConversationItemCreate,
    ConversationItemRetrieve,
    ResponseCancel,
    ResponseCreate,
)
from protocol.realtime.codec import InvalidEvent, encode, read_head
from protocol.realtime.items import ContentPart, Item
from server.cli.command import CommandFailed
from server.cli.endings import (
    connect_failed,
    connection_lost,
    handshake_refused,
    may_resume,
    must_begin_anew,
    shown_url,
)
from server.cli.resumption import Resumption
from server.secret import Secret
from server.transport.client import connect_websocket
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused
from server.transport.websocket import WebSocket, WebSocketOptions

# What a server sends in one event stays far below this, an audio delta for one below 100 KiB.
MAX_EVENT_BYTES = 16 * 1024 * 1024
# A person waits for it.
CLOSE_S = 2.0
# Waits between tries to come back: chosen at random below these, for whoever was lost was lost together.
_BACK_OFF_S = (0.25, 0.5, 1.0, 2.0, 4.0)
_GREETING = "avatar.session"


class ConnectionBroke(Exception):
    """The connection is lost, and the conversation may go on by another one; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way: its item, and the events that carry it."""

    item_id: str
    event_ids: frozenset[str]


class AvatarConnection:
    """The connection of one conversation; ``resume`` replaces one that was lost."""

    def __init__(self, url: str, nursery: trio.Nursery, *, kb_id: str | None, key: Secret | None, timeout_s: float):
        self._url = url
        self._nursery = nursery
        self._kb_id = kb_id
        self._key = key
        self._timeout_s = timeout_s
        self._websocket: WebSocket | None = None
        self._resumption = Resumption()
        self._greeted = False
        self._arrived: deque[bytes] = deque()
        self._going_away_s = 0.0
        self._numbers = itertools.count(1)

    # Opening

    async def open(self, timeout_s: float) -> None:
        """Connect and introduce ourselves, as who we were if there is a session to come back to.

        Raises CommandFailed, with what to do about it, if there is no connection within ``timeout_s`` seconds.
        """
        if self._websocket is not None:
            self._websocket.abort()
        options = WebSocketOptions(max_message_bytes=MAX_EVENT_BYTES)
        try:
            self._websocket = await connect_websocket(self._url, options=options, deadline_s=timeout_s)
        except HandshakeRefused as refusal:
            raise CommandFailed(handshake_refused(refusal, self._url)) from None
        except ConnectFailed as failure:
            raise CommandFailed(connect_failed(failure, self._url)) from None
        self._nursery.start_soon(self._websocket.run)
        self._greeted = False
        claim = self._resumption.claim()
        self._send(
            SessionInit(
                kb_id=self._kb_id or UNSET,
                token=self._key.reveal() if self._key else UNSET,
                resume=claim if claim is not None else UNSET,
            )
        )

    async def resume(self) -> None:
        """Connect again and claim the session; begin a new one where the server knows it no more.

        The server's greeting, which ``receive`` gives next, says which of them it is. Raises CommandFailed when there
        is no connection within the server's window for it, or within the longest wait of this command.
        """
        patience_s = min(self._resumption.window_s, self._timeout_s)
        give_up_at = trio.current_time() + patience_s
        going_away_s, self._going_away_s = self._going_away_s, 0.0
        for attempt in itertools.count():
            longest_s = (
                going_away_s if not attempt and going_away_s else _BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)]
            )
            await trio.sleep(min(random.uniform(0, longest_s), max(0.0, give_up_at - trio.current_time())))  # noqa: S311
            try:
                await self._try_to_resume(max(0.1, give_up_at - trio.current_time()))
            except _Refused:
                raise
            except (CommandFailed, ConnectionBroke) as failure:
                if trio.current_time() >= give_up_at:
                    message = f"The conversation could not be resumed within {patience_s:g} s."
                    raise CommandFailed(message, str(failure)) from None
            else:
                return

    async def _try_to_resume(self, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            await self.open(timeout_s)
            try:
                await self._await_greeting()
            except ConnectionLost as loss:
                if not must_begin_anew(loss):
                    raise self._ended(loss) from None
                self._resumption.forget()
                await self.open(timeout_s)
            return
        raise ConnectionBroke(f"{shown_url(self._url)} did not answer in time.")

    async def _await_greeting(self) -> None:
        while True:
            frame = await self._next()
            self._arrived.append(frame)
            try:
                if read_head(frame).type == _GREETING:
                    return
            except InvalidEvent:
                return  # whoever reads it next says so

    def _ended(self, loss: ConnectionLost) -> "CommandFailed | ConnectionBroke":
        words = connection_lost(loss, shown_url(self._url))
        return ConnectionBroke(words) if may_resume(loss) else _Refused(words)

    # Receiving

    async def receive(self) -> bytes:
        """The next event, undecoded.

        Cancelling it loses nothing. When the connection has ended, it raises ConnectionBroke if ``resume`` may help,
        else CommandFailed; both with the reason in words.
        """
        if self._arrived:
            await trio.lowlevel.checkpoint()
            return self._arrived.popleft()
        try:
            return await self._next()
        except ConnectionLost as loss:
            if self._resumption.claim() is None:
                raise CommandFailed(connection_lost(loss, shown_url(self._url))) from None
            raise self._ended(loss) from None

    async def _next(self) -> bytes:
        if self._websocket is None:
            raise AssertionError("it is opened before anything is received")
        while True:
            message = await self._websocket.receive()
            if message.is_text:
                return message.data

    def is_new(self, event_type: str, event_id: str | None) -> bool:
        """Whether an event that came is no repetition; it is the place to come back to from now on."""
        # Before the greeting an event belongs to no session yet, and is no place in one.
        self._greeted = self._greeted or event_type == _GREETING
        return self._resumption.is_new(event_id) if self._greeted else True

    def welcomed(self, session: AvatarSession) -> None:
        """The server's greeting came."""
        self._resumption.welcomed(session)

    def going_away(self, within_s: float) -> None:
        """The server will close, and asks to come back within this time."""
        self._going_away_s = within_s

    # Sending: what is sent while there is no connection is lost, as it is when a connection is about to break

    def _send(self, event: msgspec.Struct) -> None:
        if self._websocket is not None:
            self._websocket.send(encode(event))

    def ask(self, question: str, item_id: str | None = None) -> Asked:
        """Add a typed question to the conversation, under an id of its own, and ask for an answer."""
        item_id = item_id or f"item_talk_{secrets.token_hex(8)}"
        event_id = self._name("question")
        content = [ContentPart(type="input_text", text=question)]
        item = Item(id=item_id, type="message", role="user", content=content)
        self._send(ConversationItemCreate(event_id=event_id, item=item))
        return Asked(item_id, frozenset((event_id, self.ask_for_answer())))

    def ask_for_answer(self) -> str:
        """Ask for an answer to what was said already; the event's id."""
        event_id = self._name("answer")
        self._send(ResponseCreate(event_id=event_id))
        return event_id

    def look_up(self, item_id: str) -> str:
        """Ask whether the server has an item: it answers behind all that it had to say before. The event's id."""
        event_id = self._name("item")
        self._send(ConversationItemRetrieve(event_id=event_id, item_id=item_id))
        return event_id

    def cancel(self) -> None:
        """Ask for the end of the answer that is being given."""
        self._send(ResponseCancel())

    def _name(self, what: str) -> str:
        return f"talk_{what}_{next(self._numbers)}"

    async def close(self) -> None:
        """Say goodbye properly."""
        if self._websocket is not None:
            with trio.move_on_after(CLOSE_S, shield=True):
                await self._websocket.aclose(CLOSE_S)


class _Refused(CommandFailed):
    """To try again would not help."""


@asynccontextmanager
async def connect_avatar(
    url: str, *, kb_id: str | None, key: Secret | None, timeout_s: float
) -> AsyncIterator[AvatarConnection]:
    """A connection to the avatar endpoint at ``url`` that is closed properly when the block is left.

    ``timeout_s``: the longest wait for a connection, also for another one when it is lost. Raises CommandFailed, with
    what to do about it, if there is none.
    """
    async with trio.open_nursery() as nursery:
        connection = AvatarConnection(url, nursery, kb_id=kb_id, key=key, timeout_s=timeout_s)
        await connection.open(timeout_s)
        try:
            yield connection
        finally:
            await connection.close()  # noqa: ASYNC102 - the transport shields its own close, with a deadline
            nursery.cancel_scope.cancel()
