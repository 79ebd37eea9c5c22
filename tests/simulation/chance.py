"""Chance and time of a simulated run: one seed decides all that is drawn, and all time is virtual. Simulates nothing.

The order in which trio runs ready tasks is drawn from a private generator of trio's; that trio has it, and obeys it, is
checked before every run, so that a trio that changed is noticed instead of making runs that cannot be replayed.
"""

import os
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio
import trio._core._run as scheduler
import trio.testing

T = TypeVar("T")

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"


def check_hooks(module: Any = scheduler) -> None:
    """Raises ``AssertionError`` where trio does not have the private hooks that a replay stands on."""
    assert isinstance(getattr(module, "_r", None), random.Random), "trio draws its order from elsewhere"
    assert isinstance(getattr(module, _SWITCH, None), bool), "trio has no switch for deterministic order"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block all chance of this process comes from ``seed``; afterwards everything is as it was."""
    check_hooks()
    order, switch, drawn = scheduler._r.getstate(), getattr(scheduler, _SWITCH), random.getstate()
    urandom, token_bytes = os.urandom, secrets.token_bytes
    secret = random.Random(f"secrets {seed}")

    def tokens(nbytes: int | None = None) -> bytes:
        return secret.randbytes(secrets.DEFAULT_ENTROPY if nbytes is None else nbytes)

    scheduler._r.seed(seed)
    setattr(scheduler, _SWITCH, True)
    random.seed(seed)
    os.urandom = secret.randbytes
    random._urandom = secret.randbytes  # type: ignore[attr-defined]  # where SystemRandom looks
    secrets.token_bytes = tokens
    try:
        yield
    finally:
        scheduler._r.setstate(order)
        setattr(scheduler, _SWITCH, switch)
        random.setstate(drawn)
        os.urandom = urandom
        random._urandom = urandom  # type: ignore[attr-defined]
        secrets.token_bytes = token_bytes


def run(main: Callable[[], Awaitable[T]], seed: int) -> T:
    """Runs a program to its end: as ``trio.run``, but the same seed gives the same run, and nobody really waits."""
    with seeded(seed):
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
