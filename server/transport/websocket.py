"""One WebSocket over a wire, the same for both roles; it knows frames and messages, and nothing of what they say.

Reading is pulled by the owner's reader (`receive`); writing is a plain call (`send`) that cannot block, be cancelled
halfway, or fail. What the wire does not take waits in the outbox, which `run` empties; `run` also keeps the peer
awake and notices when it is gone. permessage-deflate is declined.
"""

import math
import secrets
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec
import trio
from websockets.exceptions import ProtocolError
from websockets.protocol import CLIENT, SERVER, Protocol

from server.transport.errors import By, ConnectionLost, WireBroken, WireClosed
from server.transport.framing import text_frame
from server.transport.inbound import Inbound, Message, Step
from server.transport.keepalive import Due, Keepalive
from server.transport.outbox import Outbox
from server.transport.wire import Wire

__all__ = ["Message", "WebSocket", "WebSocketOptions"]

# Frames taken from one read before the other tasks get a turn: a flood of tiny frames else starves them.
FRAMES_PER_TURN = 16

# A control frame holds 125 bytes, two of them the code (RFC 6455, 5.5).
CLOSE_REASON_BYTES = 123

CLOSE_OPCODE = 8
SLOW_CONSUMER = 4413
"""Close code: the peer does not take what it is sent."""

TOO_MANY_FRAMES = 4429
"""Close code: the peer sends frames that say nothing, and too many of them."""

# How long the rest of what a faulty peer sends is read and dropped, so that it gets to read the close frame.
DRAIN_S = 2.0

# How long `aclose` may take unless the caller says otherwise.
CLOSE_S = 5.0


class WebSocketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one connection."""

    max_message_bytes: int = 1024 * 1024
    """The largest message the peer may send; a larger one closes with 1009."""
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 20.0
    """A peer from which nothing comes for this long after a ping is gone."""
    stall_s: float = 10.0
    """A peer that takes no byte for this long while something waits is a slow consumer (close code 4413)."""
    max_audio_ms: float = 120_000.0
    """The most audio that may wait."""
    audio_overflow: Literal["slow-consumer", "drop-oldest"] = "slow-consumer"
    """What more audio does: end the connection (towards players), or push out the oldest (towards a service)."""
    max_control_bytes: int = 4 * 1024 * 1024
    """The most that may wait beside audio. It is never dropped: more makes the peer a slow consumer."""
    idle_frames_per_s: float = math.inf
    """Pings, pongs and small fragments that the peer may send; more of them close with 4429."""
    idle_frames_burst: float = 200.0
    """So many of them at once."""
    close_timeout_s: float = 10.0
    """After this, `run` gives up a connection that ended and whose owner did not call `aclose`."""


class _Loss(NamedTuple):
    code: int | None
    reason: str
    by: By


class WebSocket:
    """An open connection. One task receives, any task sends, one task runs `run`, and the owner ends with `aclose`.

    A loss surfaces in `receive` and nowhere else.
    """

    def __init__(
        self,
        wire: Wire,
        protocol: Protocol,
        options: WebSocketOptions,
        *,
        path: str,
        headers: Sequence[tuple[str, str]],
        first_bytes: bytes,
    ) -> None:
        """Take over a wire on which the handshake is done; made by `accept_websocket` and `connect_websocket`.

        `first_bytes` is what came glued behind the peer's part of the handshake.
        """
        self.path = path
        """The request's target, query included."""
        self.headers = tuple(headers)
        """The peer's handshake headers, names in lower case."""
        self.on_audio_dropped: Callable[[float], None] | None = None
        """Called with milliseconds whenever `drop-oldest` dropped audio; must not raise."""
        self.dropped_audio_ms = 0.0
        """Audio that `drop-oldest` has dropped so far."""
        self._wire = wire
        self._protocol = protocol
        self._options = options
        self._masked = protocol.side is CLIENT
        self._inbound = Inbound(protocol)
        self._inbound.feed(first_bytes)
        self._outbox = Outbox()
        self._keepalive = Keepalive(trio.current_time(), options.ping_interval_s, options.pong_timeout_s)
        self._loss: _Loss | None = None
        self._frames_this_turn = 0
        self._idle_frames = 0
        self._idle_frames_until = -math.inf  # what was sent would have taken until then, at the rate
        self._reading = False
        self._flushing = False
        self._writing_failed = False
        self._progress_at = 0.0
        self._progress_bytes = 0
        self._give_up_at = math.inf
        self._work = trio.Event()
        self._done = trio.Event()
        self._alone = trio.Event()  # set once `aclose` is the only one at the wire
        self._closing_by_owner = False

    # What is known about the connection

    @property
    def peername(self) -> str:
        """The other end's address, for logs."""
        return str(self._wire.peer)

    @property
    def subprotocol(self) -> str | None:
        """The selected subprotocol."""
        return self._protocol.subprotocol

    @property
    def close_code(self) -> int | None:
        """The code the connection ended with; None while it is open, and if it ended without one."""
        return self._loss.code if self._loss is not None else None

    @property
    def waiting_audio_ms(self) -> float:
        """Audio that waits to be sent, and can still be purged."""
        return self._outbox.waiting_audio_ms

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be sent, audio and control."""
        return self._outbox.waiting_bytes

    @property
    def max_message_bytes(self) -> int | None:
        """The largest message the peer may send; can be changed, from the next frame on."""
        return self._protocol.max_message_size

    @max_message_bytes.setter
    def max_message_bytes(self, value: int) -> None:
        self._protocol.max_message_size = value

    # Receiving

    async def receive(self) -> Message:
        """Return the next whole message.

        Raises `ConnectionLost` when the connection has ended, by whomever, and again on every later call; after
        `close` that is at once. Cancelling it loses nothing. It is not a checkpoint while messages are buffered, but
        every 16 frames it is.
        """
        while True:
            if self._loss is not None:
                raise ConnectionLost(*self._loss)
            if self._frames_this_turn >= FRAMES_PER_TURN:
                self._frames_this_turn = 0
                await trio.lowlevel.checkpoint()
                continue
            step = self._inbound.step()
            self._frames_this_turn += 1
            if isinstance(step, Message):
                return step
            if step is Step.FRAME:
                self._answer()
                self._count_idle_frames()
            elif step is Step.ENDED:
                self._conversation_ended()
            else:
                await self._read()
                self._frames_this_turn = 0

    async def _read(self) -> None:
        self._reading = True
        try:
            data = await self._wire.receive()
        except WireBroken as exc:
            self._end(None, str(exc), "network")
        except WireClosed:
            self._end(None, "closed by this side", "us")
        else:
            if data:
                self._keepalive.heard()
                self._inbound.feed(data)
            elif data is not None:
                self._end(None, "the peer ended the connection without a close frame", "network")
        finally:
            self._reading = False
            self._step_aside()

    def _count_idle_frames(self) -> None:
        fresh = self._inbound.idle_frames - self._idle_frames
        per_s = self._options.idle_frames_per_s
        if not fresh or per_s == math.inf:
            return
        self._idle_frames += fresh
        now = trio.current_time()
        self._idle_frames_until = max(self._idle_frames_until, now) + fresh / per_s
        if self._idle_frames_until - now > self._options.idle_frames_burst / per_s:
            self._inbound.fail(TOO_MANY_FRAMES, "too many frames that say nothing")
            self._conversation_ended()

    def _answer(self) -> None:
        """Send what the protocol object has to say by itself: pongs, and the close frame that answers or accuses."""
        frames = [frame for frame in self._protocol.data_to_send() if frame]  # b"" asks for a half close: `aclose`
        for frame in frames:
            if frame[0] & 0x0F == CLOSE_OPCODE:
                self._outbox.clear_whole()  # nobody reads it any more
                self._outbox.put(frame)
            else:
                self._outbox.put_urgent(frame)
        if frames:
            self._flush()

    def _conversation_ended(self) -> None:
        self._answer()
        fault = self._inbound.fault
        said = self._protocol.close_rcvd
        if fault is not None:
            self._end(fault.code, fault.reason, "us")
        elif said is not None:
            self._end(int(said.code), said.reason, "peer")

    # Sending

    def send(self, data: bytes | str, *, item_id: str | None = None, audio_ms: float = 0.0) -> None:
        """Send one text message, now or as soon as the wire takes it. Never blocks; after the end it does nothing.

        `data` is UTF-8. `audio_ms` marks a frame of audio by its playing time in milliseconds, and `item_id` the item
        it belongs to: only such frames are ever purged or dropped.
        """
        if self._loss is not None or self._writing_failed:
            return
        frame = text_frame(data.encode() if isinstance(data, str) else data, masked=self._masked)
        if self._waiting:
            self._outbox.put(frame, item_id, audio_ms)
        else:
            try:
                taken = self._wire.try_send(frame)
            except (WireBroken, WireClosed):
                self._give_up_writing()
                return
            if taken == len(frame):
                if not self._wire.unsent:
                    return
            elif taken:
                self._outbox.put_half(memoryview(frame)[taken:])
            else:
                self._outbox.put(frame, item_id, audio_ms)
            self._begin_waiting()
        self._keep_bounds()

    def purge(self, item_id: str) -> float:
        """Take back the whole unsent frames of one item; return their audio in milliseconds.

        A frame of which a part has left stays whole.
        """
        return self._outbox.purge(item_id)

    @property
    def _waiting(self) -> bool:
        return not self._writing_failed and (bool(self._outbox) or self._wire.unsent)

    def _begin_waiting(self) -> None:
        self._progress_at = trio.current_time()
        self._progress_bytes = self._wire.sent_bytes
        self._work.set()

    def _keep_bounds(self) -> None:
        if self._outbox.waiting_control_bytes > self._options.max_control_bytes:
            self._slow_consumer()
        elif self._outbox.waiting_audio_ms > self._options.max_audio_ms:
            if self._options.audio_overflow == "slow-consumer":
                self._slow_consumer()
                return
            dropped_ms = self._outbox.drop_oldest_audio(self._options.max_audio_ms)
            self.dropped_audio_ms += dropped_ms
            if self.on_audio_dropped is not None:
                self.on_audio_dropped(dropped_ms)

    def _slow_consumer(self) -> None:
        # Nothing of what waits may still arrive: a close drops the sound, and events from behind it would hide the hole
        # from a client that comes back and says what it received last.
        self._outbox.drop_waiting()
        self.close(SLOW_CONSUMER, "slow consumer")

    def _flush(self) -> None:
        """Hand the outbox to the wire as far as that takes it."""
        if self._writing_failed:
            return
        waited = self._flushing or self._work.is_set()
        try:
            self._outbox.pour(self._wire.try_send)
        except (WireBroken, WireClosed):
            self._give_up_writing()
        else:
            if self._waiting and not waited:
                self._begin_waiting()

    def _give_up_writing(self) -> None:
        # No loss yet: what the peer said before it went, perhaps a close frame with its reason, is still to be read.
        self._writing_failed = True
        self._outbox.clear()

    # Living

    async def run(self) -> None:
        """Empty the outbox, ping the peer, and notice a peer that is gone or takes nothing.

        Runs in the owner's nursery as long as the connection is used, and returns when it is closed. Cancelled, it
        closes the wire at once, without a close frame, unless `aclose` is at work.
        """
        try:
            while not self._done.is_set() and not self._closing_by_owner:
                if self._work.is_set():
                    self._work = trio.Event()
                look_again_at = self._look(trio.current_time())
                with trio.move_on_at(look_again_at):
                    await self._work_or_room()
            await self._done.wait()
        finally:
            if not self._closing_by_owner:
                self.abort()

    async def _work_or_room(self) -> None:
        if not self._waiting:
            await self._work.wait()
            return
        self._flushing = True
        try:
            await self._wire.wait_writable()
            self._flush()
        except (WireBroken, WireClosed):
            self._give_up_writing()
        finally:
            self._flushing = False
            self._step_aside()

    def _look(self, now: float) -> float:
        """Do what the clock asks for; return when to look again."""
        if self._loss is None:
            due = self._keepalive.look(now, listening=self._reading)
            if due is Due.PING:
                self._protocol.send_ping(secrets.token_bytes(4))
                self._answer()
            elif due is Due.DEAD:
                self._end(None, "nothing was heard from the peer after a ping", "network")
        if self._loss is None and self._waiting:
            if self._wire.sent_bytes != self._progress_bytes:
                self._progress_bytes = self._wire.sent_bytes
                self._progress_at = now
            elif now >= self._progress_at + self._options.stall_s:
                self._slow_consumer()
        if self._loss is not None:
            if self._loss.by == "network" or now >= self._give_up_at:
                self.abort()
            return self._give_up_at
        stalled_at = self._progress_at + self._options.stall_s if self._waiting else math.inf
        return min(self._keepalive.next_at, stalled_at)

    # Ending

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ask for the end: the close frame goes behind the control frames that wait; waiting audio is dropped.

        The first call counts. `receive` raises from now on, by "us"; the closing handshake is `aclose`'s. A reason
        longer than 123 bytes of UTF-8 is cut. Raises `ValueError` for a code that may not be sent.
        """
        if self._loss is not None:
            return
        reason = reason.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
        try:
            self._protocol.send_close(code, reason)
        except ProtocolError as exc:
            raise ValueError(f"{code} is no close code that may be sent") from exc
        self._outbox.drop_audio()
        for frame in self._protocol.data_to_send():
            self._outbox.put(frame)
        self._inbound.skip_messages()
        self._end(code, reason, "us")
        self._flush()

    def abort(self) -> None:
        """Close the wire at once, without a close frame. May be repeated."""
        self._end(None, "aborted", "us")
        self._outbox.clear()
        self._inbound.release()
        self._wire.close()
        self._done.set()

    def _end(self, code: int | None, reason: str, by: By) -> None:
        if self._loss is not None:
            return
        self._loss = _Loss(code, reason, by)
        self._give_up_at = trio.current_time() + self._options.close_timeout_s
        self._work.set()
        self._wire.interrupt()

    async def aclose(self, deadline_s: float = CLOSE_S) -> None:
        """End the connection properly, at the latest after `deadline_s` seconds, and give the wire back.

        Closes with 1000 if nothing else was said before. Shielded from cancellation for that time: a peer that does
        not read, or does not stop sending, cannot hold it longer. May be called again, and from several tasks.
        """
        self.close()
        if self._closing_by_owner or self._done.is_set():
            with trio.CancelScope(shield=True, deadline=trio.current_time() + deadline_s):
                await self._done.wait()
            return
        self._closing_by_owner = True
        self._work.set()
        self._wire.interrupt()
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + deadline_s):
                await self._take_leave()
        finally:
            self.abort()

    async def _take_leave(self) -> None:
        if self._reading or self._flushing:
            await self._alone.wait()  # both have been woken and are on their way out
        if self._loss is not None and self._loss.by == "network":
            return
        try:
            while self._waiting:
                await self._wire.wait_writable()
                self._flush()
            await self._await_peer_close()
            if self._protocol.side is SERVER:
                self._wire.send_eof()  # RFC 6455, 7.1.1: the server closes first
                if self._inbound.fault is None:
                    return
                # The faulty peer may still be sending. To close with unread bytes resets the connection, and a reset
                # overtakes the close frame, so that the peer never learns why.
                with trio.move_on_after(DRAIN_S):
                    await self._drain()
            else:
                await self._drain()
        except (WireBroken, WireClosed):
            return

    async def _drain(self) -> None:
        while await self._wire.receive() != b"":
            pass

    def _step_aside(self) -> None:
        if self._closing_by_owner and not (self._reading or self._flushing):
            self._alone.set()

    async def _await_peer_close(self) -> None:
        while not self._inbound.ended:
            step = self._inbound.step()
            if step is not Step.NEED_DATA:
                self._protocol.data_to_send()  # pongs, which a peer that is being closed does not need
                await trio.lowlevel.checkpoint()
                continue
            data = await self._wire.receive()
            if data == b"":
                return
            if data:
                self._inbound.feed(data)
