"""Real clients of other makers against a server process, unmodified: what ``python -m tests.compat`` runs, as tests.

A few run with all other tests, and must where services are required; all of them where TESTS_COMPAT=1 says so.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.compat.clients import CLIENTS
from tests.compat.run import ROOT, Result

pytestmark = [pytest.mark.slow, pytest.mark.service]

REQUIRED = os.environ.get("TESTS_REQUIRE_SERVICES") == "1"
ALL = os.environ.get("TESTS_COMPAT") == "1"
# Making every environment, and every client in turn.
RUN_S = 1800


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What came of the clients, by name."""
    file = tmp_path_factory.mktemp("compat") / "results.json"
    command = [sys.executable, "-m", "tests.compat", "--json", str(file), *([] if ALL else ["--everyday"])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert file.is_file(), done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return {entry["name"]: Result(**entry) for entry in found}


@pytest.mark.parametrize("name", [client.name for client in CLIENTS if client.everyday or ALL])
def test_the_client_is_served(results: dict[str, Result], name: str) -> None:
    result = results[name]
    if result.not_run and not REQUIRED:
        pytest.skip(result.not_run)
    assert result.is_served, result.faults()
