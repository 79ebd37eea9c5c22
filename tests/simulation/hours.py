"""Three hours of one conversation, in seconds: the service ends each of its sessions after fifty minutes, unnoticed."""

from dataclasses import dataclass, field

import trio

from protocol.conversation.actions import Record, Said
from protocol.conversation.limits import Limits
from tests.simulation import chance, invariants
from tests.simulation.person import Person
from tests.simulation.plan import Budgets, Plan
from tests.simulation.realtime import Habits
from tests.simulation.sound import SILENCE
from tests.simulation.world import World, world

HOURS_S = 3 * 3600.0
LIFETIME_S = 50 * 60.0
# Seconds between turns; the microphone is on meanwhile, and sends a fifth of the silence.
_PAUSE_S = 36
_SILENCE_MS = 200
_TURNS = ("say", "search", "remember", "two", "long", "both")


@dataclass(slots=True)
class Report:
    """What became of the hours.

    Attributes:
        lines: sessions of the service that were used.
        recorded, present: items that were recorded, and those of them that the last session of the service knows.
        fact, recalled: the word that was told in the first minutes, and the last word of the answer about it.
        pieces, missed: pieces of sound that were spoken, and those that no session of the service heard.
        cut: answers that were not completed although nobody interrupted.
        states: all that the page was told of the avatar's state.
    """

    violations: list[str] = field(default_factory=list)
    lines: int = 0
    turns: int = 0
    recorded: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    fact: str = ""
    recalled: str = ""
    pieces: int = 0
    missed: list[int] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    states: set[str] = field(default_factory=set)


def run_hours(seed: int) -> Report:
    """Runs it."""
    report = Report()
    plan = Plan(
        seed=seed,
        path="/ws",
        needs_key=True,
        acknowledges=True,
        guarded=False,
        budgets=Budgets(),
        capacity_bytes=64 * 1024,
        habits=Habits(lifetime_s=LIFETIME_S),
        limits=Limits(resume_s=120.0),
        grace_s=10.0,
        script=[],
    )

    async def main() -> None:
        async with world(plan) as made:
            await _talk(made, report)
            _judge(made, report)

    chance.run(main, seed)
    return report


async def _talk(made: World, report: Report) -> None:
    page = made.page()
    person = Person(page, made.talk, made.random, do=lambda _step: None)
    made.nursery.start_soon(page.live)
    await page.until(lambda: page.is_open, 30)
    await person.ask(f"{made.talk.words('remember')}")
    key, report.fact = f"k{made.talk.marks}", f"v{made.talk.marks}"
    while trio.current_time() < HOURS_S:
        verb = _TURNS[report.turns % len(_TURNS)]
        how = ("speak", "type")[report.turns // len(_TURNS) % 2]
        await person.perform((how, verb) if report.turns % 17 else ("interrupt", 2.0))
        report.turns += 1
        for _ in range(_PAUSE_S):
            person.hum(SILENCE, 0, _SILENCE_MS)
            await trio.sleep(1)
    made.talk.marks += 1
    await person.ask(f"u{made.talk.marks} recall {key}")
    last = page.of("response.output_audio_transcript.done")[-1]
    report.recalled = last["transcript"].split()[-1]
    report.pieces = person.pieces
    page.leave()
    with trio.move_on_after(200):
        while made.running():  # noqa: ASYNC110 - the end of any task
            await trio.sleep(1)


def _judge(made: World, report: Report) -> None:
    report.violations = invariants.check(made)
    (observed,) = made.observer.sessions.values()
    used = [line for line in made.service.lines if line.session.took_over]
    report.lines = len(used)
    said = [action.entry for _, action in observed.actions if isinstance(action, Record)]
    report.recorded = {entry.item_id for entry in said if isinstance(entry, Said)}
    report.present = {item.id for item in used[-1].session.context} & report.recorded
    heard = {piece.number for line in made.service.lines for piece in line.session.ears.heard}
    report.missed = [number for number in range(1, report.pieces + 1) if number not in heard]
    (page,) = made.pages
    for event in page.of("response.done"):
        reason = (event["response"]["status_details"] or {}).get("reason")
        if event["response"]["status"] != "completed" and reason != "turn_detected":
            report.cut.append(event["response"]["id"])
    report.states = {event["state"] for event in page.of("avatar.state")}
