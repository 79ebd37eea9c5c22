import pytest

from tests.simulation.hours import run_hours


@pytest.mark.slow
def test_three_hours_across_four_sessions_of_the_service_lose_nothing() -> None:
    report = run_hours(1)
    assert not report.violations
    assert report.lines >= 4
    assert report.turns > 200
    assert report.present == report.recorded
    assert len(report.recorded) > 400
    assert report.recalled == report.fact
    assert report.pieces > 10_000
    assert not report.missed
    assert not report.cut
    assert "reconnecting" not in report.states
