"""Peers that forecast inflow: the week before, and River's Holt-Winters, block by block."""

import csv
import types
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.driving import Seen
from benchmarks.capacity.scoring import LEARNING_DAYS, Episode, blocks_of
from detectors.overflow import course
from simulator.regions import Regions

WEEK_BLOCKS: Final = 56
STEPS: Final = 16
Steps = NDArray[np.float64]
"""Forecasts by block ahead, shape (blocks, regions, STEPS); NaN before there are any."""


def _holt_winters() -> Any:
    """Import River's time series; River 0.26.0 subscripts csv.DictReader, which 3.11 cannot."""
    if not hasattr(csv.DictReader, "__class_getitem__"):
        csv.DictReader.__class_getitem__ = classmethod(  # type: ignore[attr-defined]
            types.GenericAlias
        )
    from river.time_series import HoltWinters  # noqa: PLC0415  # after the mending

    return HoltWinters


def seasonal_naive(world: Regions) -> Steps:
    """Return what arrived a week before."""
    blocks = blocks_of(world).astype(np.float64)
    ahead = np.full((*blocks.shape, STEPS), np.nan)
    for step in range(1, STEPS + 1):
        shift = WEEK_BLOCKS - step
        ahead[shift:, :, step - 1] = blocks[: len(blocks) - shift]
    return ahead


def holt_winters(world: Regions) -> Steps:
    """Return forecasts of a Holt-Winters model of the week for each region."""
    blocks = blocks_of(world).astype(np.float64)
    ahead = np.full((*blocks.shape, STEPS), np.nan)
    make = _holt_winters()
    for region in range(blocks.shape[1]):
        model = make(alpha=0.05, beta=0.001, gamma=0.2, seasonality=WEEK_BLOCKS)
        for block, count in enumerate(blocks[:, region].tolist()):
            model.learn_one(count)
            if block >= 2 * WEEK_BLOCKS:
                ahead[block, region] = np.maximum(model.forecast(STEPS), 0.0)
    return ahead


def sums(steps: Steps) -> NDArray[np.float64]:
    """Return forecasts of the next 6, 24 and 48 hours, shape (blocks, regions, 3)."""
    total = np.cumsum(steps, axis=2)
    return total[:, :, [1, 7, 15]]


def episodes(world: Regions, seen: Seen, steps: Steps, probability: float) -> list[Episode]:
    """Return the alerts that the same rule opens on a peer's forecast.

    Backlog, capacity and limit are ours; the variance of its sums is that of its own errors.
    """
    blocks = blocks_of(world)
    variance = _variance(blocks, steps)
    backlog = world.backlog[:, 2::3].T.astype(np.float64)
    found: list[Episode] = []
    opened: dict[int, int] = {}
    likely, calm = np.zeros(blocks.shape[1], int), np.zeros(blocks.shape[1], int)
    for block in range(LEARNING_DAYS * 8, len(blocks)):
        ahead = course(
            backlog[block], steps[block], variance[block], seen.share[block], seen.could[block],
            seen.limits[block],
        )  # fmt: skip
        over = ahead.over.max(axis=1)
        above = backlog[block] > seen.limits[block]
        likely = np.where((over >= probability) | above, likely + 1, 0)
        calm = np.where((over < 0.4 * probability) & ~above, calm + 1, 0)
        for region in range(blocks.shape[1]):
            if region not in opened and likely[region] >= 2:
                opened[region] = (block + 1) * 3
            elif region in opened and calm[region] >= 4:
                found.append(Episode(region, opened.pop(region), (block + 1) * 3))
    hours = world.entered.shape[1]
    return found + [Episode(region, hour, hours) for region, hour in opened.items()]


def _variance(blocks: NDArray[np.int64], steps: Steps) -> Steps:
    """Return the variance of each block ahead: by region, of errors of sums, spread evenly."""
    variance = np.zeros_like(steps)
    total = np.cumsum(blocks, axis=0).astype(np.float64)
    told = np.cumsum(steps, axis=2)
    for region in range(blocks.shape[1]):
        came = total[STEPS:, region] - total[:-STEPS, region]
        off = (told[:-STEPS, region, -1] - came)[2 * WEEK_BLOCKS : LEARNING_DAYS * 8]
        variance[:, region, :] = float(np.mean(off**2)) / STEPS
    return variance
