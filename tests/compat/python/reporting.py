"""The report of a client script: one JSON line per step on stdout. Judges nothing."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Of a failure this much is told; the events that lead to it are in it.
WHY_CHARS = 600


class Failed(AssertionError):
    """A step found something else than a client may expect."""


def expect(holds: object, what: str, *seen: object) -> None:
    """Raise `Failed` where something does not hold; ``seen`` is what was there instead."""
    if not holds:
        raise Failed(what + "".join(f"; {value!r}" for value in seen)[:WHY_CHARS])


def report(step: str, *, ok: bool, **facts: Any) -> None:
    """One line for the harness."""
    print(json.dumps({"step": step, "ok": ok, **facts}), flush=True)


@contextmanager
def step(name: str) -> Iterator[dict[str, Any]]:
    """Report what the block does and how long it took; the facts in the dict go with it. Its exceptions go on."""
    facts: dict[str, Any] = {}
    started = time.monotonic()
    try:
        yield facts
    except Exception as error:
        report(name, ok=False, seconds=_since(started), why=f"{type(error).__name__}: {error}"[:WHY_CHARS], **facts)
        raise
    report(name, ok=True, seconds=_since(started), **facts)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)
