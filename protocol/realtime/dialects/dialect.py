"""What a client's connection speaks: one object for each, between its frames and the GA that the server speaks.

A client that speaks GA needs none. Which dialect a client gets is decided where it is let in.
"""

from collections.abc import Sequence
from typing import Protocol

from protocol.realtime.dialects.fields import TypedFrame, fields_of
from protocol.realtime.dialects.from_beta import to_ga
from protocol.realtime.dialects.to_beta import to_beta

# What a session says in GA only. Source: what the dated path of Azure refuses of GA's ``session.update``.
_GA_MARKS = frozenset({"type", "audio", "output_modalities"})


class Dialect(Protocol):
    """Translates the frames of one connection, in the order in which they are said."""

    def to_server(self, frame: bytes) -> bytes:
        """The client's text frame in GA.

        Raises:
            InvalidEvent: with the error that the client is told instead; nothing of the frame is done.
        """
        ...

    def to_client(self, frame: bytes) -> Sequence[bytes]:
        """What the client is sent for a frame of the server: mostly one, perhaps none."""
        ...


class Beta:
    """The shape of ``OpenAI-Beta: realtime=v1`` and of Azure's dated paths. Implements ``Dialect``."""

    def to_server(self, frame: bytes) -> bytes:
        """See ``Dialect``."""
        return to_ga(TypedFrame(frame))

    def to_client(self, frame: bytes) -> Sequence[bytes]:
        """See ``Dialect``."""
        return to_beta(TypedFrame(frame))


class Undeclared:
    """The dialect of a client that did not say which it speaks, where beta is likely. Implements ``Dialect``.

    It is taken for beta until its first ``session.update`` tells; that counts, once. Clients of GA come here too: the
    Azure classes of the ``openai`` packages send GA to the dated path.
    """

    __slots__ = ("_is_ga", "_settled")

    def __init__(self) -> None:
        self._settled = False
        self._is_ga = False

    def to_server(self, frame: bytes) -> bytes:
        """See ``Dialect``."""
        if self._is_ga:
            return frame
        typed = TypedFrame(frame)
        if not self._settled and typed.type == "session.update":
            session = fields_of((typed.fields() or {}).get("session"))
            if session is not None:
                self._settled, self._is_ga = True, not _GA_MARKS.isdisjoint(session)
        return frame if self._is_ga else to_ga(typed)

    def to_client(self, frame: bytes) -> Sequence[bytes]:
        """See ``Dialect``."""
        return (frame,) if self._is_ga else to_beta(TypedFrame(frame))
