"""Credentials that are minted here: single-use tickets, and client secrets that live until they expire.

It keeps what they are for under their digests; who may mint is decided by the scopes of the minter. Neither outlives a
revocation of its minter: that is looked at when it is shown.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from protocol.conversation.configuration import BROWSER_FIELDS
from protocol.endings import EndReason
from protocol.errors import ClientFault
from server.security.base import TicketStore, Unauthenticated, lacks_scope
from server.security.digest import CLIENT_SECRET_PREFIX, TICKET_PREFIX, digest_of, new_credential
from server.security.principal import Allowance, Principal, not_allowed_kb

__all__ = [
    "DEFAULT_SECRET_S",
    "MAX_SECRET_S",
    "MAX_TICKET_S",
    "MIN_SECRET_S",
    "Mint",
    "Minted",
    "Wish",
    "kind_of",
    "unusable",
]

# The services' own bounds and default for client secrets.
MIN_SECRET_S, MAX_SECRET_S, DEFAULT_SECRET_S = 10, 7200, 600
# From its minting to the first frame of the connection it is for, over a bad network.
MAX_TICKET_S = 60

# Of a minted credential, in the log: its digest tells which it was, and does not open anything.
_ID_CHARS = 16


class _Record(msgspec.Struct, omit_defaults=True):
    """What is kept of a minted credential."""

    minted_by: str
    minter: str
    kb_ids: list[str] | None
    expires_at: float
    sessions: int | None = None
    minutes_per_day: float | None = None
    usd_per_day: Decimal | None = None
    instructions: str | None = None
    preset: dict[str, Any] = {}
    origin: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a minted credential is to be for; it never gets more than its minter has.

    Attributes:
        kb_ids: knowledge bases; None is those of the minter.
        instructions: the persona, in place of the knowledge base's.
        preset: the session's configuration; a client that holds the credential can change its own fields only.
        origin: the only page origin that it may come from, as browsers write it.
    """

    kb_ids: tuple[str, ...] | None = None
    allowance: Allowance = Allowance()
    instructions: str | None = None
    preset: Mapping[str, Any] = {}
    origin: str | None = None


class Minted(msgspec.Struct, frozen=True):
    """A new credential. ``expires_at`` is in Unix seconds."""

    value: str
    expires_at: int

    def __repr__(self) -> str:
        return f"Minted(expires_at={self.expires_at})"


def kind_of(credential: str) -> str | None:
    """Whether a credential has the form of a `ticket` or a `client_secret`; None if of neither."""
    if credential.startswith(TICKET_PREFIX):
        return "ticket"
    return "client_secret" if credential.startswith(CLIENT_SECRET_PREFIX) else None


class Mint:
    """Mints credentials and takes them back.

    Args:
        now: the time of day in Unix seconds.
    """

    def __init__(self, store: TicketStore, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def ticket(self, minter: Principal, wish: Wish, lifetime_s: int = MAX_TICKET_S) -> Minted:
        """A ticket for one connection to `/ws`. Raises as `client_secret` does."""
        return await self._issue(TICKET_PREFIX, minter, wish, min(lifetime_s, MAX_TICKET_S))

    async def client_secret(self, minter: Principal, wish: Wish, lifetime_s: int = DEFAULT_SECRET_S) -> Minted:
        """A client secret, for as many sessions as its holder likes until it expires.

        Raises:
            ClientFault: the minter may not mint, or not that.
            RateLimited: the minter has as many as it may.
            InternalFault: there is no room for more of them.
        """
        return await self._issue(CLIENT_SECRET_PREFIX, minter, wish, max(MIN_SECRET_S, min(lifetime_s, MAX_SECRET_S)))

    async def _issue(self, prefix: str, minter: Principal, wish: Wish, lifetime_s: int) -> Minted:
        if not minter.may("mint"):
            raise lacks_scope("mint")
        if wish.kb_ids is not None and not all(map(minter.may_use, wish.kb_ids)):
            raise not_allowed_kb()
        if (wish.instructions is not None or wish.preset) and minter.settable is not None:
            text = "This credential may not give instructions or settings of a session away."
            raise ClientFault(text, code="not_settable", reason=EndReason.NOT_ALLOWED)
        now = self._now()
        expires_at = int(now) + lifetime_s
        if minter.expires_at is not None:
            # A token is taken for a minute after it has expired, for clocks differ; but it gives no time away then.
            expires_at = min(expires_at, int(minter.expires_at))
            if expires_at <= now:
                text = "The token has expired, and can mint nothing any more. Get a new one."
                raise Unauthenticated(text, code="invalid_token", why="minting: the minter has expired")
        kb_ids = wish.kb_ids if wish.kb_ids is not None else minter.kb_ids
        allowance = wish.allowance.within(minter.allowance)
        value = new_credential(prefix)
        record = _Record(
            minted_by=minter.id,
            minter=minter.name,
            kb_ids=None if kb_ids is None else sorted(kb_ids),
            expires_at=expires_at,
            sessions=allowance.sessions,
            minutes_per_day=allowance.minutes_per_day,
            usd_per_day=allowance.usd_per_day,
            instructions=wish.instructions,
            preset=dict(wish.preset),
            origin=wish.origin,
        )
        await self._store.put(
            digest_of(value), _encoder.encode(record), account=record.minted_by, expires_at=expires_at
        )
        return Minted(value, expires_at)

    async def forget(self, minter_id: str) -> None:
        """Forget everything that somebody has minted, who may not mint any more."""
        await self._store.forget(minter_id)

    async def redeem(self, credential: str, *, origin: str | None) -> Principal:
        """Whoever shows a minted credential. A ticket is spent by it, also where it is then refused.

        Args:
            origin: of the page that shows it; None if it is no page.

        Raises:
            Unauthenticated: it is unknown, spent, expired, or for pages of another origin: which, is not told.
        """
        kind = kind_of(credential)
        digest = digest_of(credential)
        found = await (self._store.take(digest) if kind == "ticket" else self._store.get(digest))
        record = _decoder.decode(found) if found is not None else None
        if record is None or record.expires_at <= self._now():
            raise unusable("unknown, spent or expired")
        principal = Principal(
            id=f"{kind}:{digest[:_ID_CHARS]}",
            name=f"{kind} of {record.minter}",
            kind="ticket" if kind == "ticket" else "client_secret",
            scopes=frozenset({"talk"}),
            kb_ids=None if record.kb_ids is None else frozenset(record.kb_ids),
            settable=BROWSER_FIELDS,
            allowance=Allowance(record.sessions, record.minutes_per_day, record.usd_per_day),
            instructions=record.instructions,
            preset=record.preset,
            origin=record.origin,
            expires_at=record.expires_at,
            minted_by=record.minted_by,
        )
        if not principal.may_come_from(origin):
            raise unusable("of another origin")
        return principal


def unusable(why: str) -> Unauthenticated:
    """The refusal of whatever was minted; ``why`` is for the log alone."""
    text = "The ticket or client secret cannot be used, or not any more. Ask for a new one."
    return Unauthenticated(text, code="invalid_ticket", why=f"minted: {why}")
