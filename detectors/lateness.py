"""The chance that a promise is missed: a logistic model that learns when labels are known.

Whether a parcel is late is known late: when it is delivered in time, or when the promised date
has passed. Until then a model must wait, and what it is taught meanwhile are not the parcels it
judges now. So it learns by sums of an epoch, with few observations and none to be repeated.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.histograms import Floats

Mask = NDArray[np.bool_]

_MOST_LOGIT: Final = 9.0
_LEAST_PRIOR: Final = 0.1
"""Share of the prior that holds the intercept."""


class LatenessModel(base.Classifier):
    r"""Logistic regression by one Newton step an epoch, on sums that forget.

    With $p_i$ the probabilities under the coefficients $\beta$ of an epoch, its end adds what
    was seen and makes one step:

    $$A \leftarrow \lambda A + \sum_i w_i p_i (1 - p_i) x_i x_i^T, \qquad
    \beta \leftarrow \beta + (A + \rho I)^{-1} \sum_i w_i (y_i - p_i) x_i$$

    which is recursive least squares on the logistic loss: no learning rate, and nearly the
    maximum of the likelihood of the past as $\lambda$ forgets it. Both sums can be added over
    partitions. What judges is what was known when `fold` was last called.

    Parameters
    ----------
    features
        Names of the features, each of the order of 1; a missing one is 0.
    half_life_days
        After so many days of the clock a label counts half.
    prior
        $\rho$: labels a coefficient needs to move, in information.
    bound
        A feature is cut off at plus and minus this.

    Examples
    --------
    >>> model = LatenessModel(features=("slack",))
    >>> for day in range(30):
    ...     for slack in (-2.0, -1.0, 1.0, 2.0):
    ...         model.learn_one({"slack": slack}, slack < 0)
    ...     model.fold(day)
    >>> model.predict_proba_one({"slack": -1.5})[True] > 0.9
    True

    References
    ----------
    [^1]: Fahrmeir, L., 1992. Posterior mode estimation by extended Kalman filtering for
    multivariate dynamic generalized linear models. JASA 87(418).

    """

    def __init__(
        self,
        features: Sequence[str] = (),
        half_life_days: float = 180.0,
        prior: float = 1.0,
        bound: float = 8.0,
    ) -> None:
        self.features = features
        self.half_life_days = half_life_days
        self.prior = prior
        self.bound = bound
        size = len(features) + 1
        self.coefficients = np.zeros(size)
        """Of the intercept and of each feature."""
        self.information = np.zeros((size, size))
        self._gradient = np.zeros(size)
        self._seen = np.zeros((size, size))
        """Sums of the running epoch."""
        self._day: float | None = None

    def fold(self, day: float) -> None:
        """Learn from what was seen since the last fold; `day` on the clock."""
        if self._day is not None:
            self.information *= np.exp2((self._day - day) / self.half_life_days)
        self._day = day
        if not self._seen.any():
            return
        self.information += self._seen
        held = np.full(len(self._gradient), self.prior)
        held[0] *= _LEAST_PRIOR
        self.coefficients += np.linalg.solve(self.information + np.diag(held), self._gradient)
        self._gradient[:] = 0.0
        self._seen[:] = 0.0

    def logits_many(self, rows: Floats) -> Floats:
        """Return log-odds of being late, for features in their order, shape (n, features)."""
        logits: Floats = self._design(rows) @ self.coefficients
        return np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT)

    def probability_many(self, rows: Floats) -> Floats:
        """Return the chance to be late, shape (n,)."""
        return 1.0 / (1.0 + np.exp(-self.logits_many(rows)))

    def learn_many(self, rows: Floats, late: Mask, weights: Floats | None = None) -> None:
        """Count labels that have become known, with the features of when they were judged."""
        if len(rows) == 0:
            return
        design, chance = self._design(rows), self.probability_many(rows)
        counts = np.ones(len(rows)) if weights is None else weights
        self._gradient += design.T @ (counts * (late - chance))
        self._seen += (design * (counts * chance * (1 - chance))[:, None]).T @ design

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: base.typing.ClfTarget) -> None:
        """Count one label: `learn_many` of one."""
        self.learn_many(self._row(x), np.array([bool(y)]))

    def predict_proba_one(
        self, x: dict[base.typing.FeatureName, Any], **_: Any
    ) -> dict[base.typing.ClfTarget, float]:
        """Return the chances not to be late and to be late."""
        late = float(self.probability_many(self._row(x))[0])
        return {False: 1 - late, True: late}

    def _row(self, x: dict[base.typing.FeatureName, Any]) -> Floats:
        return np.array([[float(x.get(feature, 0.0)) for feature in self.features]])

    def _design(self, rows: Floats) -> Floats:
        bounded = np.clip(rows, -self.bound, self.bound)
        return np.column_stack([np.ones(len(rows)), bounded])
