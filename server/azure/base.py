"""The port of an identity at Azure, its tokens, and the one fault that this room raises. It asks nobody."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from server.secret import Secret


class AzureFault(UpstreamFault):
    """No token or no secret is to be had. The message says why, and ends with the settings to look at.

    Attributes:
        settings: names of the settings and variables to look at.
        said: Azure's own code for it, such as ``AADSTS7000215``; never its words, for those repeat what they were sent.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        settings: Iterable[str] = (),
        retryable: bool = False,
        retry_after_s: float | None = None,
        reason: EndReason | None = None,
        said: str = "",
    ) -> None:
        self.plain_message = message
        self.settings = tuple(settings)
        look = f" Look at {_listed(self.settings)}." if self.settings else ""
        super().__init__(
            message + look, code=code, reason=reason, retryable=retryable, retry_after_s=retry_after_s, said=said
        )

    def again(self, *, retry_after_s: float | None = None) -> Self:
        """The same fault for another caller; an exception that is raised twice gathers the way of both."""
        return type(self)(
            self.plain_message,
            code=self.code,
            settings=self.settings,
            retryable=self.retryable,
            retry_after_s=self.retry_after_s if retry_after_s is None else retry_after_s,
            reason=self.reason,
            said=self.said,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        secret: what goes behind ``Bearer``.
        expires_on: seconds since the epoch.
        refresh_on: when the issuer wants to be asked for the next one, if it said so.
    """

    secret: Secret
    expires_on: float
    refresh_on: float | None = None


class Identity(Protocol):
    """Who the server is to Azure."""

    @property
    def name(self) -> str:
        """What kind of identity it is, for people and logs."""
        ...

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        """Asks for a token, once, within a deadline of its own.

        Args:
            scope: what it shall be good for, such as ``https://cognitiveservices.azure.com/.default``.
            options: what Azure's client libraries answer a challenge with.

        Raises:
            AzureFault: there is none; ``retryable`` says whether a moment later may be different.
        """
        ...


class ClientCredential:
    """An identity, or a ``TokenSource``, in the shape that Azure's client libraries take."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """See ``AsyncSupportsTokenInfo``; one scope. Raises ``AzureFault``, which the libraries let through."""
        (scope,) = scopes
        token = await self._identity.request(scope, options)
        refresh_on = None if token.refresh_on is None else int(token.refresh_on)
        return AccessTokenInfo(token.secret.reveal(), int(token.expires_on), refresh_on=refresh_on)

    async def close(self) -> None:
        """Nothing: the identity is not the client's own."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing; see ``close``."""


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
