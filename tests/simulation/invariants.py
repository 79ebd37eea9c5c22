"""What must hold of any run, whatever broke: each check is one promise, and says in a sentence where it is not kept.

They judge from outside: by what the models said and got, by the actions of sessions, and by what a page saw.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from protocol.conversation.actions import Called, Close, Heard, Record, RunTool, ToClient, ToUpstream
from protocol.endings import EndReason
from tests.simulation import contexts, kept, losses, money, stories
from tests.simulation.evidence import OWN_EVENT, Case, cases
from tests.simulation.intruder import FORBIDDEN, LOCKED_OUT
from tests.simulation.mind import SEARCH, Json
from tests.simulation.person import NOBODY

if TYPE_CHECKING:
    from tests.simulation.world import World

# What the service may answer to events of the server's own making: both are races that the protocol cannot avoid.
_HARMLESS = frozenset({"response_cancel_not_active", "conversation_already_has_active_response"})
# Sound that is over within this does not count as still sounding, in seconds.
_SOUNDS_S = 0.3
# Error lines that are not about a fault of the server.
_EXPECTED_ERRORS = frozenset({"tool crashed"})


def check(world: "World") -> list[str]:
    """All violations of a run that has come to its end."""
    found = [f"world: {text}" for text in _world(world)]
    for case in cases(world):
        for promise in PROMISES:
            found += [f"{case.name}: {promise.__name__.strip('_').replace('_', ' ')}: {text}" for text in promise(case)]
    return found


def _world(world: "World") -> Iterator[str]:
    if running := world.running():
        yield f"still running at the end: {running}"
    if len(world.registry):
        yield f"{len(world.registry)} sessions are still in the registry"
    for failure in world.failures:
        yield f"an exception came through to the door: {failure!r}"
    for line in world.log:
        if line["level"] == "error" and line["event"] not in _EXPECTED_ERRORS:
            yield f"the server logged an error: {line['event']}"
    endings = Counter(line["session_id"] for line in world.log if line["event"] == "session ended")
    for session_id in world.observer.sessions:
        if endings[session_id] != 1:
            yield f"{session_id} has {endings[session_id]} reasons for its end"
    for line in world.log:
        if line["event"] == "session ended" and line["reason"] in (EndReason.INTERNAL.label, "cancelled"):
            yield f"{line['session_id']} ended as {line['reason']}"
    for model in world.service.lines:
        if model.is_open:
            yield f"{model.name} is still open"
    yield from _nobody_got_in(world)
    yield from money.all_is_booked_and_given_back(world)


def _nobody_got_in(world: "World") -> Iterator[str]:
    ours = {story.session_id for page in world.pages for story in page.stories}
    for kind, hello in world.intruders:
        if hello["session_id"] in ours or hello.get("recovered") is True:
            yield f"the intruder with {kind} got into {hello['session_id']}"
    for line in world.service.lines:
        for _, frame in line.received:
            if FORBIDDEN.encode() not in frame:
                continue
            if line.owner is not None and line.owner.session_id in ours:
                yield f"an intruder's words reached {line.name}"
            for kind in LOCKED_OUT:
                if f"{FORBIDDEN} {kind}".encode() in frame:
                    yield f"words that came before anybody was let in ({kind}) reached {line.name}"


def _one_ending(case: Case) -> Iterator[str]:
    closes = [number for number, (_, action) in enumerate(case.actions) if isinstance(action, Close)]
    if len(closes) > 1:
        yield f"the end was asked for {len(closes)} times"
    if closes and closes[0] != len(case.actions) - 1:
        yield f"asked for after the end: {case.actions[closes[0] + 1][1]}"


def _tools_are_answered_once(case: Case) -> Iterator[str]:
    runs = Counter(action.call_id for _, action in case.actions if isinstance(action, RunTool))
    records: dict[str, list[str]] = {}
    for _, action in case.actions:
        if isinstance(action, Record) and isinstance(action.entry, Called):
            records.setdefault(action.entry.call_id, []).append(action.entry.outcome)
    for call_id, times in runs.items():
        if times != 1:
            yield f"{call_id} was run {times} times"
        if len(records.get(call_id, [])) != 1:
            yield f"{call_id} was run, and recorded as {records.get(call_id, 'nothing')}"
    for call_id, outcomes in records.items():
        if len(outcomes) != 1:
            yield f"{call_id} is recorded as {outcomes}"
    answered = Counter(
        event["item"]["call_id"]
        for _, event in case.said("conversation.item.create")
        if event["item"]["type"] == "function_call_output"
    )
    for call_id, outcomes in records.items():
        if outcomes == ["answered"] and not answered[call_id]:
            yield f"{call_id} is recorded as answered, and no line was told the answer"
    for at, line, event in case.delivered("response.output_item.done"):
        item = event["item"]
        is_call = item["type"] == "function_call" and item["name"] == SEARCH and at < case.closed_at
        if is_call and item["call_id"] not in runs and item["call_id"] not in records:
            yield f"{item['call_id']} of {line.name} was neither run nor recorded as lost"


def _nothing_more_was_heard_than_played(case: Case) -> Iterator[str]:
    sent_ms: dict[str, float] = {}
    for at, action in case.actions:
        if isinstance(action, ToClient) and action.item_id is not None:
            sent_ms[action.item_id] = sent_ms.get(action.item_id, 0.0) + action.audio_ms
        elif isinstance(action, ToUpstream) and b'"conversation.item.truncate"' in action.frame[:80]:
            yield from _cut(case, at, msgspec.json.decode(action.frame), sent_ms)


def _cut(case: Case, at: float, event: Json, sent_ms: dict[str, float]) -> Iterator[str]:
    if not str(event.get("event_id", "")).startswith(OWN_EVENT) or event["item_id"] == NOBODY:
        return
    item_id, end_ms = event["item_id"], event["audio_end_ms"]
    if not 0 <= end_ms <= sent_ms.get(item_id, 0.0) + 1:
        yield f"{item_id} was cut at {end_ms} ms, and {sent_ms.get(item_id, 0.0):g} ms of it were sent"
    if case.page is not None:
        heard_ms = case.page.heard_by(item_id, at)
        if heard_ms is not None and end_ms > heard_ms + 1:
            yield f"{item_id} was cut at {end_ms} ms, and the page had told of {heard_ms:g} ms"


def _the_service_is_not_asked_for_nonsense(case: Case) -> Iterator[str]:
    for line in case.lines:
        for code, event in line.session.refused:
            # Clients' events without an id are given one, so the nonsense that the person talks has it too.
            is_rubbish = any(word in str(event) for word in (NOBODY, "resp_nobody", "nonsense"))
            if str(event.get("event_id", "")).startswith(OWN_EVENT) and code not in _HARMLESS and not is_rubbish:
                yield f"{line.name} refused {event['type']} with {code}: {event}"


def _an_interruption_is_noted(case: Case) -> Iterator[str]:
    """When somebody begins to speak over an answer that still sounds, it is noted how much of it was heard."""
    if case.page is None or not case.page.is_avatar or case.page.is_hindered:
        return
    begun: dict[str, tuple[float, float]] = {}
    sends = deque((sent.at, str(sent.item_id), sent.audio_ms) for sent in case.emitted.values() if sent.audio_ms)
    heard = [(at, action.entry) for at, action in case.actions if isinstance(action, Record)]
    noted = [(at, entry.item_id) for at, entry in heard if isinstance(entry, Heard)]
    for at, _, _ in sorted(case.delivered("input_audio_buffer.speech_started"), key=lambda told: told[0]):
        while sends and sends[0][0] < at:
            sent_at, item_id, ms = sends.popleft()
            first_at, sent_ms = begun.pop(item_id, (sent_at, 0.0))
            begun[item_id] = first_at, sent_ms + ms
        for item_id, (first_at, sent_ms) in list(begun.items())[-1:]:
            still_sounds = at < first_at + sent_ms / 1000 - _SOUNDS_S
            if still_sounds and at < case.closed_at and not any(of == item_id and when <= at for when, of in noted):
                yield f"{item_id} still sounded at {at:.3f}, and nothing is noted"


def _who_must_go_is_told(case: Case) -> Iterator[str]:
    """A client that is there when the server drains is told so, before anything else ends its session."""
    started_at = case.actions[0][0] if case.actions else 0.0
    if case.page is None or not case.page.is_avatar or case.drained_at is None:
        return
    told = any(sent.event["type"] == "avatar.going_away" for sent in case.emitted.values())
    if started_at < case.drained_at < case.closed_at and not told:
        yield f"the server drains since {case.drained_at:.3f}, and the client was not told"


def _a_lost_line_is_not_the_end(case: Case) -> Iterator[str]:
    """Where another connection can be had, a session that was confirmed goes on."""
    reason = case.ending.reason.label if case.ending is not None else ""
    was_confirmed = any(sent.event["type"] == "session.created" for sent in case.emitted.values())
    if reason.startswith("upstream_") and was_confirmed and not case.is_service_ill:
        yield f"it ended as {reason}"


PROMISES: tuple[Callable[[Case], Iterator[str]], ...] = (
    _one_ending,
    _tools_are_answered_once,
    money.each_bill_is_charged_once,
    money.the_ledger_is_the_meter,
    money.the_client_is_told_the_sum,
    money.the_budget_is_kept,
    money.nothing_is_asked_without_money,
    kept.the_lines_of_usage_are_the_meter,
    kept.the_record_has_a_beginning_and_an_end,
    kept.everything_said_is_kept,
    kept.every_tool_call_is_kept,
    kept.times_are_in_order,
    _nothing_more_was_heard_than_played,
    _the_service_is_not_asked_for_nonsense,
    _an_interruption_is_noted,
    _who_must_go_is_told,
    _a_lost_line_is_not_the_end,
    losses.nothing_said_is_lost,
    losses.superseded_connections_have_no_say,
    losses.sound_arrives_once_and_in_order,
    losses.nothing_is_asked_twice,
    losses.nothing_answered_is_asked_again,
    losses.lines_are_changed_between_turns,
    losses.each_line_is_configured_first,
    stories.without_hole_or_repetition,
    stories.nobody_is_told_less_than_could_be,
    stories.each_answer_has_one_end,
    stories.no_item_twice,
    stories.tools_stay_hidden,
    contexts.nothing_is_forgotten,
)
