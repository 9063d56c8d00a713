"""Times predicted in one pass: quantiles when they begin, corrected while they last.

The committee (`detectors.contexts`) predicts the quantiles of a time when it begins, with what had
ended by then. The calibration (`detectors.calibration`) moves them while it lasts, by what is
heard of others, never by its own age: the quantile in force when the silence passes it is the one
that is judged, as a deadline in the product is asked for anew before it fires. Both learn at the
end of an epoch of events, longer ones as time goes on.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.stalls.event_log import Floats, Index
from detectors.calibration import ConformalQuantiles
from detectors.contexts import ContextQuantiles

_DAY: Final = 86_400.0
_EPOCH_EVENTS: Final = 25
_EPOCH_SECONDS: Final = 6 * 3600.0
_EPOCH_SHARE: Final = 200
_EPOCH_PAST: Final = 0.001
"""An epoch is 25 events or a 200th of all before it, whichever is more, and 6 hours or a
thousandth of the time before it at most."""
_HOPELESS: Final = 0.002
"""What will end with less than this chance is no longer followed."""


class Forecast:
    """A committee and its calibration, driven over times that begin and end."""

    def __init__(
        self,
        began: Floats,
        ended: Floats,
        contexts: Sequence[Sequence[str]],
        segments: Sequence[str],
        committee: ContextQuantiles,
        calibration: ConformalQuantiles,
    ) -> None:
        self.began = began
        """Ascending, in seconds since 1970; `ended` is infinite for what has no end."""
        self.ended = ended
        self.committee = committee
        self.calibration = calibration
        self._contexts = np.array([committee.code(values) for values in contexts])
        self._segments = np.array([calibration.code(name) for name in segments])
        shape = (len(began), len(calibration.levels))
        self.predicted = np.full((len(began), len(committee.levels)), np.nan)
        """By the committee, when the dwell began."""
        self.at_first = np.full(shape, np.nan)
        """Corrected, when the dwell began."""
        self.in_force = np.full(shape, np.nan)
        """Corrected, when the dwell passed it or ended."""
        self.beyond = np.zeros(shape, np.bool_)
        self._settled = np.zeros(shape, np.bool_)
        """Which quantiles are no longer changed: the dwell ended or passed them."""
        self._waiting = np.zeros(0, np.int64)

    def run(self) -> None:
        """Go through the log once."""
        began, ended = self.began, self.ended
        order = np.argsort(ended, kind="stable")
        ends, seen, first, taught = ended[order], 0, 0, 0
        while first < len(began):
            now = float(began[first])
            heard = int(np.searchsorted(ends, now, side="left"))
            self._end(order[seen:heard])
            self._wait(now)
            self.calibration.fold(now / _DAY)
            if heard - taught >= max(_EPOCH_EVENTS, first // _EPOCH_SHARE):
                self._teach(order[taught:heard], now)
                taught = heard
            last = first + max(_EPOCH_EVENTS, first // _EPOCH_SHARE)
            step = max(_EPOCH_SECONDS, _EPOCH_PAST * (now - float(began[0])))
            soon = np.searchsorted(began, now + step, side="left")
            last = min(last, max(int(soon), first + 1), len(began))
            self._begin(np.arange(first, last))
            seen, first = heard, last
        self._end(order[seen : int(np.count_nonzero(np.isfinite(ends)))])

    def _begin(self, places: Index) -> None:
        self.predicted[places] = self.committee.quantiles_many(self._contexts[places])
        self.at_first[places] = self._corrected(places)
        self._waiting = np.concatenate([self._waiting, places])

    def _teach(self, places: Index, now: float) -> None:
        self.committee.learn_many(self._contexts[places], (self.ended - self.began)[places])
        self.committee.fold(now / _DAY)

    def _end(self, places: Index) -> None:
        """Learn from dwells that ended in this epoch, under quantiles as of its beginning."""
        seconds, open_ = (self.ended - self.began)[places], ~self._settled[places]
        quantiles = np.where(open_, self._corrected(places), self.in_force[places])
        self.in_force[places] = quantiles
        self.beyond[places] = seconds[:, None] > quantiles
        self._settled[places] = True
        self.calibration.learn_many(self._segments[places], self.beyond[places])

    def _wait(self, now: float) -> None:
        """See which dwells have passed their quantiles and have not ended."""
        waiting = self._waiting[self.ended[self._waiting] >= now]
        age = (now - self.began[waiting])[:, None]
        quantiles = np.where(
            self._settled[waiting], self.in_force[waiting], self._corrected(waiting)
        )
        passed = age > quantiles
        self.in_force[waiting] = np.where(passed, quantiles, np.nan)
        self.beyond[waiting] = self._settled[waiting] = passed
        ratio = age / np.maximum(quantiles, 1.0)
        open_ = np.where(passed, ratio, np.nan)
        chances = self.calibration.chances_many(self._segments[waiting], open_)
        hopeless = passed.all(axis=1) & (chances < _HOPELESS).all(axis=1)
        self.calibration.give_up_many(self._segments[waiting[hopeless]])
        self._waiting = waiting[~hopeless]
        self.calibration.await_many(self._segments[self._waiting], open_[~hopeless])

    def _corrected(self, places: Index) -> Floats:
        return self.calibration.correct_many(self._segments[places], self.predicted[places])
