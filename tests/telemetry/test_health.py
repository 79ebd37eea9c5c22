"""Health follows the life of the process."""

from collections.abc import Callable

from server.lifecycle import Lifecycle
from server.telemetry.health import Health


def test_health_follows_the_life_of_the_process() -> None:
    lifecycle = Lifecycle()
    health = Health(lifecycle, lambda: {"sessions": 3})
    seen = []
    steps: list[Callable[[], None]] = [lifecycle.ready, lifecycle.drain, lifecycle.stopped]
    seen.append((health.is_ready, health.details()))
    for step in steps:
        step()
        seen.append((health.is_ready, health.details()))
    assert seen == [
        (False, {"status": "starting", "sessions": 3}),
        (True, {"status": "ready", "sessions": 3}),
        (False, {"status": "draining", "sessions": 3}),
        (False, {"status": "stopped", "sessions": 3}),
    ]


def test_what_drains_does_not_become_ready_again() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    lifecycle.ready()
    assert not Health(lifecycle, dict).is_ready
