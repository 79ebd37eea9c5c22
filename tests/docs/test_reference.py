"""The reference pages say what the code says."""

from pathlib import Path

import pytest

from server.cli import reference
from server.cli.entry import GROUPS
from server.settings import TABLE


def test_the_pages_are_in_step_with_the_code() -> None:
    stale = [file.name for file in reference.stale()]
    assert not stale, f"{stale}: run `python -m server.cli.reference --write`"


def test_every_setting_and_every_command_is_on_them() -> None:
    pages = reference.pages()
    for setting in TABLE:
        assert f"| `{setting.name}` |" in pages["settings.md"]
        assert setting.help.replace("|", "\\|") in pages["settings.md"]
    for _, commands in GROUPS:
        for command in commands:
            assert f"\n## liveavatar {command.NAME}\n" in pages["commands.md"]


def test_they_are_the_same_on_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference.pages()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert reference.pages() == before
    assert max(map(len, before["commands.md"].splitlines())) <= 100


def test_a_page_that_is_out_of_step_is_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "stale", lambda docs=tmp_path, stale=reference.stale: stale(docs))
    monkeypatch.setattr(reference, "write", lambda docs=tmp_path, write=reference.write: write(docs))
    assert reference.main(["--check"]) == 1
    assert "settings.md: is out of date" in capsys.readouterr().out
    assert reference.main(["--write"]) == 0
    assert reference.main(["--check"]) == 0
