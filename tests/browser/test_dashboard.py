"""The dashboard in a browser: what it shows, that it follows what happens, how quick it is, who is barred."""

import re
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from server.security.principal import LOCAL, Principal
from server.store.base import UNFINISHED
from server.store.records import SaidText, SessionEnded
from server.web.live import LiveSession
from tests.browser.conftest import serving_on
from tests.browser.desk import Counter, dashboard_server, now
from tests.browser.devtools import Page, browser
from tests.browser.measure import SHOWN, first_screen_s, session_page_s
from tests.browser.showcase import HOSTILE, fill, living, session, weeks
from tests.browser.test_accessibility import axe, findings

__all__ = ["axe"]  # a fixture

pytestmark = [pytest.mark.service, pytest.mark.slow]

PHONE = (360, 740)
MANY = 100_000
# What is to be reached with so many sessions; see docs/dashboard.md.
FIRST_SCREEN_S = 1.0
SESSION_PAGE_S = 0.2
LOOKS = [("light", 1280, 900), ("dark", 1280, 900), ("light", *PHONE), ("dark", *PHONE)]


async def use_key(page: Page, key: str) -> None:
    await page.until("!document.querySelector('#key-form').hidden")
    await page.click("#key")
    await page.type(key)
    await page.press("Enter")
    await page.until("document.querySelector('#key').value === ''")


def more(session_id: str) -> SaidText:
    return SaidText(session_id=session_id, id="more", at=now(), role="user", text="And what does the roof rest on?")


def over(session_id: str) -> SessionEnded:
    detail = "An operator ended the session."
    return SessionEnded(session_id=session_id, id=session_id, at=now(), reason="completed", detail=detail)


@asynccontextmanager
async def looking(
    folder: Path,
    *live: LiveSession,
    path: str = "",
    key: str | None = None,
    principal: Principal = LOCAL,
    talks: int = 40,
) -> AsyncIterator[tuple[Page, Counter]]:
    """A browser before a dashboard; afterwards nothing may have been thrown or forbidden in it."""
    (folder / "records").mkdir()
    async with (
        dashboard_server(folder / "records", *live, key=key, principal=principal) as server,
        browser(folder / "browser") as page,
    ):
        await server.desk.keep(weeks(now(), talks))
        page.module = "/static/dashboard.js"
        await page.emulate(width=1280, height=900)
        await page.open(f"{server.url}/dashboard{path}")
        yield page, server
        # A refused request is logged by the browser itself.
        assert [line for line in page.console if not re.search(r"status of 40[0134] ", line)] == []


async def test_the_first_screen_shows_what_lives_what_it_costs_and_what_was(tmp_path: Path) -> None:
    async with looking(tmp_path, *living(now())) as (page, _):
        await page.until(SHOWN)
        assert await page.text("#tile-live") == "3"
        assert (await page.text("#tile-cost")).startswith("$")
        assert await page.text("#tile-records") == "safe"
        assert "speaking" in await page.text("#live")
        assert "client away" in await page.text("#live")
        assert "604 ms" in await page.text("#live")
        assert await page.evaluate("document.querySelectorAll('#past-rows tr').length") == 25
        assert await page.evaluate("document.querySelectorAll('#costs-chart rect').length > 3")
        assert "completed" in await page.text("#ends")
        assert "sweden-1" in await page.text("#breakers")


async def test_it_follows_what_happens(tmp_path: Path) -> None:
    async with looking(tmp_path, *living(now())) as (page, server):
        await page.until(SHOWN)
        gone = next(iter(server.stage.living))
        await server.desk.keep(session(gone, now(), seed=3, reason="idle_timeout"))
        server.stage.end(gone)
        await page.until("document.querySelectorAll('#live-rows tr').length === 2")
        await page.until(f"document.querySelector('#past-rows').innerHTML.includes('{gone}')")
        for session_id in list(server.stage.living):
            server.stage.end(session_id)
        await page.until_text("#overview", "Nobody is talking right now.")


async def test_a_live_session_is_ended_after_a_question(tmp_path: Path) -> None:
    async with looking(tmp_path, *living(now())) as (page, server):
        await page.until(SHOWN)
        await page.click("#live-rows .act button")
        await page.until("document.querySelector('#sure').open")
        await page.click("#sure button[value=no]")
        assert server.stage.ended == []
        await page.click("#live-rows .act button")
        await page.click("#sure-yes")
        await page.until("document.querySelectorAll('#live-rows tr').length === 2")
        assert len(server.stage.ended) == 1


