"""How many outbreaks are found, and when, at a given share of false alarms."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.surges.designs import SIZES, Floats, World

AFTER: Final = {"W": 8, "D": 21}
"""Buckets after an outbreak that are neither outbreak nor quiet."""


class Found(NamedTuple):
    """What a threshold on scores finds."""

    threshold: float
    pod: float
    """Share of log-normal outbreaks with an alarm while they last, mean over sizes."""
    by_kind: dict[str, float]
    """The same for spikes, steps and ramps."""
    delay: float
    """Mean buckets from start to alarm for k = 3, of those found ..."""
    charged: float
    """... and with those missed charged their whole length."""
    fpr: Floats
    """Share of outbreak-free buckets flagged, by scenario."""


def quiet_buckets(world: World) -> NDArray[np.bool_]:
    """Return which judged buckets hold no outbreak, shape (series, judged buckets).

    Nor are the buckets just after one counted, in which most detectors still see it.
    """
    quiet = np.ones((len(world.counts), world.counts.shape[1] - world.judged_from), bool)
    planted, after = world.planted, AFTER[world.name]
    for series, start, stop in zip(planted.series, planted.start, planted.stop, strict=True):
        quiet[series, start - world.judged_from : stop - world.judged_from + after] = False
    return quiet


def at_rate(world: World, scores: Floats, rate: float) -> Found:
    """Judge scores of the judged buckets, shape (series, judged), at a pooled false-alarm rate."""
    quiet = scores[quiet_buckets(world)]
    return at_alarms(
        world, scores > np.quantile(quiet, 1 - rate), float(np.quantile(quiet, 1 - rate))
    )


def at_alarms(world: World, alarms: NDArray[np.bool_], threshold: float = np.nan) -> Found:
    """Judge alarms, shape (series, judged buckets)."""
    planted = world.planted
    quiet = quiet_buckets(world)
    first = np.full(len(planted.series), np.nan)
    for place, (series, start, stop) in enumerate(
        zip(planted.series, planted.start - world.judged_from, planted.stop - world.judged_from,
            strict=True)
    ):  # fmt: skip
        hits = np.flatnonzero(alarms[series, start:stop])
        if hits.size:
            first[place] = hits[0]
    usual = planted.kind == "log-normal"
    hit = ~np.isnan(first)
    sizes = [hit[usual & (planted.size == k)].mean() for k in SIZES]
    kinds = {k: float(hit[planted.kind == k].mean()) for k in np.unique(planted.kind[~usual])}
    three = usual & (planted.size == 3)
    length = (planted.stop - planted.start)[three]
    charged = np.where(hit[three], first[three], length)
    groups = np.arange(world.scenario.max() + 1)
    fpr = np.array([alarms[world.scenario == g][quiet[world.scenario == g]].mean() for g in groups])
    found = first[three & hit]
    delay = float(found.mean()) if found.size else np.nan
    return Found(threshold, float(np.mean(sizes)), kinds, delay, float(charged.mean()), fpr)
