import pytest

from bench.abuse import run
from bench.scenario import Options, Stage


@pytest.mark.slow
async def test_honest_visitors_connect_among_strangers_and_those_are_gone_in_time(stage: Stage) -> None:
    result = await run(Options(strangers=600, siege_s=11.0, quiet_s=1.0), stage)
    assert result.honest_failures == 0
    assert result.beset_ms.highest is not None
    assert result.beset_ms.count >= 100
    # The best tenth of a shared machine's noise is the machine's.
    assert result.beset_ms.p90 is not None
    assert result.beset_ms.p90 <= 1000
    silent, trickling, idle, pinging = result.kinds.values()
    assert 408 in silent.answers
    assert 408 in trickling.answers
    assert 101 in idle.answers
    assert 101 in pinging.answers
    for kind, most_s in ((silent, 5), (trickling, 5), (idle, 10), (pinging, 5)):
        assert kind.lived_s.p90 is not None
        assert kind.lived_s.p90 <= most_s
    assert result.descriptors_back_s is not None
    assert result.descriptors_back_s <= 15
    assert result.log_lines <= 5 * result.bad_connections
    assert "honest connects failed" in "\n".join(map(str, result.tables()))
