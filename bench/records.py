"""What recording and telemetry add to the cost of relayed sound: the same load on three servers, by turns.

One keeps no records and counts nothing; one has its records, metrics and traces, which it exports; one records the
sound of both sides besides. Processor time per relayed message is compared, round by round, for on a machine that
others use two rounds that follow each other are alike, and two that do not are not.
"""

import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import msgspec
import trio

from bench.collector import Collector
from bench.figures import Repeated, ratio
from bench.scenario import BUSY_PERCENT, Options, ScenarioFailed, Stage, failing_plainly
from bench.serving import ServerProcess, serving
from bench.steady_audio import AVATAR_PATH, INIT, Round, Target, settings_for, talk_all, warm
from bench.table import Table, repeated
from bench.upstream import PacedUpstream

NAME = "records"

_UNWATCHED = "bench.unwatched_server"
_BARE, _WATCHED, _RECORDED = "neither", "records and telemetry", "and sound recorded"


class Records(msgspec.Struct, frozen=True, kw_only=True, tag_field="scenario", tag=NAME):
    """All figures. Ratios are of the rounds that followed each other, to the server that has neither."""

    sessions: int
    seconds: float
    rounds: int
    cpu_us_per_message: dict[str, Repeated | None]
    watched_ratio: Repeated | None
    recorded_ratio: Repeated | None
    kept_waiting_percent: Repeated | None
    exports: int
    failures: list[str]

    def tables(self) -> list[Table]:
        """For people."""
        ratios = {_WATCHED: self.watched_ratio, _RECORDED: self.recorded_ratio}
        rows = tuple(
            (name, repeated(cpu_us, " us", 1), repeated(ratios.get(name), " x", 3))
            for name, cpu_us in self.cpu_us_per_message.items()
        )
        notes = [f"a session ended early: {failure}" for failure in self.failures]
        if self.kept_waiting_percent is not None and self.kept_waiting_percent.highest > BUSY_PERCENT:
            notes.append("other processes took the servers' core: the medians tell more than the ranges.")
        title = f"{NAME}: server CPU per relayed message, {self.sessions} sessions, {self.rounds} x {self.seconds:g} s"
        return [Table(title, ("", "median [range of rounds]", "to neither"), rows, tuple(notes))]


@dataclass(slots=True)
class _Server:
    name: str
    target: Target
    rounds: list[Round] = field(default_factory=list)


async def run(options: Options, stage: Stage) -> Records:
    """Runs the scenario.

    Raises:
        ServerNotStarted: there is nothing to measure.
        ScenarioFailed: sessions cannot be opened, or nothing was exported, so that there is nothing to compare.
    """
    chance = random.Random(options.seed)
    upstream, collector = PacedUpstream(chance.random), Collector()
    with failing_plainly():
        async with trio.open_nursery() as nursery:
            settings = settings_for(await nursery.start(upstream.serve), options)
            exported = _exported_to(await nursery.start(collector.serve))
            async with AsyncExitStack() as stack:
                servers: list[_Server] = []
                for name, more, module in (
                    (_BARE, {}, _UNWATCHED),
                    (_WATCHED, exported, None),
                    (_RECORDED, {**exported, "LIVEAVATAR_RECORD_AUDIO": "true"}, None),
                ):
                    stage.progress(f"{NAME}: starting the server with {name}")
                    folder = stage.folder / NAME / name.replace(" ", "-")
                    folder.mkdir(parents=True)
                    process: ServerProcess = await stack.enter_async_context(
                        serving({**settings, **more}, folder=folder, cores=stage.placement.server, module=module)
                    )
                    server = _Server(name, Target(process.host, process.port, AVATAR_PATH, INIT, process))
                    servers.append(server)
                    await warm(server.target)
                for turn in range(options.rounds):
                    # Who goes first changes, so that whatever drifts falls on all alike.
                    for server in servers if turn % 2 == 0 else reversed(servers):
                        stage.progress(f"{NAME}: round {turn + 1} of {options.rounds}, {server.name}")
                        server.rounds.append(await talk_all(server.target, upstream, options, chance))
            nursery.cancel_scope.cancel()
    if not collector.requests:
        raise ScenarioFailed("nothing was exported: the server has no telemetry to be compared")
    return _result(options, servers, collector)


def _exported_to(port: int) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def _cpu_us(one: Round) -> float | None:
    used = one.used
    return used.cpu_s / one.messages * 1e6 if used is not None and used.cpu_s is not None and one.messages else None


def _result(options: Options, servers: list[_Server], collector: Collector) -> Records:
    costs = {server.name: [_cpu_us(one) for one in server.rounds] for server in servers}
    every = [one for server in servers for one in server.rounds]

    def compared(name: str) -> Repeated | None:
        return Repeated.of(ratio(one, bare) for one, bare in zip(costs[name], costs[_BARE], strict=True))

    return Records(
        sessions=options.sessions,
        seconds=options.seconds,
        rounds=options.rounds,
        cpu_us_per_message={name: Repeated.of(values, 1) for name, values in costs.items()},
        watched_ratio=compared(_WATCHED),
        recorded_ratio=compared(_RECORDED),
        kept_waiting_percent=Repeated.of(
            (one.used.share(one.used.kept_waiting_s) if one.used else None for one in every), 1
        ),
        exports=collector.requests,
        failures=[failure for one in every for failure in one.failures],
    )
