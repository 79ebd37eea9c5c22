"""Minted credentials in this process's memory; implements `TicketStore`. They do not outlive it, and need not."""

import heapq
import time
from collections.abc import Callable

import trio

from protocol.endings import EndReason
from protocol.errors import InternalFault

__all__ = ["MemoryTicketStore"]

# Some hundred bytes each, if nobody gives long instructions away.
MAX_RECORDS = 50_000
# All records together; a wish is bounded by the size of a request.
MAX_BYTES = 64 * 1024 * 1024
_RETRY_S = 30.0


class MemoryTicketStore:
    """Bounded; when it is full nobody gets another one, rather than somebody losing theirs.

    Args:
        now: the time of day in Unix seconds.
    """

    def __init__(
        self, *, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES, now: Callable[[], float] = time.time
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._now = now
        self._records: dict[str, bytes] = {}
        self._expiries: list[tuple[float, str]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    async def put(self, digest: str, record: bytes, *, expires_at: float) -> None:
        """See ``TicketStore``."""
        await trio.lowlevel.checkpoint()
        self._sweep()
        if len(self._expiries) >= self._max_records or self._bytes + len(record) > self._max_bytes:
            text = "Too many tickets and client secrets are waiting to be used; try again later."
            raise InternalFault(text, code="too_many_tickets", reason=EndReason.OVERLOADED, retry_after_s=_RETRY_S)
        self._records[digest] = record
        self._bytes += len(record)
        heapq.heappush(self._expiries, (expires_at, digest))

    async def get(self, digest: str) -> bytes | None:
        """See ``TicketStore``."""
        await trio.lowlevel.checkpoint()
        self._sweep()
        return self._records.get(digest)

    async def take(self, digest: str) -> bytes | None:
        """See ``TicketStore``: from the checkpoint on nobody comes in between."""
        await trio.lowlevel.checkpoint()
        self._sweep()
        record = self._records.pop(digest, None)
        self._bytes -= len(record or b"")
        return record

    def _sweep(self) -> None:
        now = self._now()
        while self._expiries and self._expiries[0][0] <= now:
            record = self._records.pop(heapq.heappop(self._expiries)[1], None)
            self._bytes -= len(record or b"")
