"""What others predict of the same dwells: quantiles of stages, Kaplan-Meier, gradient boosting.

All are refitted a hundred times (twenty for Kaplan-Meier, ten for boosting) between the first 30 %
of events and the last, on what had ended by then, and predict a dwell when it begins.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import lightgbm  # type: ignore[import-untyped, import-not-found, unused-ignore]
import numpy as np
from lifelines import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    KaplanMeierFitter,
)
from lifelines.utils import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    qth_survival_time,
)

from benchmarks.stalls.event_log import Floats, Index, Log
from benchmarks.stalls.exceedance import LEVELS, judged

_LEAST: Final = 10
"""Dwells a stage needs to be asked alone; the others are asked together."""
_MOST_ROWS: Final = 200_000
"""Dwells gradient boosting is taught, the last ones."""
_TREES: Final = 100

Fit = Callable[[Log, float, Index], Floats]
"""Of a log, a time and dwells that begin from then on: quantiles, shape (n, levels)."""


def anchors(log: Log) -> dict[str, Any]:
    """Return the figures of each anchor on a log."""
    fits: dict[str, tuple[Fit, int]] = {
        "stage quantile": (_completed, 100),
        "quantile of stage and stage before": (_completed_pairs, 100),
        "Kaplan-Meier": (_kaplan_meier, 20),
        "LightGBM": (_boosting, 10),
    }
    return {name: judged(log, _refitted(log, fit, times)) for name, (fit, times) in fits.items()}


def _refitted(log: Log, fit: Fit, times: int) -> Floats:
    quantiles = np.full((len(log.began), len(LEVELS)), np.nan)
    first = int(np.ceil(0.3 * len(log.began)))
    for places in np.array_split(np.arange(first, len(log.began)), times):
        if len(places):
            quantiles[places] = fit(log, float(log.began[places[0]]), places)
    return quantiles


def _completed(log: Log, now: float, places: Index) -> Floats:
    return _of_groups(log, log.stage, now, places)


def _completed_pairs(log: Log, now: float, places: Index) -> Floats:
    return _of_groups(log, log.stage * (len(log.names) + 1) + log.before, now, places)


def _of_groups(log: Log, group: Index, now: float, places: Index) -> Floats:
    ended = log.ended < now
    return _by_group(group, places, ended, lambda rows: np.quantile(log.seconds[rows], LEVELS))


def _kaplan_meier(log: Log, now: float, places: Index) -> Floats:
    """Return quantiles with what is in flight as censored; where none is reached, the longest."""
    known = log.began < now
    seconds = np.minimum(log.ended, now) - log.began

    def of(rows: Index) -> Floats:
        fitter = KaplanMeierFitter().fit(seconds[rows], log.ended[rows] < now)
        left = fitter.survival_function_["KM_estimate"]
        told = np.array([qth_survival_time(1 - level, left) for level in LEVELS])
        return np.where(np.isfinite(told), told, seconds[rows].max())

    return _by_group(log.stage, places, known, of)


def _by_group(group: Index, places: Index, known: Any, of: Callable[[Index], Floats]) -> Floats:
    """Ask each group that has enough of what is known, and all together for the others."""
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(group[rows], kind="stable")]
    groups, starts = np.unique(group[rows], return_index=True)
    everybody = of(rows) if len(rows) else np.zeros(len(LEVELS))
    told = dict(_told(groups, np.split(rows, starts[1:]), set(group[places].tolist()), of))
    return np.array([told.get(each, everybody) for each in group[places].tolist()])


def _told(
    groups: Index, parts: list[Index], wanted: set[int], of: Callable[[Index], Floats]
) -> Iterator[tuple[int, Floats]]:
    for each, part in zip(groups.tolist(), parts, strict=False):
        if each in wanted and len(part) >= _LEAST:
            yield each, of(part)


def _boosting(log: Log, now: float, places: Index) -> Floats:
    features = _features(log)
    rows = np.flatnonzero(log.ended < now)[-_MOST_ROWS:]
    if len(rows) < _LEAST:
        return np.zeros((len(places), len(LEVELS)))
    told = np.zeros((len(places), len(LEVELS)))
    for column, level in enumerate(LEVELS):
        model = lightgbm.train(
            {"objective": "quantile", "alpha": level, "verbose": -1, "num_threads": 1, "seed": 1},
            lightgbm.Dataset(
                features[rows], np.log10(log.seconds[rows] + 60), categorical_feature=[0, 1]
            ),
            _TREES,
        )
        told[:, column] = 10 ** np.asarray(model.predict(features[places])) - 60
    return np.maximum(told, 0.0)


def _features(log: Log) -> Floats:
    hour = log.began % 86_400 // 3600
    weekday = (log.began // 86_400 + 3) % 7
    return np.column_stack([log.stage, log.before, log.earlier, hour, weekday])
