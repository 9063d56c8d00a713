"""Outbreaks as chains of stages: what each adds, and how it goes on.

The shape of an outbreak is a row of stages. In each it adds so many standard deviations to a
bucket. A stage of one bucket takes exactly that; one of several buckets ends after any of them with
the same chance. At the end of a stage an outbreak goes on to the next or is over: the smaller the
share of its cases still to come, the surer. With a stage a bucket, a chain is the template of its
shape.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from detectors.table import Floats

DAY: Final = 86_400
WEEK_DAYS: Final = 7
SIZES: Final = (1.0, 2.0, 3.0, 5.0, 10.0)
"""k of log-normal outbreaks: whole excess in standard deviations of a week's counts for weekly
buckets, else in seven of a day's."""
LASTING_SIZES: Final = (1.5, 3.0)
"""k of steps and ramps."""
BRIEF_SIZES: Final = (3.0, 5.0, 9.0)
"""Standard deviations of its whole time that a spike adds."""
_BRIEF: Final = {False: [(1.0, 1.0)], True: [(1.0, 0.3), (0.25, 0.1), (1 / 24, 0.05)]}
"""Days a spike lasts and its prior weight, by whether buckets are shorter than a day."""
LAST_CASES: Final = 8
"""An outbreak counts as over once this many cases at most would still come, by chance."""
STARTS_A_DAY: Final = 0.015
"""Outbreaks that begin, a series and day: what is at stake is the rate of alarms, not this."""


class Shape(NamedTuple):
    """Shares of the whole excess by stage, and what they mean."""

    shares: Floats
    stage_days: float
    size: float
    """Whole excess in standard deviations of one bucket."""
    weight: float
    """Prior weight beside the other shapes'."""
    brief: bool = False


class Chains(NamedTuple):
    """Stages of all shapes in a row, those of a shape neighbours; shape (stages,) each."""

    excess: Floats
    """Standard deviations of a bucket that are added to each bucket of the stage."""
    stay: Floats
    """Probability that the stage goes on for another bucket, ..."""
    go_on: Floats
    """... that the next stage follows, and else it is over. The last goes on to nothing."""
    start: Floats
    """Probability that an outbreak starts in this stage in a bucket; 0 but for first stages."""
    brief: NDArray[np.bool_]
    """Whether the shape is over with one bucket, or for hours with one day."""


def shapes_of(bucket_seconds: int) -> list[Shape]:
    """Return the shapes looked for in buckets of some width."""
    days = bucket_seconds / DAY
    if days >= WEEK_DAYS:
        return [Shape(_log_normal(5, 1.0), days, k, 0.2) for k in SIZES]
    deviation = days**-0.5  # of a day's counts, in those of a bucket
    week = WEEK_DAYS * deviation
    shapes = [Shape(_log_normal(10, 0.25), 1.0, k * week, 0.2) for k in SIZES]
    for k in LASTING_SIZES:
        shapes.append(Shape(np.ones(1), 14.0, k * week, 0.05))
        shapes.append(Shape(np.arange(1.0, 8.0) / 28, 3.0, k * week, 0.05))
    for lasts, weight in _BRIEF[days < 1]:
        size = (lasts / days) ** 0.5
        shapes += [Shape(np.ones(1), lasts, k * size, weight, brief=True) for k in BRIEF_SIZES]
    return shapes


def chains_of(bucket_seconds: int) -> Chains:
    """Return the chains of the shapes looked for in buckets of some width."""
    days = bucket_seconds / DAY
    excess, stay, go_on, start, brief = [], [], [], [], []
    for shape in shapes_of(bucket_seconds):
        buckets = max(shape.stage_days / days, 1.0)
        left = 1 - np.concatenate([[0.0], np.cumsum(shape.shares)])
        active = 1 - (1 - np.clip(left, 0.0, 1.0)) ** LAST_CASES
        excess.append(shape.shares * shape.size / buckets)
        stay.append(np.full(len(shape.shares), 1 - 1 / buckets))
        after = active[1:] / active[:-1]
        after[-1] = 0.0
        go_on.append((1 - stay[-1]) * after)
        start.append(np.eye(1, len(shape.shares))[0] * shape.weight * STARTS_A_DAY * days)
        brief.append(np.full(len(shape.shares), shape.brief))
    return Chains(*map(np.concatenate, (excess, stay, go_on, start, brief)))


def _log_normal(stages: int, width: float) -> Floats:
    """Return the shares of log-normal(0, 0.5) in stages of some width."""
    edges = np.arange(1, stages + 1) * width
    shares: Floats = np.diff(np.concatenate([[0.0], ndtr(np.log(edges) / 0.5)]))
    return shares
