"""How long the server takes from the start of its process until it says that it is ready. Opens no session."""

import msgspec

from bench.figures import Repeated
from bench.scenario import BUSY_PERCENT, Options, Stage
from bench.serving import serving
from bench.table import Table, number

NAME = "startup"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start: seconds to the first 200 of ``/health/ready``, and what of them was work and waiting for a core."""

    ready_s: float
    cpu_s: float | None
    kept_waiting_s: float | None


class Startup(msgspec.Struct, frozen=True, kw_only=True, tag_field="scenario", tag=NAME):
    """All starts. The first finds no bytecode and no data: it compiles everything and indexes what is shipped."""

    first: Start
    warm: list[Start]
    warm_ready_s: Repeated | None
    warm_cpu_s: Repeated | None
    warm_kept_waiting_s: Repeated | None

    def tables(self) -> list[Table]:
        """For people."""
        warm = (self.warm_ready_s, self.warm_cpu_s, self.warm_kept_waiting_s)
        rows = (
            (
                "first start, nothing compiled or indexed",
                *map(number, (self.first.ready_s, self.first.cpu_s, self.first.kept_waiting_s)),
            ),
            ("warm start, median", *(number(value.median if value else None) for value in warm)),
        )
        each = ", ".join(number(start.ready_s) for start in self.warm)
        notes = [f"warm starts: {each}"]
        waited = self.warm_kept_waiting_s
        if waited is not None and self.warm_ready_s and waited.median > self.warm_ready_s.median * BUSY_PERCENT / 100:
            notes.append("other processes took the server's core: on an idle machine it is ready sooner.")
        heads = ("", "clock", "CPU", "waiting for a core")
        return [Table(f"{NAME}: process start to /health/ready; s", heads, rows, tuple(notes))]


async def run(options: Options, stage: Stage) -> Startup:
    """Starts the server in an empty folder, then ``options.starts`` times on what the first start left.

    Raises:
        ServerNotStarted: it did not become ready.
    """
    folder = stage.folder / NAME
    folder.mkdir()
    starts: list[Start] = []
    for turn in range(options.starts + 1):
        stage.progress(f"{NAME}: " + (f"warm start {turn} of {options.starts}" if turn else "first start"))
        async with serving({}, folder=folder, cores=stage.placement.server) as server:
            used = server.usage()
            starts.append(Start(ready_s=server.ready_after_s, cpu_s=used.cpu_s, kept_waiting_s=used.kept_waiting_s))
    first, *warm = starts
    return Startup(
        first=first,
        warm=warm,
        warm_ready_s=Repeated.of(start.ready_s for start in warm),
        warm_cpu_s=Repeated.of(start.cpu_s for start in warm),
        warm_kept_waiting_s=Repeated.of(start.kept_waiting_s for start in warm),
    )
