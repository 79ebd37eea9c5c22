"""Turns arriving bytes into whole messages, one frame at a time; it does no I/O and sends nothing itself.

It drives the protocol object of the `websockets` library, which judges frames and answers control frames, and adds
what that does not do: whole messages, their UTF-8, the number of their fragments. A whole, unfragmented text frame,
which is nearly every frame of a realtime conversation, is taken out here without the library; everything else goes
through it.
"""

import codecs
import enum
import logging

import msgspec
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from server.transport.framing import FINAL_TEXT, MASKED, apply_mask

__all__ = ["LIBRARY_LOG", "Inbound", "Message", "Step"]

# What the library's protocol objects are given to log to. At debug level they log heads (with credentials) and frames,
# so that must never be turned on from outside.
LIBRARY_LOG = logging.getLogger("liveavatar.transport.websockets")
LIBRARY_LOG.setLevel(logging.ERROR)

# A message may come in this many frames, empty ones included: their bookkeeping is not counted by any size limit.
MAX_FRAGMENTS = 4096


# A fragment of at least so many bytes is worth its frame.
_WORTHY_FRAGMENT_BYTES = 1024

# The bit of the first byte that tells control frames (RFC 6455, 5.2).
_CONTROL = 0x08


class Message(msgspec.Struct, frozen=True, gc=False):
    """One whole message. Text is UTF-8 that has been checked, left as bytes so that a decoder can take it as it is."""

    data: bytes
    is_text: bool


class Step(enum.Enum):
    """What one step came to, where it did not come to a message."""

    FRAME = "a frame was dealt with"
    NEED_DATA = "nothing to do before more bytes arrive"
    ENDED = "the peer's close frame, or a fault of the peer, has ended the conversation"


