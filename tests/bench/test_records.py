import pytest

from bench.records import run
from bench.scenario import Options, Stage


@pytest.mark.slow
async def test_recording_and_telemetry_cost_next_to_nothing(stage: Stage) -> None:
    result = await run(Options(sessions=10, seconds=1.5, rounds=3), stage)
    assert result.failures == []
    assert result.exports > 0
    assert result.watched_ratio is not None
    # A tenth at most on a machine that does nothing else; a busy one's noise is more than what is measured.
    assert result.watched_ratio.median < 1.6
    assert "to neither" in str(result.tables()[0])
