"""The program as a whole: usage, exit codes, and how quickly it can say what it is."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from server.cli.command import CommandFailed
from server.cli.entry import GROUPS, main

Capture = pytest.CaptureFixture[str]
NAMES = [command.NAME for _, commands in GROUPS for command in commands]


def run_program(script: str) -> subprocess.CompletedProcess[str]:
    """A shell's view of the program, which it finds as ``$LA``."""
    prepared = f'LA() {{ "{sys.executable}" -m server.cli "$@"; }}; {script}'
    return subprocess.run(
        ["bash", "-c", prepared], capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2], check=False
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command_and_gives_examples(option: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([option])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for name in NAMES:
        assert f"\n  {name} " in out
    assert "examples:" in out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: liveavatar {name}")
    assert "examples:" in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("liveavatar 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sing"],
        ["--nonsense"],
        ["serve", "--port", "http"],
        ["serve", "--port", "65536"],
        ["serve", "--prt", "1"],
        ["talk", "one", "two"],
        ["talk", "--timeout", "0"],
        ["talk", "--timeout", "soon"],
        ["talk", "--timeo", "3"],
        ["ingest"],
        ["ingest", "kb"],
        ["search", "kb"],
        ["search", "kb", "words", "--limit", "0"],
        ["search", "kb", "words", "--limit", "51"],
        ["search", "kb", "words", "--limit", "few"],
        ["simulate", "--voice", "opera"],
        ["simulate", "--pace", "-1"],
        ["simulate", "--session-seconds", "inf"],
        ["check", "everything"],
    ],
)
def test_wrong_usage_exits_with_2_and_a_line_that_says_why(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    usage, *_, why = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: liveavatar")
    assert "error: " in why


@pytest.mark.parametrize("arguments", [[], ["--port", "9"], ["serve", "--port", "9"]])
def test_serve_is_what_is_done_without_a_command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ports = []

    def run(args: argparse.Namespace) -> int:
        ports.append(args.port)
        return 0

    monkeypatch.setattr("server.cli.serve.run", run)
    assert main(arguments) == 0
    assert ports == [9 if arguments else None]


def _raising(error: BaseException) -> Callable[[object], int]:
    def run(_args: object) -> int:
        raise error

    return run


def test_a_failure_is_said_in_sentences_on_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("server.cli.check.run", _raising(CommandFailed("One thing.", "Another\x1b[2J thing.")))
    assert main(["check"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "liveavatar: One thing.\nliveavatar: Another�[2J thing.\n"


def test_an_interruption_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("server.cli.check.run", _raising(KeyboardInterrupt()))
    assert main(["check"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_seen_enough_is_no_crash() -> None:
    done = run_program('LA check --settings | true; echo "${PIPESTATUS[0]}"')
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_commands_are_known_without_importing_what_they_need() -> None:
    heavy = ("trio", "msgspec", "structlog", "websockets", "asyncio", "dataclasses", "sqlite3", "server.settings")
    script = f"import sys, server.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_ctrl_c_ends_a_command_without_a_word() -> None:
    command = [sys.executable, "-m", "server.cli", "simulate", "--port", "0", "--voice", "synthetic"]
    program = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        # Whoever runs the tests in the background of a shell has it ignored, and so would the program.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("The simulator listens at ws://127.0.0.1:")
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=15)
    finally:
        program.kill()
        program.communicate(timeout=15)  # closes the pipes too, so that no other test pays for this one
    assert program.returncode == 130
    assert "Traceback" not in err
