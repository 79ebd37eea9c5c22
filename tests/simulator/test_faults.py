"""Fault scripts: what is accepted, what is named when it is not, and when rules are due."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.faults import (
    ACTIONS,
    HANDSHAKE,
    FaultRule,
    FaultSchedule,
    FaultScriptError,
    fault_rules,
    random_faults,
    read_faults,
)


def test_a_script_may_be_toml_or_json(tmp_path: Path) -> None:
    toml, json, plain = tmp_path / "a.toml", tmp_path / "b.json", tmp_path / "c.json"
    toml.write_text('[[faults]]\nwhen = "response.done"\nnth = 2\ndo = "close"\ncode = 1011\nreason = "broken"\n')
    json.write_text(
        '{"faults": [{"when": "response.done", "nth": 2, "do": "close", "code": 1011, "reason": "broken"}]}'
    )
    plain.write_text('[{"when": "response.done", "nth": 2, "do": "close", "code": 1011, "reason": "broken"}]')
    expected = (FaultRule(when="response.done", nth=2, do="close", code=1011, reason="broken"),)
    assert read_faults(toml) == read_faults(json) == read_faults(plain) == expected


@pytest.mark.parametrize("content", ["not toml", "other = 1", '[[faults]]\ndo = "drop"\n[more]\nx = 1', ""])
def test_a_script_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(content)
    with pytest.raises(FaultScriptError, match=r"faults\.toml"):
        read_faults(path)
    with pytest.raises(FaultScriptError, match="missing"):
        read_faults(tmp_path / "missing.toml")


WRONG: list[tuple[Any, str]] = [
    ("drop", "fault 2: expected a table"),
    ({"when": "response.done"}, "fault 2, key 'do'"),
    ({"do": "explode"}, "fault 2, key 'do': 'explode' is none of delay,"),
    ({"do": "drop", "ms": 3}, "fault 2, key 'ms': 'drop' takes no keys"),
    ({"do": "delay"}, "fault 2, key 'ms': 'delay' needs it"),
    ({"do": "delay", "ms": "3"}, r"fault 2: .*\$\.ms"),
    ({"do": "drop", "when": "response.finished"}, "fault 2, key 'when'"),
    ({"do": "http", "status": 503}, "fault 2, key 'do': 'http' can only happen at the handshake"),
    ({"do": "http", "status": 418, "when": "handshake"}, "fault 2, key 'status'"),
    ({"do": "expire", "when": "handshake"}, "fault 2, key 'do'"),
    ({"do": "duplicate", "when": "response.create"}, "fault 2, key 'do'"),
    ({"do": "swap", "when": "response.create"}, "fault 2, key 'do': 'swap' needs an event that is sent"),
    ({"do": "swap", "when": "response.done", "after_ms": 1}, "fault 2, key 'after_ms'"),
    ({"do": "late", "when": "response.done"}, "fault 2, key 'when': only a delta of a response"),
    ({"do": "mute", "when": "handshake"}, "fault 2, key 'do'"),
    ({"do": "no_response", "times": -1}, "fault 2, key 'times'"),
    ({"do": "close", "code": 1005}, "fault 2, key 'code'"),
    ({"do": "close", "code": "no"}, "fault 2, key 'code'"),
    ({"do": "error", "code": 3}, "fault 2, key 'code'"),
    ({"do": "drop", "nth": -1}, "fault 2, key 'nth'"),
    ({"do": "drop", "connection": 0}, "fault 2, key 'connection'"),
    ({"do": "drop", "first": 0}, "fault 2, key 'first'"),
    ({"do": "drop", "every": -1}, "fault 2, key 'every'"),
    ({"do": "drop", "every": 2, "first": 3}, "fault 2, key 'first': cannot go with every"),
    ({"do": "http", "status": 429, "when": "handshake", "code": 429}, "fault 2, key 'code': must be a string"),
    ({"do": "drop", "after_ms": -1}, "fault 2, key 'after_ms'"),
    ({"do": "drop", "when": "handshake", "after_ms": 1}, "fault 2, key 'after_ms'"),
    ({"do": "slow", "factor": 0}, "fault 2, key 'factor'"),
    ({"do": "server_error", "times": -1}, "fault 2, key 'times'"),
    ({"do": "close", "code": 1000, "reason": "x" * 124}, "fault 2, key 'reason'"),
]


@pytest.mark.parametrize(("rule", "named"), WRONG)
def test_a_wrong_rule_is_named_with_its_key(rule: Any, named: str) -> None:
    with pytest.raises(FaultScriptError, match=named):
        fault_rules([{"do": "drop"}, rule])


def test_a_rule_is_due_at_the_nth_of_its_moments_in_its_connection() -> None:
    schedule = FaultSchedule(fault_rules([{"do": "drop", "when": "response.done", "nth": 2, "connection": 3}]))
    third = schedule.for_connection(3)
    assert third.due("response.done") == []
    assert third.due("response.created") == []
    assert [rule.do for rule in third.due("response.done")] == ["drop"]
    assert third.due("response.done") == []
    other = schedule.for_connection(1)
    assert [other.due("response.done") for _ in range(3)] == [[], [], []]


def test_a_rule_is_for_one_connection_the_first_ones_every_nth_or_all() -> None:
    rules = fault_rules([{"do": "drop", "connection": 2}, {"do": "reset", "first": 2}, {"do": "http", "status": 429,
                         "when": "handshake", "every": 3}, {"do": "expire"}])  # fmt: skip
    concerned = [[rule.do for rule in rules if rule.concerns(nth)] for nth in range(1, 7)]
    assert concerned == [
        ["reset", "expire"],
        ["drop", "reset", "expire"],
        ["http", "expire"],
        ["expire"],
        ["expire"],
        ["http", "expire"],
    ]


def test_nth_zero_is_every_one_and_rules_keep_their_order() -> None:
    rules = fault_rules([{"do": "unknown", "nth": 0}, {"do": "malformed"}])
    faults = FaultSchedule(rules).for_connection(1)
    assert [rule.do for rule in faults.due("session.created")] == ["unknown", "malformed"]
    assert [rule.do for rule in faults.due("session.created")] == ["unknown"]


def test_what_fired_is_counted() -> None:
    schedule = FaultSchedule(fault_rules([{"do": "drop"}]))
    for nth in (1, 2):
        faults = schedule.for_connection(nth)
        faults.fired(faults.due("session.created")[0])
    assert schedule.fired == {"drop": 2}


@given(st.integers(0, 2**32))
def test_a_seed_gives_the_same_valid_rules_again(seed: int) -> None:
    rules = random_faults(seed, count=5)
    assert rules == random_faults(seed, count=5)
    assert all(rule.do in ACTIONS for rule in rules)
    assert all(rule.ms is not None for rule in rules if rule.do in ("stall", "mute"))
    assert all(rule.when == HANDSHAKE for rule in rules if rule.do == "http")


def test_random_schedules_reach_every_action() -> None:
    assert {rule.do for seed in range(60) for rule in random_faults(seed)} == set(ACTIONS)
