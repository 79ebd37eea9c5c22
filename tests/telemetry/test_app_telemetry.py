"""What the composition root tells the metrics of rooms that know nothing of them: charges and records."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from protocol.conversation.actions import Charge
from protocol.prices.cost import Cost, Line
from protocol.prices.metering import Doubt
from server.app.telemetry import show_records, tell_of_charges
from server.prices.alarms import PriceAlarms
from server.store.base import StoreHealth
from server.telemetry.metrics import Metrics
from server.telemetry.watching import Watcher


def charge(model: str, usd: str, *doubts: Doubt) -> Charge:
    line = Line("text", "output", 1, "token", Decimal(usd) * 1_000_000, Decimal(usd))
    return Charge(
        kind="response",
        id="resp_1",
        status="completed",
        connection=1,
        deployment="sweden",
        model=model,
        usage=None,
        cost=Cost(model, "test", (line,), frozenset(doubts)),
    )


def test_a_charge_is_told_to_the_alarms_and_to_the_metrics_once() -> None:
    alarms, watcher = PriceAlarms(), Watcher(Metrics(), clock=lambda: 0.0)
    charged = tell_of_charges(alarms, watcher)
    charged(charge("gpt-realtime", "0.066316"))
    charged(charge("gpt-realtime", "0.1", "no_details"))
    charged(charge("gpt-next", "0.5", "unknown_model"))
    metrics = watcher.metrics
    assert metrics.value("liveavatar_cost_usd_total", "gpt-realtime", "sweden") == pytest.approx(0.166316)
    assert metrics.value("liveavatar_cost_usd_total", "gpt-next", "sweden") == 0.5
    assert metrics.value("liveavatar_unknown_prices_total", "gpt-next") == 1
    assert metrics.value("liveavatar_unknown_prices_total", "gpt-realtime") == 0, (
        "that is a doubt, but not of its price"
    )
    assert alarms.counts == {"no_details": 1, "unknown_model": 1}


def test_how_the_records_are_kept_is_asked_when_somebody_looks() -> None:
    health = StoreHealth(
        state="ok",
        detail="",
        recorded=9,
        memory_bytes=0,
        journal_bytes=4104,
        waiting_s=0.0,
        lost=0,
        set_aside=0,
    )
    metrics = Metrics()
    show_records(metrics, lambda: health)
    assert metrics.value("liveavatar_store_up") == 1
    assert metrics.value("liveavatar_journal_pending_bytes") == 4104
    assert metrics.value("liveavatar_records_lost_total", "no_room") == 0
    health = replace(health, state="waiting", lost=3, set_aside=2)
    assert metrics.value("liveavatar_store_up") == 0
    assert metrics.value("liveavatar_records_lost_total", "no_room") == 3
    assert metrics.value("liveavatar_records_lost_total", "set_aside") == 2