async def test_past_sessions_are_filtered_and_paged(tmp_path: Path) -> None:
    async with looking(tmp_path, talks=60) as (page, _):
        await page.until(SHOWN)
        newest = await page.text("#past-rows tr a")
        await page.click("#older")
        await page.until_text("#page", "Page 2")
        assert await page.text("#past-rows tr a") != newest
        assert await page.evaluate("document.activeElement.id") == "past-title"
        await page.click("#older")
        await page.until_text("#page", "Page 3")
        assert await page.evaluate("document.querySelectorAll('#past-rows tr').length") == 10
        assert await page.evaluate("document.querySelector('#older').disabled")
        await page.click("#newer")
        await page.until_text("#page", "Page 2")
        await page.click("#newer")
        await page.until_text("#page", "Page 1")
        await page.evaluate("document.querySelector('#past-ends').value = 'idle_timeout'")
        await page.click("#filter .primary")
        await page.until(
            "[...document.querySelectorAll('#past-rows .pill')].every((one) => one.innerText === 'silent too long')"
        )
        await page.click("input[name=kb_id]")
        await page.type("nowhere")
        await page.press("Enter")
        await page.until("!document.querySelector('#past-empty').hidden")
        assert await page.text("#past-empty") == "No such sessions."
        await page.click("#filter button[type=reset]")
        await page.until("document.querySelectorAll('#past-rows tr').length === 25")


async def test_a_session_shows_what_was_heard_found_and_how_long_it_took(tmp_path: Path) -> None:
    async with looking(tmp_path, path="#/sessions/one") as (page, server):
        await server.desk.keep(session("one", now(), seed=2))
        await page.open("about:blank")
        await page.open(f"{server.url}/dashboard#/sessions/one")
        await page.until("document.querySelector('.said')")
        assert await page.evaluate("document.activeElement.id") == "session-title"
        assert "It was built by Halloran" in await page.text(".said s")
        assert "Interrupted: 2.9 s of 6.1 s were heard" in await page.text(".said")
        assert "search_knowledge_base" in await page.text(".said .call")
        assert "2 passages" in await page.text(".said .call")
        await page.click(".said .call summary")
        await page.until_text(".said .call", "Opening hours")
        for step in ("search", "first word", "first sound", "done"):
            assert step in await page.text(".waterfall")
        assert "$" in await page.text("#session table")
        await page.click("#erase")
        await page.click("#sure-yes")
        await page.until("location.hash === '#/' && !document.querySelector('#overview').hidden")
        assert await server.desk.reader.session("one") is None


async def test_what_people_and_documents_say_stays_text(tmp_path: Path) -> None:
    async with looking(tmp_path) as (page, server):
        await server.desk.keep(session("bad", now(), seed=1))
        # Ids have no slash in them.
        hostile = HOSTILE.replace("/", "")
        await server.desk.keep(session(hostile, now(), seed=5))
        await page.evaluate("location.hash = '#/sessions/bad'")
        await page.until("document.querySelector('.said')")
        await page.evaluate("document.querySelectorAll('.said details').forEach((one) => one.open = true)")
        assert HOSTILE in await page.text(".said")
        await page.evaluate(f"location.hash = '#/sessions/' + encodeURIComponent({hostile!r})")
        await page.until_text(".facts-list", hostile)
        assert "owned" not in await page.evaluate("document.title")
        assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0


async def test_a_session_is_ended_from_its_page_and_stays_there_to_be_read(tmp_path: Path) -> None:
    async with looking(tmp_path, *living(now())) as (page, server):
        gone = next(iter(server.stage.living))
        await server.desk.keep(session(gone, now(), seed=3, reason=None))
        await page.until(SHOWN)
        await page.evaluate(f"location.hash = '#/sessions/{gone}'")
        await page.until("document.querySelector('.said')")
        assert await page.text("#session .pill") == "live"
        await page.evaluate("document.querySelector('#save-json').focus()")
        await server.desk.keep([more(gone)])
        await page.until_text(".said", "And what does the roof rest on?")
        assert await page.evaluate("document.activeElement.id") == "save-json"
        await page.click("#end")
        await page.click("#sure-yes")
        await page.until("!document.querySelector('#end')")
        assert server.stage.ended == [gone]
        # Its end comes into the database a moment later.
        await server.desk.keep([over(gone)])
        await page.until_text("#session .pill", "completed")
        await page.until_text(".facts-list", "An operator ended the session.")


async def test_a_session_that_its_server_lost_is_told_as_that(tmp_path: Path) -> None:
    async with looking(tmp_path) as (page, server):
        await server.desk.keep(session("lost", now(), seed=2, reason=UNFINISHED, detail=""))
        await page.evaluate("location.hash = '#/sessions/lost'")
        await page.until("document.querySelector('.said')")
        assert await page.text("#session .pill") == "server lost"
        assert "The server stopped without being able to end it" in await page.text(".facts-list")
        await page.click("#back")
        await page.until_text("#past-rows", "server lost")
        assert "server lost" in await page.text("#ends")


async def test_what_one_key_may_not_do_another_may(tmp_path: Path) -> None:
    reads = Principal(id="key:desk", name="desk", kind="key", scopes=frozenset({"records"}), kb_ids=None)
    async with looking(tmp_path, *living(now()), key="opensesame-123456", principal=reads) as (page, server):
        await use_key(page, "opensesame-123456")
        await page.until(SHOWN)
        await page.click("#live-rows .act button")
        await page.click("#sure-yes")
        await page.until_text("#notice", "This takes a key with the scope “administer”")
        assert await page.text("#tile-live") == "3", "what may be seen is seen still"
        assert server.stage.ended == []


