"""Plants faults in the server, one at a time, and counts the schedules until the simulation notices.

``python -m tests.simulation.mutants``: all of them; ``--count N`` spreads N over the list; ``--name TEXT`` picks some.
Each is planted in a process of its own, before anything of the server is imported there. A schedule that fails without
the fault, too, does not count.
"""

import argparse
import importlib.abc
import importlib.machinery
import multiprocessing
import multiprocessing.connection
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import NamedTuple

from tests.simulation.plants import PLANTS, Plant

SCHEDULES = 1500
# Failures of a planted server that are looked at more closely, before it is given up.
_SUSPECTS = 30


class Catch(NamedTuple):
    """How a fault was noticed: after how many schedules (None: not at all), at which seed, by what."""

    plant: Plant
    schedules: int | None
    seed: int | None
    violation: str


class NotPlanted(Exception):
    """The line that was to be replaced does not stand there, or not once."""


def planted(plant: Plant, source: str) -> str:
    """The module's source with the fault in it."""
    if (times := source.count(plant.old)) != 1:
        raise NotPlanted(f"{plant.name}: its place stands {times} times in {plant.module}")
    return source.replace(plant.old, plant.new)


class _Loader(importlib.machinery.SourceFileLoader):
    plant: Plant

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = planted(self.plant, self.get_data(path).decode())
        return compile(source, path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._plant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise NotPlanted(f"there is no module {fullname}")
        loader = _Loader(fullname, spec.origin)
        loader.plant = self._plant
        spec.loader = loader
        return spec


def _suspects(plant: Plant, first: int, schedules: int, connection: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: sends up to ``_SUSPECTS`` seeds that fail with the fault planted, then None."""
    assert plant.module not in sys.modules, "planted too late"
    sys.meta_path.insert(0, _Finder(plant))
    from tests.simulation.run import run_seed

    found = 0
    for seed in range(first, first + schedules):
        violations = run_seed(seed).violations
        if violations:
            connection.send((seed, violations[0]))
            found += 1
            if found == _SUSPECTS:
                break
    connection.send(None)


def hunt(plant: Plant, schedules: int = SCHEDULES, first: int = 0) -> Catch:
    """Plants a fault and looks for a schedule that notices it and is good without it."""
    from tests.simulation.run import run_seed

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_suspects, args=(plant, first, schedules, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        while (suspect := ours.recv()) is not None:
            seed, violation = suspect
            if not run_seed(seed).violations:
                return Catch(plant, seed - first + 1, seed, violation)
    except EOFError:
        raise NotPlanted(f"{plant.name}: its process died") from None
    finally:
        process.kill()
        process.join()
    return Catch(plant, None, None, "")


def chosen(count: int | None, name: str = "") -> list[Plant]:
    """``count`` faults spread over the list, or all; with ``name`` in their names."""
    named = [plant for plant in PLANTS if name in plant.name]
    if count is None or count >= len(named):
        return named
    return [named[number * len(named) // count] for number in range(count)]


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if a fault went unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--count", type=int, help="how many faults; all if left out")
    parser.add_argument("--name", default="", help="only faults with this in their names")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="schedules for each")
    options = parser.parse_args(arguments)
    unnoticed = 0
    plants = chosen(options.count, options.name)
    for plant in plants:
        began = time.monotonic()
        catch = hunt(plant, options.schedules)
        unnoticed += catch.schedules is None
        how = "NOT NOTICED" if catch.schedules is None else f"seed {catch.seed}: {catch.violation[:110]}"
        print(f"{plant.name:<68} {time.monotonic() - began:5.1f} s  {how}", flush=True)
    print(f"{len(plants) - unnoticed} of {len(plants)} noticed")
    return int(bool(unnoticed))


if __name__ == "__main__":
    sys.exit(main())
