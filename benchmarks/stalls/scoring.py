"""What flags are worth: found and when, false, and where.

Recall counts planted parcels flagged after their trouble began, before they moved on, within three
times the true 99th percentile of that dwell in working time; delay is the median time to that flag
in units of the percentile; false are healthy parcels ever flagged after the time of learning, in
1,000. Victims of outages, feeds and closures are counted apart.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.stalls.judged import Hours, Index, Judged


class Said(NamedTuple):
    """Flags of one detector: parcel, hour of the world and stage of each."""

    parcel: Index
    at: Hours
    stage: Sequence[str]


class Score(msgspec.Struct, kw_only=True):
    """One detector in one world."""

    name: str
    recall: float
    false_in_1000: float
    delay: float | None
    """Median over what was found; None: nothing was."""
    planted: int
    found: int
    healthy: int
    false: int
    delays: list[float] = []
    """Of each planted parcel found, ascending."""
    missed_by_stage: dict[str, tuple[int, int]] = {}
    """Planted and missed, by the milestone seen last."""
    false_by_stage: dict[str, int] = {}
    victims: dict[str, tuple[int, int]] = {}
    """Who suffered from an incident, and how many of them were flagged."""
    false_of_group: dict[str, float] = {}
    """False flags in 1,000 on new lanes, of a new and of a slowed carrier, from the third day."""
    seconds: float = 0.0
    """CPU time of the whole run."""
    curve: list[tuple[float, float]] = []
    """False in 1,000 and recall at other thresholds."""


def score(name: str, judged: Judged, said: Said) -> Score:
    """Compare flags with the truth of a world."""
    order = np.argsort(said.at, kind="stable")
    late = order[said.at[order] >= judged.learned]
    parcels, times = said.parcel[late], said.at[late]
    found = _found(judged, parcels, times)
    delays = sorted(judged.delay(judged.planted[who], at) for who, at in found.items())
    flagged = np.zeros(len(judged.healthy), np.bool_)
    flagged[parcels] = True
    false = flagged & judged.healthy
    healthy, planted = int(judged.healthy.sum()), len(judged.planted)
    return Score(
        name=name,
        recall=len(found) / max(planted, 1),
        false_in_1000=1000 * float(false.sum()) / max(healthy, 1),
        delay=float(np.median(delays)) if delays else None,
        planted=planted,
        found=len(found),
        healthy=healthy,
        false=int(false.sum()),
        delays=[round(delay, 4) for delay in delays],
        missed_by_stage=_missed(judged, found),
        false_by_stage=_where(parcels, [said.stage[place] for place in late.tolist()], false),
        victims={
            kind.value: (int(mine.sum()), int((mine & flagged).sum()))
            for kind, mine in judged.victims.items()
        },
        false_of_group={
            group: 1000 * float((mine & false).sum()) / float(mine.sum())
            for group, mine in judged.groups().items()
            if mine.any()
        },
    )


def _found(judged: Judged, parcels: Index, times: Hours) -> dict[int, float]:
    """Return the first flag in time of each planted parcel; `times` ascend."""
    found: dict[int, float] = {}
    for parcel, at in zip(parcels.tolist(), times.tolist(), strict=True):
        planted = judged.planted.get(parcel)
        if planted is not None and parcel not in found and planted.began <= at <= planted.until:
            found[parcel] = at
    return found


def _missed(judged: Judged, found: dict[int, float]) -> dict[str, tuple[int, int]]:
    planted = Counter(each.stage for each in judged.planted.values())
    missed = Counter(each.stage for who, each in judged.planted.items() if who not in found)
    return {stage: (count, missed[stage]) for stage, count in planted.most_common()}


def _where(parcels: Index, stages: Sequence[str], false: np.ndarray) -> dict[str, int]:
    """Count healthy parcels by the stage of their first flag."""
    first = dict(zip(parcels[::-1].tolist(), reversed(stages), strict=True))
    counted = Counter(stage for who, stage in first.items() if false[who])
    return dict(counted.most_common())
