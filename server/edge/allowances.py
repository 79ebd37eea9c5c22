"""What admission asks of the limits: by whom a session is counted, and where. It counts nothing itself."""

from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from server.edge.limits import AddressLimits, address_key
from server.security.limits import Quota, SessionLimits
from server.security.principal import LOCAL, Allowance, Principal
from server.security.refusals import RateLimited, Refusals
from server.session.base import Room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from server.security.pace import ClientPace

__all__ = ["Allowances"]


class Allowances:
    """The limits of one server, as admission sees them.

    Args:
        addresses: limits of each address.
        sessions: limits of those who were let in.
        refusals: where what is refused is counted and logged.
        of: everything that a principal's session is counted on, by account.
        default: what every account has, unless its own allowance is narrower.
    """

    def __init__(
        self,
        addresses: AddressLimits,
        sessions: SessionLimits,
        refusals: Refusals,
        *,
        of: Callable[[Principal], Mapping[str, Allowance]],
        default: Allowance,
    ) -> None:
        self._addresses = addresses
        self._sessions = sessions
        self._of = of
        self._default = default
        self.refusals = refusals

    async def begin_session(self, address: str) -> None:
        """Count a new session of an address, before its credential is looked at. Not for one that is resumed.

        Raises:
            RateLimited: the address begins too many; `retry_after_s` says when it may.
        """
        await self._addresses.begin_session(address)

    def pace(self, principal: Principal, address: str) -> "ClientPace":
        """How fast the client of a session of this principal may send; it is for all the session's connections."""
        return self._sessions.pace(self._quotas(principal, address))

    def room(self, principal: Principal, address: str) -> Room:
        """The room that a session of this principal has, to be entered by whoever owns the session."""
        quotas = self._quotas(principal, address)

        @asynccontextmanager
        async def room(end: Callable[[RateLimited], None]) -> "AsyncIterator[None]":
            places = await self._sessions.take_place(quotas, address)
            try:
                async with self._sessions.metered(quotas, address, end):
                    yield
            finally:
                places.release()

        return room

    def _quotas(self, principal: Principal, address: str) -> list[Quota]:
        if principal is LOCAL:
            return []  # one's own machine has all of it
        if principal.kind == "open":
            # Anybody: the address is all that tells them apart.
            return [_quota(f"open:{address_key(address)}", self._default)]
        found = {account: allowance.within(self._default) for account, allowance in self._of(principal).items()}
        return [_quota(account, allowance) for account, allowance in found.items()]


def _quota(account: str, allowance: Allowance) -> Quota:
    return Quota(account, allowance.sessions, allowance.minutes_per_day)
