"""Promises about what a page saw: it is what the session sent, without hole or repetition, or openly incomplete."""

from collections import Counter
from collections.abc import Iterator

from protocol.conversation.actions import PurgeAudio
from tests.simulation.evidence import HELLO, Case, Emitted
from tests.simulation.mind import SEARCH, Json
from tests.simulation.page import NOT_OF_THE_SESSION

# Closes that the transport decides on: nothing can be said before them. And the page's own.
_SAID_BY_TRANSPORT = frozenset({1000, 1002, 1007, 1009, 4413})


def without_hole_or_repetition(case: Case) -> Iterator[str]:
    """The page's events are the session's, in their order; what is missing between two of them is sound that nobody
    was to hear any more, or stands at a place where the server said that it cannot recover."""
    if case.story is None:
        return
    emitted = list(case.emitted.values())
    purged: dict[str, float] = {}
    for at, action in case.actions:
        if isinstance(action, PurgeAudio):
            purged[action.item_id] = at
    last, last_place, forgotten = -1, -1, -1
    for place, event in enumerate(case.story.told):
        if event["type"] == HELLO and event.get("recovered") is False:
            # What was sent before is left out, openly.
            forgotten = case.greeted_after[event["event_id"]] - 1
            last, last_place = max(last, forgotten), place
        if event["type"] == HELLO or event["event_id"] in NOT_OF_THE_SESSION:
            continue
        found = case.emitted.get(event["event_id"])
        if found is None:
            yield f"the page got {event['type']} {event['event_id']}, which the session never sent"
            continue
        if found.event != event:
            yield f"the page got {event}, and the session sent {found.event}"
        if found.number <= last:
            if found.number > forgotten:
                yield f"{event['type']} {event['event_id']} came after what was sent behind it"
            continue
        resumed = any(last_place < cut <= place for cut in case.story.cuts)
        for missed in emitted[last + 1 : found.number]:
            if not _may_be_missed(case, missed, purged, place, resumed=resumed):
                yield f"a hole before {event['event_id']}: {missed.event['type']} {missed.event['event_id']}"
        last, last_place = found.number, place
    yield from _to_the_end(case, emitted[last + 1 :])


def _may_be_missed(case: Case, missed: Emitted, purged: dict[str, float], place: int, *, resumed: bool) -> bool:
    """Whether it is sound that nobody was to hear any more: it was interrupted, or heard before, or cut off by the
    server's close."""
    assert case.story is not None
    if missed.item_id is None or not missed.audio_ms:
        return False
    if purged.get(missed.item_id, -1.0) >= missed.at:
        return True
    if resumed and missed.end_ms <= case.story.acknowledged.get(missed.item_id, 0.0) + 1:
        return True
    visit, at = case.story.told_on[place]
    is_cut_off = visit.ended is not None or at >= case.closed_at
    return case.ending is not None and visit is case.story.told_on[-1][0] and is_cut_off


def _to_the_end(case: Case, rest: list[Emitted]) -> Iterator[str]:
    """A page that was told how the session ended has got everything before."""
    if case.page is None or case.ending is None or case.page.current is None or case.page.story is not case.story:
        return
    code = case.ending.reason.close_code(openai=not case.page.is_avatar)
    if case.page.current.ended == code and code not in _SAID_BY_TRANSPORT:
        for missed in rest:
            if not missed.audio_ms:
                yield f"the page was told the end and not {missed.event['type']} {missed.event['event_id']}"


def nobody_is_told_less_than_could_be(case: Case) -> Iterator[str]:
    """Where what is kept reaches back, a client that comes back in time gets all that it missed."""
    # Who claims to have heard what it has not got gives away its place in it.
    overstates = any(step[0] == "overstate" for step in case.plan.script)
    if case.story is not None and case.story.gaps and not (case.plan.keeps_little or overstates):
        yield f"the client was not told what it had missed, at {case.story.gaps}"


def each_answer_has_one_end(case: Case) -> Iterator[str]:
    """Each answer that begins ends once, and nothing of it comes before or afterwards."""
    yield from _answers([sent.event for sent in case.emitted.values()], "sent", strict=True)
    if case.story is not None:
        yield from _answers(case.story.told, "seen", strict=not case.story.gaps)
    if case.ending is not None and case.ending.reason.label.startswith("upstream_"):
        begun = {sent.event["response"]["id"] for sent in case.emitted.values() if _is(sent.event, "created")}
        ended = {sent.event["response"]["id"] for sent in case.emitted.values() if _is(sent.event, "done")}
        for response_id in sorted(begun - ended):
            yield f"{response_id} was shown to begin and has no end"


def _is(event: Json, kind: str) -> bool:
    return bool(event["type"] == f"response.{kind}")


def _answers(events: list[Json], where: str, *, strict: bool) -> Iterator[str]:
    begun: set[str] = set()
    ended: set[str] = set()
    for event in events:
        if not event["type"].startswith("response."):
            continue
        response_id = str(event["response"]["id"] if "response" in event else event.get("response_id"))
        if _is(event, "created"):
            if response_id in begun:
                yield f"{response_id} was {where} to begin twice"
            begun.add(response_id)
        elif response_id in ended:
            yield f"{event['type']} of {response_id} was {where} after its end"
        elif strict and response_id not in begun:
            yield f"{event['type']} of {response_id} was {where} before it began"
        if _is(event, "done"):
            ended.add(response_id)


def no_item_twice(case: Case) -> Iterator[str]:
    """An item is shown once, also after it was put into another session of the service."""
    if case.story is None:
        return
    for kind in ("added", "done"):
        event_type = f"conversation.item.{kind}"
        told = Counter(event["item"]["id"] for event in case.story.told if event["type"] == event_type)
        for item_id, times in told.items():
            if times > 1:
                yield f"{item_id} was shown as {kind} {times} times"
    texts = Counter(
        part["text"]
        for event in case.story.told
        if event["type"] == "conversation.item.added"
        for part in event["item"].get("content") or []
        if part.get("text")
    )
    for text, times in texts.items():
        if times > 1:
            yield f"'{text}' was shown {times} times"


def tools_stay_hidden(case: Case) -> Iterator[str]:
    """Nothing of the server's own tools is seen."""
    for sent in case.emitted.values():
        event = sent.event
        items = [event.get("item") or {}, *((event.get("response") or {}).get("output") or [])]
        if any(item.get("name") == SEARCH or item.get("type") == "function_call_output" for item in items):
            yield f"{event['type']} {event['event_id']} shows a tool"
