import importlib.util
from pathlib import Path

import pytest

from tests.simulation.mutants import NotPlanted, chosen, hunt, planted
from tests.simulation.plants import PLANTS, Plant

# Plants that are planted at every run of the tests; `python -m tests.simulation.mutants` plants all.
AT_EVERY_RUN = 5


def source_of(plant: Plant) -> str:
    spec = importlib.util.find_spec(plant.module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_each_fault_has_its_place(plant: Plant) -> None:
    compile(planted(plant, source_of(plant)), plant.module, "exec")


def test_there_are_enough_and_each_is_another() -> None:
    assert len(PLANTS) >= 25
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
    assert len(chosen(AT_EVERY_RUN)) == AT_EVERY_RUN


def test_a_place_that_is_gone_is_missed() -> None:
    with pytest.raises(NotPlanted, match="0 times"):
        planted(Plant("nothing", "protocol.endings", "a line that never was", ""), source_of(PLANTS[0]))


@pytest.mark.slow
@pytest.mark.parametrize("plant", chosen(AT_EVERY_RUN), ids=lambda plant: plant.name)
def test_a_planted_fault_is_noticed(plant: Plant) -> None:
    assert hunt(plant).schedules is not None
