"""Health follows the life of the process."""

from collections.abc import Callable

from server.breaker import CircuitBreaker
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
        (False, {"status": "starting", "sessions": 3, "breakers": []}),
        (True, {"status": "ready", "sessions": 3, "breakers": []}),
        (False, {"status": "draining", "sessions": 3, "breakers": []}),
        (False, {"status": "stopped", "sessions": 3, "breakers": []}),
    ]


def test_what_drains_does_not_become_ready_again() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    lifecycle.ready()
    assert not Health(lifecycle, dict).is_ready


def test_an_open_breaker_degrades_the_server_and_does_not_make_it_unready() -> None:
    now = 0.0
    upstream = CircuitBreaker("Azure OpenAI at a.example", now=lambda: now)
    search = CircuitBreaker("knowledge base museum", now=lambda: now)
    lifecycle = Lifecycle()
    health = Health(lifecycle, lambda: {"sessions": 3}, lambda: [upstream, search])
    permit = upstream.admit()
    assert permit is not None
    permit.failed(retry_after_s=12.34)
    assert health.details()["status"] == "starting"
    lifecycle.ready()
    assert health.is_ready
    assert health.details() == {
        "status": "degraded",
        "sessions": 3,
        "breakers": [
            {"name": "Azure OpenAI at a.example", "state": "open", "failures": 1, "retry_in_s": 12.3},
            {"name": "knowledge base museum", "state": "closed", "failures": 0, "retry_in_s": 0.0},
        ],
    }
    now = 12.34
    probe = upstream.admit()
    assert probe is not None
    assert (health.details()["status"], health.details()["breakers"][0]["state"]) == ("degraded", "half-open")
    probe.succeeded()
    assert health.details()["status"] == "ready"
    lifecycle.drain()
    assert health.details()["status"] == "draining"
