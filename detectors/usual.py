"""What is usual for parcels: silences, last legs and attempts, for records of them.

The models know names; here what they say is kept by the numbers that lanes and carriers have in
the table of parcels, so that asking for a block of parcels is a look-up. Models are frozen within
an epoch, and so is what was asked once.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from detectors.dwell import Segment, SegmentTimes
from detectors.dwells import Dwells
from detectors.hearing import Hearing
from detectors.histograms import EDGES
from detectors.journeys import Ahead, Journeys
from detectors.last_steps import LastSteps
from detectors.parcel_table import Block, ParcelTable, some
from detectors.places import Places
from detectors.plausibility import Answers, Plausibility, soonness
from detectors.scan_columns import MILESTONES, Index, Mask, Seconds
from detectors.sketch_pending import once
from detectors.sketches import Sketches
from detectors.tallies import Tally, most_seen

_STAGES: Final = 2 * (len(MILESTONES) + 1)
"""Stages of a place: a milestone, outside or in the destination region."""
_UNASKED: Final = -2.0


class Usual:
    """The models of the parcels core; they judge with what they knew when last folded."""

    def __init__(
        self,
        parcels: ParcelTable,
        *,
        late_cost: float,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        least_wait_seconds: float,
        unheard_days: float,
        soonest_probability: float,
        wrong_signoffs: float = 0.003,
        late_share: float = 0.0,
        late_chance: float = 0.5,
        shared: bool = False,
    ) -> None:
        self._parcels = parcels
        self._soonest_of: Seconds
        self.min_observations = min_observations
        self.max_segments = max_segments
        self.least_wait_seconds = least_wait_seconds
        self.soonest_probability = soonest_probability
        self.dwells = Dwells(
            late_cost=late_cost,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            shared=shared,
        )
        self.last_leg = SegmentTimes(
            "last_legs",
            half_life_days=half_life_days,
            min_observations=4 * min_observations,
            max_segments=max_segments,
            shared=shared,
        )
        self.last_steps = LastSteps(
            parcels,
            Plausibility(
                wrong_signoffs,
                half_life_days=half_life_days,
                min_observations=4 * min_observations,
                max_segments=max_segments,
                shared=shared,
            ),
        )
        self.journeys = Journeys(
            share=late_share,
            least_chance=late_chance,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            shared=shared,
        )
        self.hearing = Hearing(
            parcels,
            unheard_days=unheard_days,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_carriers=max_segments,
            shared=shared,
        )
        self._legs = Answers(self._leg_soonness)
        self.forget_codes()

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms, which the state consists of."""
        last_steps = self.last_steps.model.sketches()
        journeys = (self.journeys.times, self.journeys.asked)
        dwells = self.dwells.sketches()
        heard = self.hearing.sketches()
        return *dwells, self.last_leg.sketches, *last_steps, *journeys, *heard

    def forget_codes(self) -> None:
        """Forget what is derived: after loading, or when there are too many codes."""
        self.dwells.forget_codes()
        self.last_leg.forget_codes()
        self.last_steps.forget_codes()
        self.journeys.forget_codes()
        self.hearing.forget_codes()
        self._places = Places(self._parcels)
        self._segment_of = np.full(64 * _STAGES, -1, np.int64)
        self._leg_of = np.full(64, -1, np.int64)
        self._journey_of = np.full(64, -1, np.int64)
        self._forget_answers()

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        for sketches in self.sketches():
            sketches.fold(day)
        self.dwells.forget_answers()
        self.journeys.folded()
        self.hearing.forget_answers()
        self._forget_answers()

    def take(self) -> list[Tally]:
        """Take out what was counted since the last call, for each model."""
        return [most_seen(each.take(), self.max_segments) for each in self.sketches()]

    def add(self, tallies: Sequence[Tally]) -> None:
        """Add what all partitions have counted to what is folded next."""
        for sketches, tally in zip(self.sketches(), tallies, strict=False):
            sketches.add(tally)

    def crowded(self) -> bool:
        """Tell whether so many segments have been seen that their codes should be made anew."""
        return self.dwells.codes() > 4 * self.max_segments

    def waits(self, block: Block) -> Seconds:
        """Return how long the silence of each parcel may last by now; NaN for no opinion."""
        codes = self._dwell_codes(self._segments(block))
        wait = self.dwells.wait_many(codes, block["last_at"])
        return np.maximum(wait, self.least_wait_seconds)

    def learn(
        self, block: Block, at: Seconds, heard: Seconds, milestone: Index, dwelt: Mask
    ) -> None:
        """Count the silences that ended where records are: when scans were made and heard."""
        if np.count_nonzero(dwelt) < len(dwelt):
            block, milestone = some(block, dwelt), milestone[dwelt]
            at, heard = at[dwelt], heard[dwelt]
        codes = self._dwell_codes(self._segments(block))
        self.dwells.learn_many(codes, block["last_at"], at, heard, milestone)

    def explain(self, row: int, silence_seconds: float) -> tuple[Segment, float]:
        """Return which segment speaks for a parcel and the chance of a longer silence there."""
        block = self._parcels.rows[row : row + 1]
        code = int(self._dwell_codes(self._segments(block))[0])
        segment = self.dwells.explain(code)
        assert segment is not None, "a silence without an opinion is no stall"
        score = self.dwells.score(code, float(block["last_at"][0]), silence_seconds)
        return segment, 1.0 - score

    def soonest(self, lane: Index) -> Seconds:
        """Return what hardly any last leg of each lane takes less than; NaN for unknown."""
        lanes = len(self._parcels.lanes)
        if len(self._soonest_of) < lanes:
            more = np.full(2 * lanes - len(self._soonest_of), _UNASKED)
            self._soonest_of = np.concatenate([self._soonest_of, more])
        soonest = self._soonest_of[lane]
        if np.count_nonzero(soonest == _UNASKED):
            asked = once(lane[soonest == _UNASKED])
            legs = self._leg_codes(asked)
            self._soonest_of[asked] = self.last_leg.soonest_many(legs, self.soonest_probability)
            soonest = self._soonest_of[lane]
        return soonest

    def leg_shares(self, lane: Index, seconds: Seconds) -> Seconds:
        """Return the share of each lane's last legs that are as short; NaN for unknown."""
        bins = np.searchsorted(EDGES, seconds, side="right")
        return self._legs.of(self._leg_codes(lane), bins)

    def _leg_soonness(self, code: int) -> Seconds:
        return soonness(self.last_leg.sketches, code, 4 * self.min_observations)

    def learn_legs(self, lane: Index, seconds: Seconds) -> None:
        """Count last legs of parcels, shape (n,)."""
        if len(lane):
            self.last_leg.learn_many(self._leg_codes(lane), seconds)

    def learn_journeys(self, lane: Index, seconds: Seconds) -> None:
        """Count journeys of parcels that were delivered, shape (n,)."""
        if len(lane):
            self.journeys.learn_many(self._journey_codes(lane), seconds)

    def ahead(self, row: int, now: float) -> Ahead | None:
        """Return when a parcel will arrive, and whether in time, by what is known at `now`."""
        record = self._parcels.rows[row]
        began, promised = float(record["began"]), float(record["promised"])
        if not began:
            return None
        code = self._journey_codes(record["lane"].astype(np.int64)[None])
        return self.journeys.ahead(
            int(code[0]), now - began, promised - began if promised else None
        )

    def _forget_answers(self) -> None:
        self._soonest_of = np.full(64, _UNASKED)
        self.last_steps.model.forget_answers()
        self._legs.forget()

    def _segments(self, block: Block) -> Index:
        """Return the number of each (place, stage, inside)."""
        places = self._places.numbers(block)
        self._segment_of = _stretched(self._segment_of, len(self._places) * _STAGES)
        stage: Index = block["stage"] * np.int64(2) + block["inside"]
        return places * np.int64(_STAGES) + stage

    def _dwell_codes(self, segments: Index) -> Index:
        def code(number: int) -> int:
            place, stage = divmod(number, _STAGES)
            return self.dwells.code(self._places[place], _stage_name(stage))

        return _looked_up(self._segment_of, segments, code)

    def _leg_codes(self, lane: Index) -> Index:
        lanes = self._parcels.lanes
        self._leg_of = _stretched(self._leg_of, len(lanes))
        code = self.last_leg.code
        return _looked_up(self._leg_of, lane, lambda number: code(*lanes[number], "last leg"))

    def _journey_codes(self, lane: Index) -> Index:
        lanes = self._parcels.lanes
        self._journey_of = _stretched(self._journey_of, len(lanes))
        return _looked_up(self._journey_of, lane, lambda n: self.journeys.code(*lanes[n]))


def _stretched(codes: Index, count: int) -> Index:
    while len(codes) < count:
        codes = np.concatenate([codes, np.full_like(codes, -1)])
    return codes


def _looked_up(codes: Index, wanted: Index, make: Callable[[int], int]) -> Index:
    """Return the code of each number, made where it is still -1."""
    found: Index = codes[wanted]
    if len(found) and found.min() < 0:
        for number in once(wanted[found < 0]).tolist():
            codes[number] = make(number)
        found = codes[wanted]
    return found


def _stage_name(number: int) -> str:
    """Return `arrived`, or `arrived at destination`."""
    milestone, inside = divmod(number, 2)
    name = MILESTONES[milestone - 1].value if milestone else "unknown"
    return f"{name} at destination" if inside else name
