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
    """The row of the carrier and the minute, as one number."""
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
        """By carrier: its row, its clock and its gaps."""
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
        codes = self._numbers(carrier)
        first = np.empty(len(carrier), np.bool_)
        first[0] = True
        np.not_equal(carrier[1:], carrier[:-1], out=first[1:])
        self._heard = self._told(codes, minute, first)

    def _told(self, codes: Index, minute: Index, first: Mask) -> _Heard:
        """Count the gaps between minutes, and return what was known of its carrier at each."""
        row = codes[:, 0]
        before = np.where(first, self.table["heard"][row], np.concatenate([[0], minute[:-1]]))
        new = before < minute
        known = new & (before > 0)
        gaps = self._gap(codes, before, minute)
        self.clock.learn_many(codes[new, 1], _seconds(minute[new]))
        self.gaps.learn_many(codes[known, 2], gaps[known])
        unusual = known & (gaps > self._far_of(codes))
        place = np.maximum.accumulate(np.where(unusual | first, np.arange(len(row)), 0))
        here = unusual[place]
        return _Heard(
            _key(row, minute),
            minute,
            np.where(here, before[place], self.table["unheard_from"][row]),
            np.where(here, minute[place], self.table["unheard_until"][row]),
        )

    def end(self) -> None:
        """Remember of the scans heard since `begin` what the next ones need to know."""
        heard, self._heard = self._heard, _SILENT
        if len(heard.key) == 0:
            return
        row = heard.key >> _MINUTE_BITS
        last = np.flatnonzero(np.append(row[1:] != row[:-1], np.True_))
        rows = row[last]
        self.table["heard"][rows] = np.maximum(heard.minute[last], self.table["heard"][rows])
        self.table["unheard_from"][rows] = heard.unheard_from[last]
        self.table["unheard_until"][rows] = heard.unheard_until[last]
        self.table.touch(rows)

    def excused(self, block: Block, due: Minutes, until: Minutes) -> Minutes:
        """Return until when silences last that are too long at `until`, by what was heard.

        `due` is the minute of the clock at each record; what was heard in it does not count yet.
        """
        codes = self._numbers(block["carrier"].astype(np.int64))
        heard, unheard_from, unheard_until = self._before(codes[:, 0], due)
        known = (heard > 0) & (due - heard < self._most_minutes)
        unheard = known & (self._gap(codes, heard, due) > self._far_of(codes))
        since = np.ceil(block["last_at"] / GRID_SECONDS).astype(np.int64)
        missed = unheard_until - np.maximum(unheard_from, since)
        missed = np.minimum(missed, self._most_minutes).astype(np.int64)
        later = until + np.where(missed > 0, missed + BURST_MINUTES, 0)
        return np.where(unheard, np.maximum(due + LOOK_MINUTES, later), later)

    def _before(self, row: Index, due: Minutes) -> tuple[Index, Index, Index]:
        """Return what was known of carriers before a minute."""
        table, here = self.table, self._heard
        known = [table[name][row] for name in ("heard", "unheard_from", "unheard_until")]
        if len(here.key) == 0:
            return known[0], known[1], known[2]
        place = np.searchsorted(here.key, _key(row, due)) - 1
        found = (place >= 0) & (here.key[place] >> _MINUTE_BITS == row)
        told = (here.minute, here.unheard_from, here.unheard_until)
        heard, from_, until = (
            np.where(found, new[place], old) for new, old in zip(told, known, strict=True)
        )
        return heard, from_, until

    def _gap(self, codes: Index, began: Minutes, ended: Minutes) -> Floats:
        """Return the gap between two minutes, in seconds of each carrier's clock."""
        return self.clock.elapsed(codes[:, 1], _seconds(began), _seconds(ended))

    def _far_of(self, codes: Index) -> Floats:
        """Return beyond which gap each carrier is unheard, seconds of its clock."""
        rows = codes[:, 0]
        asked = np.isnan(self._far[rows])
        if np.count_nonzero(asked):
            for row, gaps in {(code[0], code[2]) for code in codes[asked].tolist()}:
                self._far[row] = self._usual(gaps)
        return self._far[rows]

    def _usual(self, code: int) -> float:
        row = self.gaps.rows(np.array([code]))[0]
        if row[0] < 0 or self.gaps.observations[row[0]] < self._min_observations:
            return np.inf
        return max(FACTOR * float(self.gaps.quantiles(row)[0, Q99]), LEAST_SECONDS)

    def _numbers(self, carriers: Index) -> Index:
        """Return row, clock and gaps of each carrier, shape (n, 3)."""
        most = int(carriers.max())
        if most >= len(self._known):
            more = np.full((max(most + 1, 2 * len(self._known)) - len(self._known), 3), -1)
            self._known = np.concatenate([self._known, more])
        codes: Index = self._known[carriers]
        if codes[:, 0].min() < 0:
            for carrier in np.unique(carriers[codes[:, 0] < 0]).tolist():
                name = self._parcels.carriers[carrier] or ""
                row = self.table.put(name)
                self._known[carrier] = row, self.clock.code(name, _STAGE), self.gaps.code(name)
                if row >= len(self._far):
                    more_far = np.full(max(row + 1, 2 * len(self._far)) - len(self._far), np.nan)
                    self._far = np.concatenate([self._far, more_far])
            codes = self._known[carriers]
        return codes


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


def _key(row: Index, minute: Minutes) -> Index:
    key: Index = (row << _MINUTE_BITS) | minute
    return key
