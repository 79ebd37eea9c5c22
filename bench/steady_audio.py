"""Steady audio both ways: what the server adds to every 100 ms of sound, and what that costs it. Asks no question.

The same avatars talk to the same paced service, through the server and without it, in alternating rounds of one run.
"""

import itertools
import random
import time
from dataclasses import dataclass

import msgspec
import trio

from bench.avatar import TalkingAvatar
from bench.figures import Repeated, Spread, difference, ratio
from bench.frames import Gone
from bench.scenario import BUSY_PERCENT, Options, ScenarioFailed, Stage, failing_plainly
from bench.serving import ROOMY, ServerProcess, Usage, serving
from bench.stamps import FRAME_S
from bench.table import SPREAD_HEADS, Table, number, repeated, spread_cells
from bench.upstream import PacedUpstream, UpstreamSession

NAME = "steady-audio"

OPEN_S = 15.0
# From the first frames until figures count: every stream has begun, caches are warm.
_RAMP_S = 0.5
# Frames that are still under way at the end get this long to arrive.
_DRAIN_S = 2.0
_DRAIN_LOOK_S = 0.02
# An idle session's memory is looked at when its opening has settled.
_SETTLE_S = 0.3
# A load generator that is this late tells about itself, not about the server.
_LATE_P99_MS = 10.0

AVATAR_PATH = "/ws"
_DIRECT_PATH = "/v1/realtime?model=paced"
INIT = b'{"type":"session.init"}'

_TO_CLIENT = "upstream -> client"
_TO_UPSTREAM = "client -> upstream"


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """One way of the sound: time under way in ms, all rounds together.

    ``added`` are differences of percentiles, ``ratio_p50`` the rounds' medians, relayed by direct.
    """

    name: str
    relayed_ms: Spread
    direct_ms: Spread
    added_p50_ms: float | None
    added_p90_ms: float | None
    added_p99_ms: float | None
    added_p999_ms: float | None
    ratio_p50: Repeated | None
    ratio_p99: Repeated | None


