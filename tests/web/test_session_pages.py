"""Pages of sessions over HTTP: those that live and are not in the database yet stand on the first one, once."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from tests.store.samples import NOON, begun, conversation
from tests.web.desk import LIVE, living
from tests.web.test_records_api import READS, Open, ids, office, somebody

__all__ = ["office"]  # a fixture

NEW = NOON + dt.timedelta(hours=1)


async def test_a_session_that_has_just_begun_stands_before_the_others(office: Open) -> None:
    async with office(LIVE, sessions=2) as opened:
        page = await opened.get("/api/sessions")
        assert ids(page) == [LIVE.session_id, "s1", "s0"]
        first = page["sessions"][0]
        assert (first["ended_at"], first["end_reason"], first["turns"]) == (None, None, 4)
        assert (first["kb_id"], first["cost_usd"]) == ("museum", "0.0421")
        assert ids(await opened.get("/api/sessions?state=live")) == [LIVE.session_id]
        assert ids(await opened.get("/api/sessions?state=past")) == ["s1", "s0"]


async def test_it_stands_there_once_when_the_database_knows_it(office: Open) -> None:
    async with office(LIVE, sessions=1) as opened:
        await opened.desk.keep([begun(LIVE.session_id, start=NEW)])
        assert ids(await opened.get("/api/sessions")) == [LIVE.session_id, "s0"]
        assert ids(await opened.get("/api/sessions?state=live")) == [LIVE.session_id]


async def test_one_that_ended_is_where_the_database_has_it(office: Open) -> None:
    async with office(LIVE) as opened:
        await opened.desk.keep(conversation(LIVE.session_id, start=NEW))
        assert ids(await opened.get("/api/sessions")) == [LIVE.session_id], "it is about to leave the server, too"
        opened.stage.end(LIVE.session_id)
        assert ids(await opened.get("/api/sessions?state=past")) == [LIVE.session_id]
        assert ids(await opened.get("/api/sessions?state=live")) == []


async def test_it_is_on_the_first_page_only_beside_what_the_limit_says(office: Open) -> None:
    async with office(LIVE, sessions=3) as opened:
        first = await opened.get("/api/sessions?limit=1")
        assert ids(first) == [LIVE.session_id, "s2"]
        second = await opened.get(f"/api/sessions?limit=1&key={first['next_key']}")
        assert ids(second) == ["s1"]


async def test_an_old_one_that_the_database_has_is_left_to_its_page(office: Open) -> None:
    old = living("sess_la_old", began_at=NOON - dt.timedelta(hours=1))
    async with office(old, sessions=3) as opened:
        await opened.desk.keep([begun("sess_la_old", start=NOON - dt.timedelta(hours=1))])
        first = await opened.get("/api/sessions?limit=2")
        assert ids(first) == ["s2", "s1"]
        assert ids(await opened.get(f"/api/sessions?key={first['next_key']}")) == ["s0", "sess_la_old"]


@pytest.mark.parametrize(
    ("query", "is_meant"),
    [
        ("kb_id=museum", True),
        ("kb_id=zoo", False),
        ("principal_id=key:1", True),
        ("principal_id=key:2", False),
        ("person=visitor", True),
        ("person=ann", False),
        ("end_reason=completed", False),
        ("since=2026-07-01T12:30:00Z", True),
        ("since=2027-01-01T00:00:00Z", False),
        ("until=2027-01-01T00:00:00Z", True),
        ("until=2026-01-01T00:00:00Z", False),
        ("min_cost_usd=0.04", True),
        ("min_cost_usd=0.05", False),
    ],
)
async def test_the_filters_hold_for_it_too(office: Open, query: str, is_meant: bool) -> None:
    async with office(LIVE) as opened:
        assert ids(await opened.get(f"/api/sessions?{query}")) == ([LIVE.session_id] if is_meant else [])


async def test_a_credential_for_one_knowledge_base_sees_those_of_it(office: Open) -> None:
    other = living("sess_la_zoo", kb_id="zoo", cost_usd=Decimal(0))
    async with office(LIVE, other) as opened:
        mine: Any = somebody(*READS, kb_ids=frozenset({"zoo"}))
        assert ids(await opened.get("/api/sessions", mine)) == ["sess_la_zoo"]
