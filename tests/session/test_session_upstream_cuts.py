"""Connections to the service that are cut at any byte, again and again: answers end once, and nothing said is lost.

Each conversation is drawn by a seed, and so are the order of the tasks and the time; ``TESTS_FULL=1`` runs many.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
import trio

import tests.session.service as service_module
from protocol.conversation.actions import Charge, Heard, Record
from protocol.conversation.limits import Limits
from protocol.conversation.notes import ANCHOR
from tests.session.cut_wire import Cut, CutWire, draw_cut, wires_cut_in
from tests.session.house import Caller, House, house
from tests.session.service import Json, Line, sound
from tests.session.talking_service import Talk, talks
from tests.simulation import chance
from tests.simulation.observer import Observer

FULL = bool(os.environ.get("TESTS_FULL"))
BLOCKS = 4 if FULL else 1
CUTS_IN_A_BLOCK = 500 if FULL else 100
FIRST_SEED = int(os.environ.get("TESTS_SEED", "1"))
# Seeds of a block; it needs one for some six cuts.
SEEDS_OF_A_BLOCK = 1000
# Virtual seconds after which a conversation is taken to be without end.
RUN_S = 2 * 3600.0
# What may break within one connection: an answer or two of sound; some questions and the conversation so far.
MOST_RECEIVED_BYTES = 120_000
MOST_SENT_BYTES = 8_000
# Long enough for any number of cuts in a row; how a session gives up is another test's.
LIMITS = Limits(reconnect_s=600)
# What owes nothing any more: answers, their follow-ups, watchdogs.
REST_S = 60.0


async def chatter(caller: Caller, random: Random) -> None:
    """Somebody types and speaks."""
    while True:
        await trio.sleep(random.uniform(0.1, 6))
        if random.random() < 0.6:
            caller.ask(f"typed {random.random():.6f}")
        else:
            for _ in range(random.randint(1, 20)):
                caller.send("input_audio_buffer.append", audio=sound(20))


def check_answers(caller: Caller) -> None:
    """Every answer that began ended once, its items too, and nothing of it came behind its end."""
    open_responses: set[str] = set()
    ended: set[str] = set()
    open_parts: Counter[tuple[str, str]] = Counter()
    for _, event in caller.events:
        kind = event["type"]
        response_id = event.get("response_id")
        if kind == "response.created":
            assert event["response"]["id"] not in open_responses | ended, "begun twice"
            open_responses.add(event["response"]["id"])
        elif kind == "response.done":
            response_id = event["response"]["id"]
            assert response_id in open_responses, f"{response_id} ended twice, or never began"
            open_responses.discard(response_id)
            ended.add(response_id)
            assert not [part for part, count in open_parts.items() if count and part[0] == response_id]
        elif kind.startswith("response.") and response_id is not None:
            assert response_id in open_responses, f"{kind} of {response_id}, which is not under way"
            for part in ("output_item", "content_part"):
                open_parts[response_id, part] += (kind == f"response.{part}.added") - (kind == f"response.{part}.done")
                assert open_parts[response_id, part] >= 0
    assert not open_responses
    done = Counter(event["item"]["id"] for event in caller.of("conversation.item.done"))
    assert set(done.values()) <= {1}


def words_of(item: Json) -> str:
    part = (item.get("content") or [{}])[0]
    return str(part.get("text") or part.get("transcript") or "")


@dataclass
class Shown:
    """The conversation as the client saw it: the items in order, and which words of theirs are sure."""

    order: list[str] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def shown_to(caller: Caller, observer: Observer) -> Shown:
    shown = Shown()
    for _, event in caller.events:
        match event:
            case {"type": "conversation.item.added", "item": item}:
                assert item["id"] not in shown.order, "added twice"
                shown.order.append(item["id"])
                if item["role"] == "user":
                    shown.whole[item["id"]] = words_of(item)
            case {"type": "conversation.item.input_audio_transcription.completed"}:
                shown.whole[event["item_id"]] = event["transcript"]
            case {"type": "response.output_item.done", "item": item}:
                kept = shown.whole if item["status"] == "completed" else shown.broken
                kept[item["id"]] = words_of(item)
    for session in observer.sessions.values():
        for _, action in session.actions:
            match action:
                case Record(Heard(item_id=item_id, text=text)):
                    shown.broken.pop(item_id, None)
                    shown.whole[item_id] = text
    return shown


def check_rebuilt(line: Line, shown: Shown) -> None:
    """A connection was told the conversation: every item that was said, in order, in the words that count."""
    told = [event["item"] for event in line.of("conversation.item.create")]
    anchors = [number for number, item in enumerate(told) if words_of(item) == ANCHOR]
    assert len(anchors) == 1
    told = told[: anchors[0]]
    ids = [item["id"] for item in told]
    assert len(ids) == len(set(ids)), "told twice"
    calls = [item["call_id"] for item in told if item["type"] == "function_call"]
    results = [item["call_id"] for item in told if item["type"] == "function_call_output"]
    assert sorted(calls) == sorted(results) == sorted(set(calls)), "a call without its one result"
    messages = {item["id"]: words_of(item) for item in told if item["type"] == "message"}
    assert list(messages) == [item_id for item_id in shown.order if item_id in messages], "not in order"
    for item_id in shown.order:
        if words := shown.whole.get(item_id):
            assert messages.get(item_id) == words, f"{item_id}: {messages.get(item_id)!r} instead of {words!r}"
        elif item_id in shown.whole and item_id.startswith("user"):
            assert item_id in messages, f"{item_id} was said and is not told"
        elif messages.get(item_id):
            assert shown.broken.get(item_id, "").startswith(messages[item_id])


async def cut_up(home: House, caller: Caller, wires: list[CutWire], random: Random, cuts: list[Cut]) -> None:
    """Lets the connections to the service break, one after the other, while somebody talks."""
    first = wires[0]
    drawn = cuts.pop()
    passed = first.received_bytes if drawn.way == "received" else first.sent_bytes
    first.cut = Cut(drawn.way, drawn.after_bytes + passed, drawn.how)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatter, caller, random)
        while cuts or wires[-1].cut is not None:
            assert caller.lost is None, home.endings
            await trio.sleep(0.5)
        nursery.cancel_scope.cancel()


def converse_and_cut(seed: int) -> tuple["Counter[str]", int, int]:
    """One conversation with its cuts, judged: the cuts, the connections, and the answers."""
    random = Random(f"upstream cuts {seed}")
    most = {"most_received": MOST_RECEIVED_BYTES, "most_sent": MOST_SENT_BYTES}
    cuts = [draw_cut(random, **most) for _ in range(random.randint(3, 9))]
    struck = Counter(f"{cut.how}, {cut.way}" for cut in cuts)
    talk = Talk(Random(f"talk {seed}"), turns=10_000, pause_s=10.0)
    made: list[int] = []

    def next_cut() -> Cut | None:
        made.append(1)
        return cuts.pop() if len(made) > 1 and cuts else None

    async def main() -> tuple[int, int]:
        observer = Observer()
        with observer.watching(), trio.fail_after(RUN_S), wires_cut_in(service_module, next_cut, end=0) as wires:
            async with house(talks(talk), limits=LIMITS) as home:
                caller = await home.opened()
                await cut_up(home, caller, wires, random, cuts)
                talk.turns = 0
                await trio.sleep(REST_S)
                caller.ask("Are you there?")
                done = await caller.until("response.done")
                while done is not caller.of("response.done")[-1] or done["response"]["status"] != "completed":
                    done = await caller.until("response.done")
                await trio.sleep(REST_S)
                check_answers(caller)
                before = shown_to(caller, observer)
                connections = len(home.service.lines)
                home.line.wire.reset()
                await trio.sleep(5)
                assert len(home.service.lines) == connections + 1
                check_rebuilt(home.line, before)
                assert caller.lost is None
                check_answers(caller)
                for wire in wires:
                    if wire.struck.is_set():
                        wire.bury()
            charged = [
                (action.kind, action.id)
                for session in observer.sessions.values()
                for _, action in session.actions
                if isinstance(action, Charge)
            ]
            assert len(charged) == len(set(charged)), "charged twice"
            assert home.endings == ["completed"]
            return connections, len(caller.of("response.done"))

    connections, answers = chance.run(main, seed)
    return struck, connections, answers


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_service_that_is_lost_at_any_byte_costs_no_word(block: int) -> None:
    began = time.monotonic()
    struck: Counter[str] = Counter()
    connections = answers = 0
    seed = first_seed = FIRST_SEED + block * SEEDS_OF_A_BLOCK
    while struck.total() < CUTS_IN_A_BLOCK:
        try:
            some_struck, some_connections, some_answers = converse_and_cut(seed)
        except BaseException:
            print(f"seed {seed}: TESTS_SEED={seed} begins with it")
            raise
        struck += some_struck
        connections += some_connections
        answers += some_answers
        seed += 1
    print(
        f"seeds {first_seed}..{seed - 1}: {struck.total()} cuts {dict(struck)}, {connections} connections, "
        f"{answers} answers, {time.monotonic() - began:.1f} s"
    )
