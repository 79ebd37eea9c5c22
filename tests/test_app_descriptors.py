"""The server makes room for as many connections as its settings allow, and says where the system has none."""

import subprocess
import sys

import pytest

from server.app.descriptors import needed
from server.settings import Settings

# In a process of its own: a limit that was lowered cannot be raised again.
_CHILD = """
import resource, sys
from server.app.descriptors import make_room, shortage
from server.settings import Settings
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
settings = Settings(max_connections=int(sys.argv[3]))
make_room(settings)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], shortage(settings))
"""


def limit_after(soft: int, hard: int, max_connections: int) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, (soft, hard, max_connections))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *_, line = ran.stdout.splitlines()
    limit, _, said = line.partition(" ")
    return int(limit), said


def test_the_usual_soft_limit_is_raised_to_what_is_needed() -> None:
    assert needed(Settings()) > 1024
    assert limit_after(1024, 4096, 1000) == (needed(Settings()), "None")


def test_a_limit_that_suffices_is_left_alone() -> None:
    assert limit_after(3000, 4096, 1000) == (3000, "None")


@pytest.mark.parametrize("max_connections", [1000, 100_000])
def test_what_the_system_does_not_allow_is_said_with_what_to_do(max_connections: int) -> None:
    limit, said = limit_after(512, 1024, max_connections)
    assert limit == 1024
    assert f"LIVEAVATAR_MAX_CONNECTIONS={max_connections}" in said
    assert "ulimit" in said
