import os

import pytest

from bench import machine


def test_the_server_gets_a_core_that_the_load_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {2, 5, 7}, raising=False)
    placement = machine.place()
    assert placement == machine.Placement(frozenset({7}), frozenset({2, 5}))


def test_a_core_too_few_is_said_and_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    placement = machine.place()
    assert (placement.server, placement.load) == (None, None)
    assert placement.problem is not None
    assert "one core" in placement.problem


def test_pinning_ends_with_its_block() -> None:
    before = os.sched_getaffinity(0)
    with machine.pinned(frozenset({min(before)})):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_facts_name_what_a_reader_needs() -> None:
    facts = machine.facts()
    assert facts.cores >= 1
    assert {"trio", "trio-websocket"} <= facts.versions.keys()
    assert facts.python.endswith(".".join(map(str, __import__("sys").version_info[:3])))
    assert facts.date.endswith("+00:00")
