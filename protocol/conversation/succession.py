"""The connections to the service, one after the other: opening, rebuilding, standing by, taking over.

One connection is current. Before it comes to its end a successor is opened and told the conversation ahead; it takes
over between two turns. One that is lost is replaced while the client waits. Nothing that is heard of a connection that
is over counts: ``of`` knows it no more, and that is the one place where the ids of old connections are discarded.
"""

import enum
from dataclasses import dataclass, field

from protocol.conversation.actions import Connect, Disconnect, Ignored, SetDeadline
from protocol.conversation.configuration import Configuration
from protocol.conversation.history import History
from protocol.conversation.limits import Limits
from protocol.conversation.notes import ANCHOR
from protocol.conversation.outlet import Outlet
from protocol.conversation.visibility import HiddenItems
from protocol.realtime.codec import Head

OPENING_DEADLINE = "opening"
STANDBY_OPENING_DEADLINE = "standby_opening"
ROLLOVER_DEADLINE = "rollover"
RECONNECT_DEADLINE = "reconnect"
# Seconds from an open connection to the service's confirmation of our configuration.
OPENING_DEADLINE_S = 10.0
# A connection that lived this long was a good one: what was lost before it does not count any more.
STABLE_S = 10.0
# Waits between connections that are lost as soon as they are there.
_QUICK_LOSS_S = 0.2
_QUICK_LOSS_MAX_S = 5.0
# Waits between tries for a standby connection; there is no hurry as long as the current one lives.
_STANDBY_RETRY_S = 5.0
_STANDBY_RETRY_MAX_S = 60.0
# What is left of a connection's time when its successor takes over whatever is being said.
FORCED_S = 5.0


