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
from server.cluster.in_process import LocalRates
from server.security.pace import AccountPace, ClientPace, PaceBounds
from server.security.refusals import RateLimited, Refusals

__all__ = ["Places", "Quota", "SessionLimits"]

# Minutes are charged so much ahead, so that what is used never exceeds what is allowed; the unused part is given back.
CHARGED_AHEAD_S = 30.0
# Less than this is not worth beginning or going on with.
_LEAST_S = 1.0
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
    """Sessions at once, minutes a day, and the pace of each session's client.

    Args:
        shared: where replicas count together.
        pace: of one client.
        refusals: what is refused is counted there.
        most_sessions: how many a quota without a number of its own may have, for there is no room for more.
        wall: the time of day in Unix seconds.
    """

    def __init__(
        self,
        shared: SharedLimits,
        pace: PaceBounds,
        refusals: Refusals,
        *,
        most_sessions: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._shared = shared
        self._pace = pace
        self._bursts = LocalRates()
        self._refusals = refusals
        self._most_sessions = most_sessions
        self._wall = wall

    def pace(self, quotas: Sequence[Quota]) -> ClientPace:
        """The pace of a session's client. What it refuses is counted by whoever holds the client to it."""
        accounts = [
            AccountPace(self._bursts, quota.account, self._pace, sessions=quota.sessions or self._most_sessions)
            for quota in quotas
        ]
        return ClientPace(self._pace, accounts=accounts)

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
        if not (paid_s := await meter.charge()):
            raise self._spent(meter, address)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                stretch_s = paid_s
                while stretch_s:
                    await trio.sleep(stretch_s)
                    stretch_s = await meter.charge()
                end(self._spent(meter, address))

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

    async def charge(self) -> float:
        """Pay for the next stretch under every account; its seconds, or 0, and nothing paid, where one has none left.

        The last stretch of a day's minutes is as short as what is left of them.
        """
        self._day = int(self._wall() // _DAY_S)
        stretch_s = CHARGED_AHEAD_S
        for account, minutes in self._counted:
            total_s = await self._add(account, CHARGED_AHEAD_S)
            stretch_s = min(stretch_s, CHARGED_AHEAD_S + minutes * 60 - total_s)
        if stretch_s < _LEAST_S:
            stretch_s = 0.0
        if stretch_s < CHARGED_AHEAD_S:
            for account, _ in self._counted:
                await self._add(account, stretch_s - CHARGED_AHEAD_S)
        self._paid_until = trio.current_time() + stretch_s
        return stretch_s

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
