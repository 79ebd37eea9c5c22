"""What authentication adds to the start of a session: the same server open to this machine, and with keys of a file.

One visitor after the other connects, the servers by turns, and takes the time from the first packet to
``session.created``. The Realtime service is the embedded one, so most of the time is its; what is compared is the
difference between two visits that follow each other.
"""

import time
from pathlib import Path

import msgspec
import trio

from bench.figures import Spread
from bench.scenario import BUSY_PERCENT, Options, Stage, failing_plainly
from bench.serving import ROOMY, ServerProcess, serving
from bench.table import SPREAD_HEADS, Table, number, spread_cells
from bench.visitor import visiting
from server.security.key_file import KeyFile

NAME = "session-start"

# All of them are compared with what is shown, whichever fits: as many as an operator may have.
KEYS = 20
# The first visits of a server compile and warm what the later ones find.
_WARM_UP_VISITS = 5


class SessionStart(msgspec.Struct, frozen=True, kw_only=True, tag_field="scenario", tag=NAME):
    """All figures. ``added_ms`` are the differences of the pairs."""

    keys: int
    open_ms: Spread
    keyed_ms: Spread
    added_ms: Spread
    kept_waiting_percent: float | None

    def tables(self) -> list[Table]:
        """For people."""
        rows = tuple(
            (name, *spread_cells(spread))
            for name, spread in (
                ("open to this machine", self.open_ms),
                (f"one of {self.keys} keys shown", self.keyed_ms),
                ("added, pair by pair", self.added_ms),
            )
        )
        notes = []
        if self.kept_waiting_percent is not None and self.kept_waiting_percent > BUSY_PERCENT:
            waited = number(self.kept_waiting_percent, 0)
            notes.append(f"other processes took the servers' core {waited} % of the time: the medians tell more.")
        return [Table(f"{NAME}: first packet to session.created; ms", ("", *SPREAD_HEADS), rows, tuple(notes))]


async def run(options: Options, stage: Stage) -> SessionStart:
    """Lets ``options.pairs`` visitors into each of the two servers, by turns.

    Raises:
        ScenarioFailed: a server did not start, or let a visitor in.
    """
    folder = stage.folder / NAME
    for name in ("open", "keyed"):
        (folder / name).mkdir(parents=True)
    key = _keys(folder / "keyed" / "data")
    cores = stage.placement.server
    with failing_plainly():
        async with (
            serving(ROOMY, folder=folder / "open", cores=cores) as unlocked,
            serving(ROOMY, folder=folder / "keyed", cores=cores) as locked,
        ):
            stage.progress(f"{NAME}: {options.pairs} visits to each of two servers")
            for _ in range(_WARM_UP_VISITS):
                await _visit(unlocked, None)
                await _visit(locked, key)
            before = locked.usage()
            pairs = [await _pair(unlocked, locked, key, turn) for turn in range(options.pairs)]
            used = locked.usage() - before
    return SessionStart(
        keys=KEYS,
        open_ms=Spread.of(without for without, _ in pairs),
        keyed_ms=Spread.of(with_key for _, with_key in pairs),
        added_ms=Spread.of(with_key - without for without, with_key in pairs),
        kept_waiting_percent=used.share(used.kept_waiting_s),
    )


async def _pair(unlocked: ServerProcess, locked: ServerProcess, key: str, turn: int) -> tuple[float, float]:
    # Who goes first changes, so that whatever a visit leaves behind falls on both alike.
    if turn % 2:
        with_key = await _visit(locked, key)
        return await _visit(unlocked, None), with_key
    return await _visit(unlocked, None), await _visit(locked, key)


async def _visit(server: ServerProcess, key: str | None) -> float:
    begun = time.perf_counter()
    async with visiting(server.host, server.port, key):
        taken_ms = (time.perf_counter() - begun) * 1000
    # The session's end is no part of the next one's start.
    await trio.sleep(0.01)
    return taken_ms


def _keys(data: Path) -> str:
    """Fills a key file; gives the last key, which is compared behind all the others."""
    data.mkdir()
    file = KeyFile(data)
    return [file.create(f"key{number}", scopes=("talk",)) for number in range(KEYS)][-1]
