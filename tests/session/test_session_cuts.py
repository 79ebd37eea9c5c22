"""Clients that are cut off at any byte, again and again: in the end they have what the session said, or know better.

Each conversation is drawn by a seed, and so are the order of the tasks and the time; ``TESTS_FULL=1`` runs many.
"""

import os
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest
import trio

import tests.session.house as house_module
from protocol.conversation.actions import Heard, PurgeAudio, Record, ToClient
from protocol.conversation.limits import Limits
from server.edge.head import HeadRefused
from server.transport.errors import WireBroken
from tests.session.cut_wire import wires_cut_in
from tests.session.house import PATIENCE_S, house
from tests.session.returning import Avatar, Log
from tests.session.service import Json
from tests.session.talking_service import Talk, talks
from tests.simulation import chance
from tests.simulation.observer import Observer

FULL = bool(os.environ.get("TESTS_FULL"))
BLOCKS = 10 if FULL else 1
CUTS_IN_A_BLOCK = 1000 if FULL else 300
FIRST_SEED = int(os.environ.get("TESTS_SEED", "1"))
# Seeds of a block; it needs one for some nine cuts.
SEEDS_OF_A_BLOCK = 1000
# Virtual seconds after which a conversation is taken to be without end.
RUN_S = 3 * 3600.0
GENEROUS = Limits(resume_s=120, replay_audio_bytes=16 * 1024 * 1024)
# So little that what is missed is often gone: of sound, or of all else.
SCANTY = (
    Limits(resume_s=120, replay_control_bytes=12_000, replay_audio_bytes=40_000),
    Limits(resume_s=120, replay_control_bytes=3_000, replay_audio_bytes=16 * 1024 * 1024),
)
# By seed: one conversation in five keeps little.
KEPT = (GENEROUS,) * 4 + SCANTY[:1] + (GENEROUS,) * 4 + SCANTY[1:]


@dataclass
class Told:
    """What one session said to its client, each event once, in order.

    ``cut_off``: items that somebody interrupted; sound of theirs that had not arrived need not arrive.
    ``greetings``: how much had been said before each.
    """

    events: list[Json] = field(default_factory=list)
    is_sound: set[str] = field(default_factory=set)
    cut_off: set[str] = field(default_factory=set)
    greetings: dict[str, int] = field(default_factory=dict)


def told_by(observer: Observer) -> Told:
    told = Told()
    (session,) = observer.sessions.values()
    seen: set[str] = set()
    for _, action in session.actions:
        match action:
            case PurgeAudio(item_id) | Record(Heard(item_id)):
                told.cut_off.add(item_id)
        if not isinstance(action, ToClient):
            continue
        event = msgspec.json.decode(action.frame)
        if event["event_id"] in seen:
            continue
        seen.add(event["event_id"])
        if event["type"] == "avatar.session" and told.events:
            told.greetings[event["event_id"]] = len(told.events)
            continue
        told.events.append(event)
        if action.audio_ms:
            told.is_sound.add(event["event_id"])
    return told


def check(told: Told, log: Log, *, is_last: bool) -> None:
    """The log is what was told since it began: all of it, in order, once; but for sound that was cut off.

    One that is not the last goes as far as it goes.
    """
    start = told.greetings[log.greeting["event_id"]] if log.greeting.get("recovered") is False else 0
    got = [event["event_id"] for event in log.events]
    assert len(got) == len(set(got)), f"twice: {[i for i, n in Counter(got).items() if n > 1]}"
    got_ids = set(got)
    places = {event["event_id"]: place for place, event in enumerate(told.events)}
    end = len(told.events) if is_last else max((places[event_id] + 1 for event_id in got), default=start)
    expected = []
    broken_off: set[str] = set()
    for event in told.events[start:end]:
        if event["event_id"] in told.is_sound and event["item_id"] in told.cut_off:
            if event["event_id"] not in got_ids:
                broken_off.add(event["item_id"])
                continue
            assert event["item_id"] not in broken_off, "sound behind a hole in it"
        expected.append(event)
    missing = [event["event_id"] + " " + event["type"] for event in expected if event["event_id"] not in got_ids]
    assert not missing, f"never arrived: {missing}"
    assert log.events == expected, "not in order, or not the same"


