"""A server and a page that looks at it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from server.app import run
from server.settings import Settings
from tests.browser.devtools import Page, browser
from tests.running import listening_process, quiet


@asynccontextmanager
async def serving_on(data_dir: Path, port: int = 0, **settings: Any) -> AsyncIterator[int]:
    """A server in this process, at a port that may be asked for; gives the port."""
    with quiet():
        async with trio.open_nursery() as nursery:
            served = await nursery.start(run, Settings(port=port, data_dir=data_dir, **settings))
            yield int(served.url.rpartition(":")[2])
            nursery.cancel_scope.cancel()


def killable(data_dir: Path, port: int) -> AbstractAsyncContextManager[trio.Process]:
    """A server in a process of its own at a port, accepting; it is killed at the end if it still lives."""
    return listening_process("serve", "--data-dir", str(data_dir), port=port)


class Visit:
    """A server with a page before it."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self.port = port

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Where a browser keeps its things."""
    return tmp_path / "browser"


@asynccontextmanager
async def visiting(data_dir: Path, profile: Path, *flags: str, path: str = "", **settings: Any) -> AsyncIterator[Visit]:
    """The page, connected; afterwards nothing may have been thrown or forbidden in it."""
    async with serving_on(data_dir, **settings) as port, browser(profile, *flags) as page:
        visit = Visit(page, port)
        await page.emulate()
        await page.open(f"{visit.url}{path}")
        yield visit
        assert [line for line in page.console if not line.startswith("info:")] == []
