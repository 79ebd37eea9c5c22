"""The dashboard's pictures for the docs, from the running thing: ``python -m tests.browser.screenshots FOLDER``."""

import sys
import tempfile
from pathlib import Path

import trio

from tests.browser.desk import dashboard_server, now
from tests.browser.devtools import browser
from tests.browser.showcase import living, session, weeks

SESSION = "sess_la_3f9a27c081b54d6e90aa12c7"
READY = (
    "page.counts.overviews && document.querySelector('#live-rows tr') && document.querySelector('#costs-chart rect')"
)


async def shoot(folder: Path) -> None:
    """All pictures."""
    moment = now()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        async with dashboard_server(place, *living(moment)) as server, browser(place / "browser") as page:
            await server.desk.keep(weeks(moment))
            await server.desk.keep(session(SESSION, moment.replace(microsecond=0), seed=4))
            page.module = "/static/dashboard.js"
            for name, width, height, colours, mobile, path in (
                ("dashboard", 1180, 1180, "light", False, ""),
                ("dashboard-dark", 1180, 1180, "dark", False, ""),
                ("dashboard-session", 1180, 1080, "light", False, f"#/sessions/{SESSION}"),
                ("dashboard-phone", 360, 900, "light", True, ""),
                ("dashboard-phone-session", 360, 900, "dark", True, f"#/sessions/{SESSION}"),
            ):
                await page.prefer(prefers_color_scheme=colours)
                await page.emulate(width=width, height=height, mobile=mobile, scale=1)
                await page.open("about:blank")
                await page.open(f"{server.url}/dashboard{path}")
                await page.until("document.querySelector('.said')" if path else READY)
                if path:
                    await page.evaluate(
                        "document.querySelectorAll('.said details').forEach((one, n) => one.open = n === 0)"
                    )
                await page.screenshot(folder / f"{name}.png")
            print("\n".join(page.console))


if __name__ == "__main__":
    trio.run(shoot, Path(sys.argv[1]))
