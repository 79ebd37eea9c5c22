"""docs/simulator.md lists every fault with every key it takes."""

from pathlib import Path

from server.simulator.faults import ACTIONS

PAGE = Path(__file__).parents[2].joinpath("docs/simulator.md").read_text()


def test_every_fault_is_listed_with_its_keys() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    rows = [line.split("|") for line in lines if not line.startswith("| `do`")]
    documented = {name.strip(" `"): row[3] for row in rows for name in row[1].split(",")}

    assert documented.keys() == ACTIONS.keys()
    for action, (keys, _required) in ACTIONS.items():
        assert all(f"`{key}`" in documented[action] for key in keys), action
