"""The check names what is wrong, all of it at once, and never shows a secret."""

import os
import stat
from pathlib import Path

import pytest

from server.cli.entry import main
from server.settings import TABLE

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
        ({"LIVEAVATAR_API_KEY": SECRET, "LIVEAVATAR_HOST": "0.0.0.0"}, "serves whoever has the API key"),
    ],
)
def test_what_would_be_used_is_told_without_secrets(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["check"]) == 0
    shown = capsys.readouterr()
    assert said in shown.out
    assert SECRET not in shown.out + shown.err


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