def check_snapshot(told: Told, log: Log) -> None:
    """Where the conversation stood: the messages with their words, and the response under way."""
    before = told.events[: told.greetings[log.greeting["event_id"]]]
    snapshot = log.greeting["snapshot"]
    placed = dict.fromkeys(event["item"]["id"] for event in before if event["type"] == "conversation.item.added")
    shown = [item["id"] for item in snapshot["items"]]
    assert len(shown) == len(set(shown))
    assert set(shown) <= set(placed)
    users = {event["item"]["id"] for event in before if event.get("item", {}).get("role") == "user"}
    assert users <= set(shown), "somebody's words are not in the snapshot"
    begun = [event["response"]["id"] for event in before if event["type"] == "response.created"]
    ended = {event["response"]["id"] for event in before if event["type"] == "response.done"}
    assert snapshot["response_id"] == next((response for response in begun if response not in ended), None)


def cut_within_the_head(failure: BaseException) -> bool:
    """What the door makes of a request that does not come wholly; this house has no door."""
    never_came = "assert head is not None" in "".join(traceback.format_tb(failure.__traceback__))
    return never_came or isinstance(failure, HeadRefused | WireBroken)


@dataclass
class Outcome:
    """Of one conversation, or of many."""

    cuts: "Counter[str]" = field(default_factory=Counter)
    calls: int = 0
    told: int = 0
    holes_named: int = 0
    virtual_s: float = 0.0


def converse_and_cut(seed: int, limits: Limits) -> Outcome:
    """One conversation with its cuts, judged."""
    random = Random(f"cuts {seed}")
    outcome = Outcome()

    async def main() -> None:
        talk = Talk(Random(f"talk {seed}"), turns=random.randint(4, 12))
        avatars: list[Avatar] = []
        observer = Observer()
        with (
            observer.watching(),
            trio.fail_after(RUN_S),
            wires_cut_in(house_module, lambda: avatars[0].next_cut() if avatars else None, end=1) as wires,
        ):
            async with house(talks(talk), limits=limits) as home:
                avatar = Avatar(home, wires, random, cuts=random.randint(4, 14))
                avatars.append(avatar)
                await avatar.live()
                assert avatar.refused == []
                await trio.sleep(1)
                avatar.present.ask("Anything else?")
                with trio.fail_after(60 * PATIENCE_S):
                    while not talk.is_over:  # noqa: ASYNC110 - the service tells nobody
                        await trio.sleep(1)
                await trio.sleep(5)
                avatar.hang_up()
                told = told_by(observer)
                for wire in wires:
                    if wire.struck.is_set():
                        wire.bury()
                home.failures[:] = [failure for failure in home.failures if not cut_within_the_head(failure)]
            assert home.endings == ["completed"] or len(avatar.logs) == 0
        for log in avatar.logs:
            check(told, log, is_last=log is avatar.logs[-1])
        for log in avatar.logs[1:]:
            check_snapshot(told, log)
        outcome.cuts.update(f"{cut.how}, {cut.way}" for cut in avatar.cut_by)
        outcome.calls, outcome.told, outcome.holes_named = avatar.calls, len(told.events), len(avatar.logs) - 1
        outcome.virtual_s = trio.current_time()

    chance.run(main, seed)
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_clients_that_are_cut_off_at_any_byte_miss_nothing_unknowingly(block: int) -> None:
    began = time.monotonic()
    everything = Outcome()
    generous_holes = 0
    seed = first_seed = FIRST_SEED + block * SEEDS_OF_A_BLOCK
    while everything.cuts.total() < CUTS_IN_A_BLOCK:
        limits = KEPT[seed % len(KEPT)]
        try:
            outcome = converse_and_cut(seed, limits)
        except BaseException:
            print(f"seed {seed}: TESTS_SEED={seed} begins with it")
            raise
        everything.cuts += outcome.cuts
        everything.calls += outcome.calls
        everything.told += outcome.told
        everything.holes_named += outcome.holes_named
        everything.virtual_s += outcome.virtual_s
        generous_holes += outcome.holes_named if limits is GENEROUS else 0
        seed += 1
    print(
        f"seeds {first_seed}..{seed - 1}: {everything.cuts.total()} cuts {dict(everything.cuts)}, {everything.calls} "
        f"connections, {everything.told} events, {everything.holes_named} named holes ({generous_holes} where much is "
        f"kept), {everything.virtual_s / 3600:.1f} virtual hours, {time.monotonic() - began:.1f} s"
    )
    assert everything.holes_named > 0, "what is gone is told, too"
