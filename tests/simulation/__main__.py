"""Runs seeds by hand: ``--seed N`` replays one exactly (``-v``: with all that was said), ``--seeds N`` runs many."""

import argparse
import multiprocessing
import sys
import time

from tests.simulation.run import run_seed
from tests.simulation.tally import Tally, report, run_range

_SEEDS_AT_ONCE = 25
_FAILURES_SHOWN = 5


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="replay this seed")
    which.add_argument("--seeds", type=int, help="run so many seeds")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of --seeds")
    parser.add_argument("--jobs", type=int, default=1, help="processes beside each other")
    parser.add_argument("-v", action="store_true", dest="verbose", help="with --seed: print all that was said and done")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _replay(options.seed, verbose=options.verbose)
    return _run_many(options.first, options.seeds, options.jobs)


def _replay(seed: int, *, verbose: bool) -> int:
    verdict = run_seed(seed, keep_journal=True)
    if verbose:
        print("\n".join(verdict.journal))
    print(f"plan: {verdict.plan}")
    print(f"digest {verdict.digest}, {verdict.virtual_s:.1f} virtual seconds")
    if verdict.violations:
        print(report(seed, verdict.violations, shown=50))
    return int(bool(verdict.violations))


def _run_many(first: int, count: int, jobs: int) -> int:
    began = time.monotonic()
    whole = Tally()
    pieces = [
        range(begin, min(begin + _SEEDS_AT_ONCE, first + count))
        for begin in range(first, first + count, _SEEDS_AT_ONCE)
    ]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for tally in pool.imap_unordered(run_range, pieces):
            for seed in sorted(tally.failed)[: max(0, _FAILURES_SHOWN - len(whole.failed))]:
                print(f"\r{report(seed, tally.failed[seed])}", flush=True)
            whole.merge(tally)
            rate = whole.runs / (time.monotonic() - began)
            print(
                f"\r{whole.runs}/{count}, {len(whole.failed)} failed, {rate:.0f}/s ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    print(file=sys.stderr)
    print(whole.table())
    for fault, phase in whole.never():
        print(f"never: {fault} at {phase}")
    print(f"{whole.runs} runs, {whole.virtual_s / 3600:.1f} virtual hours in {time.monotonic() - began:.0f} s")
    if whole.failed:
        print(f"failed: {len(whole.failed)} seeds")
        for kind, seeds in whole.kinds().items():
            print(f"  {kind}: {len(seeds)}, first {seeds[:6]}")
    return int(bool(whole.failed))


if __name__ == "__main__":
    sys.exit(main())
