"""A threshold that flags a given share of cases, though what is usual changes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.histograms import Floats

Mask = NDArray[np.bool_]

_GRID: Final = np.linspace(-9.0, 9.0, 181)
"""Log-odds that are told apart."""
_MOST: Final = 2.5
"""A debt lowers what is wanted to a twelfth at most, and credit raises it to 2.7 times."""


class FlagBudget:
    r"""The log-odds from which on to flag, so that a share of all cases is flagged.

    A case has a score when it is to be decided, and none when there was nothing to decide (a
    parcel delivered long before). The threshold is the quantile of past scores above which
    $\beta e^{-(d / s)^3}$ of all cases lie, with $\beta$ the share wanted and $d$ the debt: the
    share flagged too much, relative to $\beta$. A little debt costs nothing, so a bad month may
    be flagged more than a good one; beyond the slack $s$ it is paid back.

    Parameters
    ----------
    share
        Share of cases to be flagged.
    slack
        By how much of it the share may be off before the threshold is moved much.
    half_life_days
        After so many days of the clock a case counts half, as a score and as a debt.
    least_cases
        Before so many cases a case is flagged that is more likely late than not.

    Examples
    --------
    >>> budget = FlagBudget(share=0.1)
    >>> scores = np.linspace(-5.0, 5.0, 1000)
    >>> budget.settle_many(scores, scores > 4.0)
    >>> budget.fold(day=1.0)
    >>> float(budget.decide_many(scores).mean())
    0.1

    """

    def __init__(
        self,
        share: float = 0.05,
        slack: float = 0.08,
        half_life_days: float = 120.0,
        least_cases: float = 50.0,
    ) -> None:
        if not 0 < share < 1 or slack <= 0:
            raise ValueError(f"a budget is a share of cases with a slack: {share}, {slack}")
        self.share = share
        self.slack = slack
        self.half_life_days = half_life_days
        self.least_cases = least_cases
        self._scores = np.zeros(len(_GRID) + 1)
        """Cases by score, the ones without a score first."""
        self._flagged = 0.0
        self._seen = np.zeros(len(_GRID) + 1)
        self._seen_flagged = 0.0
        self._day: float | None = None
        self.threshold = 0.0

    def fold(self, day: float) -> None:
        """Let what was settled since the last fold count from now on; `day` on the clock."""
        kept = 1.0 if self._day is None else np.exp2((self._day - day) / self.half_life_days)
        self._day = day
        self._scores = self._scores * kept + self._seen
        self._flagged = self._flagged * kept + self._seen_flagged
        self._seen[:] = self._seen_flagged = 0.0
        cases = self._scores.sum()
        if cases >= self.least_cases:
            debt = self._flagged / (self.share * cases) - 1.0
            pay = np.clip((debt / self.slack) ** 3, -1.0, _MOST)
            self.threshold = self._quantile(self.share * float(np.exp(-pay)) * cases)

    def decide_many(self, scores: Floats) -> Mask:
        """Tell which cases to flag, by their log-odds; NaN for one without a score."""
        flagged: Mask = scores >= self.threshold
        return flagged

    def settle_many(self, scores: Floats, flagged: Mask, weights: Floats | None = None) -> None:
        """Count cases as they are decided; NaN for one that needed no decision."""
        counts = np.ones(len(scores)) if weights is None else weights
        bins = np.searchsorted(_GRID, np.where(np.isnan(scores), -np.inf, scores), side="right")
        np.add.at(self._seen, bins, counts)
        self._seen_flagged += float(counts[flagged].sum())

    def _quantile(self, wanted: float) -> float:
        """Return the least score of the grid above which no more than `wanted` cases lie."""
        above = np.cumsum(self._scores[:0:-1])[::-1]
        place = int(np.searchsorted(-above, -wanted))
        return float(_GRID[min(place, len(_GRID) - 1)])
