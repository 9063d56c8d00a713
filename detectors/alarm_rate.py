"""How often chance alone brings odds as high as these: from a score to a stated false-alarm rate.

Under the expectation counts are negative binomial, so how their odds are distributed without any
outbreak depends on mean and dispersion only: `detectors/chance_table.py` holds their quantiles.
What a series has done is not used: past outbreaks are among it, and a rate adjusted to them is too
low ever after.
"""

from typing import Final

import numpy as np

from detectors.chance_table import DISPERSIONS, LEVELS, MEANS, TABLE
from detectors.loglinear import DAY
from detectors.table import Floats

_MEANS: Final = np.log(MEANS)
_DISPERSIONS: Final = np.log(DISPERSIONS)
_LEVELS: Final = np.log(LEVELS)


class AlarmRate:
    """Probability that chance brings log odds at least as high; buckets of one width."""

    def __init__(self, bucket_seconds: int) -> None:
        name = "hour" if bucket_seconds < DAY else "day" if bucket_seconds < 7 * DAY else "week"
        values = np.array(TABLE[name].split(), float)
        self._quantiles = values.reshape(len(MEANS), len(DISPERSIONS), len(LEVELS))

    def probability(self, log_odds: Floats, mean: Floats, dispersion: Floats) -> Floats:
        """Return P(log odds as high | no outbreak), shape (series,)."""
        quantiles = self._between(mean, dispersion)
        place = np.clip((quantiles < log_odds[:, None]).sum(axis=1), 1, len(LEVELS) - 1)
        every = np.arange(len(log_odds))
        low, high = quantiles[every, place - 1], quantiles[every, place]
        slope = (_LEVELS[place] - _LEVELS[place - 1]) / np.maximum(high - low, 0.05)
        # Shiryaev's odds have a tail of about 1 / odds: beyond the table it is not steeper.
        beyond = log_odds > quantiles[:, -1]
        slope = np.where(beyond, np.clip(slope, -1.0, -0.5), slope)
        start, known = np.where(beyond, high, low), np.where(beyond, place, place - 1)
        logs = _LEVELS[known] + slope * (log_odds - start)
        probability: Floats = np.exp(np.minimum(logs, 0.0))
        return probability

    def _between(self, mean: Floats, dispersion: Floats) -> Floats:
        """Return quantiles at means and dispersions, shape (series, levels)."""
        row, across = _position(_MEANS, mean)
        column, along = _position(_DISPERSIONS, dispersion)
        table = self._quantiles
        upper = table[row, column] + along * (table[row, column + 1] - table[row, column])
        lower = table[row + 1, column]
        lower = lower + along * (table[row + 1, column + 1] - lower)
        quantiles: Floats = upper + across * (lower - upper)
        return quantiles


def _position(grid: Floats, values: Floats) -> tuple[np.ndarray, Floats]:
    """Return the grid's place below each value and how far on to the next it is, as a column."""
    logs = np.log(np.maximum(values, 1e-9))
    place = np.clip(np.searchsorted(grid, logs, side="right") - 1, 0, len(grid) - 2)
    share = np.clip((logs - grid[place]) / (grid[place + 1] - grid[place]), 0.0, 1.0)
    return place, share[:, None]
