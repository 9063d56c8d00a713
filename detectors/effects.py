"""What is usual at a place, from how long dwells were there and elsewhere: shrunk effects.

A cell is a carrier, a place, a destination and a step, with the mean and the variance of the
logarithms of its dwells. Cells share what they have in common: the mean of a cell is that of its
step, plus what its carrier is off that, what its way (region > destination, at all carriers), its
place and its lane are off. Each is shrunk by what stands behind it, and how much is learned from
the data: where lanes differ more than the dwells on one of them do, two dwells on a new lane say
more than a thousand on others; where they do not, they say nothing.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.histograms import Floats
from detectors.sketches import SEPARATOR, Codes, Sketches

NONE: Final = -1
_KINDS: Final = 4
"""Effects: of a carrier, a way, a place and a lane."""
_SWEEPS: Final = 6
_FIRST_VARIANCE: Final = 0.05
"""What effects vary by until groups of dwells have told, in squared logarithms."""
_PRIOR_GROUPS: Final = 2.0
_VARIANCES: Final = (1e-5, 1.0)
_SPREAD_PRIOR: Final = 30.0
"""Dwells a carrier needs, and a cell, until its spread is heard as much as the one above."""
_LEAST_REST: Final = 0.2
"""Share of a carrier's dwells that must be without a lane's histogram to speak for themselves."""
_LEAST_VARIANCE: Final = 0.05**2
_MOST_DOUBT: Final = 0.5
"""What is not known of a mean widens the spread by no more, in squared logarithms."""


class Groups(NamedTuple):
    """Where a cell belongs; a name is empty where an effect does not apply."""

    step: str
    """What all carriers' cells of a kind have in common."""
    carrier: str
    way: str
    place: str
    lane: str


class Expected(NamedTuple):
    """What is expected of cells, shape (n,); in logarithms."""

    mean: Floats
    variance: Floats
    """Of one dwell around the mean, with what is not known of the mean."""
    known: NDArray[np.bool_]


