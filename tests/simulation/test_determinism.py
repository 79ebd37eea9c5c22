import os
import random
import secrets
import subprocess
import sys
from types import SimpleNamespace

import pytest
import trio

from tests.simulation import chance
from tests.simulation.run import run_seed

SEEDS = range(40, 46)
_DIGESTS = f"""
from tests.simulation.run import run_seed
print([run_seed(seed, keep_journal=True).digest for seed in range({SEEDS.start}, {SEEDS.stop})])
"""


async def race() -> list[int]:
    """The order in which trio runs tasks that are all ready."""
    order: list[int] = []

    async def runner(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(runner, number)
    return order


def test_the_seed_decides_in_which_order_tasks_run() -> None:
    orders = {tuple(chance.run(race, seed)) for seed in range(5)}
    assert len(orders) == 5
    assert all(chance.run(race, seed) == chance.run(race, seed) for seed in range(5))


def test_the_seed_decides_all_secrets_and_nobody_waits() -> None:
    async def drawn() -> tuple[float, float, str, bytes, int]:
        await trio.sleep(3600)
        return trio.current_time(), random.random(), secrets.token_hex(8), os.urandom(4), secrets.randbelow(10**9)

    assert chance.run(drawn, 7) == chance.run(drawn, 7)
    assert chance.run(drawn, 7)[1:] != chance.run(drawn, 8)[1:]
    assert chance.run(drawn, 7)[0] == 3600


def test_afterwards_chance_is_as_it_was() -> None:
    before = random.getstate(), os.urandom, secrets.token_bytes
    chance.run(race, 1)
    assert before == (random.getstate(), os.urandom, secrets.token_bytes)
    assert len({secrets.token_hex(8) for _ in range(10)}) == 10


@pytest.mark.parametrize("gone", ["_r", "_ALLOW_DETERMINISTIC_SCHEDULING"])
def test_a_trio_without_its_private_hooks_is_noticed(gone: str) -> None:
    hooks = {"_r": random.Random(), "_ALLOW_DETERMINISTIC_SCHEDULING": False}
    chance.check_hooks(SimpleNamespace(**hooks))
    with pytest.raises(AssertionError, match="trio"):
        chance.check_hooks(SimpleNamespace(**{name: hook for name, hook in hooks.items() if name != gone}))


@pytest.mark.slow
def test_a_seed_is_the_same_run_in_any_process() -> None:
    printed = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", _DIGESTS]
        printed.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert printed[0] == printed[1]
    here = [run_seed(seed, keep_journal=True).digest for seed in SEEDS]
    assert printed[0].strip() == str(here)
    assert len(set(here)) == len(here)
