"""Pacing of what is produced."""

from pipeline.producer import Pacer


def test_data_time_runs_as_fast_as_asked() -> None:
    """A record waits for its time; one that is overdue does not, and nothing is waited twice."""
    now = [50.0]
    pacer = Pacer(speed=60.0, clock=lambda: now[0])
    assert pacer.delay(1_000_000) == 0
    assert pacer.delay(1_060_000) == 1.0
    now[0] = 50.75
    assert pacer.delay(1_060_000) == 0.25
    now[0] = 55.0
    assert pacer.delay(1_060_000) == 0
    assert pacer.delay(1_600_000) == 5.0
