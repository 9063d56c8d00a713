"""What is usual for parcels: dwells, reporting lags, last legs and attempts, by parcels' rows.

The models know names; here their codes are kept by the numbers that lanes and carriers have in
the table of parcels, so that asking for an array of rows is a look-up.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from detectors.dwell import DwellModel, Segment
from detectors.histograms import Q95
from detectors.parcel_table import MILESTONES, ParcelTable
from detectors.scan_columns import Index, Mask, Seconds
from detectors.signoff import AttemptShares
from detectors.sketches import Sketches, ascending
from detectors.table import Table

_STAGES: Final = 2 * (len(MILESTONES) + 1)
"""Stages of a lane: a milestone, outside or in the destination region."""


class Usual:
    """The models of the parcels core; they judge with what they knew when last folded."""

    def __init__(
        self,
        parcels: ParcelTable,
        *,
        probability: float,
        guard: float,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        least_wait_seconds: float,
        soonest_probability: float,
    ) -> None:
        self._parcels = parcels
        self.min_observations = min_observations
        self.max_segments = max_segments
        self.least_wait_seconds = least_wait_seconds
        self.soonest_probability = soonest_probability
        self.dwell = DwellModel(
            probability=probability,
            guard=guard,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
        )
        self._last_leg = DwellModel(
            half_life_days=half_life_days,
            min_observations=4 * min_observations,
            max_segments=max_segments,
            name="last_legs",
        )
        self._lag = Sketches("lags", half_life_days=half_life_days, max_rows=10_000, levels=1)
        self.attempts = AttemptShares(
            half_life_days=half_life_days, min_observations=4 * min_observations
        )
        self.forget_codes()

    def tables(self) -> tuple[Table, ...]:
        """Return what the state consists of."""
        return (
            *self.dwell.sketches.tables(),
            *self._last_leg.sketches.tables(),
            *self._lag.tables(),
            self.attempts.table,
        )

    def forget_codes(self) -> None:
        """Forget what is derived: after loading, or when there are too many codes."""
        self.dwell.forget_codes()
        self._last_leg.forget_codes()
        self._lag.forget_codes()
        self.attempts.forget_derived()
        self._segment_of = np.full(64 * _STAGES, -1, np.int64)
        self._leg_of = np.full(64, -1, np.int64)
        self._lag_of = np.full(64, -1, np.int64)
        self._lag_seconds = np.zeros(0)
        self._lag_version = -1

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        self.dwell.fold(day)
        self._last_leg.fold(day)
        self._lag.fold(day)
        self.attempts.fold(day)

    def crowded(self) -> bool:
        """Tell whether so many segments have been seen that their codes should be made anew."""
        return self.dwell.sketches.codes() > 4 * self.max_segments

    def waits(self, rows: Index) -> Seconds:
        """Return how long the silence of each parcel may last by now; NaN for no opinion."""
        state = self._parcels
        stage, inside = state["stage"][rows], state["at_destination"][rows]
        codes = self._segments(state.lane[rows], stage, inside)
        wait = np.maximum(self.dwell.wait_many(codes), self.least_wait_seconds)
        return wait + self._lags(state.carrier[rows])

    def learn(
        self, rows: Index, stage: Index, seconds: Seconds, *, dwelt: Mask, lag: Seconds
    ) -> None:
        """Count the dwells that ended in stages, and how late all were reported; shape (n,)."""
        state = self._parcels
        self._lag.learn_many(self._lag_codes(state.carrier[rows]), lag)
        if np.count_nonzero(dwelt) < len(dwelt):
            rows, stage, seconds = rows[dwelt], stage[dwelt], seconds[dwelt]
        codes = self._segments(state.lane[rows], stage, state["at_destination"][rows])
        self.dwell.learn_many(codes, seconds)

    def explain(self, row: int, silence_seconds: float) -> tuple[Segment, float]:
        """Return which segment speaks for a parcel and the chance of a longer silence there."""
        state, rows = self._parcels, np.array([row])
        code = self._segments(state.lane[rows], state["stage"][rows], state["at_destination"][rows])
        segment = self.dwell.explain(int(code[0]))
        assert segment is not None, "a silence without an opinion is no stall"
        lag = float(self._lags(state.carrier[rows])[0])
        score = self.dwell.score_many(code, np.array([silence_seconds - lag]))
        return segment, 1.0 - float(score[0])

    def soonest(self, rows: Index) -> Seconds:
        """Return what hardly any last leg of each parcel's lane takes less than; NaN: unknown."""
        return self._last_leg.soonest_many(self._legs(rows), self.soonest_probability)

    def learn_legs(self, rows: Index, seconds: Seconds) -> None:
        """Count last legs of parcels, shape (n,)."""
        if len(rows):
            self._last_leg.learn_many(self._legs(rows), seconds)

    def usually_attempted(self, carrier: Index, least_share: float) -> Mask:
        """Tell of each carrier whether nearly all its deliveries were out for delivery before."""
        numbers = ascending(carrier).tolist()
        usual = np.zeros(len(self._parcels.carriers), np.bool_)
        for number in numbers:
            share, _ = self.attempts.share(self._parcels.carriers[number])
            usual[number] = share is not None and share >= least_share
        return usual[carrier]

    def _segments(self, lane: Index, stage: Index, at_destination: Index) -> Index:
        """Return the dwell model's code of each (lane, stage)."""
        lanes = self._parcels.lanes
        self._segment_of = _stretched(self._segment_of, len(lanes) * _STAGES)
        wanted = lane * _STAGES + stage.astype(np.int64) * 2 + at_destination

        def code(number: int) -> int:
            carrier, name = lanes[number // _STAGES]
            return self.dwell.code(carrier, name, _stage_name(number % _STAGES))

        return _looked_up(self._segment_of, wanted, code)

    def _legs(self, rows: Index) -> Index:
        lanes = self._parcels.lanes
        self._leg_of = _stretched(self._leg_of, len(lanes))
        code = self._last_leg.code
        return _looked_up(
            self._leg_of, self._parcels.lane[rows], lambda lane: code(*lanes[lane], "last leg")
        )

    def _lag_codes(self, carrier: Index) -> Index:
        carriers = self._parcels.carriers
        self._lag_of = _stretched(self._lag_of, len(carriers))
        return _looked_up(self._lag_of, carrier, lambda number: self._lag.code(carriers[number]))

    def _lags(self, carrier: Index) -> Seconds:
        """Return how late each carrier reports, seconds; 0 while unknown."""
        known = len(self._parcels.carriers)
        if self._lag_version != self._lag.version or len(self._lag_seconds) < known:
            self._lag_seconds = self._read_lags(np.arange(known))
            self._lag_version = self._lag.version
        return self._lag_seconds[carrier]

    def _read_lags(self, carrier: Index) -> Seconds:
        rows = self._lag.rows(self._lag_codes(carrier))[:, 0]
        known = (rows >= 0) & (self._lag.folded["n"][rows] >= self.min_observations)
        seconds = np.zeros(len(rows))
        seconds[known] = self._lag.quantiles(rows[known])[:, Q95]
        return seconds


def _stretched(codes: Index, count: int) -> Index:
    while len(codes) < count:
        codes = np.concatenate([codes, np.full_like(codes, -1)])
    return codes


def _looked_up(codes: Index, wanted: Index, make: Callable[[int], int]) -> Index:
    """Return the code of each number, made where it is still -1."""
    found: Index = codes[wanted]
    if len(found) and found.min() < 0:
        for number in ascending(wanted[found < 0]).tolist():
            codes[number] = make(number)
        found = codes[wanted]
    return found


def _stage_name(number: int) -> str:
    """Return `arrived`, or `arrived at destination`."""
    milestone, inside = divmod(number, 2)
    name = MILESTONES[milestone - 1].value if milestone else "unknown"
    return f"{name} at destination" if inside else name
