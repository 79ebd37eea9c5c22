"""`liveavatar talk` against a real server: its connection is cut, and so is the server's to a service outside."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.chaos.proxy import chaos_proxy
from tests.cli.talking import talk
from tests.running import HOST, PATIENCE_S, free_port, listening_process, serving, serving_process

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUESTION = "Tell me about the Great Tide Machine."
KEY = "test-key-0123456789"
Capture = pytest.CaptureFixture[str]


class Talking:
    """The command in a process of its own; ``out`` and ``err`` are what it printed so far."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.out = self.err = ""
        self._printed = trio.Event()

    async def read(self, stream: trio.abc.ReceiveStream | None, name: str) -> None:
        assert stream is not None
        async for piece in stream:
            setattr(self, name, getattr(self, name) + piece.decode(errors="replace"))
            self._printed.set()
            self._printed = trio.Event()

    async def until(self, fulfilled: Callable[["Talking"], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not fulfilled(self):
                await self._printed.wait()

    async def exited(self) -> int:
        with trio.fail_after(3 * PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def talking(*arguments: str) -> AsyncIterator[Talking]:
    """The command, running; it is killed at the end if it still is."""
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "server.cli", "talk", *arguments],
            cwd=str(ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        command = Talking(process)
        nursery.start_soon(command.read, process.stdout, "out")
        nursery.start_soon(command.read, process.stderr, "err")
        try:
            yield command
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


def simulator(port: int) -> AbstractAsyncContextManager[trio.Process]:
    """The Realtime simulator, listening; twice as fast as speech is slow enough to be killed in an answer."""
    return listening_process("simulate", "--key", KEY, "--pace", "2", port=port)


def answer_in(out: str) -> str:
    """The words of the answer, without what is printed behind them."""
    return out.partition("Sources:\n")[0].strip()


def sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in re.split(r"(?<=[.!?])\s", text) if sentence.strip()]


async def whole_answer(port: int, capsys: Capture) -> str:
    """What is answered when nothing happens."""
    # What a server in this process logged at its start went there as well.
    capsys.readouterr()
    assert await talk(QUESTION, "--kb", "museum", "--url", f"ws://{HOST}:{port}/ws") == 0
    return answer_in(capsys.readouterr().out)


async def test_an_answer_survives_cuts_of_the_connection_in_its_middle(data_dir: Path, capsys: Capture) -> None:
    async with serving(data_dir) as server, chaos_proxy(HOST, server.port) as proxy:
        whole = await whole_answer(server.port, capsys)
        async with talking(QUESTION, "--kb", "museum", "--url", f"ws://{HOST}:{proxy.port}/ws") as command:
            await command.until(lambda told: len(told.out) > 20)
            proxy.down()
            await command.until(lambda told: "Connecting again." in told.err)
            proxy.accept()
            await command.until(lambda told: told.err.count("Connected again") == 1)
            proxy.reset_all()
            assert await command.exited() == 0
        assert answer_in(command.out) == whole
        assert "Sources:" in command.out
        assert "first audio after" in command.out


async def test_an_answer_is_finished_though_the_service_behind_the_server_is_killed(
    data_dir: Path, capsys: Capture
) -> None:
    port = await free_port()
    service = {
        "AZURE_OPENAI_ENDPOINT": f"http://{HOST}:{port}",
        "AZURE_OPENAI_API_KEY": KEY,
        "AZURE_OPENAI_DEPLOYMENT": "any",
    }
    async with serving_process(data_dir, **service) as server:
        async with simulator(port) as doomed:
            whole = await whole_answer(server.port, capsys)
            async with talking(QUESTION, "--kb", "museum", "--url", f"ws://{HOST}:{server.port}/ws") as command:
                await command.until(lambda told: len(told.out) > 40)
                os.kill(doomed.pid, signal.SIGKILL)
                await doomed.wait()
                await command.until(lambda told: "lost its speech service" in told.err)
                async with simulator(port):
                    assert await command.exited() == 0
        answer = answer_in(command.out)
        assert sentences(answer) == sentences(whole)
        assert "cut short" not in command.err
        server.terminate()
        await server.exited(PATIENCE_S)


async def test_a_server_that_restarts_in_an_answer_lets_it_end(data_dir: Path, capsys: Capture) -> None:
    async with serving_process(data_dir) as server:
        whole = await whole_answer(server.port, capsys)
        url = f"ws://{HOST}:{server.port}/ws"
        async with talking(QUESTION, "--kb", "museum", "--url", url, "--timeout", "4") as command:
            await command.until(lambda told: len(told.out) > 40)
            server.terminate()
            code = await command.exited()
        assert "The server is going away" in command.err
        if code == 0:  # it was generated to its end within the server's grace
            assert answer_in(command.out) == whole
        else:
            assert "could not be resumed" in command.err