class Inbound:
    """The receiving half of one connection, from the first byte after the handshake."""

    __slots__ = (
        "_buffer",
        "_decoder",
        "_fragments",
        "_in_message",
        "_is_text",
        "_left_of_frame",
        "_masked",
        "_skipping",
        "_to_skip",
        "idle_frames",
        "protocol",
    )

    def __init__(self, protocol: Protocol) -> None:
        """Take over a protocol object whose handshake is done; its `max_message_size` is the limit, and may change."""
        self.protocol = protocol
        self._masked = MASKED if protocol.side is SERVER else 0
        self._buffer = bytearray()
        self._left_of_frame = 0  # bytes that still belong to the frame the library is in the middle of
        self._in_message = False
        self._is_text = False
        self._fragments: list[bytes] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.idle_frames = 0
        """Frames so far that were no message: pings, pongs, small fragments. They cost as much, and say nothing."""
        self._skipping = False
        self._to_skip = 0  # bytes that still belong to a frame nobody wants

    def skip_messages(self) -> None:
        """Keep nothing of what is said from now on, but watch for the peer's close frame.

        For a connection that this side has closed: its peer may go on for as long as the closing handshake takes, and
        what it says must not fill memory meanwhile.
        """
        self._skipping = True
        self._fragments.clear()

    def release(self) -> None:
        """Let go of all that was received: the library's parser keeps this object alive until a full collection."""
        self._buffer.clear()
        self._fragments.clear()

    def feed(self, data: bytes) -> None:
        """Add what arrived. Callers step until `Step.NEED_DATA` before they feed again, which bounds the buffer."""
        self._buffer += data

    @property
    def ended(self) -> bool:
        """True once no frame will be dealt with any more."""
        return self.protocol.close_rcvd is not None or self.protocol.parser_exc is not None

    @property
    def fault(self) -> Close | None:
        """The close frame that a fault of the peer made this side send, if one did."""
        return self.protocol.close_sent if self.protocol.parser_exc is not None else None

    def step(self) -> Message | Step:
        """Deal with at most one frame. What is to be answered is then in `protocol.data_to_send()`."""
        buffer = self._buffer
        if self._to_skip:
            return self._skip(0)
        if self._left_of_frame:
            return self._feed_library()
        if len(buffer) < 2:
            return Step.NEED_DATA
        first, second = buffer[0], buffer[1]
        length = second & 0x7F
        header = 2
        shortest = 0  # RFC 6455, 5.2: the shortest form that holds the length must be used
        if length == 126:
            header, shortest = 4, 126
            length = int.from_bytes(buffer[2:4], "big")
        elif length == 127:
            header, shortest = 10, 65536
            length = int.from_bytes(buffer[2:10], "big")
        if second & MASKED:
            header += 4
        if len(buffer) < header:
            return Step.NEED_DATA
        if length < shortest:
            return self.fail(1002, "a length in a longer form than it needs")
        if self._skipping and not first & _CONTROL:
            return self._skip(header + length)
        if first != FINAL_TEXT or second & MASKED != self._masked or self._in_message or self._needs_library(length):
            self._left_of_frame = header + length
            return self._feed_library()
        end = header + length
        if len(buffer) < end:
            return Step.NEED_DATA
        if self._masked:
            data = apply_mask(buffer[header:end], buffer[header - 4 : header])
        else:
            data = bytes(memoryview(buffer)[header:end])
        del buffer[:end]  # cheap: a bytearray only moves its start
        return self._checked_text(data)

    def _skip(self, frame: int) -> Step:
        """Drop what is there of a frame of so many bytes, or of the one that is being dropped."""
        self._to_skip += frame
        dropped = min(self._to_skip, len(self._buffer))
        del self._buffer[:dropped]
        self._to_skip -= dropped
        return Step.NEED_DATA if self._to_skip else Step.FRAME

    def _needs_library(self, length: int) -> bool:
        limit = self.protocol.max_message_size
        return (limit is not None and length > limit) or self.protocol.state is not State.OPEN

    def _feed_library(self) -> Message | Step:
        protocol = self.protocol
        if not self._buffer:
            return Step.NEED_DATA
        piece = self._buffer[: self._left_of_frame]
        del self._buffer[: len(piece)]
        self._left_of_frame -= len(piece)
        protocol.receive_data(piece)
        if self.ended:
            self._buffer.clear()
            self._left_of_frame = 0
            return Step.ENDED
        for event in protocol.events_received():  # one at most: it was given one frame at most
            if isinstance(event, Frame):
                return self._take(event)
        return Step.NEED_DATA if self._left_of_frame else Step.FRAME

    def _take(self, frame: Frame) -> Message | Step:
        if frame.opcode is Opcode.PING or frame.opcode is Opcode.PONG:
            self.idle_frames += 1
            return Step.FRAME
        if not frame.fin and len(frame.data) < _WORTHY_FRAGMENT_BYTES:
            self.idle_frames += 1
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            self._in_message = not frame.fin
            if frame.fin:
                return self._checked_text(bytes(frame.data)) if self._is_text else Message(bytes(frame.data), False)
            self._fragments.clear()
            self._decoder.reset()
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > MAX_FRAGMENTS:
            return self.fail(1009, f"more than {MAX_FRAGMENTS} fragments")
        if self._is_text:
            try:
                self._decoder.decode(self._fragments[-1], frame.fin)
            except UnicodeDecodeError:
                return self.fail(1007, "text that is not UTF-8")
        if not frame.fin:
            return Step.FRAME
        data = b"".join(self._fragments)
        self._fragments.clear()
        self._in_message = False
        return Message(data, self._is_text)

    def _checked_text(self, data: bytes) -> Message | Step:
        if not data.isascii():  # the common case, and several times faster than decoding
            try:
                data.decode()
            except UnicodeDecodeError:
                return self.fail(1007, "text that is not UTF-8")
        return Message(data, True)

    def fail(self, code: int, reason: str) -> Step:
        """End the conversation for a fault of the peer, with this close code."""
        self._buffer.clear()
        self._fragments.clear()
        self._left_of_frame = 0
        self.protocol.fail(code, reason)
        self.protocol.parser_exc = ValueError(reason)  # the library's own mark of a connection that failed
        return Step.ENDED