async def test_a_key_for_several_knowledge_bases_shows_one_after_the_other(tmp_path: Path) -> None:
    kb_ids = frozenset({"museum", "handbook"})
    some = Principal(id="key:desk", name="desk", kind="key", scopes=frozenset({"records"}), kb_ids=kb_ids)
    async with looking(tmp_path, *living(now()), principal=some) as (page, _):
        await page.until_text("#notice", "This key is for several knowledge bases")
        assert await page.text("#tile-live") == "3"
        await page.click("#past-kb")
        await page.type("handbook")
        await page.press("Enter")
        await page.until("page.counts.overviews && document.querySelector('#notice').hidden")
        assert await page.evaluate("[...document.querySelectorAll('#past-rows tr')].length > 2")
        assert await page.text("#costs-legend") == "handbook"


async def test_a_key_is_asked_for_once_and_kept_in_memory_alone(tmp_path: Path) -> None:
    async with looking(tmp_path, *living(now()), key="opensesame-123456") as (page, _):
        await page.until_text("#notice", "The dashboard needs a key with the scope “records”")
        assert "liveavatar keys create" in await page.text("#notice")
        assert not await page.evaluate("document.querySelector('main').checkVisibility()"), "there is nothing to see"
        assert await page.evaluate("document.activeElement.id") == "key"
        await use_key(page, "wrong")
        await page.until_text("#notice", "not valid")
        assert [line for line in page.console if "/api/" in line and "/api/status" not in line] == []
        await use_key(page, "opensesame-123456")
        await page.until(SHOWN)
        assert await page.text("#tile-live") == "3"
        kept = "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
        assert "opensesame" not in await page.evaluate(kept)


async def test_a_server_that_goes_away_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    async with browser(tmp_path / "browser") as page:
        page.module = "/static/dashboard.js"
        async with dashboard_server(tmp_path / "records") as server:
            await page.open(f"{server.url}/dashboard")
            await page.until(SHOWN)
        await page.until_text("#notice", "The server does not answer.")
        assert await page.text("#connection") == "Not up to date"


@pytest.mark.parametrize(("colours", "width", "height"), LOOKS)
async def test_the_dashboard_has_no_serious_barrier(
    tmp_path: Path, axe: str, colours: str, width: int, height: int
) -> None:
    async with looking(tmp_path, *living(now())) as (page, server):
        await server.desk.keep(session("one", now(), seed=2))
        await page.emulate(width=width, height=height, mobile=width < 600)
        await page.prefer(prefers_color_scheme=colours)
        await page.until(SHOWN)
        await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert await findings(page, axe) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.click("#live-rows .act button")
        await page.until("document.querySelector('#sure').open")
        assert await findings(page, axe) == []
        await page.press("Escape")
        await page.evaluate("location.hash = '#/sessions/one'")
        await page.until("document.querySelector('.said')")
        await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert await findings(page, axe) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_with_many_sessions_it_is_there_at_once(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    async with dashboard_server(tmp_path / "records", *living(now())) as server, browser(tmp_path / "browser") as page:
        await trio.to_thread.run_sync(fill, tmp_path / "records" / "records.sqlite3", MANY, now())
        page.module = "/static/dashboard.js"
        await page.emulate(width=1280, height=900)
        firsts, sessions = [], []
        for number in range(3):
            firsts.append(await first_screen_s(page, server.url))
            sessions.append(await session_page_s(page, f"sess_la_{number + 50:024x}"))
        print(f"first screen {statistics.median(firsts):.3f} s, session page {statistics.median(sessions):.3f} s")
        # The best of them: a machine that stands still now and then is no fault of a page.
        assert min(firsts) < FIRST_SCREEN_S
        assert min(sessions) < SESSION_PAGE_S


async def test_somebody_who_talks_is_seen_and_ended_and_read_afterwards(data_dir: Path, tmp_path: Path) -> None:
    async with (
        serving_on(data_dir) as port,
        browser(tmp_path / "visitor") as visitor,
        browser(tmp_path / "operator") as page,
    ):
        page.module = "/static/dashboard.js"
        await visitor.open(f"http://localhost:{port}/")
        await page.open(f"http://localhost:{port}/dashboard")
        await page.until("document.querySelector('#live-rows tr')")
        await visitor.ask("Who founded the museum?")
        await page.until("!document.querySelector('#live-rows .latency').innerText.includes('–')")
        await page.click("#live-rows a")
        await page.until_text(".said", "Ottilie Marsh")
        await page.until_text(".waterfall", "first sound")
        await page.click("#end")
        await page.click("#sure-yes")
        await visitor.until_text("#notice", "An operator ended the session.")
        await page.until_text("#session .pill", "completed")
        await page.click("#back")
        await page.until("document.querySelectorAll('#past-rows tr').length === 1")
        await page.until_text("#overview", "Nobody is talking right now.")
        assert await page.text("#page") == ""
        assert page.console == []
