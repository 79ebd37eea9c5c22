"""Promises about what people said: whatever a session took from its client reaches the service, once and in order."""

import itertools
from collections import Counter
from collections.abc import Iterator

import msgspec

from protocol.conversation.actions import ToUpstream
from tests.simulation import sound
from tests.simulation.evidence import Case
from tests.simulation.intruder import FORBIDDEN
from tests.simulation.mind import SEARCH, Json
from tests.simulation.page import STALE
from tests.simulation.service import Line
from tests.simulation.sound import SPEECH

# Seconds for closing a line that is not needed any more.
_CLOSE_S = 10.0
# Seconds within which what was said has been looked at, where it is: a transcript and a slow look.
_LOOKED_AT_S = 5.0
# Seconds before a line's own end within which it may be left in the middle of an answer.
_FORCED_S = 6.0


def nothing_said_is_lost(case: Case) -> Iterator[str]:
    """Typed words stand in the newest line's context, and speech was heard by some line, or its loss was told."""
    used = [line for line in case.lines if line.session.took_over]
    if not used:
        return
    taken_until = _taken_until(case, used[-1])
    # What is still looked at when the session ends was not said to anybody.
    typed_until = min(taken_until, case.closed_at - _LOOKED_AT_S) if case.plan.guarded else taken_until
    texts = Counter(item.text for item in used[-1].session.context if item.kind == "user")
    heard = {piece.number for line in case.lines for piece in line.session.ears.heard}
    is_told = any(sent.event.get("state") == "degraded" for sent in case.emitted.values())
    # Clients of the service's own protocol are told by an error.
    is_told |= any(sent.event.get("error", {}).get("code") == "input_audio_dropped" for sent in case.emitted.values())
    # Where no service can be had the end says so, and nobody is left to hear.
    is_told |= case.ending is not None and case.ending.reason.label.startswith("upstream_")
    for at, frame in case.observed.told:
        if at >= taken_until:
            break
        event = _read(frame)
        if event is None:
            continue
        if event["type"] == "conversation.item.create" and at < typed_until:
            words = event["item"]["content"][0]["text"]
            if texts[words] != 1 and FORBIDDEN not in words:
                yield f"'{words}' was said at {at:.3f} and stands {texts[words]} times in {used[-1].name}"
        elif event["type"] == "input_audio_buffer.append" and "audio" in event and not is_told:
            piece = sound.decode(event["audio"])
            if piece.kind == SPEECH and piece.number not in heard:
                yield f"piece {piece.number} of the speech of {at:.3f} was heard by nobody"


def _read(frame: bytes) -> Json | None:
    try:
        event = msgspec.json.decode(frame)
    except msgspec.DecodeError:
        return None
    return event if isinstance(event, dict) else None


def _taken_until(case: Case, line: Line) -> float:
    """Until when the line is known to have taken what the session sent: the time of the last frame it got."""
    received = {frame for at, frame in line.received if at < case.closed_at}
    return max(
        (at for at, action in case.actions if isinstance(action, ToUpstream) and action.frame in received), default=0
    )


def superseded_connections_have_no_say(case: Case) -> Iterator[str]:
    """What a connection says after another took its place reaches nobody."""
    for line in case.lines:
        if any(f"u0 {STALE}".encode() in frame for _, frame in line.received):
            yield f"{line.name} was told what a superseded connection said"


def sound_arrives_once_and_in_order(case: Case) -> Iterator[str]:
    """No line hears a piece of sound twice, or before an earlier one."""
    for line in case.lines:
        numbers = [piece.number for piece in line.session.ears.heard]
        if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
            yield f"{line.name} heard {numbers}"


def nothing_is_asked_twice(case: Case) -> Iterator[str]:
    """No line gets the same event twice."""
    for line in case.lines:
        ids = Counter(str(event["event_id"]) for event in line.asked() if "event_id" in event)
        for event_id, times in ids.items():
            if times > 1:
                yield f"{line.name} got {event_id} {times} times"


def nothing_answered_is_asked_again(case: Case) -> Iterator[str]:
    """What one line has answered, no later line is asked for."""
    for before, after in itertools.combinations(case.lines, 2):
        ended = {
            event["response"]["id"] for event in before.told("response.done") if isinstance(event["response"], dict)
        }
        answered = {before.session.begun_by.get(response_id) for response_id in ended} - {None, ""}
        for event in after.asked():
            if event.get("event_id") in answered:
                yield f"{after.name} was asked for {event['event_id']}, which {before.name} had answered"


def lines_are_changed_between_turns(case: Case) -> Iterator[str]:
    """A line that works is left only when nobody speaks, and is then closed."""
    used = [line for line in case.lines if line.used_at is not None]
    for before, after in itertools.pairwise(used):
        if case.is_service_ill or before.lost_at is None or after.used_at is None:
            continue
        if before.lost_at > after.used_at + _CLOSE_S:
            yield f"{before.name} was left and is still open"
        near_end_at = min(case.closed_at, before.opened_at + case.plan.habits.lifetime_s - _FORCED_S)
        if before.ended_by_server and before.was_busy and before.lost_at < near_end_at:
            yield f"{before.name} was left while somebody spoke"


def each_line_is_configured_first(case: Case) -> Iterator[str]:
    """The first thing a line is told is what its session shall be; and it knows the tools when somebody is heard."""
    for line in case.lines:
        first = next((event for event in line.asked()), None)
        if first is not None and first["type"] != "session.update":
            yield f"{line.name} was first told {first['type']}"
        if line.session.took_over and SEARCH not in [tool["name"] for tool in line.session.config["tools"]]:
            yield f"{line.name} does not know the tools"