class SteadyAudio(msgspec.Struct, frozen=True, kw_only=True, tag_field="scenario", tag=NAME):
    """What came of the scenario. Memory per session is that of idle ones, beyond a server that had one before."""

    sessions: int
    seconds: float
    rounds: int
    pinned: bool
    directions: list[Direction]
    messages_relayed: int
    cpu_us_per_message: Repeated | None
    cpu_percent_of_a_core: Repeated | None
    kept_waiting_percent: Repeated | None
    connect_relayed_ms: Spread
    connect_direct_ms: Spread
    connect_ratio_p50: float | None
    cpu_ms_per_connect: Repeated | None
    resident_base_mib: float | None
    resident_per_session_kib: float | None
    frames_lost: int
    frames_out_of_order: int
    frames_foreign: int
    load_lateness_ms: Spread
    failures: list[str]

    def tables(self) -> list[Table]:
        """For people."""
        return [self._latency_table(), self._cost_table()]

    def _latency_table(self) -> Table:
        rows = []
        for way in self.directions:
            rows.append((f"{way.name}, relayed", *spread_cells(way.relayed_ms)))
            rows.append((f"{way.name}, direct", *spread_cells(way.direct_ms)))
            added = (way.added_p50_ms, way.added_p90_ms, way.added_p99_ms, way.added_p999_ms)
            rows.append((f"{way.name}, added", *map(number, added), "", ""))
        title = f"{NAME}: {self.sessions} sessions, 100 ms frames both ways, {self.rounds} x {self.seconds:g} s; ms"
        return Table(title, ("under way", *SPREAD_HEADS), tuple(rows), tuple(self._doubts()))

    def _doubts(self) -> list[str]:
        doubts = []
        if not self.pinned:
            doubts.append("server and load share cores: these times tell little about the server.")
        if self.kept_waiting_percent is not None and self.kept_waiting_percent.highest > BUSY_PERCENT:
            doubts.append("other processes took the server's core: these times are worse than on an idle machine.")
        late = self.load_lateness_ms.p99
        if late is not None and late > _LATE_P99_MS:
            doubts.append(f"the load was late itself (p99 {late:.1f} ms): the machine is too slow or busy for it.")
        if wrong := self.frames_lost + self.frames_out_of_order + self.frames_foreign:
            doubts.append(
                f"{wrong} frames went wrong: {self.frames_lost} lost, {self.frames_out_of_order} out of order, "
                f"{self.frames_foreign} of other sessions."
            )
        return doubts + [f"a session ended early: {failure}" for failure in self.failures]

    def _cost_table(self) -> Table:
        times = "x"
        rows = [
            ("server CPU per relayed message", repeated(self.cpu_us_per_message, " us", 1)),
            ("server CPU, of one core", repeated(self.cpu_percent_of_a_core, " %", 1)),
            ("server kept from its core by others", repeated(self.kept_waiting_percent, " %", 1)),
            ("messages relayed", str(self.messages_relayed)),
            ("connect, relayed, median", f"{number(self.connect_relayed_ms.p50)} ms"),
            ("connect, direct, median", f"{number(self.connect_direct_ms.p50)} ms"),
            ("server CPU per connect", repeated(self.cpu_ms_per_connect, " ms", 1)),
            ("connect, relayed / direct", f"{number(self.connect_ratio_p50, 1)} {times}"),
            *(
                (f"{way.name}, relayed / direct, {name}", repeated(value, f" {times}", 1))
                for way in self.directions
                for name, value in (("p50", way.ratio_p50), ("p99", way.ratio_p99))
            ),
            ("resident memory, no session", f"{number(self.resident_base_mib, 1)} MiB"),
            ("resident memory per idle session", f"{number(self.resident_per_session_kib, 0)} KiB"),
            ("lateness of the load, p99", f"{number(self.load_lateness_ms.p99)} ms"),
        ]
        return Table(f"{NAME}: cost and ratios", ("", "median [range of rounds]"), tuple(rows))


@dataclass(slots=True)
class Round:
    """One stretch of the same load, relayed or direct."""

    to_client_ms: list[float]
    to_upstream_ms: list[float]
    connect_ms: list[float]
    opening: Usage | None
    lateness_ms: list[float]
    messages: int
    used: Usage | None
    resident_kib: int | None
    lost: int
    out_of_order: int
    foreign: int
    failures: list[str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where avatars connect to; ``server`` is the process to be charged, None without one between."""

    host: str
    port: int
    path: str
    first: bytes | None
    server: ServerProcess | None


async def run(options: Options, stage: Stage) -> SteadyAudio:
    """Runs the scenario.

    Raises:
        ServerNotStarted: there is nothing to measure.
        ScenarioFailed: sessions cannot be opened, so that there is nothing to compare.
    """
    chance = random.Random(options.seed)
    upstream = PacedUpstream(chance.random)
    with failing_plainly():
        async with trio.open_nursery() as nursery:
            upstream_port: int = await nursery.start(upstream.serve)
            stage.progress(f"{NAME}: starting the server")
            async with serving(
                settings_for(upstream_port, options), folder=stage.folder, cores=stage.placement.server
            ) as server:
                relayed_by = Target(server.host, server.port, AVATAR_PATH, INIT, server)
                direct_to = Target("127.0.0.1", upstream_port, _DIRECT_PATH, None, None)
                await warm(relayed_by)
                await trio.sleep(_SETTLE_S)
                base_kib = server.resident_kib()
                relayed: list[Round] = []
                direct: list[Round] = []
                for turn in range(options.rounds):
                    for name, target, rounds in (("relayed", relayed_by, relayed), ("direct", direct_to, direct)):
                        stage.progress(f"{NAME}: round {turn + 1} of {options.rounds}, {name}, {options.seconds:g} s")
                        rounds.append(await talk_all(target, upstream, options, chance))
            nursery.cancel_scope.cancel()
    return _result(options, stage, relayed, direct, base_kib)


def settings_for(upstream_port: int, options: Options) -> dict[str, str]:
    """A server's settings in front of a paced service at this port."""
    return {
        **ROOMY,
        "LIVEAVATAR_UPSTREAM": "openai",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream_port}/v1",
        "OPENAI_API_KEY": "bench-no-secret",
        "LIVEAVATAR_MAX_SESSIONS": str(options.sessions + 8),
        "LIVEAVATAR_MAX_CONNECTIONS": str(options.sessions + 64),
    }


