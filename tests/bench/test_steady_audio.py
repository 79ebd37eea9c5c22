import pytest

from bench.scenario import Options, ScenarioFailed, Stage
from bench.steady_audio import run


@pytest.mark.slow
async def test_the_scenario_runs_and_has_figures(stage: Stage) -> None:
    result = await run(Options(sessions=2, seconds=0.5, rounds=1), stage)
    assert (result.frames_lost, result.frames_out_of_order, result.frames_foreign) == (0, 0, 0)
    assert result.failures == []
    assert result.messages_relayed >= 16
    assert result.cpu_us_per_message is not None
    assert result.cpu_us_per_message.median > 0
    for way in result.directions:
        assert way.relayed_ms.count >= 8
        assert way.direct_ms.count >= 8
        # How much it is says nothing of half a second on a machine that is shared.
        assert way.ratio_p50 is not None
        assert way.ratio_p50.median > 0
    latency, cost = map(str, result.tables())
    assert "share cores" in latency
    assert "server CPU per relayed message" in cost


@pytest.mark.slow
async def test_sessions_that_cannot_be_opened_give_no_figures(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.steady_audio.AVATAR_PATH", "/no-such-path")
    with pytest.raises(ScenarioFailed, match="404"):
        await run(Options(sessions=1, seconds=0.2, rounds=1), stage)
