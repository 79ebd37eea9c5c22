"""Promises about what the service knows: a session of it that takes over knows all that was said before, once each."""

import itertools
from collections.abc import Iterator

from protocol.conversation.actions import Heard, Record
from tests.simulation import sound
from tests.simulation.evidence import Case
from tests.simulation.mind import Item
from tests.simulation.service import Line

# What was heard is cut by the share of letters, which falls beside the word that was sounding.
_SLACK_WORDS = 2


def nothing_is_forgotten(case: Case) -> Iterator[str]:
    """Each further line of a session knows what the one before it knew and the server had been told of, in order."""
    used = [line for line in case.lines if line.session.took_over]
    cuts = [(at, event["item_id"], event["audio_end_ms"]) for at, event in case.said("conversation.item.truncate")]
    for at, action in case.actions:
        if isinstance(action, Record) and isinstance(action.entry, Heard):
            cuts.append((at, action.entry.item_id, action.entry.heard_ms))
    for before, after in itertools.pairwise(used):
        expected = [item for item in before.session.context if _is_known(item, before)]
        there = [item.id for item in after.session.context]
        for item in expected:
            if (times := there.count(item.id)) != 1:
                what = f"{item.kind} {item.id} ({item.text[:40]!r})"
                yield f"{after.name} knows {what} {times} times; {before.name} knew it"
        if (notes := sum(item.kind == "system" for item in after.session.context)) > 1:
            yield f"{after.name} was told {notes} notes: those to other lines are no part of the conversation"
        wanted = [item.id for item in expected if item.id in there]
        in_order = [item_id for item_id in there if item_id in set(wanted)]
        if in_order != wanted and sorted(in_order) == sorted(wanted):
            yield f"{after.name} knows {in_order}, and {before.name} knew {wanted}"
        texts = {item.id: item for item in after.session.context}
        # What was cut when this line had gone already, it could not learn; at the same moment, it may have.
        ended_at = after.lost_at if after.lost_at is not None else float("inf")
        must = {item_id: ms for at, item_id, ms in sorted(cuts) if at < ended_at}
        may = {item_id for at, item_id, _ in cuts if at <= ended_at}
        for item in before.session.context:
            if item.id in texts:
                yield from _words(before, after, item, texts[item.id], must.get(item.id), may_be_cut=item.id in may)


def _is_known(item: Item, line: Line) -> bool:
    """Whether the line told the server of the whole item, or was told of it."""
    if item.kind == "system":
        return False  # notes to the model; each line gets its own
    if item.id in line.told_by_server:
        return True
    if item.kind == "user":
        return item.id in line.placed
    # A call that was cut short cannot be answered, so it need not be known.
    unwanted = ("in_progress",) if item.kind == "assistant" else ("in_progress", "incomplete")
    return item.id in line.finished and item.shown["status"] not in unwanted


def _words(
    before: Line, after: Line, old: Item, new: Item, heard_ms: float | None, *, may_be_cut: bool
) -> Iterator[str]:
    if new.text == old.text and heard_ms is None:
        return
    if old.kind != "assistant" and new.text != old.text:
        yield f"{after.name} knows {old.id} as {new.text[:60]!r}, and {before.name} as {old.text[:60]!r}"
    elif old.kind == "assistant" and not _without_echo(before.spoken(old.id)).startswith(_without_echo(new.text)):
        yield f"{after.name} knows {old.id} as {new.text[:60]!r}, which are not its words"
    elif heard_ms is not None:
        heard = sound.words_begun(heard_ms)
        if len(new.text.split()) > heard + _SLACK_WORDS:
            yield f"{after.name} believes that {len(new.text.split())} words of {old.id} were heard, not {heard}"
    elif not may_be_cut and old.shown["status"] == "completed" and old.id in before.finished:
        yield f"{after.name} knows only {new.text[:60]!r} of {old.id}, which was heard to its end"


def _without_echo(text: str) -> str:
    """Words without those that a service in trouble said twice."""
    return " ".join(word for word, _ in itertools.groupby(text.split()))
