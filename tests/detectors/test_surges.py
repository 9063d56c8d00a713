"""Surge episodes: one cause one episode, promotions are nobody's surge, words for people."""

import numpy as np
import pytest

from detectors.common import weighted_medians
from detectors.decisions import SurgeClosed, SurgeOpened, SurgeUpdated
from detectors.outbreak_odds import OutbreakOdds
from detectors.surges import SurgeDecision, SurgeWatch, chance
from tests.detectors.worlds import HOUR, day_shape

REGIONS = [f"R{n}" for n in range(8)]
START = 28 * 24


def said(days: int, rates: dict[str, float], start: int, stop: int) -> list[SurgeDecision]:
    """Four complaints an hour and region; `rates` multiply them from `start` to `stop`."""
    watch = SurgeWatch(
        scan=OutbreakOdds(HOUR), config_version="test", false_episodes_a_month=0.2,
        min_complaints=4,
        cool_down_hours=48, max_episode_days=7, forget_days=120, min_days=7,
    )  # fmt: skip
    random = np.random.default_rng(7)
    decisions: list[SurgeDecision] = []
    for hour in range(days * 24):
        counts = {}
        for region in REGIONS:
            boost = rates.get(region, 1.0) if start <= hour < stop else 1.0
            counts[f"{region}\x1flogistics"] = int(random.poisson(4 * day_shape(hour) * boost))
        decisions += watch.close((hour + 2) * HOUR, hour * HOUR, counts)
    return decisions


def test_one_surge_is_one_episode() -> None:
    """Three days at twice and a half the usual: opened within a day, closed, nothing else."""
    decisions = said(36, {"R3": 2.5}, START, START + 72)
    opened = [d for d in decisions if isinstance(d, SurgeOpened)]
    closed = [d for d in decisions if isinstance(d, SurgeClosed)]
    assert [(d.region, d.category) for d in opened] == [("R3", "logistics")]
    assert opened[0].decided_at.timestamp() <= (START + 24) * HOUR
    assert [d.episode_id for d in closed] == [opened[0].decision_id]
    updated = [d for d in decisions if isinstance(d, SurgeUpdated)]
    assert updated
    assert {d.episode_id for d in updated} == {opened[0].decision_id}
    assert len({d.decision_id for d in decisions}) == len(decisions)


def test_a_promotion_is_no_regions_surge() -> None:
    """What doubles everywhere opens nothing; a region that rises more meanwhile is still found."""
    everywhere = dict.fromkeys(REGIONS, 2.0)
    assert said(32, everywhere, START, START + 48) == []
    decisions = said(32, {**everywhere, "R5": 5.0}, START, START + 48)
    assert {d.region for d in decisions} == {"R5"}


def test_a_new_usual_is_accepted() -> None:
    """A level that stays closes its episode after some weeks and is not announced again."""
    decisions = said(80, {"R2": 2.0}, START, 10**6)
    assert isinstance(decisions[-1], SurgeClosed)
    assert decisions[-1].decided_at.timestamp() <= 70 * 24 * HOUR


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.5, "1 in 2"), (1 / 40_123, "1 in 40,000"), (1e-20, "under 1 in a trillion")],
)
def test_chances_are_said_as_people_do(probability: float, text: str) -> None:
    """Two digits, thousands apart."""
    assert chance(probability) == text


def test_weighted_medians() -> None:
    """Half the weight lies at or below each row's."""
    values = np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    weights = np.array([[1.0, 1.0, 5.0], [9.0, 1.0, 5.0]])
    assert weighted_medians(values, weights).tolist() == [2.0, 3.0]
