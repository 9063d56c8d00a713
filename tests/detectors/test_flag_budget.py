"""The budget of flags: the share is kept, also when times change, and paid back."""

import numpy as np
import pytest

from detectors.flag_budget import FlagBudget


def run(budget: FlagBudget, means: list[float], cases: int = 40) -> float:
    """Decide days of cases whose log-odds lie around the day's mean; return the share flagged."""
    rng = np.random.default_rng(3)
    flagged = 0
    for day, mean in enumerate(means):
        scores = rng.normal(mean, 1.0, cases)
        flags = budget.decide_many(scores)
        budget.settle_many(scores, flags)
        budget.fold(float(day))
        flagged += int(flags.sum())
    return flagged / (cases * len(means))


def test_the_share_is_kept() -> None:
    """In a steady world the realised share is within a tenth of the one wanted."""
    assert run(FlagBudget(share=0.05), [0.0] * 300) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("later", [1.5, -1.5])
def test_the_share_is_kept_when_times_change(later: float) -> None:
    """After a month that is much worse or better, the debt is paid back."""
    means = [0.0] * 150 + [later] * 60 + [0.0] * 150
    assert run(FlagBudget(share=0.05), means) == pytest.approx(0.05, rel=0.12)


def test_cases_without_a_score_are_cases() -> None:
    """What needed no decision counts for the share and is never flagged."""
    budget = FlagBudget(share=0.05)
    scores = np.where(np.arange(1000) % 10 == 0, np.linspace(-3, 3, 1000), np.nan)
    budget.settle_many(scores, np.zeros(1000, np.bool_))
    budget.fold(1.0)
    flags = budget.decide_many(scores)
    assert not flags[np.isnan(scores)].any()
    assert flags.sum() >= 50


def test_before_enough_cases_only_the_likely_are_flagged() -> None:
    """A new budget flags what is more likely late than not."""
    flags = FlagBudget().decide_many(np.array([-0.1, 0.1, np.nan]))
    assert flags.tolist() == [False, True, False]


def test_a_share_is_a_share() -> None:
    """Nothing, everything and no slack are refused."""
    for share, slack in ((0.0, 0.1), (1.0, 0.1), (0.1, 0.0)):
        with pytest.raises(ValueError, match="budget"):
            FlagBudget(share=share, slack=slack)
