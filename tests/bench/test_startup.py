import pytest

from bench.scenario import Options, Stage
from bench.startup import run


@pytest.mark.slow
async def test_the_scenario_runs_and_has_figures(stage: Stage) -> None:
    result = await run(Options(starts=1), stage)
    assert 0 < result.warm[0].ready_s < result.first.ready_s
    assert "warm start" in str(result.tables()[0])
