"""The ports of the security room, and the refusals it gives; it decides nothing."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from protocol.endings import EndReason
from protocol.errors import ClientFault, InternalFault
from server.security.principal import Principal

__all__ = [
    "Fetch",
    "FetchFailed",
    "TicketStore",
    "Unauthenticated",
    "cannot_check",
    "lacks_scope",
    "missing_credential",
]


class Unauthenticated(ClientFault):
    """A credential is missing or lets nobody in. The message says what to do, and not what was wrong with it.

    Attributes:
        why: for the log alone: what was wrong, in our own words; never a part of the credential.
    """

    default_reason = EndReason.NOT_AUTHENTICATED
    error_type = "authentication_error"

    def __init__(self, message: str, *, code: str, why: str = "") -> None:
        super().__init__(message, code=code)
        self.why = why or code


def missing_credential(where: str) -> Unauthenticated:
    """Nobody showed anything. ``where`` names the places to put a credential."""
    return Unauthenticated(f"A credential is needed: {where}.", code="missing_api_key")


def lacks_scope(scope: str) -> ClientFault:
    """The credential is good, but not for this."""
    text = f"This credential may not do that; it needs the scope {scope!r}."
    return ClientFault(text, code="insufficient_scope", reason=EndReason.NOT_ALLOWED)


def cannot_check(retry_after_s: float) -> InternalFault:
    """Nobody is let in whose credential cannot be checked."""
    return InternalFault(
        "Credentials of this kind cannot be checked right now; try again later.",
        code="credential_check_unavailable",
        reason=EndReason.OVERLOADED,
        retry_after_s=retry_after_s,
    )


class TokenChecker(Protocol):
    """Checks tokens that somebody else has issued."""

    async def check(self, token: str) -> Principal:
        """Whom a token lets in. Raises `Unauthenticated`, or `InternalFault` where that cannot be told now."""
        ...


class FetchFailed(Exception):
    """A document could not be fetched; the text says why, for the log."""


Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches the document at a URL, whole and of bounded size, following no redirect. Raises `FetchFailed`."""


class TicketStore(Protocol):
    """Where minted credentials are kept until they expire, by the digest of their text. Replicas may share one."""

    async def put(self, digest: str, record: bytes, *, account: str, expires_at: float) -> None:
        """Keep a record of an account until `expires_at` (Unix seconds).

        Raises:
            RateLimited: the account has its share of what can be kept already.
            InternalFault: there is no room for another one.
        """
        ...

    async def get(self, digest: str) -> bytes | None:
        """The record, or None if there is none or it has expired."""
        ...

    async def take(self, digest: str) -> bytes | None:
        """The record, and forget it: of all who ask at once, here or at another replica, one gets it."""
        ...

    async def forget(self, account: str) -> None:
        """Forget all records of an account."""
        ...
