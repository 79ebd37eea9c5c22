import json
from pathlib import Path

import pytest
import trio

from bench import __main__ as bench
from bench.figures import Repeated
from bench.scenario import Options, ScenarioFailed, Stage
from bench.serving import ServerNotStarted
from bench.startup import Start, Startup

START = Start(ready_s=1.0, cpu_s=0.9, kept_waiting_s=0.0)
STARTED = Startup(first=START, warm=[START], warm_ready_s=Repeated.of([1.0]), warm_cpu_s=None, warm_kept_waiting_s=None)


async def _started(_options: Options, _stage: Stage) -> Startup:
    await trio.lowlevel.checkpoint()
    return STARTED


async def _not_started(_options: Options, _stage: Stage) -> Startup:
    await trio.lowlevel.checkpoint()
    raise ServerNotStarted("the server did not start: ended with code 1.")


async def _failed(_options: Options, _stage: Stage) -> Startup:
    await trio.lowlevel.checkpoint()
    raise ScenarioFailed("session 3 could not be opened")


@pytest.fixture
def scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = {"startup": _started, "steady-audio": _not_started, "text-turns": _failed}
    monkeypatch.setattr(bench, "SCENARIOS", replaced)


@pytest.mark.usefixtures("scenarios")
def test_what_did_not_run_is_said_plainly_and_has_no_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "results" / "run.json"
    assert bench.main(["--json", str(target)]) == 1
    shown = capsys.readouterr().out
    assert "steady-audio: NOT RUN, no figures: the server did not start" in shown
    assert "text-turns: NOT RUN, no figures: session 3" in shown
    assert " us" not in shown
    assert " x" not in shown.replace(" x86", "")
    saved = json.loads(target.read_bytes())
    assert [result["scenario"] for result in saved["results"]] == ["startup"]
    assert [missing["scenario"] for missing in saved["not_run"]] == ["steady-audio", "text-turns"]
    assert saved["machine"]["cores"] >= 1
    assert saved["options"]["sessions"] == Options().sessions


@pytest.mark.usefixtures("scenarios")
def test_one_scenario_alone_runs_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["startup", "--seconds", "1", "--sessions", "3"]) == 0
    assert "warm start, median" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["steady"], ["--sessions", "0"], ["--seconds", "nan"], ["--seconds", "inf"], ["--rounds", "1.5"]]
)
def test_wrong_usage_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        bench.main(arguments)
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_run_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_options: Options, _stage: Stage) -> Startup:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(bench, "SCENARIOS", {"startup": hang})
    monkeypatch.setattr(bench, "_SLACK_S", 0.0)
    report = bench.measure(
        ["startup"],
        Options(seconds=0.0, questions=0, starts=0, pairs=0, siege_s=0.0, quiet_s=0.0),
        lambda _sentence: None,
    )
    assert "it was not over" in report.not_run[0].why
