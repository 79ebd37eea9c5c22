"""What the server shows a Realtime service to be let in: a key, or a token of its identity. It keeps no connection."""

from typing import Protocol

from protocol.errors import UpstreamFault
from server.secret import Secret, UnresolvedSecret
from server.upstream.base import NoCredential


class Tokens(Protocol):
    """Where tokens of an identity come from."""

    async def token(self, *, timeout_s: float) -> Secret:
        """A token that is valid now.

        Raises:
            UpstreamFault: there is none to be had in this time; the message names the setting to look at.
        """
        ...

    def refused(self, token: Secret) -> bool:
        """A service did not take this token. True if another may be had."""
        ...


class Credential(Protocol):
    """What goes into the handshake."""

    async def header(self, *, timeout_s: float) -> tuple[str, str]:
        """Name and value of the header field, as they are now.

        Raises:
            NoCredential: there is none to be had in this time; the message names the setting to look at.
        """
        ...

    def refused(self) -> bool:
        """The service said that it is not valid (HTTP 401). True if another may be had."""
        ...


class KeyCredential:
    """A key, read anew for every connection: it may have been renewed.

    Args:
        name: of the header field.
        prefix: what stands before the key in it.
    """

    __slots__ = ("_key", "_name", "_prefix")

    def __init__(self, key: Secret, *, name: str, prefix: str = "") -> None:
        self._key = key
        self._name = name
        self._prefix = prefix

    async def header(self, *, timeout_s: float) -> tuple[str, str]:  # noqa: ARG002 - it is there
        """See ``Credential``."""
        try:
            return self._name, self._prefix + self._key.reveal()
        except UnresolvedSecret as error:
            raise NoCredential(f"{error}.".capitalize(), code="upstream_no_key") from None

    def refused(self) -> bool:
        """See ``Credential``."""
        return False


class TokenCredential:
    """A bearer token, a fresh one for every connection. A connection outlives its token."""

    __slots__ = ("_shown", "_tokens")

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._shown: Secret | None = None

    async def header(self, *, timeout_s: float) -> tuple[str, str]:
        """See ``Credential``."""
        try:
            self._shown = await self._tokens.token(timeout_s=timeout_s)
        except UpstreamFault as fault:
            raise NoCredential(
                fault.message,
                code=fault.code,
                reason=fault.reason,
                retry_after_s=fault.retry_after_s,
                retryable=fault.retryable,
                said=fault.said,
            ) from fault
        return "Authorization", f"Bearer {self._shown.reveal()}"

    def refused(self) -> bool:
        """See ``Credential``."""
        return self._shown is not None and self._tokens.refused(self._shown)
