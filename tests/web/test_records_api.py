"""The records over HTTP, from a real SQLite file: pages, one session, costs, ending, exporting, erasing; for whom."""

import csv
import datetime as dt
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from quart import typing as quart_typing

from server.lifecycle import Lifecycle
from server.security.minting import Mint
from server.security.principal import LOCAL, Principal, Scope
from server.security.ticket_store import MemoryTicketStore
from server.store.base import Erasure, JournalFault, StoreUnavailable
from server.telemetry.health import Health
from server.web.app import make_app
from server.web.live import LiveSession, Oversight
from tests.store.samples import NOON, after, begun, conversation, ended, usage
from tests.web.desk import LIVE, Desk, Stage, living
from tests.web.test_app import FACTS, Porter, Shelf

READS: tuple[Scope, ...] = ("records",)


def somebody(*scopes: Scope, kb_ids: frozenset[str] | None = None) -> Principal:
    return Principal(id="key:x", name="x", kind="key", scopes=frozenset(scopes), kb_ids=kb_ids)


class Office:
    """The application over records, and who asks it."""

    def __init__(self, folder: Path, *live: LiveSession) -> None:
        self.desk = Desk(folder)
        self.stage = Stage(*live)
        lifecycle = Lifecycle()
        lifecycle.ready()
        self._health = Health(lifecycle, lambda: FACTS)

    def client(self, principal: Principal = LOCAL) -> quart_typing.TestClientProtocol:
        return make_app(
            self._health,
            Shelf(),
            Mint(MemoryTicketStore()),
            gate=Porter(principal),
            default_kb="museum",
            hears_speech=False,
            oversight=Oversight(self.stage, self.desk),
        ).test_client()

    async def get(self, path: str, principal: Principal = LOCAL, status: int = 200) -> Any:
        response = await self.client(principal).get(path)
        assert response.status_code == status, await response.get_data(as_text=True)
        return await response.get_json()


Open = Callable[..., Any]


@pytest.fixture
def office(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def open_office(*live: LiveSession, sessions: int = 0) -> AsyncIterator[Office]:
        opened = Office(tmp_path, *live)
        await opened.desk.reader.prepare()
        for number in range(sessions):
            await opened.desk.keep(conversation(f"s{number}", start=NOON + dt.timedelta(minutes=number)))
        yield opened
        await opened.desk.reader.aclose()

    return open_office


def ids(page: dict[str, Any]) -> list[str]:
    return [session["session_id"] for session in page["sessions"]]


async def test_sessions_come_newest_first_and_in_pages(office: Open) -> None:
    async with office(sessions=5) as at:
        first = await at.get("/api/sessions?limit=3")
        assert ids(first) == ["s4", "s3", "s2"]
        second = await at.get(f"/api/sessions?limit=3&key={first['next_key']}")
        assert ids(second) == ["s1", "s0"]
        assert second["next_key"] is None
        assert first["sessions"][0]["cost_usd"] == "0.066316"


async def test_sessions_are_filtered(office: Open) -> None:
    async with office(sessions=3) as at:
        later = NOON + dt.timedelta(hours=1)
        await at.desk.keep([begun("now", start=later, kb_id="zoo", principal_id="key:2", person="ann")])
        await at.desk.keep([begun("dear", start=later), usage("dear", 1, cost="4.5"), ended("dear", reason="internal")])
        for query, expected in {
            "state=live": ["now"],
            "state=past&limit=2": ["dear", "s2"],
            "kb_id=zoo": ["now"],
            "principal_id=key:2": ["now"],
            "person=ann": ["now"],
            "end_reason=internal": ["dear"],
            f"until={NOON.strftime('%Y-%m-%dT%H:%M:%S')}Z": [],
            "since=2026-07-01T12:01:30Z&until=2026-07-01T12:59:00Z": ["s2"],
            "min_cost_usd=1.5": ["dear"],
            "kb_id=none": [],
        }.items():
            assert ids(await at.get(f"/api/sessions?{query}")) == expected, query


async def test_a_filter_by_cost_fills_its_pages(office: Open) -> None:
    async with office() as at:
        many = [begun(f"s{number:02}", start=after(-number)) for number in range(30)]
        await at.desk.keep([*many, *(usage(f"s{number}", 1, cost="2") for number in (19, 24, 29))])
        page = await at.get("/api/sessions?min_cost_usd=1&limit=2")
        assert ids(page) == ["s19", "s24"]
        assert ids(await at.get(f"/api/sessions?min_cost_usd=1&limit=2&key={page['next_key']}")) == ["s29"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("since=0.5", "since"),
        ("since=2026-07-01", "since"),
        ("since=2026-07-01T12:00:00", "since"),
        ("state=dead", "state"),
        ("min_cost_usd=nan", "min_cost_usd"),
        ("kb=museum", "kb"),
        ("limit=3&limit=4", "more than once"),
        ("kb_id=", "kb_id"),
    ],
)
async def test_what_is_no_filter_is_said(office: Open, query: str, said: str) -> None:
    async with office() as at:
        body = await at.get(f"/api/sessions?{query}", status=400)
        assert body["error"]["code"] == "invalid_value"
        assert said in body["error"]["message"]