async def warm(target: Target) -> None:
    """One session that counts nowhere: what a server does at its first is no matter of the others."""
    await (await _open(0, target)).aclose()


async def _open(index: int, target: Target) -> TalkingAvatar:
    try:
        with trio.fail_after(OPEN_S):
            return await TalkingAvatar.open(index, target.host, target.port, target.path, target.first)
    except Gone as gone:
        raise ScenarioFailed(f"session {index} could not be opened: {gone}") from None
    except trio.TooSlowError:
        raise ScenarioFailed(f"session {index} was not open within {OPEN_S:g} s") from None


async def talk_all(target: Target, upstream: PacedUpstream, options: Options, chance: random.Random) -> Round:
    """One stretch of the load, from its opening to its last frame."""
    avatars: list[TalkingAvatar] = []
    seen_before = len(upstream.sessions)
    before_opening = _usage(target)
    try:
        # One after the other: a connect time is then its own, without a queue of others.
        for index in range(options.sessions):
            avatars.append(await _open(index, target))  # noqa: PERF401 - those that opened must be closed if one fails
        await trio.sleep(_SETTLE_S)
        after_opening = _usage(target)
        resident_kib = target.server.resident_kib() if target.server else None
        async with trio.open_nursery() as nursery:
            now = trio.current_time()
            for avatar in avatars:
                nursery.start_soon(avatar.talk, now + chance.random() * FRAME_S)
            await trio.sleep(_RAMP_S)
            begin_ns, before = time.perf_counter_ns(), _usage(target)
            await trio.sleep(options.seconds)
            after, end_ns = _usage(target), time.perf_counter_ns()
            heard_by = upstream.sessions[seen_before:]
            await _drain(avatars, upstream, heard_by)
            nursery.cancel_scope.cancel()
    finally:
        for avatar in avatars:
            await avatar.aclose()
    ends: list[TalkingAvatar | UpstreamSession] = [*avatars, *heard_by]
    return Round(
        to_client_ms=[ms for avatar in avatars for ms in avatar.heard.latencies_ms(begin_ns, end_ns)],
        to_upstream_ms=[ms for session in heard_by for ms in session.heard.latencies_ms(begin_ns, end_ns)],
        connect_ms=[avatar.connect_ms for avatar in avatars],
        lateness_ms=[ms for end in ends for ms in end.sent.lateness_ms],
        messages=sum(end.heard.received_between(begin_ns, end_ns) for end in ends),
        opening=_between(before_opening, after_opening),
        used=_between(before, after),
        resident_kib=resident_kib,
        lost=_lost(ends),
        out_of_order=sum(end.heard.out_of_order for end in ends),
        foreign=sum(end.heard.foreign for end in ends) + _shared_streams(avatars) + _shared_streams(heard_by),
        failures=[avatar.failure for avatar in avatars if avatar.failure is not None],
    )


async def _drain(avatars: list[TalkingAvatar], upstream: PacedUpstream, heard_by: list[UpstreamSession]) -> None:
    for avatar in avatars:
        avatar.silenced = True
    upstream.silence()
    await trio.sleep(FRAME_S)  # a frame that is being sent just now is sent
    with trio.move_on_after(_DRAIN_S):
        while _lost([*avatars, *heard_by]):  # noqa: ASYNC110 - an event for each frame would cost the load
            await trio.sleep(_DRAIN_LOOK_S)


