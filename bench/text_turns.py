"""Typed questions to the museum, searched for and answered aloud by the embedded simulator: how long a person waits."""

import random
from collections import Counter
from collections.abc import Iterable

import msgspec
import trio

from bench.figures import Spread, ratio
from bench.questions import QUESTIONS
from bench.scenario import BUSY_PERCENT, Options, Stage, failing_plainly
from bench.serving import ROOMY, Usage, serving
from bench.table import SPREAD_HEADS, Table, number, spread_cells
from bench.visitor import Answer, Visitor, visiting

NAME = "text-turns"


class TextTurns(msgspec.Struct, frozen=True, kw_only=True, tag_field="scenario", tag=NAME):
    """What came of the scenario. Times in ms: see ``Answer``; ``choose_ms`` is from the question to its search.

    ``errors`` counts what went wrong by its code; an answer with an error is in no time but those that it reached.
    """

    visitors: int
    questions_each: int
    pinned: bool
    first_audio_ms: Spread
    choose_ms: Spread
    search_ms: Spread
    voice_ms: Spread
    done_ms: Spread
    answers: int
    grounded: int
    grounded_share: float | None
    errors: dict[str, int]
    server_cpu_ms_per_answer: float | None
    kept_waiting_percent: float | None

    def tables(self) -> list[Table]:
        """For people."""
        rows = tuple(
            (name, *spread_cells(spread, 1))
            for name, spread in (
                ("question -> first audio", self.first_audio_ms),
                ("  of it: until it searches", self.choose_ms),
                ("  of it: search", self.search_ms),
                ("  of it: until it speaks", self.voice_ms),
                ("question -> response.done", self.done_ms),
            )
        )
        went_wrong = ", ".join(f"{count} x {code}" for code, count in self.errors.items()) or "none"
        notes = [
            f"{self.grounded} of {self.answers} answers with citations; errors: {went_wrong}.",
            f"server CPU per answer, its simulator and voice included: {number(self.server_cpu_ms_per_answer, 1)} ms.",
        ]
        if not self.pinned:
            notes.append("server and load share cores.")
        if self.kept_waiting_percent is not None and self.kept_waiting_percent > BUSY_PERCENT:
            notes.append(
                f"other processes took the server's core {self.kept_waiting_percent:.0f} % of the time: "
                "these times are worse than on an idle machine."
            )
        title = f"{NAME}: {self.visitors} visitors, {self.questions_each} questions each; ms"
        return [Table(title, ("", *SPREAD_HEADS), rows, tuple(notes))]


async def run(options: Options, stage: Stage) -> TextTurns:
    """Runs the scenario.

    Raises:
        ServerNotStarted: there is nothing to measure.
        ScenarioFailed: a visitor was not let in.
    """
    stage.progress(f"{NAME}: starting the server")
    answers: list[Answer] = []
    async with serving(ROOMY, folder=stage.folder, cores=stage.placement.server) as server:
        async with visiting(server.host, server.port) as first:
            # The first answer loads what is loaded once; it counts nowhere.
            await first.ask(QUESTIONS[0])
        stage.progress(f"{NAME}: {options.visitors} visitors, {options.questions} questions each")
        before = server.usage()
        with failing_plainly():
            async with trio.open_nursery() as nursery:
                for index in range(options.visitors):
                    nursery.start_soon(_visit, index, server.host, server.port, options, answers)
        used = server.usage() - before
    return _result(options, stage, answers, used)


async def _visit(index: int, host: str, port: int, options: Options, answers: list[Answer]) -> None:
    chance = random.Random(f"{options.seed} {index}")
    async with visiting(host, port) as visitor:
        asked = _questions(visitor, index, options)
        for question in asked:
            await trio.sleep(options.pause_s * chance.uniform(0.5, 1.5))
            answer = await visitor.ask(question)
            answers.append(answer)
            if answer.errors:
                # Whatever of it still comes would be taken for the next answer.
                return


def _questions(visitor: Visitor, index: int, options: Options) -> list[str]:
    """Each visitor begins at another question, so that not all ask the same at once."""
    known = [*visitor.samples, *QUESTIONS]
    begin = index * len(known) // options.visitors
    return [known[(begin + number) % len(known)] for number in range(options.questions)]


def _result(options: Options, stage: Stage, answers: list[Answer], used: Usage) -> TextTurns:
    grounded = sum(answer.sources > 0 for answer in answers)
    return TextTurns(
        visitors=options.visitors,
        questions_each=options.questions,
        pinned=stage.placement.server is not None,
        first_audio_ms=_spread(answer.first_audio_ms for answer in answers),
        choose_ms=_spread(answer.searching_ms for answer in answers),
        search_ms=_spread(answer.search_ms for answer in answers),
        voice_ms=_spread(answer.voice_ms for answer in answers),
        done_ms=_spread(answer.done_ms for answer in answers),
        answers=len(answers),
        grounded=grounded,
        grounded_share=ratio(grounded, len(answers)),
        errors=dict(Counter(error for answer in answers for error in answer.errors)),
        server_cpu_ms_per_answer=round(used.cpu_s * 1000 / len(answers), 1)
        if used.cpu_s is not None and answers
        else None,
        kept_waiting_percent=used.share(used.kept_waiting_s),
    )


def _spread(times_ms: Iterable[float | None]) -> Spread:
    return Spread.of(ms for ms in times_ms if ms is not None)
