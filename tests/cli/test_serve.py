"""Starting the server: options before environment, failures in words, and a banner for people."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.errors import OperatorFault
from server import app
from server.cli import serve
from server.cli.command import DEFAULT_PORT
from server.cli.entry import main
from server.edge.door import CannotListen
from server.settings import TABLE, Settings

Capture = pytest.CaptureFixture[str]
SERVING = app.Serving("http://localhost:8000", "embedded simulator at 127.0.0.1:1", ("liveavatar", "museum"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that servers were started with; none really is."""
    seen: list[Settings] = []

    async def run(settings: Settings, *, task_status: trio.TaskStatus[app.Serving]) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(settings)
        task_status.started(SERVING)

    monkeypatch.setattr(app, "run", run)
    return seen


def test_options_win_over_the_environment(
    started: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("PORT", "1111")
    monkeypatch.setenv("LIVEAVATAR_DEFAULT_KB", "handbook")
    assert main(["serve", "--port", "2222", "--host", "localhost", "--data-dir", "elsewhere"]) == 0
    (settings,) = started
    assert (settings.port, settings.host, settings.data_dir) == (2222, "localhost", Path("elsewhere"))
    assert settings.default_kb == "handbook"
    assert capsys.readouterr().out == ""  # no terminal, no banner


def test_an_open_door_without_a_key_is_refused(started: list[Settings], capsys: Capture) -> None:
    assert main(["serve", "--host", "0.0.0.0"]) == 1
    assert not started
    assert "LIVEAVATAR_API_KEY is not set" in capsys.readouterr().err


def _failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def run(_settings: Settings, *, task_status: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise ExceptionGroup("as a nursery raises it", [error])

    monkeypatch.setattr(app, "run", run)


def test_what_the_operator_can_mend_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    _failing(monkeypatch, OperatorFault("LIVEAVATAR_DATA_DIR=x cannot be used: No space left.", code="data_dir"))
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "liveavatar: LIVEAVATAR_DATA_DIR=x cannot be used: No space left.\n"
    _failing(monkeypatch, CannotListen("cannot listen on 127.0.0.1 port 8000: Address already in use"))
    assert main(["serve"]) == 1
    said = "Cannot listen on 127.0.0.1 port 8000: Address already in use. --port chooses another port.\n"
    assert capsys.readouterr().err == f"liveavatar: {said}"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, ZeroDivisionError())
    with pytest.raises(ExceptionGroup):
        main(["serve"])


def test_the_banner_says_where_by_whom_from_what_and_what_to_try() -> None:
    shown = serve._banner(SERVING, Settings(), where_expected=True)
    assert "http://localhost:8000" in shown
    assert "embedded simulator at 127.0.0.1:1 (no account is set up" in shown
    assert "liveavatar, museum" in shown
    assert 'liveavatar talk --kb museum "..."' in shown
    shown = serve._banner(SERVING, Settings(), where_expected=False)
    assert "liveavatar talk --url ws://localhost:8000/ws --kb museum" in shown


def test_the_default_port_is_that_of_the_table() -> None:
    assert next(setting.default for setting in TABLE if setting.name == "PORT") == DEFAULT_PORT


@pytest.mark.slow
def test_the_real_server_answers_a_question_and_stops_when_told(place: Path) -> None:
    """The whole way, as a person would go it: start, ask, stop."""
    command = [sys.executable, "-m", "server.cli"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LIVEAVATAR_LOG_FORMAT": "json"}
    server = subprocess.Popen(
        [*command, "serve", "--port", "0", "--data-dir", str(place / "data")],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert server.stderr is not None
        url = next(line.split('"url": "')[1].split('"')[0] for line in server.stderr if '"serving"' in line)
        asked = subprocess.run(
            [*command, "talk", "When does the museum open on Saturday?", "--kb", "museum", "--url", url],
            capture_output=True,
            text=True,
            timeout=30,
            env=environment,
            check=False,
        )
        assert (asked.returncode, asked.stderr) == (0, "")
        assert "10 am" in asked.stdout
        assert "Sources:\n  1. Opening Hours" in asked.stdout
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=15) == 0
    finally:
        server.kill()
        server.communicate(timeout=15)