def _lost(ends: list[TalkingAvatar | UpstreamSession]) -> int:
    return sum(end.sent.count - len(end.heard.taken) - end.heard.foreign for end in ends)


def _usage(target: Target) -> Usage | None:
    return None if target.server is None else target.server.usage()


def _between(before: Usage | None, after: Usage | None) -> Usage | None:
    return None if before is None or after is None else after - before


def _shared_streams(ends: list[TalkingAvatar] | list[UpstreamSession]) -> int:
    """How many ends hear a stream that another one hears too."""
    streams = [end.heard.stream for end in ends if end.heard.stream is not None]
    return len(streams) - len(set(streams))


def _result(
    options: Options, stage: Stage, relayed: list[Round], direct: list[Round], base_kib: int | None
) -> SteadyAudio:
    rounds = [*relayed, *direct]
    connect_relayed = Spread.of(ms for one in relayed for ms in one.connect_ms)
    connect_direct = Spread.of(ms for one in direct for ms in one.connect_ms)
    charged = [(one, one.used) for one in relayed if one.used is not None]
    idle_kib = relayed[0].resident_kib
    return SteadyAudio(
        sessions=options.sessions,
        seconds=options.seconds,
        rounds=options.rounds,
        pinned=stage.placement.server is not None,
        directions=[
            _direction(_TO_CLIENT, [one.to_client_ms for one in relayed], [one.to_client_ms for one in direct]),
            _direction(_TO_UPSTREAM, [one.to_upstream_ms for one in relayed], [one.to_upstream_ms for one in direct]),
        ],
        messages_relayed=sum(one.messages for one in relayed),
        cpu_us_per_message=Repeated.of(
            (
                used.cpu_s / one.messages * 1e6 if used.cpu_s is not None and one.messages else None
                for one, used in charged
            ),
            1,
        ),
        cpu_percent_of_a_core=Repeated.of((used.share(used.cpu_s) for _, used in charged), 1),
        kept_waiting_percent=Repeated.of((used.share(used.kept_waiting_s) for _, used in charged), 1),
        connect_relayed_ms=connect_relayed,
        connect_direct_ms=connect_direct,
        connect_ratio_p50=ratio(connect_relayed.p50, connect_direct.p50),
        cpu_ms_per_connect=Repeated.of(
            one.opening.cpu_s * 1000 / options.sessions if one.opening and one.opening.cpu_s is not None else None
            for one in relayed
        ),
        resident_base_mib=round(base_kib / 1024, 1) if base_kib is not None else None,
        resident_per_session_kib=round((idle_kib - base_kib) / options.sessions, 1)
        if idle_kib is not None and base_kib is not None
        else None,
        frames_lost=sum(one.lost for one in rounds),
        frames_out_of_order=sum(one.out_of_order for one in rounds),
        frames_foreign=sum(one.foreign for one in rounds),
        load_lateness_ms=Spread.of(ms for one in rounds for ms in one.lateness_ms),
        failures=[failure for one in rounds for failure in one.failures],
    )


def _direction(name: str, relayed: list[list[float]], direct: list[list[float]]) -> Direction:
    through, past = Spread.of(itertools.chain(*relayed)), Spread.of(itertools.chain(*direct))
    pairs = [(Spread.of(one), Spread.of(other)) for one, other in zip(relayed, direct, strict=True)]
    return Direction(
        name=name,
        relayed_ms=through,
        direct_ms=past,
        added_p50_ms=difference(through.p50, past.p50),
        added_p90_ms=difference(through.p90, past.p90),
        added_p99_ms=difference(through.p99, past.p99),
        added_p999_ms=difference(through.p999, past.p999),
        ratio_p50=Repeated.of(ratio(one.p50, other.p50) for one, other in pairs),
        ratio_p99=Repeated.of(ratio(one.p99, other.p99) for one, other in pairs),
    )
