"""Alarms about money: each is told of once for a model at a deployment, and every one is counted."""

from decimal import Decimal

import structlog

from protocol.conversation.actions import Charge
from protocol.prices.cost import Cost
from protocol.prices.metering import Doubt
from server.prices.alarms import PriceAlarms


def charge(*doubts: Doubt, model: str = "gpt-9", deployment: str = "sweden") -> Charge:
    return Charge(
        kind="response",
        id="resp_1",
        status="completed",
        connection=1,
        deployment=deployment,
        model=model,
        usage=None,
        seconds=Decimal(0),
        cost=Cost("", "test", doubts=frozenset(doubts)),
    )


def test_an_unknown_model_is_told_of_once_and_counted_each_time() -> None:
    alarms = PriceAlarms()
    with structlog.testing.capture_logs() as log:
        for _ in range(3):
            alarms.charged(charge("unknown_model"))
        alarms.charged(charge("unknown_model", deployment="spare"))
        alarms.charged(charge())
    assert [(line["log_level"], line["model"], line["deployment"]) for line in log] == [
        ("warning", "gpt-9", "sweden"),
        ("warning", "gpt-9", "spare"),
    ]
    assert "LIVEAVATAR_PRICES" in log[0]["meaning"]
    assert alarms.counts == {"unknown_model": 4}
    assert alarms.unknown_models() == ["gpt-9"]


def test_each_doubt_is_told_by_itself() -> None:
    alarms = PriceAlarms()
    with structlog.testing.capture_logs() as log:
        alarms.charged(charge("negative", "absurd"))
    assert {line["doubt"] for line in log} == {"negative", "absurd"}
    assert alarms.unknown_models() == []


def test_whoever_names_a_new_model_each_time_does_not_fill_the_log() -> None:
    alarms = PriceAlarms()
    with structlog.testing.capture_logs() as log:
        for number in range(500):
            alarms.charged(charge("unknown_model", model=str(number)))
    assert len(log) == 100
    assert alarms.counts["unknown_model"] == 500
