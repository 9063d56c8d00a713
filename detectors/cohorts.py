"""Cohorts of parcels on their way: how they grow older and arrive, as arrays.

A cohort is what came into a stage (labelled, on the move) in one block of three hours.
"""

from typing import Final

import numpy as np

from detectors.counts import DAY, WEEKDAY_OF_EPOCH
from detectors.table import Floats

BLOCK: Final = 3 * 3600
"""Seconds of a block."""
BLOCKS_A_DAY: Final = 8
AGES: Final = 40
"""Blocks of age that are told apart; the last holds all that is older."""
STEPS: Final = 16
"""Blocks that are forecast: two days."""
SLOTS: Final = 7 * BLOCKS_A_DAY
LABELLED, MOVING = 0, 1
_SLOT_PRIOR: Final = 100.0
_AT_ONCE: Final = 512
"""Rows that are run through together."""
_MOST: Final = 0.98
"""No larger share of an age goes on within a block."""


def slot_of(bucket: int, utc_offset_seconds: int) -> int:
    """Return which block of the week a time lies in."""
    days, second = divmod(bucket + utc_offset_seconds, DAY)
    return int((days + WEEKDAY_OF_EPOCH) % 7 * BLOCKS_A_DAY + second // BLOCK)


def by_slot(seen: Floats, due: Floats) -> Floats:
    """Return how busy each block of the week is, the mean being 1.

    A block of the week is shrunk towards its block of the day, and that towards the mean.
    """
    rate = (seen.sum() + 1.0) / (due.sum() + 1.0)
    days = (7, BLOCKS_A_DAY)
    by_day = (seen.reshape(days).sum(axis=0) + _SLOT_PRIOR * rate) / (
        due.reshape(days).sum(axis=0) + _SLOT_PRIOR
    )
    usual = np.tile(by_day, 7)
    factors: Floats = (seen + _SLOT_PRIOR * usual) / (due + _SLOT_PRIOR) / rate
    return factors


def run_through(
    way: Floats, shares: Floats, factors: Floats, births: tuple[float, float]
) -> Floats:
    """Let parcels go on block by block; return how many arrive in each, shape (rows, STEPS).

    A few rows at a time, so that what is worked on stays in the processor's cache, and only
    those to which something is on its way.
    """
    arrived = np.zeros((len(way), STEPS))
    busy = np.flatnonzero(way.any(axis=1)) if not any(births) else np.arange(len(way))
    for start in range(0, len(busy), _AT_ONCE):
        some = busy[start : start + _AT_ONCE]
        arrived[some] = _some_through(way[some], shares[some], factors, births)
    return arrived


def _some_through(
    way: Floats, shares: Floats, factors: Floats, births: tuple[float, float]
) -> Floats:
    """Cohorts stay where they are in an array, and the shares of their ages are moved along."""
    count, width = len(way), STEPS + AGES
    lying, ahead = np.zeros((2, count, width), way.dtype), np.empty((2, count, width), way.dtype)
    for stage in (LABELLED, MOVING):
        part = slice(stage * AGES, (stage + 1) * AGES)
        lying[stage, :, STEPS:] = way[:, part]
        ahead[stage, :, :AGES] = shares[:, part]
        ahead[stage, :, AGES:] = shares[:, part.stop - 1, None]
    arrived = np.empty((count, STEPS))
    room = np.empty_like(ahead)
    for step in range(STEPS):
        here, goes = lying[:, :, STEPS - step :], room[:, :, : AGES + step]
        faster = factors[step, :, None, None].astype(way.dtype)
        np.multiply(ahead[:, :, : AGES + step], faster, out=goes)
        np.minimum(goes, _MOST, out=goes)
        goes *= here
        here -= goes
        gone = np.add.reduce(goes, axis=2)
        arrived[:, step] = gone[MOVING]
        lying[LABELLED, :, STEPS - step] += births[LABELLED]
        lying[MOVING, :, STEPS - step] += births[MOVING] + gone[LABELLED]
    return arrived


def _aged(stage: Floats) -> Floats:
    """Make parcels of a stage, shape (rows, AGES), a block older."""
    older = np.empty_like(stage)
    older[:, 0] = 0
    older[:, 1:] = stage[:, :-1]
    older[:, -1] += stage[:, -1]
    return older


def older(way: Floats) -> Floats:
    return np.hstack([_aged(way[:, :AGES]), _aged(way[:, AGES:])])


def by_stage(values: Floats) -> Floats:
    return np.stack([values[:, :AGES].sum(axis=1), values[:, AGES:].sum(axis=1)], axis=1)
