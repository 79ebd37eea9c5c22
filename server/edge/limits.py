"""How many connections, and how many sessions a second, one address may begin. What they do then is counted elsewhere.

Every connection draws on the address's larger rate; a new session draws on the smaller one besides, so that clients
that come back to their sessions all at once are let in where as many strangers would not be.
"""

import ipaddress
import math
from dataclasses import dataclass

from server.cluster.base import Lease, Rate, SharedLimits
from server.security.refusals import RateLimited, Refusals

__all__ = ["AddressBounds", "AddressLimits", "address_key"]

# One customer gets a network of this size (RFC 6177), and with it as many addresses as he likes.
_IPV6_PREFIX = 64

# A connection lasts about as long as a page's request, or as a conversation.
_RETRY_PLACES_S = 5.0


@dataclass(frozen=True, slots=True)
class AddressBounds:
    """What one address may: connections at once; connections, and new sessions, a second."""

    connections: int
    arrivals: Rate
    sessions: Rate


def address_key(address: str) -> str:
    """What an address is counted under: itself, or its network of 64 bits where it is IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)


class AddressLimits:
    """Counts connections and new sessions of each address."""

    def __init__(self, shared: SharedLimits, bounds: AddressBounds, refusals: Refusals) -> None:
        self._shared = shared
        self._bounds = bounds
        self._refusals = refusals

    async def enter(self, address: str) -> Lease:
        """A connection's place, to be released at its end.

        Raises:
            RateLimited: the address has too many, or began too many in too short a time.
        """
        key = address_key(address)
        wait_s = await self._shared.take(f"arrivals:{key}", self._bounds.arrivals)
        if wait_s:
            raise self._refused("address_rate_limit", "Too many connections in a short time.", wait_s, address)
        lease = await self._shared.acquire(f"connections:{key}", limit=self._bounds.connections)
        if lease is None:
            text = "Too many connections from this address."
            raise self._refused("address_connection_limit", text, _RETRY_PLACES_S, address)
        return lease

    async def begin_session(self, address: str) -> None:
        """Count a new session, one that does not resume another.

        Raises:
            RateLimited: the address began too many in too short a time.
        """
        wait_s = await self._shared.take(f"handshakes:{address_key(address)}", self._bounds.sessions)
        if wait_s:
            raise self._refused("session_rate_limit", "Too many new sessions in a short time.", wait_s, address)

    def _refused(self, code: str, message: str, wait_s: float, address: str) -> RateLimited:
        self._refusals.note(code, address)
        return RateLimited(message, code=code, retry_after_s=float(math.ceil(wait_s)))
