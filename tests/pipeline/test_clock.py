"""What time it is in a quiet partition, in virtual time."""

import pytest

from pipeline.clock import Gossip, IdleClock, Notice, Tick
from pipeline.settings import Clock

QUIET = Tick(lag_records=0, quiet_seconds=60)


def test_broker_time_is_followed_by_a_caught_up_partition() -> None:
    """Live, a partition with nothing to read follows the broker, less what may be on its way."""
    clock = IdleClock(Clock.BROKER, idle_seconds=5)
    assert clock.now(QUIET, at=0, wall=1000) == 995


@pytest.mark.parametrize("mode", list(Clock))
@pytest.mark.parametrize("lag", [1, None])
def test_a_lagging_partition_follows_its_data(mode: Clock, lag: int | None) -> None:
    """After an hour of downtime the world is not late: time comes with the records."""
    clock = IdleClock(mode, idle_seconds=5)
    clock.hear(500, at=0)
    assert clock.now(Tick(lag, quiet_seconds=60), at=100, wall=1000) is None


def test_data_time_waits_until_a_notice_is_old() -> None:
    """A notice counts once everything that was written before it has had time to arrive."""
    clock = IdleClock(Clock.DATA, idle_seconds=5)
    clock.hear(500, at=10)
    clock.hear(700, at=13)
    assert clock.now(QUIET, at=14.9, wall=0) is None
    assert clock.now(QUIET, at=15, wall=0) == 500
    assert clock.now(QUIET, at=18, wall=0) == 700


def test_data_time_waits_until_a_partition_is_quiet() -> None:
    """A partition that had a record a moment ago is not idle."""
    clock = IdleClock(Clock.DATA, idle_seconds=5)
    clock.hear(500, at=0)
    assert clock.now(Tick(0, quiet_seconds=4), at=100, wall=0) is None


def test_notices_never_turn_time_back() -> None:
    """An older notice from another partition is nothing new."""
    clock = IdleClock(Clock.DATA, idle_seconds=5)
    clock.hear(700, at=0)
    clock.hear(500, at=1)
    assert clock.now(QUIET, at=100, wall=0) == 700


def test_gossip_says_what_is_new_and_not_too_often() -> None:
    """Flow's clock is told when it has moved, at most once a second."""
    gossip = Gossip(Clock.DATA)
    assert gossip.due(float("-inf"), at=0) is None
    assert gossip.due(60, at=0) == Notice(60)
    assert gossip.due(60, at=5) is None
    assert gossip.due(120, at=5) == Notice(120)
    assert gossip.due(180, at=5.9) is None
    assert gossip.due(180, at=6) == Notice(180)


def test_gossip_does_not_repeat_what_another_task_said() -> None:
    """Four tasks hear the same sources: the first one's word is enough."""
    gossip = Gossip(Clock.DATA)
    gossip.hear(120)
    assert gossip.due(120, at=0) is None


def test_nobody_gossips_live() -> None:
    """The broker's time needs no notices."""
    assert Gossip(Clock.BROKER).due(60, at=0) is None
