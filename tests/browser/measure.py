"""Measures a server's dashboard with 100,000 sessions: ``python -m tests.browser.measure [sessions]``. No test.

On SQLite, then on PostgreSQL, where that is installed; in Chromium, each page several times, with a cold cache each.
"""

import datetime as dt
import statistics
import sys
import tempfile
import time
from pathlib import Path

import trio

from server.secret import Secret
from server.store.sql import SqlRecords
from server.store.sql_address import address_of
from tests.browser.desk import now
from tests.browser.devtools import Page, browser
from tests.running import serving
from tests.store import measure
from tests.store.postgresql import cluster

MANY = 100_000
TIMES = 7
# What `tests.store.measure` puts there has one session each so many seconds, in the order of its numbers.
_EVERY_S = 97
# Of each of them.
_EACH = {"TURNS": 4, "LINES": 2, "CALLS": 1}
_CHUNK = 2_000
SHOWN = "page.counts.overviews && page.counts.polls"


async def first_screen_s(page: Page, url: str) -> float:
    """Seconds until the overview is there with all its lists, from an empty tab."""
    await page.open("about:blank")
    began = time.perf_counter()
    await page.open(f"{url}/dashboard")
    await page.until(SHOWN)
    return time.perf_counter() - began


async def session_page_s(page: Page, session_id: str) -> float:
    """Seconds from a click in the overview until a session's conversation is there."""
    took: float = await page.evaluate(
        f"""new Promise((done) => {{
          const began = performance.now();
          new MutationObserver((_, watch) => {{
            if (!document.querySelector(".said")) return;
            watch.disconnect();
            done((performance.now() - began) / 1000);
          }}).observe(document.querySelector("#session"), {{ childList: true }});
          location.hash = "#/sessions/{session_id}";
        }})"""
    )
    return took


async def pages(url: str, count: int) -> None:
    """Fills a database and looks at it."""
    store = SqlRecords(address_of(Secret(url)))
    await store.prepare()
    # The newest began just now: the overview looks at the last weeks.
    vars(measure).update(NOON=now() - dt.timedelta(seconds=_EVERY_S * count), **_EACH)
    for first in range(0, count, _CHUNK):
        await store.database.write(measure.fill, first, min(_CHUNK, count - first))
    await store.database.write(measure.fill_days, _EVERY_S * count // 86_400 + 1)
    if not store.database.is_sqlite:
        # As its own daemon does, sooner or later.
        await store.database.write(measure.statement, "ANALYZE")
    name = store.database.name
    await store.aclose()
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "data"
        data_dir.mkdir()
        async with serving(data_dir, database_url=Secret(url)) as server, browser(Path(scratch) / "browser") as page:
            page.module = "/static/dashboard.js"
            await page.call("Network.setCacheDisabled", cacheDisabled=True)
            await page.emulate(width=1280, height=900)
            firsts, sessions = [], []
            for number in range(TIMES):
                firsts.append(await first_screen_s(page, f"http://localhost:{server.port}"))
                sessions.append(await session_page_s(page, f"sess_{count // 2 + number:08}"))
    for what, times in (("first screen", firsts), ("session page", sessions)):
        best, median, worst = min(times), statistics.median(times), max(times)
        print(f"{name}, {count:,} sessions: {what} best {best:.3f} s, median {median:.3f} s, worst {worst:.3f} s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    with tempfile.TemporaryDirectory() as folder:
        trio.run(pages, f"sqlite:///{folder}/records.sqlite3", count)
    with cluster() as postgresql:
        trio.run(pages, postgresql.new_database(), count)


if __name__ == "__main__":
    main()