async def test_a_key_of_no_page_is_not_found(office: Open) -> None:
    async with office() as at:
        assert (await at.get("/api/sessions?key=zz", status=404))["error"]["code"] == "unknown_page"


async def test_a_session_comes_with_everything(office: Open) -> None:
    async with office(living("s1", state="searching"), sessions=2) as at:
        kept = await at.get("/api/sessions/s1")
        assert [turn["role"] for turn in kept["turns"]] == ["user", "assistant"]
        assert kept["turns"][1]["heard_text"] == "At ten"
        assert kept["tool_calls"][0]["sources"][0]["title"] == "Hours"
        assert kept["usage"][0]["tokens"]["input_text"] == 15_703
        assert kept["live"]["state"] == "searching"
        assert (await at.get("/api/sessions/s0"))["live"] is None
        assert (await at.get("/api/sessions/none", status=404))["error"]["code"] == "unknown_session"
        await at.get(f"/api/sessions/{'x' * 600}", status=404)


async def test_a_session_that_has_just_begun_is_shown_before_it_is_in_the_database(office: Open) -> None:
    async with office(LIVE) as at:
        kept = await at.get("/api/sessions/sess_la_now")
        assert kept["session"]["kb_id"] == "museum"
        assert kept["turns"] == []
        await at.get("/api/sessions/sess_la_now", somebody("records", kb_ids=frozenset({"zoo"})), status=404)


async def test_a_session_is_exported_as_json_and_as_csv(office: Open) -> None:
    async with office(sessions=1) as at:
        client = at.client()
        response = await client.get("/api/sessions/s0/export")
        assert response.headers["Content-Disposition"] == 'attachment; filename="s0.json"'
        assert (await response.get_json())["session"]["session_id"] == "s0"
        table = await client.get("/api/sessions/s0/export?format=csv")
        assert table.content_type == "text/csv; charset=utf-8"
        [row] = csv.DictReader(io.StringIO(await table.get_data(as_text=True)))
        assert row["cost_usd"] == "0.066316000000"
        await at.desk.keep([begun('a"\r\nX: y')])
        hostile = await client.get("/api/sessions/a%22%0D%0AX%3A%20y/export")
        assert hostile.headers["Content-Disposition"] == 'attachment; filename="a___X__y.json"'
        await at.get("/api/sessions/none/export", status=404)


async def test_a_session_is_ended_where_it_lives(office: Open) -> None:
    async with office(LIVE, sessions=1) as at:
        client = at.client()
        assert (await client.post("/api/sessions/s0/end")).status_code == 404
        assert (await client.post("/api/sessions/sess_la_now/end")).status_code == 200
        assert at.stage.ended == ["sess_la_now"]
        again = await client.post("/api/sessions/sess_la_now/end")
        assert (await again.get_json())["error"]["code"] == "session_not_live"


