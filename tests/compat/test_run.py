"""What counts as a client that is served."""

from typing import Any

import pytest

from tests.compat.clients import CLIENTS
from tests.compat.run import Result

SERVED: dict[str, Any] = {"name": "a client", "remark": "", "reports": [{"step": "connect", "ok": True}]}


def test_a_client_whose_steps_all_held_is_served() -> None:
    assert Result(**SERVED).is_served


@pytest.mark.parametrize(
    "fault",
    [
        {"reports": [{"step": "connect", "ok": False, "why": "refused"}]},
        {"reports": [{"step": "connect"}]},
        {"reports": []},
        {"missing": ["close"]},
        {"not_run": "node and npm are not installed"},
    ],
)
def test_nothing_less_counts(fault: dict[str, Any]) -> None:
    assert not Result(**(SERVED | fault)).is_served


def test_what_is_wrong_is_said() -> None:
    result = Result(
        **(SERVED | {"reports": [{"step": "connect", "ok": False, "why": "refused"}], "missing": ["close"]})
    )
    assert "connect: refused" in result.faults()
    assert "did not get to: close" in result.faults()


def test_every_client_is_there_once_and_has_steps() -> None:
    names = [client.name for client in CLIENTS]
    assert len(set(names)) == len(names)
    assert all(client.steps for client in CLIENTS)
