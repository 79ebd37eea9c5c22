"""What a whole run says: the machine, each scenario's figures, and what was not run and why. Measures nothing."""

from collections.abc import Iterator

import msgspec

from bench.abuse import Abuse
from bench.machine import Machine
from bench.records import Records
from bench.scenario import Options
from bench.session_start import SessionStart
from bench.startup import Startup
from bench.steady_audio import SteadyAudio
from bench.text_turns import TextTurns

# Raised when a field changes its name or its meaning: results are compared across commits.
FORMAT = 1

Result = Startup | SteadyAudio | TextTurns | SessionStart | Abuse | Records


class NotRun(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario without figures."""

    scenario: str
    why: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run; what ``--json`` saves."""

    format: int = FORMAT
    machine: Machine
    options: Options
    placement_problem: str | None
    results: list[Result]
    not_run: list[NotRun]

    def json(self) -> bytes:
        """For comparison by machines."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def text(self) -> str:
        """For people."""
        return "\n\n".join(self._parts()) + "\n"

    def _parts(self) -> Iterator[str]:
        machine = self.machine
        yield "\n".join(
            (
                f"{machine.processor}, {machine.cores} cores, {machine.system}, {machine.python}, "
                + ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
                f"commit {machine.commit or 'unknown'}, {machine.date}, load average before: {machine.load_average}",
            )
        )
        if self.placement_problem is not None:
            yield f"Not pinned: {self.placement_problem}"
        for result in self.results:
            yield from map(str, result.tables())
        for missing in self.not_run:
            yield f"{missing.scenario}: NOT RUN, no figures: {missing.why}"
