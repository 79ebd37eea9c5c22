"""The page of a server that needs a key: it is asked for once, shown to the server alone, and exchanged for tickets."""

from pathlib import Path
from typing import Any

import pytest

from server.secret import Secret
from server.security.key_file import KeyFile
from tests.browser.conftest import serving_on
from tests.browser.devtools import Page, browser

pytestmark = [pytest.mark.service, pytest.mark.slow]

KEY = "opensesame-123456"
CONNECTED = "page.avatar.connected"

# Keeps what the page says first on each of its WebSockets, and closes the newest on demand.
WATCH = """(() => {
  globalThis.firsts = [];
  globalThis.sockets = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (!sockets.includes(this)) {
      sockets.push(this);
      firsts.push(JSON.parse(data));
    }
    return send.call(this, data);
  };
})()"""


async def give_key(page: Page, key: str) -> None:
    await page.until("!document.querySelector('#key-form').hidden")
    await page.run(WATCH)
    await page.click("#key")
    await page.type(key)
    await page.press("Enter")


async def first_frames(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await page.evaluate("firsts")
    return found


async def test_the_page_shows_tickets_and_comes_back_without_one(data_dir: Path, profile: Path) -> None:
    async with serving_on(data_dir, api_key=Secret(KEY)) as port, browser(profile) as page:
        await page.emulate()
        await page.open(f"http://localhost:{port}/")
        await give_key(page, KEY)
        await page.until(CONNECTED)
        await page.until_text("#knowledge-base", "Pellhaven")
        [init] = await first_frames(page)
        assert init["token"].startswith("tk_")
        await page.evaluate("sockets.at(-1).close(4999)")
        await page.until("firsts.length === 2")
        await page.until(CONNECTED)
        again = (await first_frames(page))[1]
        assert "token" not in again
        assert again["resume"]["session_id"]
        await page.ask("Who founded the museum?")
        await page.until("document.querySelector('.source')")
        kept = await page.evaluate(
            "JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie, location.href])"
        )
        assert KEY not in kept
        assert "tk_" not in kept


async def test_a_key_that_makes_no_tickets_is_shown_itself(data_dir: Path, profile: Path) -> None:
    key = KeyFile(data_dir).create("kiosk", scopes=("talk",), kb_ids=("museum",))
    async with serving_on(data_dir) as port, browser(profile) as page:
        await page.emulate()
        await page.open(f"http://localhost:{port}/")
        await give_key(page, key)
        await page.until(CONNECTED)
        [init] = await first_frames(page)
        assert init["token"] == key
        assert await page.evaluate("document.querySelectorAll('#knowledge-base option').length") == 1
        await page.evaluate("sockets.at(-1).close(4999)")
        await page.until("firsts.length === 2")
        await page.until(CONNECTED)
        assert (await first_frames(page))[1]["token"] == key