async def test_a_session_is_erased_and_what_it_cost_remains(office: Open) -> None:
    async with office(living("s1"), sessions=3) as at:
        client = at.client()
        assert await (await client.delete("/api/sessions/s0")).get_json() == {"sessions": 1}
        assert await (await client.delete("/api/sessions/s1")).get_json() == {"sessions": 1}
        assert at.stage.ended == ["s1"]
        assert (await client.delete("/api/sessions/s0")).status_code == 404
        assert ids(await at.get("/api/sessions")) == ["s2"]
        assert (await at.get("/api/costs"))["lines"][0]["lines"] == 3


@pytest.mark.parametrize("person", ["ann", "a/b", "a//b", "/", "key:1"])
async def test_all_of_a_person_is_erased_and_nothing_of_another(office: Open, person: str) -> None:
    async with office(living("here", person=person), living("other"), sessions=1) as at:
        await at.desk.keep([begun("p1", person=person), begun("here", person=person)])
        response = await at.client().delete(f"/api/persons/{person.replace('/', '%2F')}")
        assert await response.get_json() == {"sessions": 2}
        assert at.stage.ended == ["here"]
        assert ids(await at.get("/api/sessions")) == ["other", "s0"]


async def test_ends_are_counted(office: Open) -> None:
    async with office(sessions=3) as at:
        await at.desk.keep([begun("now"), begun("odd"), ended("odd", reason="internal")])
        counted = {"sessions": 4, "reasons": {"completed": 3, "internal": 1}}
        assert await at.get("/api/end-reasons") == counted
        assert (await at.get("/api/end-reasons?since=2026-07-02T00:00:00Z"))["sessions"] == 0


async def test_costs_are_added_up(office: Open) -> None:
    async with office(sessions=2) as at:
        await at.desk.keep([usage("z", 1, cost="1", principal_id="key:2", start=NOON + dt.timedelta(days=1))])
        [one, other] = (await at.get("/api/costs"))["lines"]
        assert (one["day"], one["cost_usd"], one["kb_id"]) == ("2026-07-01", "0.132632", None)
        assert other["cost_usd"] == "1"
        lines = (await at.get("/api/costs?by=principal_id,model&since=2026-07-02&until=2026-07-02"))["lines"]
        assert [(line["principal_id"], line["model"]) for line in lines] == [("key:2", "gpt-realtime")]
        for wrong in ("by=colour", "by=day,", "since=yesterday", "since=2026-07-01T00:00:00Z"):
            assert (await at.get(f"/api/costs?{wrong}", status=400))["error"]["code"] == "invalid_value"


async def test_the_status_shows_what_lives_and_how_it_stands(office: Open) -> None:
    async with office(LIVE, living("zoo", kb_id="zoo")) as at:
        status = await at.get("/api/status")
        assert status["status"] == "ready"
        assert status["records"]["state"] == "ok"
        assert [session["session_id"] for session in status["live"]] == ["sess_la_now", "zoo"]
        seen = await at.get("/api/status", somebody("records", kb_ids=frozenset({"zoo"})))
        assert [session["session_id"] for session in seen["live"]] == ["zoo"]


@pytest.mark.parametrize("scope", ["talk", "mint", "records", "administer"])
async def test_reading_and_changing_are_rights_of_their_own(office: Open, scope: Scope) -> None:
    async with office(LIVE, sessions=1) as at:
        client = at.client(somebody(scope))
        reads = ("/api/sessions", "/api/sessions/s0", "/api/sessions/s0/export", "/api/costs", "/api/end-reasons")
        for path in reads:
            assert (await client.get(path)).status_code == (200 if scope == "records" else 403), path
        allowed = scope in ("records", "administer")
        assert (await client.get("/api/status")).status_code == (200 if allowed else 403)
        expected = 200 if scope == "administer" else 403
        assert (await client.post("/api/sessions/sess_la_now/end")).status_code == expected
        assert (await client.delete("/api/sessions/s0")).status_code == expected
        assert (await client.delete("/api/persons/visitor")).status_code == expected


