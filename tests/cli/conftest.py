"""A place of one's own for every command: an empty folder, an empty environment, and the logs set up anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from server.settings import TABLE


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    yield tmp_path
    structlog.reset_defaults()  # a command may have sent the logs to a stream that is gone after its test
