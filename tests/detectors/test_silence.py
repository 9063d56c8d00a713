"""Silent feeds: found soon, rarely announced in vain, whatever the carrier's habits."""

from collections.abc import Iterator

import numpy as np
import pytest

from detectors.decisions import FeedResumed, FeedSilent
from detectors.silence import FeedDecision, SilenceWatch, log_chance_of_none
from tests.detectors.worlds import HOUR, QUARTER, day_shape

CARRIERS = ("busy", "evening", "rare", "batches")


def watch(min_days: float = 7.0) -> SilenceWatch:
    return SilenceWatch(
        config_version="test", max_chance=1e-5, min_silence_seconds=HOUR, min_days=min_days,
        forget_days=30, utc_offset_seconds=0,
    )  # fmt: skip


def scans(seed: int) -> Iterator[dict[str, int]]:
    """Yield the scans of every quarter: steady, evenings only, few, and uploads every 4 hours."""
    chance = np.random.default_rng(seed)
    held = 0
    quarter = 0
    while True:
        busy = day_shape(quarter // 4)
        evening = 40.0 if quarter // 4 % 24 >= 16 else 0.01
        held += int(chance.poisson(20 * busy))
        upload = quarter % 16 == int(chance.integers(0, 2))
        count = {
            "busy": int(chance.negative_binomial(5, 5 / (5 + 60 * busy))),
            "evening": int(chance.poisson(evening)),
            "rare": int(chance.poisson(0.4 * busy)),
            "batches": held if upload else 0,
        }
        held = 0 if upload else held
        yield {name: n for name, n in count.items() if n}
        quarter += 1


def said(days: int, seed: int, silent: tuple[str, int, int] = ("", 0, 0)) -> list[FeedDecision]:
    """Watch the carriers; `silent` is one of them with the first and last hour of its silence."""
    it = watch()
    decisions: list[FeedDecision] = []
    name, start, stop = silent
    for quarter, counts in zip(range(days * 96), scans(seed), strict=False):
        if start <= quarter // 4 < stop:
            counts.pop(name, None)
        now = (quarter + 1) * QUARTER
        decisions += it.close(now, now - QUARTER, counts)
    return decisions


def test_false_announcements_are_rare() -> None:
    """Four kinds of carriers, five weeks: at most one announcement in vain a carrier and month."""
    silent = [d for d in said(42, 1) if isinstance(d, FeedSilent)]
    by_carrier = {name: sum(d.carrier == name for d in silent) for name in CARRIERS}
    assert all(count <= 1 for count in by_carrier.values()), by_carrier


@pytest.mark.parametrize(("carrier", "within_hours"), [("busy", 2), ("rare", 48), ("batches", 48)])
def test_silence_is_found(carrier: str, within_hours: int) -> None:
    """A feed that stops is announced, and its return as well, under the same episode."""
    start = 21 * 24 + 9
    decisions = [d for d in said(25, 2, (carrier, start, start + 60)) if d.carrier == carrier]
    ours = [d for d in decisions if d.decided_at.timestamp() >= start * HOUR]
    silent, resumed = ours[:2]
    assert isinstance(silent, FeedSilent)
    assert isinstance(resumed, FeedResumed)
    assert silent.decided_at.timestamp() - start * HOUR <= within_hours * HOUR
    assert silent.silent_since.timestamp() <= start * HOUR
    assert resumed.decided_at.timestamp() >= (start + 60) * HOUR
    assert resumed.episode_id == silent.decision_id


def test_first_week_has_no_opinion() -> None:
    """A silence in the first days is nobody's business."""
    assert said(7, 3, ("busy", 100, 160)) == []


def test_forgotten_carriers_leave() -> None:
    """A carrier that never comes back is forgotten."""
    it = watch()
    it.close(QUARTER, 0, {"gone": 5})
    for quarter in range(1, 31 * 96):
        it.close((quarter + 1) * QUARTER, quarter * QUARTER, {"here": 3})
    assert "gone" not in it
    assert "here" in it
    assert len(it) == 1


def test_chance_of_none_is_that_of_the_negative_binomial() -> None:
    """Poisson is its limit."""
    found = np.exp(log_chance_of_none(np.array([3.0, 3.0]), np.array([1.0, 4.0])))
    assert found == pytest.approx([np.exp(-3), 0.25], rel=1e-4)