async def test_who_is_for_some_knowledge_bases_sees_and_touches_these_alone(office: Open) -> None:
    async with office(LIVE, living("lion", kb_id="zoo"), sessions=2) as at:
        await at.desk.keep([begun("bear", kb_id="zoo"), ended("bear")])
        keeper = somebody("records", "administer", kb_ids=frozenset({"zoo"}))
        assert ids(await at.get("/api/sessions", keeper)) == ["lion", "bear"]
        assert (await at.get("/api/end-reasons", keeper))["sessions"] == 1
        assert (await at.get("/api/costs?by=day,model", keeper))["lines"] == []
        await at.get("/api/sessions?kb_id=museum", keeper, status=403)
        await at.get("/api/costs?kb_id=museum", keeper, status=403)
        for path in ("/api/sessions/s0", "/api/sessions/s0/export"):
            assert (await at.get(path, keeper, status=404))["error"]["code"] == "unknown_session"
        client = at.client(keeper)
        assert (await client.post("/api/sessions/sess_la_now/end")).status_code == 404
        assert (await client.delete("/api/sessions/sess_la_now")).status_code == 404
        assert (await client.delete("/api/sessions/s0")).status_code == 404
        assert (await client.delete("/api/persons/visitor")).status_code == 403
        assert at.stage.ended == []
        assert (await client.delete("/api/sessions/bear")).status_code == 200
        both = somebody("records", kb_ids=frozenset({"zoo", "museum"}))
        await at.get("/api/sessions", both, status=400)
        assert ids(await at.get("/api/sessions?kb_id=museum&state=past", both)) == ["s1", "s0"]


async def test_costs_of_one_knowledge_base_are_added_up_by_what_was_asked(office: Open) -> None:
    async with office(sessions=3) as at:
        lines = (await at.get("/api/costs?by=principal_id&kb_id=museum"))["lines"]
        assert [(line["lines"], line["cost_usd"], line["kb_id"]) for line in lines] == [(3, "0.198948", None)]
        assert lines[0]["tokens"]["input_text"] == 3 * 15_703


async def test_records_that_cannot_be_reached_are_told_without_insides(
    office: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: object, **_more: object) -> Erasure:
        raise StoreUnavailable("unreachable", "The SQLite file /srv/data/records.sqlite3 cannot be opened.")

    async with office() as at:
        for name in ("sessions", "session", "costs", "end_reasons", "erase_sessions"):
            monkeypatch.setattr(at.desk.reader, name, away)
        for path in ("/api/sessions", "/api/sessions/x", "/api/costs", "/api/end-reasons"):
            body = await at.get(path, status=503)
            assert body["error"]["code"] == "records_unavailable"
            assert "/srv" not in body["error"]["message"]
        assert (await at.client().delete("/api/sessions/x")).status_code == 503


@pytest.mark.parametrize("fault", [JournalFault("broken", "/srv/journal"), OSError(5, "I/O")])
async def test_an_erasure_that_was_not_finished_is_told(
    office: Open, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def halfway(_session_id: str) -> Erasure:
        raise fault

    async with office() as at:
        monkeypatch.setattr(at.desk, "erase_session", halfway)
        response = await at.client().delete("/api/sessions/x")
        assert (await response.get_json())["error"]["code"] == "erasure_incomplete"
        assert b"/srv" not in await response.get_data()


async def test_without_records_there_is_no_dashboard() -> None:
    lifecycle = Lifecycle()
    lifecycle.ready()
    client = make_app(
        Health(lifecycle, lambda: FACTS), Shelf(), Mint(MemoryTicketStore()), gate=Porter(LOCAL), default_kb="museum",
        hears_speech=False,
    ).test_client()  # fmt: skip
    for path in ("/dashboard", "/api/sessions", "/api/status"):
        assert (await client.get(path)).status_code == 404