class Phase(enum.Enum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    OPENING = "opening"  # open, and our configuration is not confirmed
    READY = "ready"


@dataclass(slots=True, eq=False)
class Connection:
    """A connection. Times are in seconds of the machine's clock.

    Attributes:
        expires_at: when the service will end it, if it said so.
        opening_id: the event that carried our configuration.
        own_updates: configurations of ours that it has not confirmed; they come before any of the client's.
        configured: the version of the configuration it was sent.
        created_event_id: of the service's greeting.
        known: the items it holds, and in which version.
        echoes: items it was told by us, whose placing the client must not see.
        deletions: items it was told to delete by us, and has not.
        deleted: those that it has; a service may say so twice.
        last_told: the last item it was told before it could stand by.
        transcription_model: what transcribes speech there; None is what the session is configured with.
        paused: it was told to answer nothing by itself for want of money.
    """

    number: int
    phase: Phase = Phase.CONNECTING
    opened_at: float = 0.0
    expires_at: float | None = None
    opening_id: str = ""
    own_updates: int = 0
    configured: int = 0
    created_event_id: str | None = None
    known: dict[str, int] = field(default_factory=dict)
    echoes: set[str] = field(default_factory=set)
    deletions: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    last_told: str | None = None
    transcription_model: str | None = None
    paused: bool = False


class Succession:
    """The current connection of one conversation, and the one that will follow it."""

    def __init__(
        self, outlet: Outlet, configuration: Configuration, history: History, hidden: HiddenItems, limits: Limits
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._history = history
        self._hidden = hidden
        self._limits = limits
        self._count = 0
        self.current: Connection | None = None
        self.standby: Connection | None = None
        # A connection has been confirmed once: from then on the session outlives its connections.
        self.was_confirmed = False
        self._wall_offset = 0.0
        self._give_up_at: float | None = None
        self._losses = 0
        self._standby_failures = 0

    def of(self, number: int) -> Connection | None:
        """The connection of this number, if it still counts."""
        for connection in (self.current, self.standby):
            if connection is not None and connection.number == number:
                return connection
        return None

    @property
    def numbers(self) -> list[int]:
        """Of the connections that count."""
        return [connection.number for connection in (self.current, self.standby) if connection is not None]

    def was_asked_for(self, number: int) -> bool:
        """Whether there is or was a connection of this number."""
        return 0 < number <= self._count

    # Opening

    def start(self) -> None:
        """Asks for the first connection."""
        self.current = self._connect(None)

    def _connect(self, patience_s: float | None) -> Connection:
        self._count += 1
        self._outlet.do(Connect(self._count, patience_s))
        return Connection(self._count)

    def opened(self, connection: Connection, wall: float) -> None:
        """A connection is open. It is configured and told the conversation; the current one also all that waits.

        ``wall`` is the time of day in Unix seconds: services say in it when a session expires.
        """
        now = self._outlet.now
        self._wall_offset = now - wall
        connection.phase, connection.opened_at = Phase.OPENING, now
        self._configure(connection)
        if self.was_confirmed:
            self._tell(connection)
            self._anchor(connection)
        if connection is self.current:
            self._outlet.open_upstream(connection.number)
            self._outlet.do(SetDeadline(OPENING_DEADLINE, now + OPENING_DEADLINE_S))
        else:
            self._outlet.do(SetDeadline(STANDBY_OPENING_DEADLINE, now + OPENING_DEADLINE_S))

    def _configure(self, connection: Connection) -> None:
        connection.opening_id = self._outlet.new_event_id()
        connection.own_updates += 1
        connection.configured = self._configuration.version
        connection.paused = self._configuration.paused
        session = self._configuration.opening_session(connection.transcription_model)
        update = {"type": "session.update", "event_id": connection.opening_id, "session": session}
        self._outlet.send_once(update, connection.number)

    def tell_whether_to_answer(self) -> None:
        """The current connection is told whether it answers by itself, if that has changed."""
        current, wanted = self.current, self._configuration.paused
        if current is None or current.phase is Phase.CONNECTING or current.paused == wanted:
            return
        current.paused = wanted
        event_id = self._outlet.new_event_id()
        if (session := self._configuration.answering(event_id)) is not None:
            update = {"type": "session.update", "event_id": event_id, "session": session}
            self._outlet.send_once(update, current.number)

    def _tell(self, connection: Connection) -> None:
        """Brings a connection to the present state of the conversation."""
        underway = {kept.key for kept in self._outlet.journal if kept.kind == "conversation.item.create" and kept.key}
        for event in self._history.sync(connection.known, avoid=underway):
            if event["type"] == "conversation.item.create":
                item_id = event["item"]["id"]
                entry = self._history.get(item_id)
                # Speech that was lost before it was placed: the client sees that now.
                if entry is not None and entry.is_placed:
                    connection.echoes.add(item_id)
            else:
                connection.deletions.append(event["item_id"])
            self._outlet.send_once({**event, "event_id": self._outlet.new_event_id()}, connection.number)

    def _anchor(self, connection: Connection) -> None:
        item_id = self._outlet.new_item_id()
        self._hidden.hide(item_id)
        connection.echoes.add(item_id)
        connection.last_told = item_id
        content = [{"type": "input_text", "text": ANCHOR}]
        self._outlet.send_once(
            {
                "type": "conversation.item.create",
                "event_id": self._outlet.new_event_id(),
                "item": {"id": item_id, "type": "message", "role": "system", "content": content},
            },
            connection.number,
        )

    def greeted(self, connection: Connection, event_id: str, expires_at: int | None) -> None:
        """The service's first word. ``expires_at`` in Unix seconds."""
        connection.created_event_id = event_id
        self.expires(connection, expires_at)

    def expires(self, connection: Connection, expires_at: int | None) -> None:
        """The service says when it will end this connection."""
        if expires_at:
            connection.expires_at = expires_at + self._wall_offset

    def confirmed_own(self, connection: Connection) -> bool:
        """The service says what the session is now. True if that answers us, and not the client."""
        if not connection.own_updates:
            return False
        connection.own_updates -= 1
        if connection is self.current and connection.phase is Phase.OPENING:
            connection.phase = Phase.READY
            self.was_confirmed = True
            self._outlet.do(SetDeadline(OPENING_DEADLINE, None))
            self._plan_rollover(connection)
        return True

    # What is heard of a standby connection

    def standing_by(self, connection: Connection, head: Head, item_id: str | None) -> None:
        """The standby connection said something that matters: it is confirmed, or holds what it was told."""
        if head.type == "session.updated":
            self.confirmed_own(connection)
        if item_id is not None:
            if item_id in self._history:
                connection.echoes.discard(item_id)
            if item_id == connection.last_told:
                connection.last_told = None
        if connection.phase is Phase.OPENING and not connection.own_updates and connection.last_told is None:
            connection.phase = Phase.READY
            self._standby_failures = 0
            self._outlet.do(SetDeadline(STANDBY_OPENING_DEADLINE, None))

    def lose_standby(self, why: str) -> None:
        """The standby connection failed; another is tried for a little later."""
        if self.standby is None:
            return
        self._outlet.do(Ignored("upstream", "standby", why))
        self._outlet.do(Disconnect(self.standby.number))
        self._outlet.do(SetDeadline(STANDBY_OPENING_DEADLINE, None))
        self.standby = None
        wait_s = min(_STANDBY_RETRY_S * 2**self._standby_failures, _STANDBY_RETRY_MAX_S)
        self._standby_failures += 1
        self._outlet.do(SetDeadline(ROLLOVER_DEADLINE, self._outlet.now + wait_s))

    # Rollover

    def _plan_rollover(self, connection: Connection) -> None:
        ends = []
        if connection.expires_at is not None:
            # A session that is shorter than twice the margin is rolled over in its middle.
            margin_s = min(self._limits.rollover_s, (connection.expires_at - connection.opened_at) / 2)
            ends.append(connection.expires_at - margin_s)
        if self._limits.connection_s:
            ends.append(connection.opened_at + self._limits.connection_s)
        if ends:
            self._outlet.do(SetDeadline(ROLLOVER_DEADLINE, max(min(ends), self._outlet.now)))

    def rollover_due(self) -> None:
        """The current connection nears its end: a successor is opened."""
        if self.current is None:
            return
        if self.standby is None:
            self.standby = self._connect(None)
        if self.current.expires_at is not None and not self.must_take_over:
            self._outlet.do(SetDeadline(ROLLOVER_DEADLINE, self.current.expires_at - FORCED_S))

    @property
    def can_take_over(self) -> bool:
        """Whether a successor is ready."""
        return self.standby is not None and self.standby.phase is Phase.READY

    @property
    def must_take_over(self) -> bool:
        """Whether the current connection is so near its end that what is being said cannot be waited for."""
        expires_at = self.current.expires_at if self.current is not None else None
        return expires_at is not None and self._outlet.now >= expires_at - FORCED_S

    def take_over(self) -> None:
        """The successor becomes current: it is told what changed since, and what is not settled is sent to it."""
        old, successor = self.current, self.standby
        if successor is None:
            raise AssertionError("who takes over stands by")
        if old is not None:
            self._outlet.do(Disconnect(old.number))
            # It was not lost but left: what was lost before it does not count any more.
            self._losses, self._give_up_at = 0, None
        self.current, self.standby = successor, None
        self._configuration.connection_replaced()
        if successor.configured != self._configuration.version:
            self._configure(successor)
        self._tell(successor)
        self._outlet.open_upstream(successor.number)
        self._plan_rollover(successor)

    # Loss

    def lost(self) -> bool:
        """The current connection is gone. False if another cannot be looked for any more: the time for it is over."""
        now, old = self._outlet.now, self.current
        if old is not None:
            self._outlet.do(Disconnect(old.number))
            if old.phase is Phase.READY and now - old.opened_at >= STABLE_S:
                self._losses, self._give_up_at = 0, None
        self.current = None
        self._configuration.connection_replaced()
        self._outlet.lose_upstream()
        self._outlet.do(SetDeadline(OPENING_DEADLINE, None))
        self._outlet.do(SetDeadline(ROLLOVER_DEADLINE, None))
        if self._give_up_at is None:
            self._give_up_at = now + self._limits.reconnect_s
        self._losses += 1
        wait_s = min(_QUICK_LOSS_S * 2 ** (self._losses - 2), _QUICK_LOSS_MAX_S) if self._losses > 1 else 0.0
        if now + wait_s >= self._give_up_at:
            return False
        if self.standby is not None:
            self._promote(self.standby)
        elif wait_s:
            self._outlet.do(SetDeadline(RECONNECT_DEADLINE, now + wait_s))
        else:
            self.reconnect()
        return True

    def _promote(self, standby: Connection) -> None:
        """The standby connection is in whatever state; it is the current one from now on."""
        self._outlet.do(SetDeadline(STANDBY_OPENING_DEADLINE, None))
        if standby.phase is Phase.CONNECTING:
            self.current, self.standby = standby, None
            return
        # What it was told is told; its confirmation is only awaited.
        if standby.own_updates:
            self._outlet.do(SetDeadline(OPENING_DEADLINE, self._outlet.now + OPENING_DEADLINE_S))
        else:
            standby.phase = Phase.READY
        self.take_over()

    def reconnect(self) -> None:
        """Asks for another connection in the place of the one that is gone."""
        if self.current is None and self._give_up_at is not None:
            self.current = self._connect(max(0.1, self._give_up_at - self._outlet.now))
