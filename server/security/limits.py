"""How many sessions, and how many minutes of them, somebody may have. It knows no credential and opens no session.

Whom use is counted on, and how much each may use, is said by the caller as quotas: one for what was shown, one for
whoever minted it, as many as apply. All of them must have room.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from server.cluster.base import Lease, SharedLimits
from server.security.pace import ClientPace, PaceBounds
from server.security.refusals import RateLimited, Refusals

__all__ = ["Places", "Quota", "SessionLimits"]

# Minutes are charged so much ahead, so that what is used never exceeds what is allowed; the unused part is given back.
CHARGED_AHEAD_S = 30.0
# Giving it back must not hold up the end of a session.
_GIVE_BACK_S = 1.0

_DAY_S = 24 * 3600.0

# A session ends when its person is done: minutes, not seconds.
_RETRY_SESSIONS_S = 10.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be used under one name; None is without a limit of its own.

    Attributes:
        account: whom it is counted on: a principal's id or account.
        sessions: sessions at once, over all replicas.
        minutes_per_day: minutes of sessions from one midnight UTC to the next.
    """

    account: str
    sessions: int | None = None
    minutes_per_day: float | None = None


class Places:
    """The places that one session has taken. They are the session's, also while it waits for its client to return."""

    __slots__ = ("_leases",)

    def __init__(self, leases: Sequence[Lease]) -> None:
        self._leases = tuple(leases)

    def release(self) -> None:
        """Give them back. Never waits, never raises, may be repeated."""
        for lease in self._leases:
            lease.release()


class SessionLimits:
    """Sessions at once, minutes a day, and the pace of each client's connection.

    Args:
        shared: where replicas count together.
        pace: of one connection.
        refusals: what is refused is counted there.
        wall: the time of day in Unix seconds.
    """

    def __init__(
        self, shared: SharedLimits, pace: PaceBounds, refusals: Refusals, *, wall: Callable[[], float] = time.time
    ) -> None:
        self._shared = shared
        self._pace = pace
        self._refusals = refusals
        self._wall = wall

    def pace(self, address: str) -> ClientPace:
        """The pace of one connection from this address."""
        return ClientPace(self._pace, on_refused=lambda code: self._refusals.note(code, address))

    async def take_place(self, quotas: Sequence[Quota], address: str) -> Places:
        """A session's place under every quota; whoever opens the session releases them when it is over.

        Not for resuming: a session that waits for its client has kept its place.

        Raises:
            RateLimited: one of them has no room; nothing is taken then.
        """
        taken: list[Lease] = []
        try:
            for quota in quotas:
                if quota.sessions is None:
                    continue
                lease = await self._shared.acquire(f"sessions:{quota.account}", limit=quota.sessions)
                if lease is None:
                    raise self._refused("session_limit", "Too many sessions at once.", _RETRY_SESSIONS_S, address)
                taken.append(lease)
        except BaseException:
            Places(taken).release()
            raise
        return Places(taken)

    @asynccontextmanager
    async def metered(
        self, quotas: Sequence[Quota], address: str, end: Callable[[RateLimited], None]
    ) -> AsyncIterator[None]:
        """Count the minutes of the block. When a day's are used up, `end` is called once: it tells the client and ends
        its connection, and the block should come to its end by that.

        Raises:
            RateLimited: they are used up already; the block is not entered.
        """
        counted = [(quota.account, quota.minutes_per_day) for quota in quotas if quota.minutes_per_day is not None]
        if not counted:
            yield
            return
        meter = _Meter(self._shared, counted, self._wall)
        if not await meter.charge():
            raise self._spent(meter, address)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while True:
                    await trio.sleep(CHARGED_AHEAD_S)
                    if not await meter.charge():
                        end(self._spent(meter, address))
                        return

            nursery.start_soon(watch)
            try:
                yield
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _GIVE_BACK_S):
                    await meter.give_back()
            nursery.cancel_scope.cancel()

    def _spent(self, meter: "_Meter", address: str) -> RateLimited:
        message = "The minutes of this day are used up."
        return self._refused("daily_minutes_limit", message, meter.until_midnight_s(), address)

    def _refused(self, code: str, message: str, retry_after_s: float, address: str) -> RateLimited:
        self._refusals.note(code, address)
        return RateLimited(message, code=code, retry_after_s=float(math.ceil(retry_after_s)))


class _Meter:
    """The minutes of one connection, charged ahead."""

    def __init__(self, shared: SharedLimits, counted: Sequence[tuple[str, float]], wall: Callable[[], float]) -> None:
        self._shared = shared
        self._counted = counted
        self._wall = wall
        self._day = 0
        self._paid_until = -math.inf

    async def charge(self) -> bool:
        """Pay for the next stretch under every account; False, and nothing paid, where one has not enough left."""
        self._day = int(self._wall() // _DAY_S)
        paid: list[str] = []
        for account, minutes in self._counted:
            total_s = await self._add(account, CHARGED_AHEAD_S)
            paid.append(account)
            if total_s > minutes * 60:
                for name in paid:
                    await self._add(name, -CHARGED_AHEAD_S)
                self._paid_until = -math.inf
                return False
        self._paid_until = trio.current_time() + CHARGED_AHEAD_S
        return True

    async def give_back(self) -> None:
        """Take back what was paid for and not used."""
        unused_s = self._paid_until - trio.current_time()
        if unused_s > 0:
            for account, _ in self._counted:
                await self._add(account, -unused_s)
        self._paid_until = -math.inf

    def until_midnight_s(self) -> float:
        """Seconds until a new day's minutes."""
        return _DAY_S - self._wall() % _DAY_S

    async def _add(self, account: str, seconds: float) -> float:
        return await self._shared.add(f"minutes:{account}:{self._day}", seconds, lasts_s=_DAY_S)
