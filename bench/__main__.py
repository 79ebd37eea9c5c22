"""``python -m bench``: runs scenarios one after the other, prints a table of each, and saves the figures."""

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from bench import abuse, machine, records, session_start, startup, steady_audio, text_turns
from bench.report import NotRun, Report, Result
from bench.scenario import Options, ScenarioFailed, Stage

SCENARIOS: dict[str, Callable[[Options, Stage], Awaitable[Result]]] = {
    startup.NAME: startup.run,
    steady_audio.NAME: steady_audio.run,
    text_turns.NAME: text_turns.run,
    session_start.NAME: session_start.run,
    abuse.NAME: abuse.run,
    records.NAME: records.run,
}

# Nothing runs longer than what was asked for, threefold, and this: opening, draining, a slow machine.
_SLACK_S = 120.0

_DESCRIPTION = """\
Measures the server of this checkout on this machine, over loopback. Without a
scenario all run, with short defaults: about a minute.

scenarios:
  startup        from the start of the process until it says that it is ready
  steady-audio   100 ms audio frames both ways, through the server and directly
  text-turns     typed questions to the museum, searched for and answered aloud
  session-start  what a key that is shown adds to the start of a session
  abuse          honest visitors who connect among thousands of strangers
  records        what recording and telemetry add to the cost of relayed sound
"""


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help="which to run (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all figures here, with what they rest on")
    for name, kind, text in (
        ("seconds", float, "steady-audio, records: seconds of each stretch"),
        ("rounds", int, "steady-audio, records: stretches of each kind, by turns"),
        ("sessions", int, "steady-audio, records: sessions at once"),
        ("visitors", int, "text-turns: visitors at once"),
        ("questions", int, "text-turns: questions of each visitor"),
        ("pause", float, "text-turns: mean seconds between an answer and the next question"),
        ("starts", int, "startup: warm starts"),
        ("pairs", int, "session-start: visits to each of two servers"),
        ("strangers", int, "abuse: strangers at once"),
        ("siege", float, "abuse: seconds that they stay"),
        ("seed", int, "of all that is left to chance"),
    ):
        attribute = f"{name}_s" if name in {"pause", "siege"} else name
        default = getattr(defaults, attribute)
        parser.add_argument(
            f"--{name}",
            dest=attribute,
            type=_at_least(kind, name),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    return parser


def _at_least(kind: type[int] | type[float], name: str) -> Callable[[str], float]:
    lowest = {"pause": 0, "seed": 0, "seconds": 0.2}.get(name, 1)

    def number(text: str) -> float:
        value = kind(text)
        if not lowest <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {lowest}")
        return value

    number.__name__ = "number"  # argparse names it in its message
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; 0 if every scenario has figures, 1 if one has not, 2 for wrong usage."""
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    chosen: list[str] = arguments.pop("scenario") or list(SCENARIOS)
    if unknown := [name for name in chosen if name not in SCENARIOS]:
        parser.error(f"unknown scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    target: Path | None = arguments.pop("json")
    report = measure(chosen, Options(**arguments), _tell)
    print(report.text(), end="")
    if target is not None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(report.json())
        except OSError as error:
            print(f"The figures could not be saved to {target}: {error.strerror}", file=sys.stderr)
            return 1
        print(f"\nsaved to {target}")
    return 1 if report.not_run else 0


def measure(scenarios: Sequence[str], options: Options, progress: Callable[[str], None]) -> Report:
    """Runs these scenarios, each in full or not at all, and reports. The process is on other cores meanwhile."""
    found = machine.facts()
    placement = machine.place()
    results: list[Result] = []
    not_run: list[NotRun] = []
    with tempfile.TemporaryDirectory(prefix="liveavatar-bench-") as scratch, machine.pinned(placement.load):
        stage = Stage(Path(scratch), placement, progress)
        for name in scenarios:
            try:
                results.append(trio.run(_bounded, name, options, stage))
            except ScenarioFailed as failure:
                not_run.append(NotRun(scenario=name, why=str(failure)))
    return Report(
        machine=found,
        options=options,
        placement_problem=placement.problem,
        results=results,
        not_run=not_run,
    )


async def _bounded(name: str, options: Options, stage: Stage) -> Result:
    expected_s = (
        options.siege_s
        + options.quiet_s
        + 3 * options.rounds * options.seconds
        + options.questions * (options.pause_s + 1)
        + 3 * options.starts
        + 0.1 * options.pairs
    )
    limit_s = 3 * expected_s + _SLACK_S
    with trio.move_on_after(limit_s):
        return await SCENARIOS[name](options, stage)
    raise ScenarioFailed(f"it was not over after {limit_s:.0f} s")


def _tell(sentence: str) -> None:
    print(f"... {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
