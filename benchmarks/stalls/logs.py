"""Dwells of real processes: whether predicted quantiles are passed as often as they say.

One pass in order of time. The committee (`detectors.contexts`) predicts the quantiles of a dwell
when it begins, from the stage, the two before it and the hours of the day, with what had ended by
then. The calibration (`detectors.calibration`) moves them while the dwell lasts, by what is heard
of others, never by the dwell's own age: the quantile in force when the silence passes it is the
one that is judged, as a deadline in the product is asked for anew before it fires. Both learn at
the end of an epoch of events, longer ones as the log goes on.
"""

from typing import Any, Final

import numpy as np

from benchmarks.stalls.event_log import Floats, Index, Log
from benchmarks.stalls.exceedance import LEVELS, judged
from detectors.calibration import CURVE, ConformalQuantiles
from detectors.contexts import ContextQuantiles

CHAINS: Final = (
    ("stage", "before"),
    ("stage", "before", "hours"),
    ("stage", "before", "earlier"),
)
_DAY: Final = 86_400.0
_EPOCH_EVENTS: Final = 25
_EPOCH_SECONDS: Final = 6 * 3600.0
_EPOCH_SHARE: Final = 200
"""An epoch is 25 events or a 200th of all before it, whichever is more, and 6 hours at most."""
_HOPELESS: Final = 0.002
"""A dwell is no longer followed when its chance to end is below this."""


class Forecast:
    """The committee and its calibration, driven over a log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.committee = ContextQuantiles(chains=CHAINS, levels=CURVE)
        self.calibration = ConformalQuantiles(levels=LEVELS, half_life_days=3650.0)
        self.contexts = _contexts(log, self.committee)
        self.segments = np.array([self.calibration.code(name) for name in log.names])[log.stage]
        shape = (len(log.began), len(LEVELS))
        self.predicted = np.full((len(log.began), len(CURVE)), np.nan)
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
        began, ended = self.log.began, self.log.ended
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
            soon = np.searchsorted(began, now + _EPOCH_SECONDS, side="left")
            last = min(last, max(int(soon), first + 1), len(began))
            self._begin(np.arange(first, last))
            seen, first = heard, last
        self._end(order[seen : int(np.count_nonzero(np.isfinite(ends)))])

    def _begin(self, places: Index) -> None:
        self.predicted[places] = self.committee.quantiles_many(self.contexts[places])
        self.at_first[places] = self._corrected(places)
        self._waiting = np.concatenate([self._waiting, places])

    def _teach(self, places: Index, now: float) -> None:
        self.committee.learn_many(self.contexts[places], self.log.seconds[places])
        self.committee.fold(now / _DAY)

    def _end(self, places: Index) -> None:
        """Learn from dwells that ended in this epoch, under quantiles as of its beginning."""
        seconds, open_ = self.log.seconds[places], ~self._settled[places]
        quantiles = np.where(open_, self._corrected(places), self.in_force[places])
        self.in_force[places] = quantiles
        self.beyond[places] = seconds[:, None] > quantiles
        self._settled[places] = True
        self.calibration.learn_many(self.segments[places], self.beyond[places])

    def _wait(self, now: float) -> None:
        """See which dwells have passed their quantiles and have not ended."""
        waiting = self._waiting[self.log.ended[self._waiting] >= now]
        age = (now - self.log.began[waiting])[:, None]
        quantiles = np.where(
            self._settled[waiting], self.in_force[waiting], self._corrected(waiting)
        )
        passed = age > quantiles
        self.in_force[waiting] = np.where(passed, quantiles, np.nan)
        self.beyond[waiting] = self._settled[waiting] = passed
        ratio = age / np.maximum(quantiles, 1.0)
        open_ = np.where(passed, ratio, np.nan)
        chances = self.calibration.chances_many(self.segments[waiting], open_)
        hopeless = passed.all(axis=1) & (chances < _HOPELESS).all(axis=1)
        self.calibration.give_up_many(self.segments[waiting[hopeless]])
        self._waiting = waiting[~hopeless]
        self.calibration.await_many(self.segments[self._waiting], open_[~hopeless])

    def _corrected(self, places: Index) -> Floats:
        return self.calibration.correct_many(self.segments[places], self.predicted[places])


def ours(log: Log) -> dict[str, Any]:
    """Return the figures of the product's detectors on a log."""
    forecast = Forecast(log)
    forecast.run()
    return {
        "forewarn": judged(log, forecast.in_force, forecast.beyond),
        "forewarn, made when it began": judged(log, forecast.at_first),
        "forewarn, uncalibrated": judged(
            log, forecast.predicted[:, [CURVE.index(level) for level in LEVELS]]
        ),
    }


def _contexts(log: Log, committee: ContextQuantiles) -> Index:
    names = [*log.names, ""]
    code = committee.code
    values = zip(log.stage, log.before, _hours(log.began), log.earlier, strict=True)
    assert committee.features == ("stage", "before", "hours", "earlier")
    return np.array(
        [
            code((names[at], names[before], hours, names[earlier]))
            for at, before, hours, earlier in values
        ]
    )


def _hours(began: Floats) -> list[str]:
    """Return the four hours of a working day in which a dwell begins, or the weekend."""
    weekday = (began // _DAY + 3) % 7
    hours = began % _DAY // (4 * 3600)
    return [
        "weekend" if day >= 5 else str(hour)
        for day, hour in zip(weekday.tolist(), hours.astype(np.int64).tolist(), strict=True)
    ]
