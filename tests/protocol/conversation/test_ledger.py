"""The ledger: everything that is billed, once, at the prices of the connection that it came by."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from protocol.conversation.actions import Charge
from protocol.conversation.ledger import CHARGES_KEPT, RESPONSE_DONE, TRANSCRIBED, Ledger
from protocol.conversation.outlet import Outlet
from protocol.endings import EndReason
from protocol.prices.book import PriceBook
from protocol.prices.terms import Terms
from tests.protocol.conversation.service import Event
from tests.protocol.conversation.talk import Talk, ask
from tests.protocol.conversation.test_answers import response
from tests.protocol.prices.prices import BOOK, ROWS, WHISPER, rates, row, said

SWEDEN = Terms(deployment="sweden", model="gpt-realtime")
SPARE = Terms(deployment="spare", model="gpt-realtime-2.1", uplift_percent=Decimal(10))
SAMPLE = said(15_703, out_text=219)


def transcribed(item_id: str = "item_1", **more: Any) -> Event:
    usage = {"type": "duration", "seconds": 30}
    return {"type": TRANSCRIBED, "item_id": item_id, "content_index": 0, "transcript": "Hello.", "usage": usage, **more}


def shows(model: str | None, transcription: str | None = None) -> Event:
    heard = {"transcription": {"model": transcription}} if transcription else {}
    session = {"type": "realtime", "audio": {"input": heard}, **({"model": model} if model else {})}
    return {"type": "session.updated", "session": session}


def priced(talk: Talk, kind: str = "response") -> list[tuple[str, str, str, Decimal]]:
    return [(charge.id, charge.deployment, charge.model, charge.cost.usd) for charge in talk.charges(kind)]


# In a conversation


def test_the_sample_is_charged_and_told_to_the_client() -> None:
    talk = Talk(avatar=True)
    talk.terms = SWEDEN
    talk.lose_upstream()
    talk.open()
    talk.upstream(response("resp_1"))
    talk.upstream(response("resp_1", "completed", usage=SAMPLE))
    assert priced(talk) == [("resp_1", "sweden", "gpt-realtime", Decimal("0.066316"))]
    assert talk.charges()[0].connection == talk.connection
    (told,) = talk.got("avatar.usage")
    assert (told["cost_usd"], told["session_cost_usd"]) == ("0.066316", "0.066316")
    assert talk.machine.ledger.usd == Decimal("0.066316")


def test_a_search_that_nobody_sees_is_told_with_the_answer_that_follows_it() -> None:
    talk = Talk(("look",), ("look",), ("say",), avatar=True)
    talk.client(ask())
    talk.answer_tools()
    costs = [charge.cost.usd for charge in talk.charges()]
    assert len(costs) == 3
    assert min(costs) > 0
    (told,) = talk.got("avatar.usage")
    assert Decimal(told["cost_usd"]) == sum(costs)
    assert Decimal(told["session_cost_usd"]) == sum(costs)


def test_each_answer_tells_its_own_cost_and_the_sum_so_far() -> None:
    talk = Talk(avatar=True)
    for number in (1, 2):
        talk.upstream(response(f"resp_{number}"))
        talk.upstream(transcribed(f"item_{number}"))
        talk.upstream(response(f"resp_{number}", "completed", usage=SAMPLE))
    heard = [charge.cost.usd for charge in talk.charges("transcription")]
    assert len(heard) == 2
    first, second = talk.got("avatar.usage")
    assert first["cost_usd"] == second["cost_usd"] == "0.066316"
    assert Decimal(first["session_cost_usd"]) == Decimal("0.066316") + heard[0]
    assert Decimal(second["session_cost_usd"]) == 2 * Decimal("0.066316") + sum(heard)


@pytest.mark.parametrize("status", ["completed", "cancelled", "incomplete", "failed"])
def test_however_a_response_ends_it_is_charged_once(status: str) -> None:
    talk = Talk(avatar=True)
    talk.upstream(response("resp_1"))
    for _ in range(2):
        talk.upstream(response("resp_1", status, usage=SAMPLE))
    assert [charge.status for charge in talk.charges()] == [status]
    assert talk.machine.ledger.usd == Decimal("0.066316")


def test_what_failed_before_it_began_costs_nothing_and_is_in_no_doubt() -> None:
    talk = Talk()
    talk.upstream(response("resp_1", "failed", usage=None))
    talk.upstream(response("resp_2", "completed", usage=None))
    failed, completed = talk.charges()
    assert (failed.cost.usd, failed.usage, failed.cost.doubts) == (Decimal(0), None, frozenset())
    assert completed.cost.doubts == {"no_usage"}


def test_each_response_is_priced_where_it_was_made() -> None:
    talk = Talk(avatar=True)
    talk.upstream(response("resp_1", "completed", usage=SAMPLE))
    talk.terms = SPARE
    talk.lose_upstream()
    talk.open()
    talk.settle()
    talk.upstream(response("resp_2", "completed", usage=SAMPLE))
    # By the connection that is over: billed all the same, and there.
    talk.machine.on_upstream(1, json.dumps(response("resp_3", "cancelled", usage=SAMPLE)).encode(), talk.now)
    totals = talk.machine.ledger.totals
    assert {where: (total.charges, total.usd) for where, total in totals.items()} == {
        ("here", "gpt-realtime"): (2, Decimal("0.132632")),
        ("spare", "gpt-realtime-2.1"): (1, Decimal("0.0748748")),
    }
    assert talk.machine.ledger.by_deployment() == {"here": Decimal("0.132632"), "spare": Decimal("0.0748748")}
    assert talk.machine.ledger.usage.input_tokens == 3 * 15_703


def test_what_a_connection_that_is_over_says_twice_is_charged_once() -> None:
    talk = Talk()
    talk.lose_upstream()
    late = json.dumps(response("resp_late", "cancelled", usage=SAMPLE)).encode()
    charges = [action for _ in range(2) for action in talk.machine.on_upstream(1, late, talk.now)]
    assert [action.id for action in charges if isinstance(action, Charge)] == ["resp_late"]
    heard = json.dumps(transcribed()).encode()
    charges = [action for _ in range(2) for action in talk.machine.on_upstream(1, heard, talk.now)]
    assert [action.id for action in charges if isinstance(action, Charge)] == ["item_1"]


def test_a_connection_that_never_was_costs_nothing() -> None:
    talk = Talk()
    done = json.dumps(response("resp_1", "completed", usage=SAMPLE)).encode()
    assert not [action for action in talk.machine.on_upstream(77, done, talk.now) if isinstance(action, Charge)]


def test_the_service_says_which_model_it_runs_where_the_operator_does_not() -> None:
    talk = Talk()
    talk.terms = Terms(deployment="azure")
    talk.lose_upstream()
    talk.open()
    talk.upstream(response("resp_1", "completed", usage=SAMPLE))
    talk.upstream(shows("gpt-realtime-2025-08-28", "whisper-1"))
    talk.upstream(response("resp_2", "completed", usage=SAMPLE))
    talk.upstream(transcribed())
    nobody, named = talk.charges()
    assert nobody.model == ""
    assert nobody.cost.doubts == {"unknown_model"}
    assert nobody.cost.usd > named.cost.usd
    assert (named.model, named.cost.priced_as) == ("gpt-realtime-2025-08-28", "gpt-realtime")
    assert priced(talk, "transcription") == [("item_1", "azure", "whisper-1", Decimal("0.003"))]


# Transcriptions


def test_a_transcription_is_charged_once_however_often_it_is_told() -> None:
    talk = Talk()
    for _ in range(2):
        talk.upstream(transcribed())
    talk.upstream(transcribed(content_index=1))
    assert [charge.seconds for charge in talk.charges("transcription")] == [30, 30]
    assert talk.machine.ledger.usage.total_tokens == 0


@pytest.mark.parametrize(
    ("usage", "doubt"),
    [
        (None, "no_usage"),
        ({}, "no_usage"),
        ({"seconds": "long", "type": "duration"}, "unreadable"),
        ({"type": "tokens", "input_tokens": -4}, "negative"),
        (7, "no_usage"),
    ],
)
def test_a_transcript_whose_usage_makes_no_sense_is_a_transcript(usage: object, doubt: str) -> None:
    talk = Talk()
    talk.upstream(transcribed(usage=usage))
    assert [event["transcript"] for event in talk.got(TRANSCRIBED)] == ["Hello."]
    (charge,) = talk.charges("transcription")
    assert doubt in charge.cost.doubts


def test_what_was_said_before_transcripts_were_switched_off_has_its_price() -> None:
    kept, _ = ledger()
    kept.opened(1, Terms(deployment="d"), 0.0)
    kept.told(1, {"model": "big", "audio": {"input": {"transcription": {"model": "ears"}}}})
    kept.told(1, {"model": "big", "audio": {"input": {"transcription": None}}})
    kept.take(1, json.dumps(transcribed()).encode(), TRANSCRIBED)
    assert kept.usd == Decimal("0.003")


# What cannot be read


def test_an_end_whose_usage_cannot_be_read_is_charged_for_what_makes_sense_of_it() -> None:
    talk = Talk(avatar=True)
    usage = {**SAMPLE, "total_tokens": "many", "output_token_details": None}
    talk.upstream(response("resp_1"))
    talk.upstream(response("resp_1", "completed", usage=usage))
    (charge,) = talk.charges()
    assert charge.usage is not None
    assert (charge.usage.input_tokens, charge.usage.output_tokens) == (15_703, 219)
    assert charge.cost.doubts == {"unreadable", "no_details"}
    assert talk.got("response.done")[0]["response"]["usage"]["total_tokens"] == 15_922
    assert talk.got("avatar.usage")[0]["cost_usd"] == "0.076828"


def test_an_end_that_nobody_can_read_otherwise_is_charged() -> None:
    talk = Talk()
    talk.machine.on_upstream(
        1, json.dumps(response("resp_1", "completed", usage=SAMPLE, metadata=5)).encode(), talk.now
    )
    assert talk.machine.ledger.usd == Decimal("0.066316")


# By itself


def ledger(book: PriceBook = BOOK) -> tuple[Ledger, Outlet]:
    outlet = Outlet(lambda: "x")
    return Ledger(outlet, book), outlet


def done(response_id: str) -> bytes:
    return json.dumps({"response": {"id": response_id, "status": "completed", "usage": said(1000)}}).encode()


def test_a_price_changes_at_midnight_in_the_middle_of_a_session() -> None:
    change = row("big", rates(text_input="6"), valid_from=date(2026, 12, 1))
    book = PriceBook([*ROWS, change], version="x")
    kept, outlet = ledger(book)
    outlet.now = 500.0
    kept.opened(1, Terms(deployment="d", model="big"), datetime(2026, 11, 30, 23, 59, tzinfo=UTC).timestamp())
    kept.take(1, done("a"), RESPONSE_DONE)
    outlet.now += 61.0
    kept.take(1, done("b"), RESPONSE_DONE)
    assert (kept.usd_of("a"), kept.usd_of("b")) == (Decimal("0.004"), Decimal("0.006"))


def test_nothing_is_charged_after_the_end() -> None:
    kept, outlet = ledger()
    kept.opened(1, Terms(deployment="d", model="big"), 0.0)
    outlet.close(EndReason.COMPLETED, "")
    outlet.take()
    kept.take(1, done("a"), RESPONSE_DONE)
    assert (outlet.take(), kept.usd, kept.totals) == ([], Decimal(0), {})


def test_it_remembers_what_it_charged_for_long_and_not_for_ever() -> None:
    kept, _ = ledger()
    kept.opened(1, Terms(deployment="d", model="big"), 0.0)
    for number in range(CHARGES_KEPT + 1):
        assert kept.take(1, done(str(number)), RESPONSE_DONE)
    assert not kept.take(1, done("1"), RESPONSE_DONE)
    assert kept.usd_of("0") == 0


@pytest.mark.parametrize(
    "event", [{}, {"response": 5}, {"response": {"id": 5, "status": "x"}}, {"response": {"id": "a"}}]
)
def test_what_is_no_end_of_a_response_is_charged_to_nobody(event: Event) -> None:
    kept, outlet = ledger()
    assert not kept.take(1, json.dumps(event).encode(), RESPONSE_DONE)
    assert not kept.take(1, json.dumps(event).encode(), TRANSCRIBED)
    assert outlet.take() == []


def test_a_deployments_own_price_of_transcriptions() -> None:
    kept, _ = ledger()
    terms = Terms(deployment="d", transcription_rates=WHISPER, uplift_percent=Decimal(10))
    kept.opened(1, terms, 0.0)
    kept.told(1, {"audio": {"input": {"transcription": {"model": "our-ears"}}}})
    kept.take(1, json.dumps(transcribed()).encode(), TRANSCRIBED)
    assert {where: total.usd for where, total in kept.totals.items()} == {("d", "our-ears"): Decimal("0.003")}
