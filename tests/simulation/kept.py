"""Promises about the records: all that was said, searched and paid is kept, once, and its times make sense."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from protocol.conversation.actions import Called, Heard, RunTool, Said
from protocol.conversation.actions import Record as Recorded
from server.store.money import to_picodollars
from server.store.records import (
    HeardText,
    SaidText,
    SessionBegun,
    SessionEnded,
    ToolCall,
    TurnTimes,
    UsageLine,
)
from tests.simulation.evidence import Case
from tests.simulation.money import bills_of, charges_of


def the_lines_of_usage_are_the_meter(case: Case) -> Iterator[str]:
    """What the service's meter adds up is what the lines of usage do, to the last picodollar; no line comes twice."""
    lines = [record for record in case.records if isinstance(record, UsageLine)]
    for line_id, times in Counter(line.id for line in lines).items():
        if times > 1:
            yield f"the line of {line_id} was kept {times} times"
    metered = tokens = 0
    for kind in ("response", "transcription"):
        charges = charges_of(case, kind)
        for name, (at, pico, used) in bills_of(case, kind).items():
            # What comes while a session ends may be charged or not; never otherwise.
            if at < case.closed_at or name in charges:
                metered += pico
                tokens += used or 0
    kept = sum(to_picodollars(line.cost_usd) for line in lines)
    if kept != metered or Decimal(kept).scaleb(-12) != case.observed.session.ledger.usd:
        yield f"metered {metered} picodollars, kept {kept}, and the ledger says {case.observed.session.ledger.usd}"
    kept_tokens = 0
    for line in lines:
        if line.what == "response":
            of = line.tokens
            kept_tokens += of.input_text + of.input_audio + of.input_image + of.output_text + of.output_audio
    if kept_tokens != tokens:
        yield f"metered {tokens} tokens, kept {kept_tokens}"


def the_record_has_a_beginning_and_an_end(case: Case) -> Iterator[str]:
    """It begins with the session's beginning, and ends with its one end, which gives the session's own reason."""
    if not case.records or not isinstance(case.records[0], SessionBegun):
        yield f"it begins with {case.records[:1]}"
    ends = [record for record in case.records if isinstance(record, SessionEnded)]
    ending = case.observed.session.ending
    if len(ends) != 1 or case.records[-1] is not ends[0]:
        yield f"it ends {len(ends)} times, and last with {case.records[-1:]}"
    elif ending is None or ends[0].reason != ending.label:
        yield f"the session ended as {ending}, and its record says {ends[0].reason}"


def everything_said_is_kept(case: Case) -> Iterator[str]:
    """Each piece of the conversation is kept with its last words, and what was heard of it."""
    said: dict[str, str] = {}
    heard: dict[str, tuple[int, int, str]] = {}
    for _, action in case.actions:
        match action:
            case Recorded(Said(item_id=item_id, text=text)):
                said[item_id] = text
            case Recorded(Heard(item_id=item_id, heard_ms=heard_ms, sent_ms=sent_ms, text=text)):
                heard[item_id] = heard_ms, sent_ms, text
    kept = {record.id: record.text for record in case.records if isinstance(record, SaidText)}
    kept_heard = {
        record.id: (record.heard_ms, record.sent_ms, record.text)
        for record in case.records
        if isinstance(record, HeardText)
    }
    if kept != said:
        yield f"said was {said}, and kept {kept}"
    if kept_heard != heard:
        yield f"heard was {heard}, and kept {kept_heard}"


def every_tool_call_is_kept(case: Case) -> Iterator[str]:
    """A call that was asked for is kept with its arguments; what became of it is what the model was told."""
    asked = {action.call_id: action for _, action in case.actions if isinstance(action, RunTool)}
    lost = {
        action.entry.call_id
        for _, action in case.actions
        if isinstance(action, Recorded) and isinstance(action.entry, Called) and action.entry.outcome == "lost"
    }
    # What a later record of a call does not know stays as an earlier one said it.
    status: dict[str, str] = {}
    arguments: dict[str, str | None] = {}
    for record in case.records:
        if isinstance(record, ToolCall):
            status[record.id] = record.status
            arguments[record.id] = record.arguments or arguments.get(record.id)
    for call_id, call in asked.items():
        if call_id not in status:
            yield f"call {call_id} is not kept"
        elif arguments[call_id] != call.arguments:
            yield f"call {call_id} was asked with {call.arguments}, and is kept with {arguments[call_id]}"
    for call_id in lost - {""}:
        if status.get(call_id) != "lost":
            yield f"call {call_id} was lost, and is kept as {status.get(call_id)}"


def times_are_in_order(case: Case) -> Iterator[str]:
    """Nothing is before the beginning or after the end, whatever the clock on the wall does; no time is negative."""
    if not case.records:
        return
    first, last = case.records[0].at, case.records[-1].at
    for record in case.records:
        if not first <= record.at <= last:
            yield f"the session was from {first} to {last}, and this is of {record.at}: {record}"
        spans: list[float | None] = []
        if isinstance(record, TurnTimes):
            spans = [
                record.search_began_ms,
                record.search_ended_ms,
                record.first_token_ms,
                record.first_audio_ms,
                record.ended_ms,
            ]
        elif isinstance(record, HeardText):
            spans = [record.heard_ms, record.sent_ms - record.heard_ms]
        elif isinstance(record, ToolCall):
            spans = [record.duration_ms]
        if any(span is not None and span < 0 for span in spans):
            yield f"a time is negative: {record}"
