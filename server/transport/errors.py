"""What can go wrong on a wire or a WebSocket, in this project's own exceptions; it does not say what to do then."""

from typing import Literal

__all__ = [
    "ConnectFailed",
    "ConnectionLost",
    "HandshakeRefused",
    "TransportError",
    "UpgradeInvalid",
    "WireBroken",
    "WireClosed",
]

By = Literal["peer", "us", "network"]
"""Who ended a connection: the other side, this side, or what lies between them."""


class TransportError(Exception):
    """Base of everything that this room raises for a foreign fault."""


class WireBroken(TransportError):
    """The wire no longer carries bytes: reset by the peer, a network error, or a TLS error."""


class WireClosed(TransportError):
    """This side has closed the wire already."""


class ConnectionLost(TransportError):
    """The WebSocket has ended, and `receive` has nothing more to give.

    `code` is the close code (RFC 6455, 7.4) that the ending side named, 1005 if it named none, and None where no
    close frame was exchanged. `by` says who ended it.
    """

    def __init__(self, code: int | None, reason: str, by: By) -> None:
        super().__init__(f"connection ended by {by}: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason
        self.by: By = by


class ConnectFailed(TransportError):
    """No WebSocket came about: no address, no TCP or TLS connection, too slow, or an answer that is no handshake."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class HandshakeRefused(TransportError):
    """The server answered the handshake with an HTTP status other than 101.

    `headers` maps lower-case names to values (of a repeated header the last); `body_prefix` holds at most 4 KiB.
    """

    def __init__(self, status: int, headers: dict[str, str], body_prefix: bytes) -> None:
        super().__init__(f"the server refused the WebSocket with HTTP status {status}")
        self.status = status
        self.headers = headers
        self.body_prefix = body_prefix


class UpgradeInvalid(TransportError):
    """A client's upgrade request breaks the rules of RFC 6455, 4.2.1; nothing has been answered yet.

    `status` is the HTTP status that says so (400, 405, 426, 431).
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
