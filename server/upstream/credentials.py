"""What the server shows a Realtime service to be let in: a key, or a token of its identity. It keeps no connection."""

from typing import Protocol

from server.secret import Secret


class Tokens(Protocol):
    """Where tokens of an identity come from."""

    async def token(self) -> Secret:
        """A token that is valid now.

        Raises:
            UpstreamFault: there is none to be had; the message names the setting to look at.
        """
        ...


class Credential(Protocol):
    """What goes into the handshake."""

    async def header(self) -> tuple[str, str]:
        """Name and value of the header field, as they are now. Raises what ``Tokens.token`` raises."""
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

    async def header(self) -> tuple[str, str]:
        """See ``Credential``."""
        return self._name, self._prefix + self._key.reveal()


class TokenCredential:
    """A bearer token, a fresh one for every connection. A connection outlives its token."""

    __slots__ = ("_tokens",)

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def header(self) -> tuple[str, str]:
        """See ``Credential``."""
        return "Authorization", f"Bearer {(await self._tokens.token()).reveal()}"
