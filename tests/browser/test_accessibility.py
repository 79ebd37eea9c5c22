"""axe-core on the page, in its states and colours: no serious finding, and none that is worse."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import visiting
from tests.browser.devtools import Page

pytestmark = [pytest.mark.service, pytest.mark.slow]

# Carries axe-core (MPL-2.0) as a file; nothing else of it is used, and it is not installed anywhere but here.
PACKAGE = "axe-playwright-python==0.1.8"
FOLDER = Path(__file__).parents[2] / ".cache" / "axe"
SCRIPT = FOLDER / "axe_playwright_python" / "axe.min.js"
INSTALL_S = 120

WORST = {"serious", "critical"}
LOOKS = [("light", 1280, 800), ("dark", 1280, 800), ("light", 390, 844), ("dark", 390, 844)]

# Entries fade in; half faded they would be measured as too pale.
FADED_IN = """Promise.all(document.getAnimations()
  .filter((moving) => moving.effect.getComputedTiming().iterations === 1)
  .map((moving) => moving.finished)).then(() => null)"""
FIND = """axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.map(
  ({ id, impact, help, nodes }) => ({ id, impact, help, where: nodes.map(({ html }) => html.slice(0, 120)) })))"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, fetched once."""
    if not SCRIPT.is_file():
        target = ["--quiet", "--no-deps", "--target", str(FOLDER), PACKAGE]
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
        command = ["uv", "pip", "install", "--python", sys.executable] if shutil.which("uv") else pip
        try:
            subprocess.run([*command, *target], check=True, capture_output=True, timeout=INSTALL_S)
        except (OSError, subprocess.SubprocessError) as error:
            message = f"needs {PACKAGE} in {FOLDER}: {error}"
            if os.environ.get("TESTS_REQUIRE_SERVICES") == "1":
                pytest.fail(message)
            pytest.skip(message)
    return SCRIPT.read_text(encoding="utf-8")


async def findings(page: Page, axe: str) -> list[str]:
    """What axe-core finds that is serious or worse, as lines."""
    await page.evaluate(f"{axe}\n;null")
    await page.evaluate(FADED_IN)
    found: list[dict[str, Any]] = await page.evaluate(FIND)
    for finding in found:
        print(f"{finding['impact']}: {finding['id']}: {finding['help']} {finding['where']}")
    return [f"{finding['id']}: {finding['where']}" for finding in found if finding["impact"] in WORST]


@pytest.mark.parametrize(("colours", "width", "height"), LOOKS)
async def test_the_page_has_no_serious_barrier(
    data_dir: Path, profile: Path, axe: str, colours: str, width: int, height: int
) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await page.emulate(width=width, height=height, mobile=width < 600)
        await page.prefer(prefers_color_scheme=colours)
        await page.until("page.avatar.connected")
        assert await findings(page, axe) == []
        await page.ask("When does the museum open on Saturday?")
        await page.until("document.querySelector('.source')")
        await page.until("page.avatar.state === 'speaking'")
        await page.click(".source")
        await page.until("document.querySelector('.document mark')")
        assert await findings(page, axe) == []
        await page.click("#stop")
        await page.until_text("#log", "Interrupted.")
        await page.click("#microphone")
        await page.until("page.avatar.microphoneOn")
        assert await findings(page, axe) == []


async def test_a_page_that_has_bad_news_has_no_serious_barrier(data_dir: Path, profile: Path, axe: str) -> None:
    async with visiting(data_dir, profile, path="?kb=nowhere") as visit:
        await visit.page.until_text("#notice", "There is no such knowledge base")
        assert await findings(visit.page, axe) == []


async def test_the_embedded_example_has_no_serious_barrier(data_dir: Path, profile: Path, axe: str) -> None:
    async with visiting(data_dir, profile, path="embed") as visit:
        assert await findings(visit.page, axe) == []
