"""Quantiles of a time in its context, by a committee that learns which of its members to trust.

A context is what is known of a time when it begins: the stage, the stage before, the hours of the
day. The more is known of it, the fewer times have been seen there, so each member mixes the
histograms of a chain of contexts from general to special, the special one counting the more it
has seen. Members differ in the chain, in how much they want to have seen, and in how fast they
forget; in no log is the same one best.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.histograms import BINS, EDGES, Floats
from detectors.sketches import Codes, Sketches

_POWER: Final = 0.6
"""Bins are `EDGES` for this power of 1 + seconds: from 0 seconds to 10 years, 16 % each."""
_LOG_EDGES: Final = np.log(EDGES / EDGES[0]) / _POWER
_LOWER: Final = np.concatenate([[0.0], _LOG_EDGES])
_UPPER: Final = np.concatenate([_LOG_EDGES, [_LOG_EDGES[-1] + 1.0]])
"""Of each bin, in log(1 + seconds)."""
_BETWEEN: Final = "\x1e"
"""Between the parts of a context; not that of `sketches`, whose keys back off by themselves."""
_FLOOR: Final = 60.0
"""Losses are of log10(seconds + 60): what is off by seconds is not off."""
_PRIOR_LOSS: Final = 0.01
"""Squared loss of a day without lessons: how far apart members are before they have spoken."""

Mask = NDArray[np.bool_]


class ContextQuantiles(base.Regressor):
    r"""Quantiles of times by context, mixed from general to special and over experts.

    A member mixes along its chain of contexts $c_1, c_2, \ldots$, from everybody's histogram
    $P_0$ on, with $n_j$ the observations of a context, $h_j$ their histogram and $m$ a constant
    of the member:

    $$P_j = (h_j + m P_{j-1}) / (n_j + m)$$

    and the committee's quantile is the average of its members' logarithms, weighted by
    $\exp(-\eta L)$ with $L$ the pinball loss each had so far at that level, in $\log_{10}$ of
    seconds + 60. Its regret against the best member grows as the square root of what was seen.

    What judges is what was known when `fold` was last called. All that is learned are sums.

    Parameters
    ----------
    chains
        Features that make up the contexts of a member, from general to special: the chain
        `("stage", "before")` backs off from both to the stage and to everybody.
    levels
        The quantiles wanted; `predict_one` returns the first.
    priors
        Observations a context needs until it counts as much as the one above it.
    half_lives_days
        After so many days of the clock an observation counts half.
    max_contexts
        Histograms kept; beyond, new contexts speak through those above.
    name
        Stands in the state.

    Examples
    --------
    >>> model = ContextQuantiles(chains=(("stage", "before"),), levels=(0.9,))
    >>> model.predict_one({"stage": "arrived", "before": "departed"})
    0.0
    >>> for minutes in range(100, 200):
    ...     model.learn_one({"stage": "arrived", "before": "departed"}, minutes * 60.0)
    >>> model.fold(day=1.0)
    >>> round(model.predict_one({"stage": "arrived", "before": "picked_up"}) / 60, -1)
    190.0

    References
    ----------
    [^1]: Cesa-Bianchi, N. and Lugosi, G., 2006. Prediction, Learning, and Games, chapter 2.
    [^2]: MacKay, D. and Bauman Peto, L., 1995. A hierarchical Dirichlet language model.
    Natural Language Engineering 1(3).

    """

    def __init__(
        self,
        chains: tuple[tuple[str, ...], ...] = (("stage",),),
        levels: tuple[float, ...] = (0.9, 0.99),
        priors: tuple[float, ...] = (1.0, 4.0, 16.0),
        half_lives_days: tuple[float, ...] = (30.0, 365.0),
        max_contexts: int = 50_000,
        name: str = "contexts",
    ) -> None:
        if not chains or not levels or not all(0 < level < 1 for level in levels):
            raise ValueError("a committee has chains of contexts and levels between 0 and 1")
        self.chains = chains
        self.levels = levels
        self.priors = priors
        self.half_lives_days = half_lives_days
        self.max_contexts = max_contexts
        self.name = name
        self.features = tuple(dict.fromkeys(feature for chain in chains for feature in chain))
        contexts = {chain[:end]: None for chain in chains for end in range(len(chain) + 1)}
        self._contexts = tuple(contexts)
        self._places = [
            [self._contexts.index(chain[:end]) for end in range(1, len(chain) + 1)]
            for chain in chains
        ]
        self.sketches = tuple(
            Sketches(f"{name}/{days:g}", half_life_days=days, max_rows=max_contexts, levels=1)
            for days in half_lives_days
        )
        members = len(chains) * len(priors) * len(half_lives_days)
        self.losses = np.zeros((len(levels), members))
        """What each member has lost so far, against the average member."""
        self.squares = np.full((len(levels), members), _PRIOR_LOSS)
        self._lessons = np.zeros((2, len(levels), members))
        """Losses and squares of the running epoch."""
        self._day = 0.0
        self._codes: dict[tuple[str, ...], int] = {}
        self._path = np.zeros((64, len(self._contexts)), np.int64)

    @property
    def members(self) -> list[tuple[float, tuple[str, ...], float]]:
        """Half-life in days, chain and prior of each member."""
        return list(product(self.half_lives_days, self.chains, self.priors))

    def code(self, values: Sequence[str]) -> int:
        """Return a number for values of `features`."""
        key = tuple(values)
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = len(self._codes)
            if code == len(self._path):
                self._path = np.concatenate([self._path, np.zeros_like(self._path)])
            named = dict(zip(self.features, key, strict=True))
            self._path[code] = [self._context(named, context) for context in self._contexts]
        return code

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        for sketches in self.sketches:
            sketches.fold(day)
        self.losses += self._lessons[0]
        self.squares += self._lessons[1]
        self._lessons[:] = 0.0
        self._day = day

    def weights(self) -> Floats:
        """Return how much each member is trusted, shape (levels, members)."""
        rate = 2 * np.sqrt(np.log(self.losses.shape[1] + 1.0) / self.squares.max(axis=1))
        lead = self.losses - self.losses.min(axis=1, keepdims=True)
        trust = np.exp(-rate[:, None] * lead)
        weights: Floats = trust / trust.sum(axis=1, keepdims=True)
        return weights

    def quantiles_many(self, codes: Codes) -> Floats:
        """Return the committee's quantiles in seconds, shape (n, levels)."""
        told = np.einsum("nle,le->nl", self._logs(codes), self.weights())
        return np.expm1(np.maximum.accumulate(told, axis=1))

    def members_many(self, codes: Codes) -> Floats:
        """Return each member's quantiles in seconds, shape (n, levels, members)."""
        return np.expm1(self._logs(codes))

    def survival_many(self, codes: Codes, seconds: Floats) -> Floats:
        """Return each member's share of times longer than `seconds`, (n, k) to (n, k, members)."""
        mixed = np.stack(list(self._mixed(self._path[codes])), axis=2)
        total = np.cumsum(mixed, axis=1)
        logs = np.log1p(seconds)
        bins = np.searchsorted(_LOG_EDGES, logs, side="right")
        part = np.clip((logs - _LOWER[bins]) / (_UPPER[bins] - _LOWER[bins]), 0.0, 1.0)
        every = np.arange(len(codes))[:, None]
        longer = total[:, -1:] - total[every, bins] + (1 - part)[..., None] * mixed[every, bins]
        shares: Floats = longer / np.maximum(total[:, -1:], 1e-9)
        return np.clip(shares, 0.0, 1.0)

    def learn_many(self, codes: Codes, seconds: Floats) -> None:
        """Count times that ended, and what each member would have lost by its quantiles."""
        if len(codes) == 0:
            return
        now = np.log10(seconds + _FLOOR)[:, None, None]
        missing = now - np.log10(self.members_many(codes) + _FLOOR)
        level = np.array(self.levels)[:, None]
        lost = np.maximum(level * missing, (level - 1) * missing)
        lost -= lost.mean(axis=2, keepdims=True)
        self._lessons[0] += lost.sum(axis=0)
        self._lessons[1] += (lost**2).sum(axis=0)
        bins = np.searchsorted(_LOG_EDGES, np.log1p(seconds), side="right")
        for sketches in self.sketches:
            for context in self._path[codes].T:
                sketches.count_many(context, bins)

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: base.typing.RegTarget) -> None:
        """Count one time in seconds: `learn_many` of one."""
        self.learn_many(self._codes_of(x), np.array([y], np.float64).clip(0.0))

    def predict_one(self, x: dict[base.typing.FeatureName, Any]) -> float:
        """Return the quantile of the first level in seconds, 0 before anything was folded."""
        return float(self.quantiles_many(self._codes_of(x))[0, 0])

    def _codes_of(self, x: Mapping[base.typing.FeatureName, Any]) -> Codes:
        return np.array([self.code([str(x.get(feature, "")) for feature in self.features])])

    def _context(self, named: Mapping[str, str], context: tuple[str, ...]) -> int:
        """Return the code of one context, the same in all sketches."""
        key = _BETWEEN.join(("=".join((each, named[each]))) for each in context) or "all"
        codes = {sketches.code(f"{len(context)}:{key}") for sketches in self.sketches}
        assert len(codes) == 1, "histograms of all half-lives are asked for the same keys"
        return codes.pop()

    def _logs(self, codes: Codes) -> Floats:
        """Return log(1 + quantile) of each member, shape (n, levels, members)."""
        distinct, place = np.unique(codes, return_inverse=True)
        mixed = np.stack(list(self._mixed(self._path[distinct])), axis=1)
        return self._read(mixed)[place]

    def _mixed(self, paths: Codes) -> Iterator[Floats]:
        """Yield the distribution of each member, shape (n, BINS)."""
        for sketches in self.sketches:
            rows = sketches.rows(paths.reshape(-1))[:, 0].reshape(paths.shape)
            histograms = sketches.aged(rows, self._day)
            seen = histograms.sum(axis=2, keepdims=True)
            everybody = histograms[:, 0] / np.maximum(seen[:, 0], 1e-9)
            for chain in self._places:
                for prior in self.priors:
                    mixed = everybody
                    for each in chain:
                        mixed = (histograms[:, each] + prior * mixed) / (seen[:, each] + prior)
                    yield mixed

    def _read(self, mixed: Floats) -> Floats:
        """Return log(1 + quantile) of distributions, (n, members, BINS) to (n, levels, members)."""
        total = np.cumsum(mixed, axis=2)
        every, member = np.ogrid[: len(mixed), : mixed.shape[1]]
        read = np.zeros((len(mixed), len(self.levels), mixed.shape[1]))
        for column, level in enumerate(self.levels):
            target = level * total[:, :, -1]
            bins = np.minimum(np.count_nonzero(total < target[:, :, None], axis=2), BINS - 1)
            inside = mixed[every, member, bins]
            share = (target - total[every, member, bins] + inside) / np.maximum(inside, 1e-12)
            lower = _LOWER[bins]
            share = np.minimum(np.maximum(share, 0.0), 1.0)
            read[:, column] = lower + share * (_UPPER[bins] - lower)
        known: Floats = np.where(total[:, None, :, -1] > 0, read, 0.0)
        return known
