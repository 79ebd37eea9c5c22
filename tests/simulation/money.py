"""Promises about money: the server's ledger and the service's own meter say the same, to the last picodollar."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from protocol.conversation.actions import Charge, Reserve, ToClient, ToUpstream
from protocol.conversation.ledger import RESPONSE_DONE, TRANSCRIBED
from server.app.budgets import ALL
from tests.simulation.evidence import Case

if TYPE_CHECKING:
    from tests.simulation.world import World

_USAGE = b'{"type":"avatar.usage"'


def charges_of(case: Case, kind: str) -> dict[str, list[Charge]]:
    charges: dict[str, list[Charge]] = {}
    for _, action in case.actions:
        if isinstance(action, Charge) and action.kind == kind:
            charges.setdefault(action.id, []).append(action)
    return charges


def bills_of(case: Case, kind: str) -> dict[str, tuple[float, int, int | None]]:
    """What the service billed and the session was told of, once each: when, picodollars, and tokens of a response."""
    bills: dict[str, tuple[float, int, int | None]] = {}
    if kind == "transcription":
        for at, line, event in case.delivered(TRANSCRIBED):
            bills.setdefault(event["item_id"], (at, line.session.bills[event["item_id"]], None))
        return bills
    for at, line, event in case.delivered(RESPONSE_DONE):
        if isinstance(event["response"], dict):
            response_id = event["response"]["id"]
            bills.setdefault(response_id, (at, line.session.bills[response_id], line.session.meter[response_id]))
    return bills


def each_bill_is_charged_once(case: Case) -> Iterator[str]:
    """Every response that ended and every transcription is charged, once, with its own tokens and price."""
    for kind in ("response", "transcription"):
        charges, bills = charges_of(case, kind), bills_of(case, kind)
        for name, (at, pico, tokens) in bills.items():
            found = charges.get(name, [])
            if not found and at < case.closed_at:
                yield f"{kind} {name} was not charged"
            if len(found) > 1:
                yield f"{kind} {name} was charged {len(found)} times"
            for charge in found[:1]:
                if tokens is not None and (charge.usage is None or charge.usage.total_tokens != tokens):
                    yield f"{kind} {name} was charged with {charge.usage}, and the meter says {tokens}"
                if charge.cost.usd != Decimal(pico).scaleb(-12):
                    yield f"{kind} {name} was priced at {charge.cost}, and the meter says {pico} picodollars"
        for name in charges.keys() - bills.keys():
            yield f"{kind} {name} was charged and never ended"


def the_ledger_is_the_meter(case: Case) -> Iterator[str]:
    """Everything together: what the meter adds up is what was charged, and what the session says that it has cost."""
    metered, charged = 0, Decimal(0)
    for kind in ("response", "transcription"):
        charges = charges_of(case, kind)
        for name, (at, pico, _) in bills_of(case, kind).items():
            # What comes while a session ends may be charged or not; never otherwise.
            metered += pico if at < case.closed_at or name in charges else 0
        charged += sum((charge.cost.usd for found in charges.values() for charge in found), Decimal(0))
    ledger = case.observed.session.ledger
    by_deployment = sum(ledger.by_deployment().values(), Decimal(0))
    if not Decimal(metered).scaleb(-12) == charged == ledger.usd == by_deployment:
        yield f"metered {metered} picodollars, charged {charged}, and the ledger says {ledger.usd}, {by_deployment}"


def the_budget_is_kept(case: Case) -> Iterator[str]:
    """A session spends its budget and one response at most, and transcripts of what was said until it ended.

    The model service reads what it likes: what it bills is no more than one response beyond what was set aside.
    """
    if not (budget := case.plan.budgets.session):
        return
    charges = [action for _, action in case.actions if isinstance(action, Charge)]
    responses = [charge.cost.usd for charge in charges if charge.kind == "response"]
    transcripts = sum((charge.cost.usd for charge in charges if charge.kind == "transcription"), Decimal(0))
    spent = case.observed.session.ledger.usd
    if spent > budget + max(responses, default=Decimal(0)) + transcripts:
        yield f"it spent {spent} of {budget}, and no response cost more than {max(responses, default=0)}"


def nothing_is_asked_without_money(case: Case) -> Iterator[str]:
    """Where there is a budget, the service is asked for nothing before something was set aside."""
    if not case.plan.budgets:
        return
    asked = False
    for _, action in case.actions:
        asked |= isinstance(action, Reserve)
        if isinstance(action, ToUpstream) and b'"response.create"' in action.frame[:200] and not asked:
            yield f"asked before anything was set aside: {action.frame[:200]!r}"


def all_is_booked_and_given_back(world: "World") -> Iterator[str]:
    """At the end nothing is set aside, and what is booked is what all ledgers say."""
    if not world.plan.budgets:
        return
    total = sum((observed.session.ledger.usd for observed in world.observer.sessions.values()), Decimal(0))
    for key, (spent, held) in world.money.standing().items():
        if held:
            yield f"{held} are still set aside under {key}"
        if key == ALL and spent != total:
            yield f"{spent} are booked, and the ledgers say {total}"


def the_client_is_told_the_sum(case: Case) -> Iterator[str]:
    """Each time, an avatar is told what the session has cost until then, and of its answers nothing twice."""
    so_far = answers = Decimal(0)
    told: set[str] = set()
    for _, action in case.actions:
        if isinstance(action, Charge):
            so_far += action.cost.usd
        elif isinstance(action, ToClient) and action.frame.startswith(_USAGE):
            event = msgspec.json.decode(action.frame)
            if event["event_id"] in told:
                continue  # somebody came back, and is told what was missed
            told.add(event["event_id"])
            if Decimal(event["session_cost_usd"]) != so_far:
                yield f"the session has cost {so_far}, and the client was told {event['session_cost_usd']}"
            answers += Decimal(event["cost_usd"])
    if answers > so_far:
        yield f"all has cost {so_far}, and the client's answers {answers}"
