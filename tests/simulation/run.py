"""One seed from its plan to its verdict: plays it, lets the faults stop, asks a last question, and judges."""

import signal
import traceback
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

import trio

from tests.simulation import chance, invariants
from tests.simulation.intruder import intrude
from tests.simulation.page import Page
from tests.simulation.person import Person, Step
from tests.simulation.plan import Plan, make
from tests.simulation.world import World, world

# Virtual seconds within which a question is answered once the faults have stopped (reliability figures: liveness).
LIVENESS_S = 30.0
# Virtual seconds after the last page has left within which everything has ended: the resume window, and the closing.
GONE_S = 200.0
# A script that takes longer is cut off; most take one minute.
SCRIPT_S = 150.0
# Real seconds after which a run is taken to be hanging: an endless loop at one moment of virtual time.
REAL_S = 20


@dataclass(slots=True)
class Verdict:
    """What became of a seed. ``violations`` are sentences; an empty list is a good run. ``digest`` and ``journal`` are
    there if they were asked for."""

    seed: int
    plan: Plan
    violations: list[str] = field(default_factory=list)
    digest: str = ""
    virtual_s: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)
    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    journal: list[str] = field(default_factory=list)


def run_seed(seed: int, *, keep_journal: bool = False) -> Verdict:
    """Runs one seed. Never raises for what the server does: that is in the verdict."""
    return run_plan(make(seed), keep_journal=keep_journal)


def run_plan(plan: Plan, *, keep_journal: bool = False) -> Verdict:
    """Runs one plan."""
    verdict = Verdict(plan.seed, plan)

    async def main() -> None:
        async with world(plan) as made:
            try:
                await _play(made, verdict)
            finally:
                verdict.virtual_s = trio.current_time()
                verdict.reached, verdict.struck = made.reached, made.struck
                if keep_journal:
                    verdict.digest = made.journal.digest()
                    verdict.journal = [str(entry) for entry in made.journal.entries]

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {REAL_S} real seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(REAL_S)
    try:
        chance.run(main, plan.seed)
    except Exception as failure:  # noqa: BLE001 - whatever a run dies of, its seed must be told
        verdict.violations.append("the run died: " + "".join(traceback.format_exception(failure)))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return verdict


async def _play(made: World, verdict: Verdict) -> None:
    page = made.page()

    def do(step: Step) -> None:
        match step:
            case ("SIGTERM",):
                made.drain()
            case ("reload" | "twin",):
                page.visit(page.init())
            case ("intrude", str(kind)):
                made.nursery.start_soon(intrude, made, page, kind)

    person = Person(page, made.talk, made.random, do=do)
    made.nursery.start_soon(page.live)
    with trio.move_on_after(SCRIPT_S):
        await person.play(made.plan.script)
    made.heal()
    if not made.is_draining:
        verdict.violations += await _last_question(made, page)
    for each in made.pages:
        each.leave()
    await _emptied(made)
    verdict.violations += invariants.check(made)


async def _last_question(made: World, page: Page) -> list[str]:
    """Liveness: who asks now is answered in time, by the old session or, where that has ended, by a new one."""
    with trio.move_on_after(LIVENESS_S) as waiting:
        while True:
            if page.is_over:
                page = made.page(path="/ws", acknowledges=False)
                made.nursery.start_soon(page.live)
            person = Person(page, made.talk, made.random, do=lambda _step: None)
            if await person.ask(made.talk.words("say")) and _is_answered(made, page):
                return []
            await trio.sleep(0.5)
    assert waiting.cancelled_caught
    if made.is_out_of_money:
        return []
    return [f"liveness: no answer within {LIVENESS_S:g} s after the faults stopped, and no end that says why"]


def _is_answered(made: World, page: Page) -> bool:
    """Whether the newest answer that the page saw is one to what was asked last."""
    ends = page.of("response.done")
    return bool(ends) and ends[-1]["response"]["status"] == "completed" and made.talk.marks > 0


async def _emptied(made: World) -> None:
    """Waits until nothing runs any more; what still does is a violation that ``invariants`` finds."""
    with trio.move_on_after(GONE_S):
        while made.running():  # noqa: ASYNC110 - the end of any task
            await trio.sleep(1)
