"""The oracle: it knows every dwell's true distribution, and which scans are missing.

The next visible scan may end several steps (a `departed` in between was never made); then the end
is a sum over grids of luck, else it is one call of the simulator's own pace. It flags when the
chance of a longer silence falls below a threshold, one for all parcels, and waits for an upload
where the carrier has them, and a little for scans that come late. Both are chosen with hindsight,
so it stands for what a perfect model would get.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import ndtri

from benchmarks.stalls.anchors import best
from benchmarks.stalls.judged import Hours, Index, Judged
from benchmarks.stalls.scoring import Score

_CHANCES: Final = (0.003, 0.0015, 0.001, 0.0006, 0.0003, 0.0001)
_LATE_HOURS: Final = (0.0, 4.0, 10.0)
"""Waits for scans that come late: one in fifty does, by hours."""
_EDGES: Final = np.array(
    [1, 0.85, 0.7, 0.55, 0.4, 0.25, 0.15, 0.08, 0.04, 0.02, 0.01, 0.005, 0.0025, 0.001, 0.0004,
     0.0001, 0.00001]
)  # fmt: skip
"""Chances to be slower: strata of luck, finer towards the tail."""


def oracle(judged: Judged) -> Score:
    """Return the oracle's score at the budget, and its whole curve."""
    silences = _Silences(judged)
    tried = ((chance, late) for chance in _CHANCES for late in _LATE_HOURS)
    return best("oracle", judged, (silences.waits(chance) + late for chance, late in tried))


class _Silences:
    """True waits of every dwell."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        dwells = judged.dwells
        self._chains = self._next_steps()
        self._single = np.array([len(chain) == 1 for chain in self._chains], np.bool_)
        self._several = np.flatnonzero([len(chain) > 1 for chain in self._chains])
        self._grid = self._spread_out()
        carriers = judged.simulation.world.carriers
        carrier = judged.simulation.parcels.carrier[dwells.parcel]
        self._upload = np.array([each.upload_hours for each in carriers])[carrier]
        self._lag = np.array([4 * each.report_minutes / 60 for each in carriers])[carrier]

    def waits(self, chance: float) -> Hours:
        """Return how long each silence lasts with so small a chance, heard of and all."""
        dwells = self._judged.dwells
        end = np.full(len(dwells), np.inf)
        z = float(ndtri(1 - chance))
        step = np.array([chain[0] if len(chain) else -1 for chain in self._chains])
        for number in np.unique(step[self._single]).tolist():
            mine = np.flatnonzero(self._single & (step == number))
            end[mine] = self._finish(number, dwells.parcel[mine], dwells.began[mine], z)
        for place, dwell in enumerate(self._several.tolist()):
            end[dwell] = self._quantile(place, chance)
        heard = end + self._lag
        with np.errstate(invalid="ignore"):
            slot = np.ceil(end / np.maximum(self._upload, 1e-9)) * self._upload + 0.1
        wait: Hours = np.where(self._upload > 0, slot, heard) - dwells.began
        return wait

    def _next_steps(self) -> list[Index]:
        """Return the steps that the silence after each scan consists of."""
        steps, dwells = self._judged.simulation.steps, self._judged.dwells
        taken = np.stack([step.taken for step in steps])
        chains = []
        for parcel, step, following in zip(
            dwells.parcel.tolist(), dwells.step.tolist(), dwells.following.tolist(), strict=True
        ):
            ahead = np.flatnonzero(taken[step:, parcel]) + step if step < len(steps) else _NOTHING
            if following > 0 and following <= len(steps):
                chains.append(ahead[ahead < following])
            else:
                chains.append(ahead[:1])
        return chains

    def _finish(self, number: int, who: Index, at: Hours, z: float | Hours) -> Hours:
        walker, step = self._judged.simulation.walker, self._judged.simulation.steps[number]
        return walker.finish(step, who, at, np.broadcast_to(z, at.shape).copy(), np.ones(len(at)))

    def _spread_out(self) -> Hours:
        """Return ends of silences of several steps over a grid of luck, (silences, cells)."""
        middle = ndtri(1 - np.sqrt(_EDGES[1:] * np.minimum(_EDGES[:-1], 0.999)))
        cells = len(middle) ** 2
        dwells = self._judged.dwells
        ends = np.empty((len(self._several), cells))
        who = dwells.parcel[self._several]
        chains = [self._chains[dwell] for dwell in self._several.tolist()]
        for one in range(len(middle)):
            for other in range(len(middle)):
                now = dwells.began[self._several].copy()
                self._walk(chains, who, now, (middle[one], middle[other]))
                ends[:, one * len(middle) + other] = now
        weight = np.diff(-_EDGES)
        self._weight = np.outer(weight, weight).ravel() / weight.sum() ** 2
        self._order = np.argsort(ends, axis=1)
        return ends

    def _walk(
        self, chains: Sequence[Index], who: Index, now: Hours, luck: tuple[float, float]
    ) -> None:
        """Move silences on: first step by one luck, last by the other, those between at 0."""
        longest = max((len(chain) for chain in chains), default=0)
        table = np.full((len(chains), longest), -1)
        for row, chain in enumerate(chains):
            table[row, : len(chain)] = chain
        length = (table >= 0).sum(axis=1)
        for place in range(longest):
            z = np.where(place == 0, luck[0], np.where(place == length - 1, luck[1], 0.0))
            for number in np.unique(table[:, place]).tolist():
                mine = np.flatnonzero(table[:, place] == number)
                if number >= 0:
                    now[mine] = self._finish(number, who[mine], now[mine], z[mine])

    def _quantile(self, place: int, chance: float) -> float:
        order = self._order[place]
        above = np.cumsum(self._weight[order][::-1])
        return float(self._grid[place, order[::-1]][np.searchsorted(above, chance)])


_NOTHING: Final = np.empty(0, np.int64)
