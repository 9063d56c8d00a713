"""What predicted quantiles of dwells are worth: exceedance in all and by eighths, pinball loss."""

from typing import Any, Final

import numpy as np

from benchmarks.stalls.event_log import Floats, Index, Log, Mask

LEVELS: Final = (0.9, 0.99)
EIGHTHS: Final = 8


def judged(log: Log, quantiles: Floats, beyond: Mask | None = None) -> dict[str, Any]:
    """Return the figures of predicted quantiles in seconds, shape (n, levels).

    `beyond` tells which dwells passed their quantile, where that is not by comparison: a quantile
    may have been in force until it was passed.
    """
    chosen = log.judged
    seconds, quantiles = log.seconds[chosen], quantiles[chosen]
    beyond = seconds[:, None] > quantiles if beyond is None else beyond[chosen]
    order = np.argsort(log.began[chosen], kind="stable")
    parts = np.array_split(order, EIGHTHS)
    calendar = _calendar(log.began[chosen])
    return {
        "dwells": len(seconds),
        "exceedance": _shares(beyond, np.arange(len(seconds))),
        "eighths": [_shares(beyond, part) for part in parts],
        "eighths_of_calendar": [
            {"dwells": len(part), **_shares(beyond, part)} for part in calendar
        ],
        "pinball": {
            f"{level:g}": round(pinball(seconds, quantiles[:, column], level), 5)
            for column, level in enumerate(LEVELS)
        },
    }


def pinball(seconds: Floats, quantiles: Floats, level: float) -> float:
    """Return the mean pinball loss of log10(seconds + 60)."""
    if len(seconds) == 0:
        return float("nan")
    off = np.log10(seconds + 60) - np.log10(np.maximum(quantiles, 0) + 60)
    return float(np.maximum(level * off, (level - 1) * off).mean())


def _shares(beyond: Mask, part: Index) -> dict[str, float | None]:
    return {
        f"{level:g}": round(float(beyond[part, column].mean()), 5) if len(part) else None
        for column, level in enumerate(LEVELS)
    }


def _calendar(began: Floats) -> list[Index]:
    """Return the dwells that began in each eighth of the time between the first and the last."""
    if len(began) == 0:
        return [np.zeros(0, np.int64)] * EIGHTHS
    edges = np.linspace(began.min(), began.max(), EIGHTHS + 1)[1:-1]
    eighth = np.searchsorted(edges, began, side="right")
    return [np.flatnonzero(eighth == number) for number in range(EIGHTHS)]
