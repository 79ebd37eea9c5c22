"""What every scenario is given, and how it fails. Knows no scenario."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Placement

# A server that is kept from its core for more of the time than this was not measured alone.
BUSY_PERCENT = 1.0


class ScenarioFailed(Exception):
    """The scenario could not be run to its end; the message says why. There is no figure then."""


@contextmanager
def failing_plainly() -> Iterator[None]:
    """Lets a scenario's failure out of a nursery without the groups around it; anything else goes out as it is."""
    try:
        yield
    except ExceptionGroup as group:
        failures, others = group.split(ScenarioFailed)
        if others is not None or failures is None:
            raise
        first: Exception = failures
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise ScenarioFailed(str(first)) from group


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much of it.

    Attributes:
        seconds: steady audio: measured time of each stretch, relayed and direct alike.
        rounds: steady audio: how many pairs of stretches.
        sessions: steady audio: how many talk at once.
        visitors: text turns: how many ask at once.
        questions: text turns: how many each of them asks.
        pause_s: text turns: mean time between an answer's end and the visitor's next question.
        starts: startup: how many warm starts.
        pairs: session start: visits to each of the two servers.
        strangers: abuse: how many hold on to the server at once.
        siege_s: abuse: for so long; longer than the server waits for any of them.
        quiet_s: abuse: for so long honest visitors are alone before.
        seed: of everything that is left to chance: phases, pauses.
    """

    seconds: float = 3.0
    rounds: int = 2
    sessions: int = 20
    visitors: int = 4
    questions: int = 8
    pause_s: float = 0.4
    starts: int = 3
    pairs: int = 100
    strangers: int = 2500
    siege_s: float = 15.0
    quiet_s: float = 6.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario runs.

    Attributes:
        folder: scratch, shared by the scenarios of a run.
        placement: which cores the server gets; the load's are set already.
        progress: takes a sentence on what is being done.
    """

    folder: Path
    placement: Placement
    progress: Callable[[str], None]
