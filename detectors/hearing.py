"""Whether carriers are heard: a parcel of a carrier that nobody hears is not stalled for that.

When the scans of a carrier stop to arrive, its parcels fall silent one after the other, and the
silence is not theirs. So for each carrier the core keeps when it was last heard and when it last
was not for longer than usual:

- a *gap* is the time between two minutes in which scans of a carrier arrived, on a clock that goes
  as often as the carrier is usually heard in that hour of the week (`ArrivalClock`), so nights and
  closed days are short and an upload every four hours is what it is;
- a carrier is *unheard* while its gap is longer than FACTOR times the 99th percentile of its gaps,
  and than two hours;
- a parcel is not called stalled while its carrier is unheard, and later by as much as was unheard
  of its own silence: scans may have been lost, and those that were kept arrive within the hour.

After `unheard_days` without a word the carrier's silence is no excuse any more. Gaps are those that
one partition hears; it is never told what the others do.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from detectors.base import GRID_SECONDS
from detectors.histograms import DAY_SECONDS, Q99, Floats
from detectors.parcel_table import Block, ParcelTable
from detectors.scan_columns import Index, Mask, Minutes
from detectors.scans import Scans
from detectors.sketches import Sketches
from detectors.table import Table
from detectors.working_clock import ArrivalClock

FACTOR: Final = 1.5
LEAST_SECONDS: Final = 7200.0
"""No shorter gap is unusual, however busy the carrier."""
BURST_MINUTES: Final = 60
"""What was held back arrives within so long after a carrier is heard again."""
LOOK_MINUTES: Final = 30
"""How often a parcel is looked at again while its carrier is unheard."""
_STAGE: Final = "scans"
_MINUTE_BITS: Final = 32
_COLUMNS: Final = {"heard": "<i8", "unheard_from": "<i8", "unheard_until": "<i8"}
_NONE: Final = np.zeros(0, np.int64)


class _Heard(NamedTuple):
    """Minutes in which carriers were heard, by carrier and in order, and what they knew then."""

    key: Index
    """The number of the carrier and the minute, as one number: ascending."""
    minute: Index
    unheard_from: Index
    unheard_until: Index


_SILENT: Final = _Heard(_NONE, _NONE, _NONE, _NONE)


class Hearing:
    """When each carrier was heard, by the clock.

    Parameters
    ----------
    parcels
        Whose carriers' numbers are used.
    unheard_days
        For so long, at most, a carrier that is not heard excuses its parcels' silences; 0: never.
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        With fewer gaps, no gap is unusual.
    max_carriers
        Carriers whose gaps are known.
    shared
        Counts are taken out and come back as sums over all partitions.
    """

    def __init__(
        self,
        parcels: ParcelTable,
        *,
        unheard_days: float,
        half_life_days: float,
        min_observations: int,
        max_carriers: int,
        shared: bool = False,
    ) -> None:
        self._parcels = parcels
        self._most_minutes = unheard_days * DAY_SECONDS // GRID_SECONDS
        self._min_observations = min_observations
        self.clock = ArrivalClock(
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_clocks=max_carriers,
            shared=shared,
        )
        self.gaps = Sketches(
            "gaps", half_life_days=half_life_days, max_rows=max_carriers, levels=1, shared=shared
        )
        self.table = heard_table()
        self.forget_codes()

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms; the rest of the state is `table`."""
        return self.clock.sketches, self.gaps

    def forget_codes(self) -> None:
        """Forget what is derived from the state."""
        self.clock.forget_codes()
        self.gaps.forget_codes()
        self._heard = _SILENT
        self._known = np.full((64, 3), -1, np.int64)
        """By number of a carrier: its row, its clock and its gaps. Rows are in no order: numbers
        are."""
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was read, after folding."""
        self.clock.forget_answers()
        self._far = np.full(len(self._known), np.nan)

    def begin(self, scans: Scans, start: int, stop: int) -> None:
        """Hear scans start..stop, all of one epoch; until `end`, `excused` knows them."""
        carriers = scans.carrier[start:stop]
        order = np.argsort(carriers.astype(np.uint16), kind="stable")
        carrier, minute = carriers[order], scans.minute[start:stop][order]
        new = np.empty(len(order), np.bool_)
        new[0] = True
        new[1:] = (carrier[1:] != carrier[:-1]) | (minute[1:] != minute[:-1])
        new &= carrier != 0
        carrier, minute = carrier[new], minute[new]
        if len(carrier) == 0:
            return
        self._meet(carrier)
        first = np.empty(len(carrier), np.bool_)
        first[0] = True
        np.not_equal(carrier[1:], carrier[:-1], out=first[1:])
        self._heard = self._told(carrier, minute, first)

    def _told(self, carrier: Index, minute: Index, first: Mask) -> _Heard:
        """Count the gaps between minutes, and return what was known of its carrier at each."""
        row, clock, of_gaps = self._known[carrier].T
        before = np.where(first, self.table["heard"][row], np.concatenate([[0], minute[:-1]]))
        new = before < minute
        known = new & (before > 0)
        gaps = self._gap(carrier, before, minute)
        self.clock.learn_many(clock[new], _seconds(minute[new]))
        self.gaps.learn_many(of_gaps[known], gaps[known])
        unusual = known & (gaps > self._far_of(carrier))
        place = np.maximum.accumulate(np.where(unusual | first, np.arange(len(row)), 0))
        here = unusual[place]
        return _Heard(
            _key(carrier, minute),
            minute,
            np.where(here, before[place], self.table["unheard_from"][row]),
            np.where(here, minute[place], self.table["unheard_until"][row]),
        )

    def end(self) -> None:
        """Remember of the scans heard since `begin` what the next ones need to know."""
        heard, self._heard = self._heard, _SILENT
        if len(heard.key) == 0:
            return
        carrier = heard.key >> _MINUTE_BITS
        last = np.flatnonzero(np.append(carrier[1:] != carrier[:-1], np.True_))
        rows = self._known[carrier[last], 0]
        self.table["heard"][rows] = np.maximum(heard.minute[last], self.table["heard"][rows])
        self.table["unheard_from"][rows] = heard.unheard_from[last]
        self.table["unheard_until"][rows] = heard.unheard_until[last]
        self.table.touch(rows)

    def excused(self, block: Block, due: Minutes, until: Minutes) -> Minutes:
        """Return until when silences last that are too long at `until`, by what was heard.

        `due` is the minute of the clock at each record; what was heard in it does not count yet.
        """
        carrier = block["carrier"].astype(np.int64)
        self._meet(carrier)
        heard, unheard_from, unheard_until = self._before(carrier, due)
        known = (heard > 0) & (due - heard < self._most_minutes)
        unheard = known & (self._gap(carrier, heard, due) > self._far_of(carrier))
        since = np.ceil(block["last_at"] / GRID_SECONDS).astype(np.int64)
        missed = unheard_until - np.maximum(unheard_from, since)
        missed = np.minimum(missed, self._most_minutes).astype(np.int64)
        later = until + np.where(missed > 0, missed + BURST_MINUTES, 0)
        return np.where(unheard, np.maximum(due + LOOK_MINUTES, later), later)

    def _before(self, carrier: Index, due: Minutes) -> tuple[Index, Index, Index]:
        """Return what was known of carriers before a minute."""
        table, here, row = self.table, self._heard, self._known[carrier, 0]
        known = [table[name][row] for name in ("heard", "unheard_from", "unheard_until")]
        if len(here.key) == 0:
            return known[0], known[1], known[2]
        place = np.searchsorted(here.key, _key(carrier, due)) - 1
        found = (place >= 0) & (here.key[place] >> _MINUTE_BITS == carrier)
        told = (here.minute, here.unheard_from, here.unheard_until)
        heard, from_, until = (
            np.where(found, new[place], old) for new, old in zip(told, known, strict=True)
        )
        return heard, from_, until

    def _gap(self, carrier: Index, began: Minutes, ended: Minutes) -> Floats:
        """Return the gap between two minutes, in seconds of each carrier's clock."""
        return self.clock.elapsed(self._known[carrier, 1], _seconds(began), _seconds(ended))

    def _far_of(self, carrier: Index) -> Floats:
        """Return beyond which gap each carrier is unheard, seconds of its clock."""
        asked = np.isnan(self._far[carrier])
        if np.count_nonzero(asked):
            for number in np.unique(carrier[asked]).tolist():
                self._far[number] = self._usual(int(self._known[number, 2]))
        return self._far[carrier]

    def _usual(self, code: int) -> float:
        row = self.gaps.rows(np.array([code]))[0]
        if row[0] < 0 or self.gaps.observations[row[0]] < self._min_observations:
            return np.inf
        return max(FACTOR * float(self.gaps.quantiles(row)[0, Q99]), LEAST_SECONDS)

    def _meet(self, carrier: Index) -> None:
        """Give carriers rows, clocks and gaps where they have none yet."""
        missing = int(carrier.max()) + 1 - len(self._known)
        if missing > 0:
            missing = max(missing, len(self._known))
            self._known = np.concatenate([self._known, np.full((missing, 3), -1)])
            self._far = np.concatenate([self._far, np.full(missing, np.nan)])
        for number in np.unique(carrier[self._known[carrier, 0] < 0]).tolist():
            name = self._parcels.carriers[number] or ""
            codes = self.clock.code(name, _STAGE), self.gaps.code(name)
            self._known[number] = self.table.put(name), *codes


def heard_table() -> Table:
    """Return an empty table of carriers: minutes of the clock, 0 = never."""
    return Table("heard", _COLUMNS)


def merged_hearing(blobs: Sequence[bytes]) -> bytes:
    """Return when anybody heard carriers last, and the last time anybody did not."""
    whole = heard_table()
    for blob in blobs:
        table = heard_table()
        table.load(0, 1, blob)
        for old in table.rows().tolist():
            row = whole.put(table.key(old))
            whole["heard"][row] = max(whole["heard"][row], table["heard"][old])
            if table["unheard_until"][old] > whole["unheard_until"][row]:
                for column in ("unheard_from", "unheard_until"):
                    whole[column][row] = table[column][old]
    return whole.dump(0, 1)


def _seconds(minutes: Minutes) -> Floats:
    seconds: Floats = minutes * np.float64(GRID_SECONDS)
    return seconds


def _key(carrier: Index, minute: Minutes) -> Index:
    key: Index = (carrier << _MINUTE_BITS) | minute
    return key
