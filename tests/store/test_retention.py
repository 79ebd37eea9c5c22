"""Retention: what is too old goes, some at a time, again and again; what nobody will end gets an end."""

import datetime as dt

import pytest
import trio
import trio.testing

from server.store.base import Erasure, StoreUnavailable
from server.store.retention import BATCH_SESSIONS, Retention
from tests.store.samples import NOON

DAY = dt.timedelta(days=1)


class Shelf:
    """Sessions by their age, and a database that may be away."""

    def __init__(self, sessions: int) -> None:
        self.sessions = sessions
        self.asked: list[dt.datetime] = []
        self.is_away = False
        self.finished: list[dt.datetime] = []

    async def finish_stale(self, before: dt.datetime) -> int:
        await trio.lowlevel.checkpoint()
        self.finished.append(before)
        return 1

    async def erase_before(self, before: dt.datetime, limit: int) -> Erasure:
        await trio.lowlevel.checkpoint()
        self.asked.append(before)
        if self.is_away:
            raise StoreUnavailable("unreachable", "It cannot be reached.")
        gone = min(limit, self.sessions)
        self.sessions -= gone
        return Erasure(session_ids=tuple(map(str, range(gone))))


def retention(shelf: Shelf, *, keep: dt.timedelta | None, session_max: dt.timedelta | None = None) -> Retention:
    return Retention(shelf.erase_before, shelf.finish_stale, keep=keep, session_max=session_max, now=lambda: NOON)


async def test_what_is_too_old_goes_in_batches(autojump_clock: trio.testing.MockClock) -> None:
    shelf = Shelf(2 * BATCH_SESSIONS + 1)

    assert await retention(shelf, keep=30 * DAY).once() == 2 * BATCH_SESSIONS + 1

    assert shelf.asked == [NOON - 30 * DAY] * 4
    assert shelf.finished == []


async def test_what_is_older_than_any_session_gets_an_end(autojump_clock: trio.testing.MockClock) -> None:
    shelf = Shelf(1)

    assert await retention(shelf, keep=None, session_max=DAY).once() == 0

    assert shelf.finished == [NOON - DAY]
    assert shelf.sessions == 1


async def test_a_database_that_is_away_is_asked_again_later(autojump_clock: trio.testing.MockClock) -> None:
    shelf = Shelf(1)
    shelf.is_away = True
    with trio.move_on_after(3601):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retention(shelf, keep=DAY).run)
            await trio.sleep(10)
            shelf.is_away = False

    assert shelf.sessions == 0


def test_nothing_is_kept_for_no_time() -> None:
    with pytest.raises(ValueError, match="some time"):
        retention(Shelf(0), keep=dt.timedelta(0))
