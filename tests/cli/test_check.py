"""The check names what is wrong, all of it at once, and never shows a secret."""

import json
import os
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from server.cli.entry import main
from server.settings import TABLE
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import simulator

Capture = pytest.CaptureFixture[str]
SECRET = "correct-horse-battery-staple"


def test_an_empty_place_is_fine_and_says_what_would_happen(capsys: Capture) -> None:
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "upstream: the embedded simulator" in out
    assert "data is not there yet and will be made" in out
    assert "the first start will bring: liveavatar, museum" in out
    assert out.endswith("Everything is set up.\n")
    assert not Path("data").exists()


def test_every_problem_is_named_and_counted(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("LIVEAVATAR_TOOL_TIMEOT", "3")
    (place / ".env").write_text(f"LIVEAVATAR_LOG_LEVEL=loud\n{SECRET}\n")
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    problems = [line for line in out.splitlines() if line.startswith("PROBLEM")]
    assert len(problems) == 4
    assert "Did you mean LIVEAVATAR_TOOL_TIMEOUT?" in out
    assert ".env, line 2: is not NAME=value." in out
    assert out.endswith("4 problems found.\n")
    assert SECRET not in out


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {
                "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com",
                "AZURE_OPENAI_API_KEY": SECRET,
                "AZURE_OPENAI_DEPLOYMENT": "rt",
            },
            "upstream: Azure OpenAI at https://x.openai.azure.com, deployment rt",
        ),
        ({"OPENAI_API_KEY": SECRET}, "upstream: OpenAI at https://api.openai.com/v1"),
        ({"LIVEAVATAR_API_KEY": SECRET}, "serves whoever has the API key"),
        ({"LIVEAVATAR_OPEN": "yes"}, "WARNING  LIVEAVATAR_OPEN is on"),
        ({"LIVEAVATAR_OPEN": "yes"}, "serves anybody"),
        ({"LIVEAVATAR_URL_CREDENTIALS": "yes"}, "WARNING  LIVEAVATAR_URL_CREDENTIALS is on"),
        (
            {"LIVEAVATAR_API_KEY": SECRET, "LIVEAVATAR_HOST": "0.0.0.0", "LIVEAVATAR_ALLOW_PLAIN": "yes"},
            "WARNING  LIVEAVATAR_ALLOW_PLAIN is on",
        ),
        (
            {"LIVEAVATAR_JWT_ISSUER": "https://issuer.example", "LIVEAVATAR_JWT_AUDIENCE": "liveavatar"},
            "WARNING  LIVEAVATAR_JWT_KB_CLAIM is not set",
        ),
    ],
)
def test_what_would_be_used_is_told_without_secrets(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--offline"]) == 0
    shown = capsys.readouterr()
    assert said in shown.out
    assert SECRET not in shown.out + shown.err


def test_keys_are_counted_and_a_file_that_is_none_is_a_problem(place: Path, capsys: Capture) -> None:
    assert main(["keys", "create", "kiosk"]) == 0
    key = capsys.readouterr().out.strip()
    assert main(["check", "--offline"]) == 0
    shown = capsys.readouterr().out
    assert "serves whoever has one of 1 key" in shown
    assert key not in shown
    (place / "data" / "keys.json").write_text("mine")
    assert main(["check", "--offline"]) == 1
    assert "no file of keys" in capsys.readouterr().out


def test_a_data_folder_that_cannot_be_made_is_a_problem(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv("LIVEAVATAR_DATA_DIR", "file/data")
    assert main(["check"]) == 1
    assert "data: file/data cannot be made" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_cannot_be_written_is_a_problem(place: Path, capsys: Capture) -> None:
    (place / "data").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    assert main(["check"]) == 1
    assert "data: data cannot be written" in capsys.readouterr().out


def test_a_default_knowledge_base_that_is_not_there_is_a_problem(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LIVEAVATAR_DEFAULT_KB", "handbook")
    assert main(["check"]) == 1
    assert "LIVEAVATAR_DEFAULT_KB is handbook" in capsys.readouterr().out
    (place / "note.md").write_text("# A note\n\nThe door is red.\n")
    main(["ingest", "handbook", "note.md"])
    assert main(["check"]) == 0
    assert "knowledge base handbook: Handbook" in capsys.readouterr().out


def test_a_broken_knowledge_base_is_a_problem(place: Path, capsys: Capture) -> None:
    folder = place / "data" / "knowledge"
    folder.mkdir(parents=True)
    (folder / "broken.sqlite3").write_bytes(b"no database" * 100)
    assert main(["check"]) == 1
    assert "PROBLEM  knowledge base broken: " in capsys.readouterr().out


def test_the_list_of_settings_has_every_one_and_no_value(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("LIVEAVATAR_API_KEY", SECRET)
    assert main(["check", "--settings"]) == 0
    out = capsys.readouterr().out
    for setting in TABLE:
        assert f"{setting.name}  (" in out
    assert "int, 0 to 65535, default: 8000" in out
    assert SECRET not in out


# What it finds elsewhere


async def checked(monkeypatch: pytest.MonkeyPatch, capsys: Capture, **environment: str) -> tuple[int, str]:
    """The exit code and what was printed, with these settings."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = await trio.to_thread.run_sync(main, ["check"])
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    return code, shown.out


def azure_at(port: int, **changes: str) -> dict[str, str]:
    return {
        "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{port}",
        "AZURE_OPENAI_API_KEY": SECRET,
        "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime",
        **changes,
    }


async def test_a_service_that_greets_is_fine(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    async with simulator(SimulatorSettings(service="azure", api_key=SECRET)) as running:
        code, out = await checked(monkeypatch, capsys, **azure_at(running.addresses[0][1]))
    assert code == 0
    assert "ok       deployment azure: answers, as gpt-realtime" in out


@pytest.mark.parametrize(
    ("service", "changes", "said"),
    [
        ("azure", {"AZURE_OPENAI_API_KEY": "sk-wrong-key-000000000"}, "HTTP 401. Look at AZURE_OPENAI_API_KEY."),
        ("azure", {"AZURE_OPENAI_DEPLOYMENT": "gone"}, "Look at AZURE_OPENAI_DEPLOYMENT and AZURE_OPENAI_ENDPOINT."),
        ("openai", {"OPENAI_API_KEY": "sk-wrong-key-000000000"}, "(invalid_api_key). Look at OPENAI_API_KEY."),
        ("openai", {"LIVEAVATAR_MODEL": "gone"}, "Look at LIVEAVATAR_MODEL."),
    ],
)
async def test_a_service_that_refuses_is_a_problem_with_the_setting_to_look_at(
    service: str, changes: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    settings = SimulatorSettings(service=service, api_key=SECRET, models=("gpt-realtime",))  # type: ignore[arg-type]
    async with simulator(settings) as running:
        port = running.addresses[0][1]
        openai = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": SECRET}
        code, out = await checked(monkeypatch, capsys, **((azure_at(port) if service == "azure" else openai) | changes))
    assert code == 1
    (problem,) = [line for line in out.splitlines() if line.startswith("PROBLEM")]
    assert said in problem
    assert out.endswith("1 problem found.\n")


@pytest.mark.parametrize("manner", ["an error", "a close", "nonsense"])
async def test_a_service_that_lets_in_and_then_says_no_is_a_problem(
    manner: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async def refuses(request: WebSocketRequest) -> None:
        websocket = await request.accept()
        if manner == "a close":
            await websocket.aclose(4000, f"Incorrect API key {SECRET}")
            return
        error = {"type": "invalid_request_error", "code": "DeploymentNotFound", "message": f"{SECRET} is wrong"}
        said = {"type": "error", "event_id": "event_1", "error": error}
        await websocket.send_message(json.dumps(said) if manner == "an error" else "hello")
        with trio.move_on_after(5), suppress(ConnectionClosed):
            await websocket.get_message()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, refuses, "127.0.0.1", 0, None))
        code, out = await checked(monkeypatch, capsys, **azure_at(server.port))
        nursery.cancel_scope.cancel()
    assert code == 1
    assert "deployment azure:" in out
    assert out.endswith("1 problem found.\n")


async def test_a_service_that_is_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    async with simulator() as running:
        port = running.addresses[0][1]
    code, out = await checked(monkeypatch, capsys, **azure_at(port))
    assert code == 1
    assert "cannot be reached" in out


async def test_each_listed_deployment_is_tried(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    async with simulator(SimulatorSettings(service="azure", api_key=SECRET, models=("rt",))) as running:
        endpoint = f"http://127.0.0.1:{running.addresses[0][1]}"
        (place / "deployments.toml").write_text(
            f"""
            [[deployment]]
            name = "one"
            endpoint = "{endpoint}"
            deployment = "rt"
            api_key_variable = "FIRST_KEY"
            [[deployment]]
            name = "two"
            endpoint = "{endpoint}"
            deployment = "gone"
            priority = 2
            api_key_variable = "FIRST_KEY"
            """
        )
        code, out = await checked(monkeypatch, capsys, LIVEAVATAR_DEPLOYMENTS="deployments.toml", FIRST_KEY=SECRET)
    assert code == 1
    assert "upstream: the deployments of deployments.toml: one (priority 1), two (priority 2)" in out
    assert "ok       deployment one: answers, as rt" in out
    assert "WARNING  deployment one: there is no price for rt. Look at LIVEAVATAR_PRICES" in out
    assert "Look at deployment of two in deployments.toml and endpoint of two in deployments.toml." in out
