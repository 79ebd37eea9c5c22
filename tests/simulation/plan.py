"""What a seed stands for: how the service behaves, what a person does, and which faults strike when. Performs nothing.

The seeds go through the cells of the fault matrix in turn, so that any long run of seeds reaches all of them.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from protocol.conversation.limits import Limits
from tests.simulation.faults import CELLS, NETWORK
from tests.simulation.person import RUBBISH, Step
from tests.simulation.realtime import Habits

INTRUSIONS = (
    "wrong token",
    "stolen token",
    "no token",
    "foreign session",
    "spent token",
    "wrong key",
    "no key",
    "early words",
    "garbage",
)


@dataclass(slots=True)
class Fault:
    """A fault to come: at the phase's occurrence after ``passes`` others, ``delay_s`` later."""

    name: str
    phase: str
    passes: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Budgets:
    """US dollars of a session, of its principal's day, and of everybody's; 0 is without one."""

    session: Decimal = Decimal(0)
    principal: Decimal = Decimal(0)
    day: Decimal = Decimal(0)

    def __bool__(self) -> bool:
        return bool(self.session or self.principal or self.day)


@dataclass(slots=True)
class Plan:
    """A run."""

    seed: int
    path: str
    needs_key: bool
    acknowledges: bool
    guarded: bool
    budgets: Budgets
    capacity_bytes: int
    habits: Habits
    limits: Limits
    grace_s: float
    script: list[Step]
    faults: list[Fault] = field(default_factory=list)

    @property
    def keeps_little(self) -> bool:
        """Whether so little is kept for clients who come back that some come too late."""
        kept = min(self.limits.replay_control_bytes, self.limits.replay_audio_bytes)
        return kept < _ENOUGH_BYTES or self.limits.resume_s < _ENOUGH_S

    def __str__(self) -> str:
        faults = ", ".join(f"{fault.name} at {fault.phase} #{fault.passes + 1}" for fault in self.faults)
        path = f"{self.path}, guarded" if self.guarded else self.path
        path = f"{path}, {self.budgets}" if self.budgets else path
        return f"{path}, {self.habits}, {self.limits}, script {self.script}, faults {faults or 'none'}"


# Of the runs so many look at what is said before it is answered.
_GUARDED_SHARE = 0.15
# And so many have budgets.
_BUDGETED_SHARE = 0.25
# What a run says in its two minutes, many times over.
_ENOUGH_BYTES = 1024 * 1024
# What is kept is as old as the window for coming back; a loss may be noticed only after half a minute.
_ENOUGH_S = 60.0
# What must happen for a phase to be reached.
_NEEDS: dict[str, tuple[Step, ...]] = {
    "user speaking": (("speak", "say"),),
    "barge-in": (("interrupt", 0.3),),
    "tool pending": (("type", "search"),),
    "tool answered": (("speak", "search"),),
    "resume replay": (("break off", "RST", 0.5),),
    "drain": (("SIGTERM",),),
}
# Only one fault of a run can be the end of it, so those cells come round more often on the first place.
_FIRST = CELLS + tuple(cell for cell in CELLS if cell[0] == "SIGTERM") * 2
_FURTHER = tuple(cell for cell in CELLS if cell[0] != "SIGTERM")


