"""What is done now and then: sessions that are too old are deleted, some at a time, and lost ones get an end.

Costs stay: they are sums of days.
"""

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from server.store.base import Erasure, JournalFault, StoreFault

__all__ = ["Retention"]

_log = structlog.get_logger("liveavatar.store")

# Sessions in one transaction: some ten thousand rows, so that whoever writes waits for it for less than a second.
BATCH_SESSIONS: Final = 200
# Between two batches others have their turn.
_PAUSE_S: Final = 0.2
# What is too old may be there for an hour longer.
_EVERY_S: Final = 3600.0


class Retention:
    """Deletes by age, and ends what nobody will end any more.

    Args:
        erase_before: erases at most so many sessions that began before a time; see ``RecordStore.erase_before``.
        finish_stale: ends the sessions that began before a time; see ``RecordStore.finish_stale``.
        keep: the age at which a session goes; None keeps all.
        session_max: the age at which no session can be living; None where sessions may last for ever.
        now: the time of day.
    """

    def __init__(
        self,
        erase_before: Callable[[dt.datetime, int], Awaitable[Erasure]],
        finish_stale: Callable[[dt.datetime], Awaitable[int]],
        *,
        keep: dt.timedelta | None,
        session_max: dt.timedelta | None,
        now: Callable[[], dt.datetime],
    ) -> None:
        if keep is not None and keep <= dt.timedelta(0):
            raise ValueError("records are kept for some time")
        self._erase_before = erase_before
        self._finish_stale = finish_stale
        self._keep = keep
        self._session_max = session_max
        self._now = now

    async def run(self) -> None:
        """Does what is to be done, now and every hour. Runs until cancelled; what fails is done later."""
        while True:
            try:
                await self.once()
            except (StoreFault, JournalFault, OSError) as fault:
                _log.warning("old records could not be deleted; later again", error=str(fault))
            await trio.sleep(_EVERY_S)

    async def once(self) -> int:
        """Does it now; returns how many sessions were deleted. Raises StoreUnavailable, and OSError of recordings."""
        if self._session_max is not None:
            lost = await self._finish_stale(self._now() - self._session_max)
            if lost:
                _log.warning("sessions that cannot be living were ended", sessions=lost)
        return 0 if self._keep is None else await self._delete(self._now() - self._keep)

    async def _delete(self, before: dt.datetime) -> int:
        deleted = 0
        while (gone := (await self._erase_before(before, BATCH_SESSIONS)).sessions) > 0:
            deleted += gone
            await trio.sleep(_PAUSE_S)
        if deleted:
            _log.info("old records deleted", sessions=deleted)
        return deleted
