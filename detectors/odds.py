"""Odds that an outbreak is going on now: a mixture over when it began, its size and its shape.

Every chain of `detectors/chains.py` may start in any bucket. The weight of a stage is the
probability that an outbreak is in it now, relative to that of none; each bucket multiplies it by
the likelihood of the count with the stage's excess over that without (negative binomial plus
Poisson). What is over joins what never was, so that an outbreak that has ended holds nothing up.

One step of the forward algorithm of a hidden Markov model; with a stage a bucket it is Shiryaev's
(1963) procedure for a change of known shape, mixed over sizes and shapes.
"""

from typing import Final

import numpy as np
from scipy.special import gammaln

from detectors.chains import chains_of
from detectors.table import Floats

_GRID: Final = np.array([0.0, 0.1, 0.25, 0.5, 0.8, 1.2, 1.7, 2.4, 3.3, 4.5, 6.5, 9.0, 13.0])
"""Excesses, in standard deviations, with a likelihood; between them it is interpolated."""
_MOST: Final = 1e100
_STEP: Final = 200.0
"""Bounds of weights and of the log ratio of one bucket: numbers stay numbers."""
_MANY: Final = 0.7
"""Share of counts above 0 from which on picking them out costs more than it saves."""
BRIEF_MOST: Final = 50.0
"""How far one bucket alone, taken as a spike, may raise the odds over those of a start. More than
this it does as the first bucket of something longer."""


class OutbreakChains:
    """Weights of all stages for buckets of one width; holds no state.

    State of a series is its weights, shape (stages,), all 0 at first.
    """

    def __init__(self, bucket_seconds: int) -> None:
        self.chains = chains_of(bucket_seconds)
        self.size = len(self.chains.excess)
        excess = np.minimum(self.chains.excess, _GRID[-1])
        self._below = np.clip(np.searchsorted(_GRID, excess) - 1, 0, len(_GRID) - 2)
        width = _GRID[self._below + 1] - _GRID[self._below]
        self._share = ((excess - _GRID[self._below]) / width)[:, None]
        self._first = np.flatnonzero(self.chains.start)
        self._brief = self.chains.brief.tolist()
        self._over = 1 - self.chains.stay - self.chains.go_on
        self._brief_most = BRIEF_MOST * float(self.chains.start.max())

    def step(
        self, weights: Floats, counts: Floats, mean: Floats, dispersion: Floats, usual: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return the weights after one bucket, and the odds of an outbreak, shape (series,).

        The second odds are all there are, the first those with brief ones held back.

        Weights have shape (stages, series). `usual` is the mean whose standard deviation excesses
        are measured by; they follow the mean of the bucket in proportion.
        """
        chains = self.chains
        over = np.zeros(len(counts))
        for stage in np.flatnonzero(self._over > 0).tolist():
            over += self._over[stage] * weights[stage]
        moved = weights * chains.stay[:, None]
        moved[1:] += weights[:-1] * chains.go_on[:-1, None]
        moved /= 1 + over
        moved[self._first] += chains.start[self._first, None]
        moved *= np.exp(np.clip(self._ratios(counts, mean, dispersion, usual), -_STEP, _STEP))
        np.clip(moved, 1 / _MOST, _MOST, out=moved)
        lasting, brief = np.zeros(len(counts)), np.zeros(len(counts))
        for stage, short in enumerate(self._brief):
            if short:
                brief += moved[stage]
            else:
                lasting += moved[stage]
        return moved, lasting + np.minimum(brief, self._brief_most), lasting + brief

    def _ratios(self, counts: Floats, mean: Floats, dispersion: Floats, usual: Floats) -> Floats:
        """Return the log likelihood ratio of every stage, shape (stages, series)."""
        spread = np.maximum(dispersion, 1.0001)
        unit = np.sqrt(usual * spread) * (mean / usual)
        more = _GRID[:, None] * unit
        raised = mean + more
        likelihood = log_likelihood(counts, raised, (mean * spread + more) / raised)
        likelihood -= likelihood[0].copy()
        below = likelihood[self._below]
        below += self._share * (likelihood[self._below + 1] - below)
        ratios: Floats = below
        return ratios


def log_likelihood(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return log P(count) of negative binomials but for log(count!); dispersion > 1."""
    size = mean / (dispersion - 1)
    result: Floats = -(size * np.log(dispersion))
    # That is all of a count of 0, and most hours of small series have none.
    counted = np.flatnonzero(counts)
    some = counted if len(counted) < _MANY * len(counts) else slice(None)
    of, sizes = counts[some], size[..., some]
    rest = gammaln(of + sizes)
    rest -= gammaln(sizes)
    rest += result[..., some]
    rest += of * np.log1p(-1 / dispersion[..., some])
    result[..., some] = rest
    return result