def make(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"plan {seed}")
    # Far apart, so that a cell meets all the others in time.
    further = [_FURTHER[(seed * 7 + number * 61 + seed // len(_FURTHER)) % len(_FURTHER)] for number in range(3)]
    cells = [_FIRST[seed % len(_FIRST)], *further]
    phases = [phase for _, phase in cells]
    script = [step for phase in phases for step in _NEEDS.get(phase, ())]
    script += [_step(random) for _ in range(random.randrange(1, 4))]
    random.shuffle(script)
    script = [step for step in script if step != ("SIGTERM",)] + [("SIGTERM",)] * ("drain" in phases)
    faults = [
        Fault(fault, phase, 0 if phase == "drain" else random.choice((0, 0, 0, 0, 1)), _delay(random))
        for fault, phase in cells
    ]
    resumes = "resume replay" in phases
    return Plan(
        seed=seed,
        path="/ws" if resumes else random.choice(("/ws", "/ws", "/ws", "/ws", "/ws", "/v1/realtime")),
        needs_key=random.random() < 0.5,
        acknowledges=random.random() < 0.7,
        # By a chance of its own, so that what else a seed stands for does not depend on it.
        guarded=Random(f"guard {seed}").random() < _GUARDED_SHARE,
        budgets=_budgets(Random(f"budgets {seed}")),
        capacity_bytes=random.choice((64 * 1024, 64 * 1024, 8 * 1024)),
        habits=_habits(random, slow="barge-in" in phases),
        limits=_limits(random, resumes=resumes),
        grace_s=random.choice((2.0, 10.0)),
        script=script,
        faults=faults,
    )


def _budgets(random: Random) -> Budgets:
    """None for most; else from one that has no whole answer to one that lasts."""
    if random.random() >= _BUDGETED_SHARE:
        return Budgets()
    usd = [Decimal(random.choice(("0", "0.3", "1", "3", "20"))) for _ in range(3)]
    return Budgets(usd[0] or Decimal(2), *usd[1:]) if not any(usd) else Budgets(*usd)


def _habits(random: Random, *, slow: bool) -> Habits:
    return Habits(
        think_s=random.choice((0.0, 0.1, 0.6)),
        gap_s=0.15 if slow else random.choice((0.0, 0.03, 0.1)),
        transcribe_s=random.choice((0.0, 0.3, 2.0)),
        lifetime_s=random.choice((3600.0, 3600.0, 3600.0, 3600.0, 90.0)),
        warns_of_expiry=random.random() < 0.5,
        transcribes=random.random() < 0.9,
    )


def _limits(random: Random, *, resumes: bool) -> Limits:
    little = random.choices(("", "control", "audio"), (8, 1, 1))[0]
    return Limits(
        response_s=10.0,
        stall_s=15.0,
        failures=3,
        reconnect_s=20.0,
        rollover_s=20.0,
        connection_s=random.choice((0.0, 0.0, 0.0, 0.0, 30.0, 7.0, 3.0)),
        tool_s=15.0,
        idle_prompt_s=random.choice((0.0, 0.0, 0.0, 15.0)),
        idle_end_s=15.0,
        goodbye_s=5.0,
        duration_s=random.choice((0.0, 0.0, 0.0, 0.0, 60.0)),
        resume_s=random.choice((120.0, 120.0, 120.0, 4.0, 0.0 if not resumes else 120.0)),
        replay_control_bytes=3 * 1024 if little == "control" else 1024 * 1024,
        replay_audio_bytes=32 * 1024 if little == "audio" else 4 * 1024 * 1024,
    )


def _delay(random: Random) -> float:
    return random.choice((0.0, 0.0, 0.001, 0.02, 0.2, 0.5))


# What people do, and how often beside each other.
_STEPS = {
    "type": 6,
    "speak": 5,
    "interrupt": 3,
    "break off": 4,
    "cancel": 2,
    "hurry": 2,
    "rubbish": 2,
    "intrude": 2,
    "overstate": 1,
    "wait": 1,
    "reload": 1,
    "twin": 1,
}


def _step(random: Random) -> Step:
    match random.choices(list(_STEPS), list(_STEPS.values()))[0]:
        case "type" | "speak" as how:
            verbs = ("say", "long", "search", "search", "two", "both", "remember", "fail", "filter")
            return how, random.choice(verbs)
        case "interrupt" | "overstate" as how:
            return how, random.choice((0.0, 0.4, 1.2, 3.0))
        case "cancel":
            return "cancel", random.choice((0.0, 0.3, 1.0))
        case "rubbish":
            return "rubbish", random.randrange(len(RUBBISH))
        case "wait":
            return "wait", random.choice((1.0, 5.0, 40.0))
        case "break off":
            return "break off", random.choice(NETWORK), random.choice((1.0, 5.0, 25.0))
        case "intrude":
            return "intrude", random.choice(INTRUSIONS)
        case other:
            return (other,)
