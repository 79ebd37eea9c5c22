import pytest

from bench.scenario import Options, ScenarioFailed, Stage
from bench.text_turns import run


@pytest.mark.slow
async def test_the_scenario_runs_and_has_figures(stage: Stage) -> None:
    result = await run(Options(visitors=2, questions=2, pause_s=0.0), stage)
    assert result.errors == {}
    assert result.answers == result.grounded == result.first_audio_ms.count == 4
    first_audio, search, done = result.first_audio_ms.p50, result.search_ms.p50, result.done_ms.p50
    assert first_audio is not None
    assert search is not None
    assert done is not None
    assert 0 < search < first_audio < done
    assert "4 of 4 answers with citations" in str(result.tables()[0])


@pytest.mark.slow
async def test_a_visitor_who_is_turned_away_gives_no_figures(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.visitor._KB", "no-such-guide")
    with pytest.raises(ScenarioFailed, match="turned away"):
        await run(Options(visitors=1, questions=1), stage)
