"""Adds up many runs: which seeds failed, and how often each cell of the fault matrix was struck."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.faults import CELLS, FAULTS, NOT_YET, PHASES
from tests.simulation.run import Verdict, run_seed

COMMAND = "python -m tests.simulation --seed"


@dataclass(slots=True)
class Tally:
    """The sum of some verdicts."""

    runs: int = 0
    virtual_s: float = 0.0
    failed: dict[int, list[str]] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)
    struck: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        """Counts a run."""
        self.runs += 1
        self.virtual_s += verdict.virtual_s
        self.reached += verdict.reached
        self.struck += verdict.struck
        if verdict.violations:
            self.failed[verdict.seed] = verdict.violations

    def merge(self, other: "Tally") -> None:
        """Counts another sum."""
        self.runs += other.runs
        self.virtual_s += other.virtual_s
        self.reached += other.reached
        self.struck += other.struck
        self.failed |= other.failed

    def never(self) -> list[tuple[str, str]]:
        """Cells that were never struck."""
        return [cell for cell in CELLS if not self.struck[cell]]

    def kinds(self) -> dict[str, list[int]]:
        """The seeds that failed, by the promise that was not kept first."""
        kinds: dict[str, list[int]] = {}
        for seed, violations in sorted(self.failed.items()):
            where, _, what = violations[0].partition(": ")
            kinds.setdefault(what.partition(":")[0] if where.startswith("session") else where, []).append(seed)
        return kinds

    def table(self) -> str:
        """How often each fault struck in each phase."""
        width = max(len(fault) for fault in (*FAULTS, *NOT_YET)) + 1
        lines = [" " * width + " ".join(f"{phase[:10]:>10}" for phase in PHASES)]
        for fault in FAULTS:
            counts = " ".join(f"{self.struck[fault, phase]:>10}" for phase in PHASES)
            lines.append(f"{fault:<{width}}{counts}")
        lines += [f"{fault:<{width}}{why}" for fault, why in NOT_YET.items()]
        reached = " ".join(f"{self.reached[phase]:>10}" for phase in PHASES)
        return "\n".join([*lines, f"{'reached':<{width}}{reached}"])


def report(seed: int, violations: list[str], shown: int = 6) -> str:
    """A failing seed: what is wrong, and the command that replays it."""
    more = [f"  ... and {len(violations) - shown} more"] if len(violations) > shown else []
    return "\n".join(
        [f"seed {seed}", *(f"  {text}" for text in violations[:shown]), *more, f"  replay: {COMMAND} {seed} -v"]
    )


def run_range(seeds: range) -> Tally:
    """Runs seeds one after the other."""
    tally = Tally()
    for seed in seeds:
        tally.add(run_seed(seed))
    return tally
