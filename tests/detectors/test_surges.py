"""Surge episodes: one cause one episode, promotions are nobody's surge, words for people."""

import numpy as np
import pytest

from detectors.common import weighted_medians
from detectors.decisions import SurgeClosed, SurgeOpened, SurgeUpdated
from detectors.outbreak_odds import OutbreakOdds
from detectors.surges import SurgeDecision, SurgeWatch, chance, with_regions
from tests.detectors.worlds import HOUR, day_shape

REGIONS = [f"R{n}" for n in range(8)]
START = 28 * 24


def make() -> SurgeWatch:
    """Return a watch of hours."""
    return SurgeWatch(
        scan=OutbreakOdds(HOUR), config_version="test", false_episodes_a_month=0.2,
        min_complaints=4, cool_down_hours=48, max_episode_days=7, forget_days=120, min_days=7,
    )  # fmt: skip


def said(
    days: int, rates: dict[str, float], start: int, stop: int,
    watch: SurgeWatch | None = None, categories: tuple[str, ...] = ("logistics",),
) -> list[SurgeDecision]:  # fmt: skip
    """Four complaints an hour and series; `rates` of a region multiply from `start` to `stop`."""
    watch = make() if watch is None else watch
    random = np.random.default_rng(7)
    decisions: list[SurgeDecision] = []
    for hour in range(days * 24):
        counts = {}
        for region in REGIONS:
            boost = rates.get(region, 1.0) if start <= hour < stop else 1.0
            for category in categories:
                count = int(random.poisson(4 * day_shape(hour) * boost))
                counts[f"{region}\x1f{category}"] = count
        decisions += watch.close((hour + 2) * HOUR, hour * HOUR, with_regions(counts))
    return decisions


def test_one_surge_is_one_episode() -> None:
    """Three days at twice and a half the usual: opened within a day, closed, nothing else."""
    decisions = said(36, {"R3": 2.5}, START, START + 72)
    opened = [d for d in decisions if isinstance(d, SurgeOpened)]
    closed = [d for d in decisions if isinstance(d, SurgeClosed)]
    assert [(d.region, d.category) for d in opened] == [("R3", "logistics")]
    assert "logistics complaints in R3" in opened[0].evidence.text
    assert opened[0].decided_at.timestamp() <= (START + 24) * HOUR
    assert [d.episode_id for d in closed] == [opened[0].decision_id]
    updated = [d for d in decisions if isinstance(d, SurgeUpdated)]
    assert updated
    assert {d.episode_id for d in updated} == {opened[0].decision_id}
    assert len({d.decision_id for d in decisions}) == len(decisions)


def test_a_region_that_rises_as_a_whole_is_one_episode() -> None:
    """Three categories at once: one episode, its parts named and the same at its end."""
    categories = ("logistics", "order", "product")
    decisions = said(34, {"R3": 1.8}, START, START + 72, categories=categories)
    opened, *later = decisions
    assert isinstance(opened, SurgeOpened)
    assert opened.region == "R3"
    assert len(opened.parts) > 1
    assert abs(opened.began_at.timestamp() / HOUR - START) <= 12
    assert opened.category == opened.parts[0]
    assert isinstance(later[-1], SurgeClosed)
    for decision in later:
        assert decision.episode_id == opened.decision_id
        assert decision.category == opened.category
        assert set(decision.parts) >= set(opened.parts)
    assert later[-1].parts == opened.parts


def test_late_complaints_count_for_the_open_episode_alone() -> None:
    """They raise what an episode has seen, once, and neither open one nor teach the usual."""
    watch = make()
    said(29, {"R3": 2.5}, START, START + 24, watch)
    row = watch.episodes.row("R3")
    before = float(watch.episodes["observed"][row])
    assert watch.episodes["open"][row]
    usual = watch.series["m"].copy()
    assert watch.episodes.text("category")[row] == "logistics"
    late = {"R3\x1flogistics": 7, "R5\x1flogistics": 900}
    watch.correct((START + 26) * HOUR, (START + 23) * HOUR, with_regions(late))
    watch.correct((START + 26) * HOUR, (START - 240) * HOUR, with_regions(late))
    assert float(watch.episodes["observed"][row]) == before + 7
    assert watch.episodes.row("R5") < 0 or not watch.episodes["open"][watch.episodes.row("R5")]
    assert np.array_equal(watch.series["m"], usual)


def test_regions_are_summed() -> None:
    """A region's key has no category, and regions are not counted among the series."""
    counts = {"R1\x1forder": 2, "R1\x1fservice": 3, "R10\x1forder": 5}
    assert with_regions(counts) == {**counts, "R1\x1f": 5, "R10\x1f": 5}
    watch = make()
    watch.close(2 * HOUR, 0, with_regions(counts))
    assert len(watch) == 3


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
