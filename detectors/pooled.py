"""What all series of a model share: the shape of the day and of the week, and a dispersion."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import DTypeLike

from detectors.table import Floats, Table, Width

POOL: Final = ""
"""Key of the one row of a table that is shared."""
SLOTS: Final[Mapping[str, int]] = {"hour": 24, "day": 7, "week": 168}
_PRIOR: Final = {"hour": 20.0, "day": 20.0, "week": 300.0}
"""Pooled counts that a slot needs to have half its own way; few differ beyond hour and day."""


class Pool:
    """Pooled factors by shape and slot, and the pooled dispersion of single buckets.

    Parameters
    ----------
    keep
        What is kept of a slot's sums at each of its visits, by shape.
    keep_spread
        What is kept of the dispersion's sums at each bucket.
    """

    def __init__(self, keep: Mapping[str, float], keep_spread: float) -> None:
        columns: dict[str, DTypeLike | Width] = {"squares": "f8", "weight": "f8"}
        for name, slots in SLOTS.items():
            columns |= {f"{name}_seen": ("f8", slots), f"{name}_due": ("f8", slots)}
        self.table = Table("pool", columns)
        self._keep, self._keep_spread = keep, keep_spread
        self._own: dict[str, Floats] = {}
        """Factors of every slot by shape, before their mean is made 1."""
        self._mean: dict[str, float] = {}
        self._derived_at = 0

    def begin(self) -> None:
        """Make the row there is."""
        if not len(self.table):
            self.table.add([POOL])

    def factor(self, name: str, slot: int) -> float:
        """Return a pooled factor; those of all slots have mean 1."""
        if self._derived_at != self.table.loads:
            self._own.clear()
            self._derived_at = self.table.loads
        own = self._own.get(name)
        if own is None:
            seen, due = self.table[f"{name}_seen"][0], self.table[f"{name}_due"][0]
            own = self._own[name] = (seen + _PRIOR[name]) / (due + _PRIOR[name])
            self._mean[name] = float(np.add.reduce(own)) / len(own)
        return own.item(slot) / self._mean[name]

    def dispersion(self) -> float:
        """Return the dispersion of all series together."""
        return pooled_dispersion(self.table["squares"].item(0), self.table["weight"].item(0))

    def learn_shape(self, name: str, slot: int, came: float, due: Floats) -> None:
        """Fold what came in a slot; `due` is what was expected, this factor included."""
        keep, expected = self._keep[name], float(np.add.reduce(due)) / self.factor(name, slot)
        seen, owed = self.table[f"{name}_seen"][0], self.table[f"{name}_due"][0]
        came += keep * seen.item(slot)
        expected += keep * owed.item(slot)
        seen[slot], owed[slot] = came, expected
        own = self._own[name]
        own[slot] = (came + _PRIOR[name]) / (expected + _PRIOR[name])
        self._mean[name] = float(np.add.reduce(own)) / len(own)
        self.table.touch(0)

    def learn_spread(self, squares: Floats, weights: Floats) -> None:
        """Fold squared residuals of all series."""
        keep = self._keep_spread
        for column, values in (("squares", squares), ("weight", weights)):
            cells = self.table[column]
            cells[0] = keep * cells.item(0) + np.add.reduce(values)
        self.table.touch(0)


class Lesson:
    """One bucket's exchange with the pool; the answers are what the rows' fold depends on.

    A copy that has the rows and the answers can fold the same bucket without the pool and
    without all the other rows: see `Repetition`.
    """

    def __init__(self, pool: Pool | None = None) -> None:
        self.answers: list[float] = []
        self._shared = pool

    @property
    def _pool(self) -> Pool:
        assert self._shared is not None  # who asks for factors has a pool of them
        return self._shared

    def factor(self, name: str, slot: int) -> float:
        """Return a pooled factor."""
        return self.note(self._pool.factor(name, slot))

    def dispersion(self) -> float:
        """Return the pooled dispersion."""
        return self.note(self._pool.dispersion())

    def learn_shape(self, name: str, slot: int, came: float, due: Floats) -> float:
        """Teach the pool what came; return the factor of the slot from now on."""
        self._pool.learn_shape(name, slot, came, due)
        return self.factor(name, slot)

    def learn_spread(self, squares: Floats, weights: Floats) -> None:
        """Teach the pool squared residuals."""
        self._pool.learn_spread(squares, weights)

    def add_to(self, pool: Table, column: str, keep: float, values: Floats) -> None:
        """Fold sums over series, shape (series, width), into the row of another pool."""
        pool[column][0] = keep * pool[column][0] + values.sum(axis=0)
        pool.touch(0)

    def note(self, answer: float) -> float:
        """Keep an answer."""
        self.answers.append(answer)
        return answer


class Repetition(Lesson):
    """The same exchange once more: answers are read back in order, and nothing is taught."""

    def __init__(self, answers: list[float]) -> None:
        self.answers = answers
        self._place = 0

    def factor(self, name: str, slot: int) -> float:
        """Return the next answer."""
        del name, slot
        return self.note(0.0)

    def dispersion(self) -> float:
        """Return the next answer."""
        return self.note(0.0)

    def learn_shape(self, name: str, slot: int, came: float, due: Floats) -> float:
        """Return the next answer."""
        del name, slot, came, due
        return self.note(0.0)

    def learn_spread(self, squares: Floats, weights: Floats) -> None:
        """Teach nothing."""

    def add_to(self, pool: Table, column: str, keep: float, values: Floats) -> None:
        """Teach nothing."""

    def note(self, answer: float) -> float:
        """Return the next answer in the place of a new one."""
        del answer
        self._place += 1
        return self.answers[self._place - 1]


def pooled_dispersion(squares: float, weight: float) -> float:
    """Return a pooled mean square, with 20 buckets of a prior dispersion of 1.5 beside it."""
    return (squares + 20 * 1.5) / (weight + 20)


def shrunk_dispersion(
    squares: Floats, weight: Floats, pooled: float | Floats, prior: float | Floats = 100.0
) -> Floats:
    """Return dispersions >= 1: own mean squares, `prior` buckets of the pool's beside them."""
    return np.maximum((squares + prior * pooled) / (weight + prior), 1.0)
