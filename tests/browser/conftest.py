"""A server and a page that looks at it."""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from server.app import run
from server.settings import Settings
from tests.browser.devtools import PATIENCE_S, Page, browser
from tests.running import HOST, quiet


@asynccontextmanager
async def serving_on(data_dir: Path, port: int = 0, **settings: Any) -> AsyncIterator[int]:
    """A server in this process, at a port that may be asked for; gives the port."""
    with quiet():
        async with trio.open_nursery() as nursery:
            served = await nursery.start(run, Settings(port=port, data_dir=data_dir, **settings))
            yield int(served.url.rpartition(":")[2])
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def killable(data_dir: Path, port: int) -> AsyncIterator[trio.Process]:
    """A server in a process of its own at a port, accepting; it is killed at the end if it still lives."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "server.cli", "serve", "--port", str(port), "--data-dir", str(data_dir)],
        cwd=str(Path(__file__).parents[2]),
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    await (await trio.open_tcp_stream(HOST, port)).aclose()
                    break
                await trio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def free_port() -> int:
    """A port that nobody listens at now."""
    with trio.socket.socket() as probe:
        await probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


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
