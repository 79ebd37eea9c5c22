"""The openai package's synchronous Realtime client against this server, by changing its base URL and nothing else.

The package lives in an environment of its own, made once: beside ``websockets`` 17 its ``realtime`` extra resolves to
a version from before the Realtime API, so it is installed without that extra.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.running import serving

pytestmark = [pytest.mark.slow, pytest.mark.service]

PACKAGES = ("openai>=3.54,<4", "websockets>=17.4,<18")
FOLDER = Path(__file__).parents[2] / ".cache" / "compat" / "openai"
SCRIPT = Path(__file__).parent / "realtime_client.py"
INSTALL_S = 180
CLIENT_S = 30.0


def _make_environment() -> None:
    python = FOLDER / "bin" / "python"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which("uv"):
        commands = [
            ["uv", "venv", "--quiet", "--python", sys.executable, str(FOLDER)],
            ["uv", "pip", "install", "--quiet", "--python", str(python), *PACKAGES],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(FOLDER)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
        ]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)


@pytest.fixture(scope="session")
def client_python() -> str:
    """The Python that has the openai package."""
    made_of = FOLDER / "made-of"
    wanted = "\n".join(PACKAGES)
    if not made_of.is_file() or made_of.read_text() != wanted:
        try:
            _make_environment()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", b"") or b""
            message = f"needs {' and '.join(PACKAGES)} in {FOLDER}: {error} {said.decode(errors='replace')[-300:]}"
            if os.environ.get("TESTS_REQUIRE_SERVICES"):
                pytest.fail(message)
            pytest.skip(message)
        made_of.write_text(wanted)
    return str(FOLDER / "bin" / "python")


async def played(client_python: str, data_dir: Path, scenario: str, path: str = "/v1") -> dict[str, Any]:
    """What the client saw."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    async with serving(data_dir) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        with trio.fail_after(CLIENT_S):
            done = await trio.run_process(
                [client_python, str(SCRIPT), url, scenario],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=environ,
            )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    assert not [kind for kind in seen["types"] if kind.startswith("avatar.")]
    return seen


@pytest.mark.parametrize("path", ["/v1", "/openai/v1"])
async def test_a_typed_question(client_python: str, prepared_data: Path, path: str) -> None:
    seen = await played(client_python, prepared_data, "text_turn", path)
    assert seen["status"] == "completed"
    assert "Ottilie Marsh" in seen["said"]
    assert seen["audio_bytes"] > 48_000
    assert seen["output_tokens"] > 0
    assert seen["errors"] == []
    assert seen["types"].count("response.created") == seen["types"].count("response.done") == 1


async def test_a_spoken_question(client_python: str, prepared_data: Path) -> None:
    seen = await played(client_python, prepared_data, "voice_turn")
    assert seen["status"] == "completed"
    turn = [kind for kind in seen["types"] if kind.startswith("input_audio_buffer.")]
    assert turn == [f"input_audio_buffer.{step}" for step in ("speech_started", "speech_stopped", "committed")]
    assert seen["audio_bytes"] > 0
    assert seen["errors"] == []


async def test_push_to_talk(client_python: str, prepared_data: Path) -> None:
    seen = await played(client_python, prepared_data, "push_to_talk")
    assert seen["status"] == "completed"
    assert "input_audio_buffer.speech_started" not in seen["types"]
    assert seen["audio_bytes"] > 0


async def test_a_function_of_the_clients_own(client_python: str, prepared_data: Path) -> None:
    seen = await played(client_python, prepared_data, "client_tool")
    assert seen["tools"] == ["get_weather"], "the server's own tool is not shown"
    assert seen["called"] == "get_weather"
    assert seen["arguments"] == {"city": "Paris"}
    assert "21 degrees" in seen["said"]
    assert seen["errors"] == []


async def test_a_cancelled_answer(client_python: str, prepared_data: Path) -> None:
    seen = await played(client_python, prepared_data, "cancel")
    assert (seen["first"], seen["second"]) == ("cancelled", "completed")


async def test_a_refused_event(client_python: str, prepared_data: Path) -> None:
    seen = await played(client_python, prepared_data, "wrong_event")
    assert seen["errors"] == ["input_audio_buffer_commit_empty"]
    assert seen["status"] == "completed"
