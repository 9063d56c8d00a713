"""The core of the tracking stream: what each parcel's silence, customs and sign-off say.

Theory of operation
-------------------
A batch is cut where the clock enters a new epoch (`epoch_seconds`). Within an epoch models are
frozen, so the events of different parcels are independent and are judged as arrays; a parcel that
occurs again in the same piece makes a further round. For each event, in this order:

1. a deadline of its parcel at or before the minute of the clock fires;
2. the event moves the parcel, ends its stall, arms its next deadline.

Deadlines of all other parcels fire at the end of the piece, with the time they were due; sorting
by the event that made the clock pass them gives the order in which things came true, however the
stream was cut. A deadline is never set before the minute after the event that sets it. At an
epoch's end the deadlines before it fire, then the models fold what was seen. Parcels are forgotten
at ends of epochs only, so that within one the number of rows only grows and `max_parcels` refuses
the same parcels whichever way the stream is cut.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import (
    GRID_SECONDS,
    Batch,
    Metric,
    Output,
    Rejected,
    RejectReason,
    StateError,
)
from detectors.deadlines import Deadlines
from detectors.decisions import (
    ClearedReason,
    Evidence,
    SignoffAbnormal,
    decision_id,
    instant,
)
from detectors.dwell import DwellModel
from detectors.events import Milestone, TrackingEvent
from detectors.parcel_table import CODE, MILESTONES, Flag, ParcelTable
from detectors.partials import PartialCounts, minute_of
from detectors.signoff import MODEL as SIGNOFF_MODEL
from detectors.signoff import AttemptShares, SignOff, Suspicion, suspicion
from detectors.sketches import Q95, Sketches
from detectors.stalls import (
    CLEARED_BY,
    STALL_REASONS,
    customs_overdue,
    stall_cleared,
    stall_opened,
)
from detectors.table import Table, pack, unpack

VERSION: Final = 2
DAY_SECONDS: Final = 86_400
HOUR_SECONDS: Final = 3600
SCAN_BUCKET_SECONDS: Final = 900

_STAGES: Final = 2 * (len(MILESTONES) + 1)
"""Stages of a lane: a milestone, outside or in the destination region."""


def _codes(*milestones: Milestone) -> NDArray[np.bool_]:
    """Return a look-up by milestone number: is it one of these."""
    table = np.zeros(len(MILESTONES) + 1, np.bool_)
    table[[CODE[milestone] for milestone in milestones]] = True
    return table


_LABEL: Final = CODE[Milestone.LABEL_CREATED]
_OTHER: Final = CODE[Milestone.OTHER]
_DELIVERED: Final = CODE[Milestone.DELIVERED]
_RETURNING: Final = CODE[Milestone.RETURNING]
_TERMINAL: Final = _codes(
    Milestone.DELIVERED,
    Milestone.RETURNED,
    Milestone.DAMAGED,
    Milestone.LOST,
    Milestone.CANCELLED,
)
_NO_DWELL: Final = _codes(Milestone.DAMAGED, Milestone.LOST, Milestone.CANCELLED)
"""Not movements: how long until these are declared says nothing of how long parcels stay."""
_CUSTOMS: Final = _codes(Milestone.CUSTOMS_PRESENTED, Milestone.CUSTOMS_HELD)
_ATTEMPTS: Final = _codes(
    Milestone.OUT_FOR_DELIVERY, Milestone.DELIVERY_FAILED, Milestone.AT_PICKUP_POINT
)
_ENTERS: Final = _codes(Milestone.ARRIVED, Milestone.OUT_FOR_DELIVERY, Milestone.AT_PICKUP_POINT)
_GIVEN_UP: Final = _codes(Milestone.RETURNED, Milestone.LOST)
"""Ends of life after which a delivery is worth a word."""

Index = NDArray[np.int64]
Seconds = NDArray[np.float64]
Mask = NDArray[np.bool_]


class _Scans:
    """The events of a batch as columns."""

    def __init__(self, batch: Batch[TrackingEvent], clock: float) -> None:
        events = batch.events
        self.events = events
        count = len(events)
        self.arrival = np.asarray(batch.arrivals, np.float64)
        self.clock = np.maximum.accumulate(np.maximum(self.arrival, clock))
        self.grid = np.floor(self.clock / GRID_SECONDS) * GRID_SECONDS
        self.keys = [f"{e.carrier}/{e.parcel_id}" for e in events]
        self.at = np.array([e.occurred_at.timestamp() for e in events])
        self.milestone = np.array([CODE[e.milestone] for e in events])
        self.region = np.array([0 if (r := e.region) is None else hash(r) for e in events])
        facility = np.array([0 if (f := e.facility) is None else hash(f) for e in events])
        self.place = np.where(facility != 0, facility, self.region)
        self.context = np.array([_has_context(e) for e in events])
        self.rows = np.full(count, -1, np.int64)


def _has_context(event: TrackingEvent) -> bool:
    return not (
        event.order_id is None
        and event.customer_id is None
        and event.origin_region is None
        and event.destination_region is None
        and event.promised_at is None
        and event.declared_value_minor is None
        and event.service_level is None
    )


class ParcelsCore:
    """Core of the tracking stream: stalls, customs, sign-offs, and counts for `flow`.

    Parameters
    ----------
    source
        Name of the partial counts' source, e.g. `parcels/0`.
    config_version
        Stands in the evidence of every decision.
    epoch_seconds
        Models judge with what they knew at the start of an epoch of the clock and learn at its
        end; a whole number of minutes.
    probability
        Chance that a usual dwell is called a stall. A parcel has six to ten dwells.
    guard
        A silence is no stall before so many times the 99th percentile seen.
    half_life_days
        After so many days an observation counts half.
    min_observations
        With fewer, a segment (then a coarser one) has no opinion.
    max_segments
        Histograms of dwells kept; beyond, new lanes speak through their carrier.
    least_wait_seconds
        No silence shorter than this is a stall.
    recheck_seconds
        How often a parcel is looked at again while nobody can tell what is usual for it.
    customs_days
        A parcel in customs for longer is overdue.
    expire_days
        A parcel that has been silent for so long is forgotten.
    retention_days
        A parcel is remembered for so long after the end of its life.
    recycle_days
        A label made so long after the end of a parcel's life is another parcel's.
    least_attempted_share
        A delivery that was never out for delivery is abnormal where at least this share was.
    soonest_probability
        A delivery is implausibly soon when so small a share of a lane's is sooner.
    allowed_lateness_seconds
        A count is marked late when its bucket ended so long before the clock; as in `flow`.
    max_parcels
        Parcels remembered at once; events of further ones are rejected.
    """

    def __init__(
        self,
        *,
        source: str,
        config_version: str,
        epoch_seconds: int = 3600,
        probability: float = 0.001,
        guard: float = 1.25,
        half_life_days: float = 30.0,
        min_observations: int = 50,
        max_segments: int = 50_000,
        least_wait_seconds: float = 3600.0,
        recheck_seconds: int = DAY_SECONDS,
        customs_days: float = 7.0,
        expire_days: float = 60.0,
        retention_days: float = 45.0,
        recycle_days: float = 30.0,
        least_attempted_share: float = 0.99,
        soonest_probability: float = 0.0001,
        allowed_lateness_seconds: int = HOUR_SECONDS,
        max_parcels: int = 2_000_000,
    ) -> None:
        if epoch_seconds % GRID_SECONDS or epoch_seconds <= 0:
            raise ValueError("epoch_seconds is a whole number of minutes")
        self.source = source
        self.config_version = config_version
        self.epoch_seconds = epoch_seconds
        self.min_observations = min_observations
        self.least_wait_seconds = least_wait_seconds
        self.recheck_seconds = recheck_seconds
        self.customs_days = customs_days
        self.expire_days = expire_days
        self.retention_days = retention_days
        self.recycle_days = recycle_days
        self.least_attempted_share = least_attempted_share
        self.soonest_probability = soonest_probability
        self.allowed_lateness_seconds = allowed_lateness_seconds
        self.max_parcels = max_parcels
        self.max_segments = max_segments
        self.clock = float("-inf")
        self._epoch: int | None = None
        self._parcels = ParcelTable()
        self._dwell = DwellModel(
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
        self._attempts = AttemptShares(
            half_life_days=half_life_days, min_observations=4 * min_observations
        )
        self._partials = PartialCounts(source)
        self._deadlines = Deadlines()
        self._out: list[tuple[int, int, float, str, int, Output]] = []
        self._grid: Seconds = np.zeros(0)
        self._derived = True
        self._forget_codes()

    def __len__(self) -> int:
        """Return the number of rows of state: parcels and histograms."""
        return sum(len(table) for table in self._tables())

    # ------------------------------------------------------------------------------- the protocol

    def observe(self, batch: Batch[TrackingEvent]) -> list[Output]:
        """Judge and remember scans in order."""
        if not batch.events:
            return []
        self._derive()
        scans = _Scans(batch, self.clock)
        self._grid = scans.grid
        epochs = np.floor(scans.clock / self.epoch_seconds).astype(np.int64)
        cuts = np.flatnonzero(np.diff(epochs)) + 1
        for piece in np.split(np.arange(len(batch.events)), cuts):
            self._enter(int(epochs[piece[0]]))
            self._piece(scans, piece)
        self._flush(scans.grid)
        self.clock = float(scans.clock[-1])
        return self._said()

    def advance(self, now: float) -> list[Output]:
        """Move the clock to `now` and say what fell due."""
        if not now > self.clock:
            return []
        self._derive()
        self._grid = np.array([float(minute_of(now))])
        self._enter(int(now // self.epoch_seconds))
        self._fire_until(float(minute_of(now)))
        self._flush(self._grid)
        self.clock = float(now)
        return self._said()

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page in full."""
        blobs = [table.dump(page, pages) for table in self._tables()]
        return pack(VERSION, self._scalars(), blobs)

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        scalars, blobs = self._unpack(blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.load(page, pages, part)
        self._restore(scalars)

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        return pack(VERSION, self._scalars(), [table.changes() for table in self._tables()])

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        scalars, blobs = self._unpack(blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.apply(part)
        self._restore(scalars)

    def _tables(self) -> tuple[Table, ...]:
        return (
            self._parcels.table,
            *self._dwell.sketches.tables(),
            *self._last_leg.sketches.tables(),
            *self._lag.tables(),
            self._attempts.table,
            self._partials.table,
        )

    def _scalars(self) -> dict[str, Any]:
        return {"clock": self.clock, "epoch": self._epoch, "through": self._partials.through}

    def _unpack(self, blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
        scalars, blobs = unpack(VERSION, blob)
        if len(blobs) != len(self._tables()) or scalars.keys() != self._scalars().keys():
            raise StateError("the state of a parcels core has other parts")
        return scalars, blobs

    def _restore(self, scalars: Mapping[str, Any]) -> None:
        self.clock, self._epoch = scalars["clock"], scalars["epoch"]
        self._partials.restore(scalars["through"])
        self._derived = False

    # --------------------------------------------------------------------- what is never stored

    def _derive(self) -> None:
        """Make anew, after loading, what is derived from the tables."""
        if self._derived:
            return
        self._derived = True
        self._parcels.forget_derived()
        rows = self._parcels.table.rows()
        self._parcels.derive(rows)
        self._deadlines = Deadlines()
        self._deadlines.schedule(rows, self._parcels["due"])
        self._forget_codes()

    def _forget_codes(self) -> None:
        self._dwell.forget_codes()
        self._last_leg.forget_codes()
        self._lag.forget_codes()
        self._code_of = np.full(64 * _STAGES, -1, np.int64)
        self._leg_of = np.full(64, -1, np.int64)
        self._lag_of = np.full(64, -1, np.int64)

    def _segments(self, lane: Index, stage: Index, at_destination: Index) -> Index:
        """Return the dwell model's code of each (lane, stage)."""
        wanted = lane * _STAGES + stage * 2 + at_destination
        while len(self._parcels.lanes) * _STAGES > len(self._code_of):
            more = np.full_like(self._code_of, -1)
            self._code_of = np.concatenate([self._code_of, more])
        codes: Index = self._code_of[wanted]
        if (codes < 0).any():
            for new in np.unique(wanted[codes < 0]).tolist():
                carrier, name = self._parcels.lanes[new // _STAGES]
                self._code_of[new] = self._dwell.code(carrier, name, _stage_name(new % _STAGES))
            codes = self._code_of[wanted]
        return codes

    def _lag_codes(self, carrier: Index) -> Index:
        while len(self._parcels.carriers) > len(self._lag_of):
            self._lag_of = np.concatenate([self._lag_of, np.full_like(self._lag_of, -1)])
        codes: Index = self._lag_of[carrier]
        if (codes < 0).any():
            for new in np.unique(carrier[codes < 0]).tolist():
                self._lag_of[new] = self._lag.code(self._parcels.carriers[new])
            codes = self._lag_of[carrier]
        return codes

    def _lags(self, carrier: Index) -> Seconds:
        """Return how late each carrier reports, seconds; 0 while unknown."""
        rows = self._lag.rows(self._lag_codes(carrier))[:, 0]
        known = (rows >= 0) & (self._lag.folded["n"][rows] >= self.min_observations)
        quantile = np.zeros(len(rows))
        quantile[known] = self._lag.quantiles(rows[known])[:, Q95]
        return quantile

    def _waits(self, rows: Index) -> Seconds:
        """Return how long the silence of each parcel may last by now; NaN for no opinion."""
        state = self._parcels
        stage, inside = state["stage"][rows], state["at_destination"][rows]
        codes = self._segments(state.lane[rows], stage.astype(np.int64), inside.astype(np.int64))
        wait = np.maximum(self._dwell.wait_many(codes), self.least_wait_seconds)
        return wait + self._lags(state.carrier[rows])

    # ------------------------------------------------------------------------------ time passing

    def _enter(self, epoch: int) -> None:
        """Come to the start of an epoch: fire what was due before, fold, fire what is due."""
        if self._epoch is None:
            self._epoch = epoch
        if epoch <= self._epoch:
            return
        boundary = (self._epoch + 1) * self.epoch_seconds
        self._fire_until(boundary - GRID_SECONDS)
        self._fold(boundary / DAY_SECONDS)
        self._epoch = epoch
        self._fire_until(epoch * self.epoch_seconds)

    def _fold(self, day: float) -> None:
        self._dwell.fold(day)
        self._last_leg.fold(day)
        self._lag.fold(day)
        self._attempts.fold(day)
        if self._dwell.sketches.codes() > 4 * self.max_segments:
            self._parcels.forget_derived()
            self._parcels.derive(self._parcels.table.rows())
            self._forget_codes()

    def _fire_until(self, limit: float) -> None:
        while len(rows := self._deadlines.pop(limit, self._parcels["due"])):
            self._fire(rows)

    def _fire(self, rows: Index) -> None:
        """Do what is due for each row at its own deadline, and set the next one."""
        state = self._parcels
        due = state["due"][rows]
        gone = state["gone_at"][rows] <= due
        for row in rows[gone].tolist():
            self._forget(row)
        state.table.remove(rows[gone])
        state["due"][rows[gone]] = np.inf
        rows, due = rows[~gone], due[~gone]
        if len(rows) == 0:
            return
        for row in rows[self._customs_due(rows) <= due].tolist():
            self._say_customs(row)
        silent = state["wait_until"][rows] <= due
        if silent.any():
            self._judge_silence(rows[silent], due[silent])
        self._arm(rows)

    def _judge_silence(self, rows: Index, due: Seconds) -> None:
        """Open a stall, or wait on when the model of now says so or has no opinion."""
        state = self._parcels
        wait = self._waits(rows)
        until = _up_to_minute(state["last_at"][rows] + wait)
        unknown = np.isnan(wait)
        until[unknown] = due[unknown] + self.recheck_seconds
        stalled = ~unknown & (until <= due)
        until[stalled] = np.inf
        state["wait_until"][rows] = until
        for row, threshold in zip(rows[stalled].tolist(), wait[stalled].tolist(), strict=True):
            self._open_stall(row, threshold)

    def _customs_due(self, rows: Index) -> Seconds:
        """Return when customs is overdue, inf where it is not or was said already."""
        state = self._parcels
        since = state["customs_since"][rows]
        waiting = (since != 0) & (state["flags"][rows] & Flag.CUSTOMS_SAID == 0)
        return np.where(waiting, _up_to_minute(since + self.customs_days * DAY_SECONDS), np.inf)

    def _arm(self, rows: Index, earliest: Seconds | None = None) -> None:
        """Set the next deadline of rows: the first of silence, customs and forgetting.

        `earliest` is the first minute it may be set to.
        """
        state = self._parcels
        due = np.minimum(state["wait_until"][rows], self._customs_due(rows))
        if earliest is not None:
            due = np.maximum(due, earliest)
        state["due"][rows] = np.minimum(due, state["gone_at"][rows])
        state.table.touch(rows)
        self._deadlines.schedule(rows, state["due"])

    # ------------------------------------------------------------------------------------ scans

    def _piece(self, scans: _Scans, piece: Index) -> None:
        """Take events of one epoch: parcel by parcel, round by round."""
        taken = self._admit(scans, piece)
        self._count_scans(scans, piece)
        rows = scans.rows[taken]
        order = np.argsort(rows, kind="stable")
        taken, rows = taken[order], rows[order]
        first = np.ones(len(rows), np.bool_)
        while len(rows):
            first[1:] = rows[1:] != rows[:-1]
            self._round(scans, np.sort(taken[first]))
            taken, rows = taken[~first], rows[~first]
            first = np.ones(len(rows), np.bool_)
        self._fire_until(float(scans.grid[piece[-1]]))

    def _admit(self, scans: _Scans, piece: Index) -> Index:
        """Find the rows of events, made where there is room; return the events that have one."""
        keys = scans.keys[piece[0] : piece[-1] + 1]
        rows = self._parcels.table.find(keys)
        new = np.flatnonzero(rows < 0)
        if len(new):
            unknown = [keys[place] for place in new.tolist()]
            room = max(self.max_parcels - len(self._parcels), 0)
            self._parcels.add(list(dict.fromkeys(unknown))[:room])
            rows[new] = self._parcels.table.find(unknown)
        scans.rows[piece] = rows
        for index in piece[rows < 0].tolist():
            self._say(index, Rejected(index, RejectReason.TOO_MANY_PARCELS))
        return piece[rows >= 0]

    def _round(self, scans: _Scans, events: Index) -> None:
        """Take at most one event of each parcel."""
        state = self._parcels
        rows = scans.rows[events]
        while (passed := state["due"][rows] <= scans.grid[events]).any():
            self._fire(rows[passed])
        ended = state["flags"][rows] & Flag.ENDED != 0
        for event in events[ended].tolist():
            self._after_the_end(scans, event)
        flags = state["flags"][rows]
        seen, ended = flags & Flag.SEEN != 0, flags & Flag.ENDED != 0
        last_at, at = state["last_at"][rows], scans.at[events]
        bit = state["same_time"][rows] >> scans.milestone[events].astype(np.uint32) & 1
        late = seen & ~ended & (at < last_at)
        again = seen & ~ended & (at == last_at) & (bit != 0)
        if late.any():
            self._late(scans, events[late])
        usual = ~(ended | late | again)
        if usual.any():
            self._move(scans, events[usual])

    def _after_the_end(self, scans: _Scans, event: int) -> None:
        """Begin a recycled number's next life; say when what was given up is delivered."""
        state, row = self._parcels, int(scans.rows[event])
        milestone = int(scans.milestone[event])
        since_end = float(scans.at[event] - state["ended_at"][row])
        if milestone == _LABEL and since_end > self.recycle_days * DAY_SECONDS:
            state.recycle(row)
        elif milestone == _DELIVERED and _GIVEN_UP[state["stage"][row]] and since_end >= 0:
            self._judge_signoff(scans, event)
            state["stage"][row] = _DELIVERED
            state.table.touch([row])

    def _late(self, scans: _Scans, events: Index) -> None:
        """Take from scans older than the parcel's last what they add; the stage stays."""
        state, rows = self._parcels, scans.rows[events]
        for event in events[scans.context[events]].tolist():
            state.remember(int(scans.rows[event]), scans.events[event], overwrite=False)
        attempted = np.where(_ATTEMPTS[scans.milestone[events]], Flag.ATTEMPTED, 0)
        state["flags"][rows] |= attempted.astype(np.uint8)
        state.table.touch(rows)
        self._count_entered(scans, events)

    def _move(self, scans: _Scans, events: Index) -> None:
        """Take scans in the order of their parcels' lives; at most one a parcel."""
        state, rows = self._parcels, scans.rows[events]
        milestone, at = scans.milestone[events], scans.at[events]
        stage = state["stage"][rows].astype(np.int64)
        self._learn(scans, events, stage)
        for event in events[scans.context[events]].tolist():
            self._remember(scans, event)
        place = scans.place[events]
        elsewhere = (milestone != stage) | ((place != 0) & (place != state.place[rows]))
        moved = (milestone != _OTHER) & elsewhere & ((milestone != _LABEL) | (stage == 0))
        self._clear(scans, events[moved & (state["stall"][rows] != 0)])
        delivered = events[milestone == _DELIVERED]
        if len(delivered):
            self._sign_off(scans, delivered)
        self._place(scans, events[moved])
        same = state["last_at"][rows] == at
        bits = np.left_shift(np.uint32(1), milestone.astype(np.uint32))
        state["same_time"][rows] = np.where(same, state["same_time"][rows] | bits, bits)
        state["last_at"][rows] = at
        outside = state["at_destination"][rows] == 0
        state["outside_at"][rows[outside]] = at[outside]
        news = np.where(_ATTEMPTS[milestone], Flag.SEEN | Flag.ATTEMPTED, Flag.SEEN)
        state["flags"][rows] |= news.astype(np.uint8)
        self._customs(scans, events[moved])
        self._count_entered(scans, events)
        self._count_left(scans, events)
        self._set_deadlines(scans, events)

    def _learn(self, scans: _Scans, events: Index, stage: Index) -> None:
        """Count the dwells that ended and how late they were reported."""
        state, rows = self._parcels, scans.rows[events]
        at = scans.at[events]
        dwelt = (stage > 0) & ~_NO_DWELL[scans.milestone[events]]
        of = rows[dwelt]
        inside = state["at_destination"][of].astype(np.int64)
        codes = self._segments(state.lane[of], stage[dwelt], inside)
        self._dwell.learn_many(codes, at[dwelt] - state["last_at"][of])
        lag = np.maximum(scans.arrival[events] - at, 0.0)
        self._lag.learn_many(self._lag_codes(state.carrier[rows]), lag)

    def _remember(self, scans: _Scans, event: int) -> None:
        state, row = self._parcels, int(scans.rows[event])
        before = state.table.text("destination_region")[row]
        state.remember(row, scans.events[event], overwrite=True)
        after = state.table.text("destination_region")[row]
        flags = int(state["flags"][row])
        if before != after and flags & Flag.ENTERED and not flags & Flag.LEFT and before:
            self._count(Metric.LEFT, before, float(scans.clock[event]))
            state["flags"][row] = flags & ~Flag.ENTERED

    def _clear(self, scans: _Scans, events: Index) -> None:
        """End the stalls of parcels that moved."""
        for event in events.tolist():
            milestone = MILESTONES[int(scans.milestone[event]) - 1]
            self._end_stall(
                int(scans.rows[event]),
                CLEARED_BY.get(milestone, ClearedReason.MOVED),
                at=float(scans.clock[event]),
                moved_at=float(scans.at[event]),
                position=event,
            )

    def _place(self, scans: _Scans, events: Index) -> None:
        """Note where parcels have moved to."""
        state, rows = self._parcels, scans.rows[events]
        state.move(rows, [scans.events[event] for event in events.tolist()])
        region = scans.region[events]
        state.region[rows] = np.where(region != 0, region, state.region[rows])
        place = scans.place[events]
        state.place[rows] = np.where(place != 0, place, state.region[rows])
        state["stage"][rows] = scans.milestone[events]
        arrived = (state.region[rows] != 0) & (state.region[rows] == state.destination[rows])
        state["at_destination"][rows] = arrived

    def _customs(self, scans: _Scans, events: Index) -> None:
        """Begin and end customs episodes."""
        state, rows = self._parcels, scans.rows[events]
        held = _CUSTOMS[scans.milestone[events]]
        begins = held & (state["customs_since"][rows] == 0)
        state["customs_since"][rows[begins]] = scans.at[events[begins]]
        state["customs_since"][rows[~held]] = 0
        state["flags"][rows[~held]] &= np.uint8(255 - Flag.CUSTOMS_SAID)

    def _set_deadlines(self, scans: _Scans, events: Index) -> None:
        state, rows = self._parcels, scans.rows[events]
        clock, next_minute = scans.clock[events], scans.grid[events] + GRID_SECONDS
        ended = _TERMINAL[scans.milestone[events]]
        wait = self._waits(rows)
        until = _up_to_minute(scans.at[events] + wait)
        until = np.where(np.isnan(wait), scans.grid[events] + self.recheck_seconds, until)
        until[ended | (state["stall"][rows] != 0)] = np.inf
        state["wait_until"][rows] = until
        keep = np.where(ended, self.retention_days, self.expire_days) * DAY_SECONDS
        state["gone_at"][rows] = np.ceil((clock + keep) / self.epoch_seconds) * self.epoch_seconds
        state["customs_since"][rows[ended]] = 0
        state["ended_at"][rows[ended]] = scans.at[events[ended]]
        state["flags"][rows[ended]] |= np.uint8(Flag.ENDED)
        self._arm(rows, next_minute)

    # --------------------------------------------------------------------------------- sign-offs

    def _sign_off(self, scans: _Scans, events: Index) -> None:
        """Judge deliveries, then learn from them."""
        state = self._parcels
        events = events[state["flags"][scans.rows[events]] & Flag.SEEN != 0]
        rows = scans.rows[events]
        attempted = state["flags"][rows] & Flag.ATTEMPTED != 0
        measured = (state["outside_at"][rows] != 0) & (state.destination[rows] != 0)
        legs = self._leg_codes(rows)
        took = scans.at[events] - state["outside_at"][rows]
        region = scans.region[events]
        elsewhere = (region != 0) & (region != state.destination[rows]) & measured
        soonest = self._last_leg.soonest_many(legs, self.soonest_probability)
        odd = (
            (state["stage"][rows] == _RETURNING)
            | elsewhere
            | (measured & (took < soonest))
            | (~attempted & self._usually_attempted(state.carrier[rows]))
        )
        for event in events[odd].tolist():
            self._judge_signoff(scans, event)
        carriers = [state.carriers[number] for number in state.carrier[rows].tolist()]
        self._attempts.learn_many(carriers, attempted)
        self._last_leg.learn_many(legs[measured], took[measured])

    def _usually_attempted(self, carrier: Index) -> Mask:
        """Tell of each carrier whether nearly all its deliveries were out for delivery before."""
        numbers, places = np.unique(carrier, return_inverse=True)
        shares = [self._attempts.share(self._parcels.carriers[n])[0] for n in numbers.tolist()]
        usual = [share is not None and share >= self.least_attempted_share for share in shares]
        return np.array(usual, np.bool_)[places]

    def _leg_codes(self, rows: Index) -> Index:
        lanes = self._parcels.lane[rows]
        while len(self._parcels.lanes) > len(self._leg_of):
            self._leg_of = np.concatenate([self._leg_of, np.full_like(self._leg_of, -1)])
        for lane in np.unique(lanes[self._leg_of[lanes] < 0]).tolist():
            carrier, name = self._parcels.lanes[lane]
            self._leg_of[lane] = self._last_leg.code(carrier, name, "last leg")
        codes: Index = self._leg_of[lanes]
        return codes

    def _judge_signoff(self, scans: _Scans, event: int) -> None:
        state, row = self._parcels, int(scans.rows[event])
        facts = state.facts(row)
        outside, stage = float(state["outside_at"][row]), int(state["stage"][row])
        share, deliveries = self._attempts.share(facts["carrier"])
        measured = outside != 0 and facts["destination_region"] is not None
        codes = self._leg_codes(np.array([row]))
        soonest = float(self._last_leg.soonest_many(codes, self.soonest_probability)[0])
        found = suspicion(
            SignOff(
                returning=stage in {_RETURNING, CODE[Milestone.RETURNED]},
                lost=stage == CODE[Milestone.LOST],
                attempted=bool(state["flags"][row] & Flag.ATTEMPTED),
                region=scans.events[event].region,
                destination=facts["destination_region"],
                seconds=float(scans.at[event]) - outside if measured else None,
                soonest=None if np.isnan(soonest) else soonest,
                attempted_share=share,
                deliveries=deliveries,
            ),
            self.least_attempted_share,
        )
        if found is not None:
            self._say_signoff(scans, event, found)

    def _say_signoff(self, scans: _Scans, event: int, found: Suspicion) -> None:
        row, at = int(scans.rows[event]), float(scans.at[event])
        scan = scans.events[event]
        facts = self._parcels.facts(row) | {
            "milestone": Milestone.DELIVERED,
            "facility": scan.facility,
            "region": scan.region,
        }
        began = f"{int(self._parcels['epoch'][row])}:{instant(at).isoformat()}"
        identity = decision_id("signoff.abnormal", facts["subject"], found.reason, began)
        decision = SignoffAbnormal(
            **facts,
            decision_id=identity,
            episode_id=identity,
            decided_at=instant(float(scans.clock[event])),
            occurred_at=instant(at),
            reason=found.reason,
            evidence=Evidence(
                text=found.text,
                unit=found.unit,
                observed=found.observed,
                threshold=found.threshold,
                probability=found.probability,
                segment=f"{facts['carrier']} sign-offs",
                observations=found.observations,
                model=SIGNOFF_MODEL,
                config=self.config_version,
            ),
        )
        self._say(event, decision)

    # ------------------------------------------------------------------------------------ stalls

    def _open_stall(self, row: int, threshold: float) -> None:
        state = self._parcels
        since, due = float(state["last_at"][row]), float(state["due"][row])
        code = self._code(row)
        segment = self._dwell.explain(int(code[0]))
        assert segment is not None, "a silence without an opinion is no stall"
        lag = float(self._lags(state.carrier[[row]])[0])
        survival = 1.0 - float(self._dwell.score_many(code, np.array([due - since - lag]))[0])
        decision = stall_opened(
            state.facts(row),
            epoch=int(state["epoch"][row]),
            since=since,
            due=due,
            threshold=threshold,
            probability=float(f"{survival:.3g}"),
            segment=segment,
            config=self.config_version,
        )
        state["stall"][row] = STALL_REASONS.index(decision.reason) + 1
        state["stall_from"][row], state["stall_at"][row] = since, due
        self._say_due(row, due, decision)

    def _code(self, row: int) -> Index:
        state = self._parcels
        stage = state["stage"][[row]].astype(np.int64)
        inside = state["at_destination"][[row]].astype(np.int64)
        return self._segments(state.lane[[row]], stage, inside)

    def _end_stall(
        self, row: int, reason: ClearedReason, *, at: float, moved_at: float, position: int | None
    ) -> None:
        state = self._parcels
        decision = stall_cleared(
            state.facts(row),
            epoch=int(state["epoch"][row]),
            since=float(state["stall_from"][row]),
            opened_at=float(state["stall_at"][row]),
            stall_reason=STALL_REASONS[int(state["stall"][row]) - 1],
            reason=reason,
            at=at,
            moved_at=moved_at,
            config=self.config_version,
        )
        state["stall"][row] = state["stall_from"][row] = state["stall_at"][row] = 0
        if position is None:
            self._say_due(row, at, decision)
        else:
            self._say(position, decision)

    def _forget(self, row: int) -> None:
        """Let go of a parcel that ended long ago or fell silent for good."""
        state = self._parcels
        due = float(state["due"][row])
        if state["stall"][row]:
            self._end_stall(row, ClearedReason.EXPIRED, at=due, moved_at=due, position=None)
        flags = int(state["flags"][row])
        destination = state.table.text("destination_region")[row]
        if flags & Flag.ENTERED and not flags & Flag.LEFT and destination:
            self._count(Metric.LEFT, destination, due)

    def _say_customs(self, row: int) -> None:
        state = self._parcels
        due = float(state["due"][row])
        state["flags"][row] |= np.uint8(Flag.CUSTOMS_SAID)
        decision = customs_overdue(
            state.facts(row),
            epoch=int(state["epoch"][row]),
            since=float(state["customs_since"][row]),
            due=due,
            days=self.customs_days,
            config=self.config_version,
        )
        self._say_due(row, due, decision)

    # ------------------------------------------------------------------------------------ counts

    def _count(self, metric: Metric, region: str, clock: float) -> None:
        hour = int(clock // HOUR_SECONDS) * HOUR_SECONDS
        self._partials.count(metric, region, hour, minute=minute_of(clock))

    def _count_scans(self, scans: _Scans, piece: Index) -> None:
        """Count arrivals by carrier, quarter of an hour and the minute they were seen in."""
        numbers: dict[str, int] = {}
        names = [event.carrier for event in scans.events[piece[0] : piece[-1] + 1]]
        carrier = np.array([numbers.setdefault(name, len(numbers)) for name in names])
        bucket = np.floor(scans.arrival[piece] / SCAN_BUCKET_SECONDS).astype(np.int64)
        minute = (scans.grid[piece] / GRID_SECONDS).astype(np.int64)
        closed = (bucket + 1) * SCAN_BUCKET_SECONDS + self.allowed_lateness_seconds
        late = closed <= scans.clock[piece]
        hour = np.floor(scans.clock[piece] / HOUR_SECONDS) * HOUR_SECONDS
        same = (minute - minute[0]) * len(numbers) + carrier
        same = (same * (int(np.ptp(bucket)) + 1) + bucket - bucket.min()) * 2 + late
        _, first, counts = np.unique(same, return_index=True, return_counts=True)
        for place, count in zip(first.tolist(), counts.tolist(), strict=True):
            self._partials.count(
                Metric.SCANS,
                names[place],
                int(bucket[place]) * SCAN_BUCKET_SECONDS,
                minute=int(minute[place]) * GRID_SECONDS,
                late_at=int(hour[place]) if late[place] else 0,
                count=count,
            )

    def _count_entered(self, scans: _Scans, events: Index) -> None:
        """Count parcels whose first scan in their destination region this is."""
        state, rows = self._parcels, scans.rows[events]
        region = scans.region[events]
        here = (region != 0) & (region == state.destination[rows])
        new = state["flags"][rows] & (Flag.ENTERED | Flag.LEFT) == 0
        enters = here & new & _ENTERS[scans.milestone[events]]
        state["flags"][rows[enters]] |= np.uint8(Flag.ENTERED)
        self._count_regions(Metric.ENTERED, scans, events[enters])

    def _count_left(self, scans: _Scans, events: Index) -> None:
        """Count parcels that are done with their destination region."""
        state, rows = self._parcels, scans.rows[events]
        milestone = scans.milestone[events]
        leaves = (_TERMINAL[milestone] | (milestone == _RETURNING)) & (
            state["flags"][rows] & (Flag.ENTERED | Flag.LEFT) == Flag.ENTERED
        )
        state["flags"][rows[leaves]] |= np.uint8(Flag.LEFT)
        self._count_regions(Metric.LEFT, scans, events[leaves])

    def _count_regions(self, metric: Metric, scans: _Scans, events: Index) -> None:
        destination = self._parcels.table.text("destination_region")
        for event in events.tolist():
            region = destination[int(scans.rows[event])]
            assert region is not None, "only parcels with a destination enter it"
            self._count(metric, region, float(scans.clock[event]))

    # ------------------------------------------------------------------------------- what is said

    def _say(self, position: int, output: Output) -> None:
        """Note what follows from the event at a position of the batch."""
        self._out.append((position, 2, 0.0, "", len(self._out), output))

    def _say_due(self, row: int, due: float, output: Output) -> None:
        """Note what a deadline says: before the event that made the clock pass it."""
        position = int(np.searchsorted(self._grid, due))
        self._out.append((position, 0, due, self._parcels.table.key(row), len(self._out), output))

    def _flush(self, grid: Seconds) -> None:
        """Send the counts of minutes that are over: a record for each minute come to."""
        minutes, first = np.unique(grid.astype(np.int64), return_index=True)
        new = minutes > (-1 if self._partials.through is None else self._partials.through)
        for position, record in zip(
            first[new].tolist(), self._partials.flush(minutes[new].tolist()), strict=True
        ):
            self._out.append((position, 1, 0.0, "", len(self._out), record))
        self._partials.settle()

    def _said(self) -> list[Output]:
        said = [entry[-1] for entry in sorted(self._out, key=_when)]
        self._out.clear()
        return said


def _when(entry: tuple[int, int, float, str, int, Output]) -> tuple[int, int, float, str, int]:
    return entry[:5]


def _stage_name(number: int) -> str:
    """Return `arrived`, or `arrived at destination`."""
    milestone, inside = divmod(number, 2)
    name = MILESTONES[milestone - 1].value if milestone else "unknown"
    return f"{name} at destination" if inside else name


def _up_to_minute(seconds: Seconds) -> Seconds:
    rounded: Seconds = np.ceil(seconds / GRID_SECONDS) * GRID_SECONDS
    return rounded
