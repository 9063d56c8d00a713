"""Every River estimator of `detectors` keeps River's own checks and ours."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from river import base

from detectors.cohorts import BLOCK, MOVING
from detectors.counts import SeasonalCounts
from detectors.expectation import CountExpectation
from detectors.inflow import Inflow
from detectors.outbreak_odds import OutbreakOdds
from detectors.plausibility import Plausibility
from tests.detectors.contract import river_checks

HOURS = 24 * 40


def outbreaks() -> list[tuple[dict[str, Any], bool]]:
    """Forty days of hourly counts with an outbreak in every ninth day, labelled."""
    chance = np.random.default_rng(5)
    stream = []
    for hour in range(HOURS):
        sick = hour // 24 % 9 == 8
        count = int(chance.poisson(3 + 3 * (8 <= hour % 24 < 20) + 12 * sick))
        stream.append(({"series": "Hubei", "bucket": hour * 3600, "count": count}, sick))
    return stream


def signoffs() -> list[tuple[dict[str, Any], bool]]:
    """Deliveries of which every twentieth is signed for minutes after it arrived elsewhere."""
    chance = np.random.default_rng(6)
    stream: list[tuple[dict[str, Any], bool]] = []
    for number in range(400):
        wrong = number % 20 == 19
        gap = 60.0 if wrong else float(chance.uniform(3600, 30_000))
        usual = {"carrier": "swift", "stage": 9, "attempted": True, "gap_seconds": gap}
        stream.append((usual | {"destination": "R1", "region": "R2" if wrong else "R1"}, wrong))
    return stream


def arrivals() -> list[tuple[dict[str, Any], None]]:
    """Twenty-five days of three regions to which five parcels a block set out."""
    return [
        (
            {
                "region": f"R{n % 3}", "bucket": n // 3 * BLOCK, "entered": 5,
                "came": {MOVING: 5}, "went": {(MOVING, 8): 5},
            },
            None,
        )
        for n in range(3 * 200)
    ]  # fmt: skip


STREAMS: list[tuple[base.Estimator, list[tuple[dict[str, Any], Any]] | None]] = [
    (SeasonalCounts(), None),
    (SeasonalCounts(bucket_seconds=86_400, min_days=14), None),
    (SeasonalCounts(), [({"series": x["series"]}, x["count"]) for x, _ in outbreaks()]),
    (CountExpectation(), None),
    (OutbreakOdds(3600), outbreaks()),
    (Plausibility(min_observations=20), signoffs()),
    (Inflow(min_days=2.0), arrivals()),
]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{estimator.__class__.__name__}-{place}-{name}-{number}")
        for place, (estimator, stream) in enumerate(STREAMS)
        for number, (name, check) in enumerate(river_checks(estimator, stream))
    ],
)
def test_river(check: Callable[[], None]) -> None:
    """River's generic checks hold."""
    check()