class _Numbers:
    """Numbers of names, in the order in which they are given."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        self.step: list[int] = []
        """The step each belongs to."""

    def give(self, name: str, step: int) -> int:
        if not name:
            return NONE
        found = self.number.get(name)
        if found is None:
            found = self.number[name] = len(self.number)
            self.step.append(step)
        return found

    def get(self, name: str) -> int:
        return self.number.get(name, NONE) if name else NONE


class Effects:
    """Means and spreads of cells, fitted to the histograms of all cells whenever they change.

    Parameters
    ----------
    sketches
        Histograms of dwells by cell, and of their ancestors.
    groups_of
        Where the cell of a histogram's key belongs; None for everybody's step.
    min_observations
        A step speaks from so many dwells on.

    A linear mixed model by backfitting; variances of the effects by expectation-maximisation
    (Laird and Ware, Random-effects models for longitudinal data, Biometrics 38, 1982). It starts
    anew each time and goes by the order of rows, so it depends on the histograms alone.
    """

    def __init__(
        self,
        sketches: Sketches,
        groups_of: Callable[[str], Groups | None],
        min_observations: float,
    ) -> None:
        self._sketches, self._groups_of = sketches, groups_of
        self._min_observations = min_observations
        self.forget()

    def forget(self) -> None:
        """Forget everything, after loading."""
        self._seen = 0
        """Rows whose groups are known."""
        self._steps = _Numbers()
        self._kinds = [_Numbers() for _ in range(_KINDS)]
        self._cells = np.zeros(0, np.int64)
        """Rows that are cells."""
        self._of = np.zeros((_KINDS + 1, 0), np.int64)
        """Of each cell, the number of its step and of its groups."""
        self._whole = np.zeros(0, np.bool_)
        """Which cells are carriers' steps, all lanes of them."""
        self._cell_of = np.zeros(0, np.int64)
        """The cell of each row; NONE for what is none."""
        self._of_code = np.zeros((0, _KINDS + 1), np.int64)
        self._applies = np.zeros((0, _KINDS), np.bool_)
        self._searched = np.zeros(0, np.int64)
        """How many rows there were when each code's groups were looked for."""
        self.folded()

    def folded(self) -> None:
        """Note that histograms have changed."""
        self._fitted = False

    def ask(self, codes: Codes) -> Expected:
        """Return what is expected of cells, by their codes in the histograms."""
        if not self._fitted:
            self._fit()
        of, applies = self._find(codes)
        step = of[:, 0]
        known = (step != NONE) & (self._n_of_step[step] >= self._min_observations)
        step = np.where(known, step, 0)
        mean, doubt = self._mean[step].copy(), np.zeros(len(codes))
        for kind in range(_KINDS):
            group = of[:, kind + 1]
            mean += self._effect[kind][group]
            unheard = np.where(applies[:, kind], self._tau[kind, step], 0.0)
            doubt += np.where(group != NONE, self._doubt[kind][group], unheard)
        carrier = of[:, 1]
        variance = np.where(
            carrier != NONE, self._noise_of_carrier[carrier], self._noise_of_step[step]
        )
        row = self._sketches.rows(codes)[:, 0]
        cell = np.append(self._cell_of, NONE)[row]
        variance = np.where(cell != NONE, self._noise[cell], variance)
        return Expected(mean, variance + np.minimum(doubt, _MOST_DOUBT), known)

    def _find(self, codes: Codes) -> tuple[Codes, NDArray[np.bool_]]:
        """Return the numbers of codes' steps and groups, and which groups they have at all."""
        missing = self._sketches.codes() - len(self._searched)
        if missing > 0:
            self._of_code = np.concatenate(
                [self._of_code, np.full((2 * missing, _KINDS + 1), NONE)]
            )
            self._applies = np.concatenate(
                [self._applies, np.ones((2 * missing, _KINDS), np.bool_)]
            )
            self._searched = np.concatenate([self._searched, np.full(2 * missing, -1)])
        # What has all its groups stays as it is; what has not may have them since rows were added.
        whole = ((self._of_code[codes, 1:] != NONE) | ~self._applies[codes]).all(axis=1)
        for code in codes[(self._searched[codes] != self._seen) & ~whole].tolist():
            groups = self._groups_of(self._sketches.name_of(code))
            assert groups is not None, "only cells are asked for"
            names = (groups.carrier, groups.way, groups.place, groups.lane)
            numbers = [kind.get(name) for kind, name in zip(self._kinds, names, strict=True)]
            self._of_code[code] = [self._steps.get(groups.step), *numbers]
            self._applies[code] = [name != "" for name in names]
            self._searched[code] = self._seen
        return self._of_code[codes], self._applies[codes]

    def _take_rows(self) -> None:
        """Find where new rows belong."""
        cells: list[int] = []
        of: list[list[int]] = []
        whole: list[bool] = []
        cell_of = np.full(len(self._sketches) - self._seen, NONE)
        for row in range(self._seen, len(self._sketches)):
            groups = self._groups_of(self._sketches.key(row))
            if groups is None:
                continue
            step = self._steps.give(groups.step, 0)
            names = (groups.carrier, groups.way, groups.place, groups.lane)
            given = zip(self._kinds, names, strict=True)
            of.append([step, *(kind.give(name, step) for kind, name in given)])
            whole.append(not self._sketches.key(row).split(SEPARATOR)[1])
            cell_of[row - self._seen] = len(self._cells) + len(cells)
            cells.append(row)
        self._cell_of = np.concatenate([self._cell_of, cell_of])
        self._seen = len(self._sketches)
        if cells:
            self._cells = np.concatenate([self._cells, np.array(cells, np.int64)])
            self._of = np.concatenate([self._of, np.array(of, np.int64).T], axis=1)
            self._whole = np.concatenate([self._whole, np.array(whole, np.bool_)])

    def _fit(self) -> None:
        self._take_rows()
        self._fitted = True
        n = self._observations()
        y, v = self._sketches.moments(self._cells).T
        step, *of = self._of
        steps = max(len(self._steps.number), 1)
        sizes = [len(kind.number) for kind in self._kinds]
        self._n_of_step = np.bincount(step, n, steps)
        self._fit_noise(n, v, step, of[0], steps, sizes[0])
        weight = n / self._noise[:-1]
        total_weight = np.maximum(np.bincount(step, weight, steps), 1e-12)
        step_of = [np.array(kind.step, np.int64) for kind in self._kinds]
        groups_in = [np.bincount(each, minlength=steps) for each in step_of]
        # The last of each is that of no group.
        self._effect = [np.zeros(size + 1) for size in sizes]
        self._doubt = [np.zeros(size + 1) for size in sizes]
        self._tau = np.full((_KINDS, steps), _FIRST_VARIANCE)
        self._mean = np.bincount(step, weight * y, steps) / total_weight
        rest = y - self._mean[step]
        for _ in range(_SWEEPS):
            for kind, (group, size) in enumerate(zip(of, sizes, strict=True)):
                if not size:
                    continue
                effect = self._effect[kind]
                rest += effect[group]
                slot = np.where(group == NONE, size, group)
                den = np.bincount(slot, weight, size + 1)[:-1]
                num = np.bincount(slot, weight * rest, size + 1)[:-1]
                doubt = 1.0 / (den + 1.0 / self._tau[kind, step_of[kind]])
                effect[:-1] = num * doubt
                self._doubt[kind][:-1] = doubt
                rest -= effect[group]
                spread = np.bincount(step_of[kind], effect[:-1] ** 2 + doubt, steps)
                tau = (spread + _PRIOR_GROUPS * _FIRST_VARIANCE) / (groups_in[kind] + _PRIOR_GROUPS)
                self._tau[kind] = np.clip(tau, *_VARIANCES)
            shift = np.bincount(step, weight * rest, steps) / total_weight
            self._mean += shift
            rest -= shift[step]

    def _observations(self) -> Floats:
        """Return how many dwells stand behind each cell.

        A carrier's step is a cell of what its lanes have no histograms for.
        """
        n = self._sketches.observations_now(self._cells)
        carrier, whole = self._of[1], self._whole
        lanes = np.bincount(carrier[~whole], n[~whole], len(self._kinds[0].number))
        rest = n - lanes[carrier]
        n[whole] = np.where(rest > _LEAST_REST * n, rest, 0.0)[whole]
        return n

    def _fit_noise(
        self, n: Floats, v: Floats, step: Codes, carrier: Codes, steps: int, carriers: int
    ) -> None:
        """Fit how dwells of a cell vary: shrunk to its carrier's, and that to the step's."""
        squares, free = n * v, np.maximum(n - 1.0, 0.0)

        def shrunk(group: Codes, size: int, above: Floats) -> Floats:
            own, of = (np.bincount(group, each, size) for each in (squares, free))
            return (own + _SPREAD_PRIOR * above) / (of + _SPREAD_PRIOR)

        every = np.full(steps, squares.sum() / max(free.sum(), 1.0))
        self._noise_of_step = np.maximum(shrunk(step, steps, every), _LEAST_VARIANCE)
        step_of = np.array(self._kinds[0].step, np.int64)
        of_carrier = shrunk(carrier, carriers, self._noise_of_step[step_of])
        self._noise_of_carrier = np.maximum(np.append(of_carrier, 0.0), _LEAST_VARIANCE)
        own = (squares + _SPREAD_PRIOR * of_carrier[carrier]) / (free + _SPREAD_PRIOR)
        self._noise = np.append(np.maximum(own, _LEAST_VARIANCE), _LEAST_VARIANCE)
