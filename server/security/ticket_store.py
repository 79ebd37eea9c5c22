"""Minted credentials in this process's memory; implements `TicketStore`. They do not outlive it, and need not."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from protocol.endings import EndReason
from protocol.errors import InternalFault
from server.security.refusals import RateLimited

__all__ = ["MemoryTicketStore"]

# Some hundred bytes each, if nobody gives long instructions away.
MAX_RECORDS = 50_000
# All records together; a wish is bounded by the size of a request.
MAX_BYTES = 64 * 1024 * 1024
# Of both, what one account may have: enough for two hundred tickets a second, and the others do not go without.
SHARE = 0.25
_RETRY_S = 30.0


@dataclass(slots=True)
class _Used:
    """What an account has of the store. What was spent counts as a record until it would have expired."""

    records: int = 0
    size: int = 0


class MemoryTicketStore:
    """Bounded, for all and for each account; when it is full nobody gets another one, rather than losing theirs.

    Args:
        share: of the whole, what one account may have.
        now: the time of day in Unix seconds.
    """

    def __init__(
        self,
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        share: float = SHARE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._share = share
        self._now = now
        self._records: dict[str, tuple[str, bytes]] = {}  # whose, and what
        self._expiries: list[tuple[float, str, str]] = []  # when, the digest, whose
        self._used: dict[str, _Used] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    async def put(self, digest: str, record: bytes, *, account: str, expires_at: float) -> None:
        """See ``TicketStore``."""
        await trio.lowlevel.checkpoint()
        self._sweep()
        used = self._used.get(account) or _Used()
        if (
            used.records + 1 > self._max_records * self._share
            or used.size + len(record) > self._max_bytes * self._share
        ):
            text = (
                "Too many tickets and client secrets of this credential wait to be used or to expire; try again later."
            )
            raise RateLimited(text, code="mint_limit", retry_after_s=_RETRY_S)
        if len(self._expiries) >= self._max_records or self._bytes + len(record) > self._max_bytes:
            text = "Too many tickets and client secrets are waiting to be used; try again later."
            raise InternalFault(text, code="too_many_tickets", reason=EndReason.OVERLOADED, retry_after_s=_RETRY_S)
        self._used[account] = used
        used.records += 1
        used.size += len(record)
        self._bytes += len(record)
        self._records[digest] = account, record
        heapq.heappush(self._expiries, (expires_at, digest, account))

    async def get(self, digest: str) -> bytes | None:
        """See ``TicketStore``."""
        await trio.lowlevel.checkpoint()
        self._sweep()
        found = self._records.get(digest)
        return found[1] if found is not None else None

    async def take(self, digest: str) -> bytes | None:
        """See ``TicketStore``: from the checkpoint on nobody comes in between."""
        await trio.lowlevel.checkpoint()
        self._sweep()
        return self._drop(digest)

    async def forget(self, account: str) -> None:
        """See ``TicketStore``. Takes a time that grows with what is kept, and is asked for when a key is revoked."""
        await trio.lowlevel.checkpoint()
        if self._used.pop(account, None) is None:
            return
        for _, digest, owner in self._expiries:
            if owner == account:
                self._drop(digest)
        self._expiries = [entry for entry in self._expiries if entry[2] != account]
        heapq.heapify(self._expiries)

    def _drop(self, digest: str) -> bytes | None:
        found = self._records.pop(digest, None)
        if found is None:
            return None
        account, record = found
        self._bytes -= len(record)
        if (used := self._used.get(account)) is not None:
            used.size -= len(record)
        return record

    def _sweep(self) -> None:
        now = self._now()
        while self._expiries and self._expiries[0][0] <= now:
            _, digest, account = heapq.heappop(self._expiries)
            self._drop(digest)
            used = self._used[account]
            used.records -= 1
            if not used.records:
                del self._used[account]
