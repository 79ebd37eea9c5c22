"""Runs clients against a server, ``python -m tests.compat [CLIENT...]``, and says what each of them found.

A client counts as served if its script reported every step of its list as held. One that could not be run is listed
with the reason, and makes the run fail: it was asked for.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.compat.clients import ABSENT, CLIENTS, NODE, Client, Environment
from tests.compat.environments import Unavailable, made
from tests.compat.house import House, opened

ROOT = Path(__file__).parents[2]
# All steps of a client, on a machine that others use too.
DEADLINE_S = 150.0
JOBS = 2
_STDERR_CHARS = 600
_WHY_CHARS = 700


@dataclass
class Result:
    """What came of a client. ``reports`` are its script's; ``missing`` the steps it did not get to."""

    name: str
    remark: str
    seconds: float = 0.0
    reports: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    not_run: str = ""
    stderr: str = ""

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The reports of steps that did not hold."""
        return [report for report in self.reports if report.get("ok") is not True]

    @property
    def is_served(self) -> bool:
        """Whether every step was reported, and as held."""
        return bool(self.reports) and not self.failed and not self.missing and not self.not_run

    def faults(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        if self.not_run:
            return f"could not be run: {self.not_run}"
        lines = [f"{report['step']}: {str(report.get('why'))[:_WHY_CHARS]}" for report in self.failed]
        if self.missing:
            lines.append(f"did not get to: {', '.join(self.missing)}")
            lines.append(self.stderr[-_STDERR_CHARS:])
        return "\n".join(line for line in lines if line)


async def run_all(clients: Sequence[Client], jobs: int, *, verbose: bool) -> list[Result]:
    """The results, in the order of the clients."""
    folders = await _environments(clients)
    results = {client.name: Result(client.name, client.remark) for client in clients}
    ready: list[Client] = []
    for client in clients:
        found = folders[client.environment]
        if isinstance(found, Path):
            ready.append(client)
        else:
            results[client.name].not_run = found
    if ready:
        with tempfile.TemporaryDirectory(prefix="compat-") as folder:
            async with opened(Path(folder)) as house, trio.open_nursery() as nursery:
                limit = trio.CapacityLimiter(jobs)
                for client in ready:
                    place = folders[client.environment]
                    assert isinstance(place, Path)
                    nursery.start_soon(partial(_run_one, client, place, house, results, limit, verbose=verbose))
    return [results[client.name] for client in clients]


async def _environments(clients: Sequence[Client]) -> dict[Environment, Path | str]:
    folders: dict[Environment, Path | str] = {}
    for environment in dict.fromkeys(client.environment for client in clients):
        try:
            folders[environment] = await trio.to_thread.run_sync(made, environment)
        except Unavailable as error:
            folders[environment] = str(error)
    return folders


async def _run_one(
    client: Client,
    folder: Path,
    house: House,
    results: dict[str, Result],
    limit: trio.CapacityLimiter,
    *,
    verbose: bool,
) -> None:
    result = results[client.name]
    if client.environment.kind == NODE:
        # Node 20 has a native WebSocket behind this flag; later ones take the flag and need none.
        node = shutil.which("node") or "node"
        command, place = [node, "--experimental-websocket", "--no-warnings", *client.run], folder
    else:
        command, place = [str(folder / "bin" / "python"), "-m", *client.run], ROOT
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    async with limit:
        started = trio.current_time()
        # Killed at the deadline; what it had reported by then counts for nothing without the rest.
        with trio.move_on_after(DEADLINE_S) as deadline:
            await trio.run_process(
                command,
                cwd=place,
                env={**kept, **house.environ(client)},
                stdout=_sink(folder, client, "out"),
                stderr=_sink(folder, client, "err"),
                check=False,
            )
        result.seconds = round(trio.current_time() - started, 1)
    out, err = (_log(folder, client, stream).read_text(errors="replace") for stream in ("out", "err"))
    result.stderr = err + (f"\nkilled after {DEADLINE_S:g} s" if deadline.cancelled_caught else "")
    result.reports = [json.loads(line) for line in out.splitlines() if line.startswith('{"step"')]
    reported = [report["step"] for report in result.reports]
    result.missing = [step for step in client.steps if step not in reported]
    verdict = "ok" if result.is_served else "FAILED"
    print(
        f"{verdict:6} {result.seconds:6.1f} s  {len(reported):2}/{len(client.steps)} steps  {client.name}", flush=True
    )
    if verbose:
        print(out, flush=True)


def _log(folder: Path, client: Client, stream: str) -> Path:
    name = "-".join(part.replace("/", ".") for part in client.run)
    return folder / f"{name}.{stream}"


def _sink(folder: Path, client: Client, stream: str) -> int:
    return os.open(_log(folder, client, stream), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def _tell(results: Sequence[Result]) -> None:
    served = sum(result.is_served for result in results)
    for result in results:
        if not result.is_served:
            print(f"\n{result.name}\n" + "\n".join(f"    {line}" for line in result.faults().splitlines()))
    remarks = [f"{result.name}: {result.remark}" for result in results if result.remark]
    if remarks:
        print("\nremarks\n" + "\n".join(f"    {line}" for line in remarks))
    if ABSENT:
        print("\nnot run here\n" + "\n".join(f"    {absent.name}: {absent.why}" for absent in ABSENT))
    print(f"\n{served} of {len(results)} clients served")


def main(argv: Sequence[str]) -> int:
    """The command; 0 if every client that was asked for is served."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="parts of names; all clients without any")
    parser.add_argument("--everyday", action="store_true", help="the few that run with all other tests")
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"clients at a time (default {JOBS})")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--verbose", action="store_true", help="print every step's report")
    args = parser.parse_args(argv)
    chosen = [
        client
        for client in CLIENTS
        if (client.everyday or not args.everyday)
        and (not args.clients or any(part.lower() in client.name.lower() for part in args.clients))
    ]
    if args.list:
        print("\n".join(client.name for client in chosen))
        return 0
    if not chosen:
        print("no such client", file=sys.stderr)
        return 2
    results = trio.run(partial(run_all, chosen, args.jobs, verbose=args.verbose))
    _tell(results)
    if args.json:
        args.json.write_text(json.dumps([asdict(result) for result in results]))
    return 0 if all(result.is_served for result in results) else 1
