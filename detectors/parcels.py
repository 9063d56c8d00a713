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

With several sources models are shared (`detectors.lessons`): what was counted in an epoch is said
and not folded, and an epoch is entered only with everybody's lessons of the epoch DELAY before.
`room` tells how many of the next scans may come; `advance` to the next one's arrival moves the
clock as far as it may, and says that nothing comes before.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from detectors.base import GRID_SECONDS, Batch, Lesson, Output, StateError
from detectors.deliveries import Deliveries
from detectors.episodes import Episodes
from detectors.events import TrackingEvent
from detectors.lessons import NEVER
from detectors.movements import Movements
from detectors.parcel_table import ParcelTable
from detectors.partials import PartialCounts
from detectors.pupil import Pupil
from detectors.sayings import Sayings
from detectors.scan_columns import ScanColumns, Seconds, columns_of
from detectors.scans import Scans
from detectors.table import pack, unpack
from detectors.timers import DAY_SECONDS, Timers
from detectors.traffic import HOUR_SECONDS, Traffic
from detectors.usual import Usual

VERSION: Final = 10


class ParcelsCore:
    """Core of the tracking stream: stalls, customs, sign-offs, and counts for `flow`.

    Parameters
    ----------
    source
        Name of the partial counts' source, e.g. `parcels/0`.
    config_version
        Stands in the evidence of every decision.
    sources
        All parcels cores that share their models, this one among them; none or one: it learns
        alone.
    epoch_seconds
        Models judge with what they knew at the start of an epoch of the clock and learn at its
        end; a whole number of minutes.
    late_cost
        What calling a stall too late costs, in false calls: larger is earlier, more often wrong.
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
    wrong_signoffs
        Share of sign-offs that are wrong, before anything is known of one.
    least_wrong_probability
        A delivery that breaks no rule is abnormal when its last steps make it so likely wrong.
    late_share
        Of the parcels with a promise, the share that may be flagged as late before it is broken,
        0 for none.
    late_chance
        No parcel is flagged as late that is less likely to be.
    late_days
        So many days before its promise a parcel is asked whether it will be late.
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
        sources: Sequence[str] = (),
        epoch_seconds: int = 14_400,
        late_cost: float = 0.018,
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
        wrong_signoffs: float = 0.003,
        least_wrong_probability: float = 0.2,
        late_share: float = 0.0,
        late_chance: float = 0.5,
        late_days: float = 3.0,
        allowed_lateness_seconds: int = HOUR_SECONDS,
        max_parcels: int = 2_000_000,
    ) -> None:
        if epoch_seconds % GRID_SECONDS or epoch_seconds <= 0:
            raise ValueError("epoch_seconds is a whole number of minutes")
        self.epoch_seconds = epoch_seconds
        self.clock = NEVER
        self._derived = True
        self._said = Sayings()
        self._parcels = parcels = ParcelTable()
        self._partials = PartialCounts(source)
        self._usual = Usual(
            parcels,
            late_cost=late_cost,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            least_wait_seconds=least_wait_seconds,
            soonest_probability=soonest_probability,
            wrong_signoffs=wrong_signoffs,
            late_share=late_share,
            late_chance=late_chance,
            shared=len(sources) > 1,
        )
        self._pupil = Pupil(source, sources, self._usual, epoch_seconds=epoch_seconds)
        self._traffic = Traffic(
            parcels, self._partials, allowed_lateness_seconds=allowed_lateness_seconds
        )
        episodes = Episodes(parcels, self._usual, self._said, config_version=config_version)
        self._timers = Timers(
            parcels,
            self._usual,
            self._traffic,
            episodes,
            self._said,
            recheck_seconds=recheck_seconds,
            customs_days=customs_days,
            late_days=late_days,
            config_version=config_version,
        )
        deliveries = Deliveries(
            parcels,
            self._usual,
            self._said,
            least_attempted_share=least_attempted_share,
            least_wrong_probability=least_wrong_probability,
            config_version=config_version,
        )
        self._movements = Movements(
            parcels,
            self._usual,
            self._timers,
            episodes,
            deliveries,
            self._traffic,
            self._said,
            epoch_seconds=epoch_seconds,
            expire_days=expire_days,
            retention_days=retention_days,
            recycle_days=recycle_days,
            max_parcels=max_parcels,
        )

    def __len__(self) -> int:
        """Return the number of rows of state: parcels and histograms."""
        self._derive()
        return len(self._parcels) + sum(len(sketches) for sketches in self._usual.sketches())

    @property
    def limit(self) -> float:
        """The time the clock may not come to yet, seconds."""
        return self._pupil.limit

    def room(self, arrivals: Seconds) -> int:
        """Return how many of the next scans may come, by their arrivals in order."""
        return self._pupil.room(arrivals, self.clock)

    def hear(self, told: Sequence[Lesson]) -> None:
        """Take merged lessons; they count when the clock comes to the epoch they are for."""
        for lesson in told:
            self._pupil.inbox.hear(lesson)

    def observe(self, batch: Batch[TrackingEvent] | ScanColumns) -> list[Output]:
        """Judge and remember scans in order, no more than there is room for."""
        columns = batch if isinstance(batch, ScanColumns) else columns_of(batch)
        if len(columns) == 0:
            return []
        if self.room(columns.arrivals) < len(columns):
            raise ValueError("scans of an epoch that may not be entered yet")
        self._derive()
        scans = Scans(columns, max(self.clock, self._pupil.promised), self._parcels)
        self._said.minutes = scans.minute
        self._traffic.count_scans(scans)
        epochs = scans.minute // (self.epoch_seconds // GRID_SECONDS)
        starts = np.flatnonzero(np.diff(epochs, prepend=epochs[0] - 1)).tolist()
        for start, stop in pairwise([*starts, len(scans)]):
            self._enter(int(epochs[start]))
            self._movements.take(scans, start, stop)
            self.clock = float(scans.clock[stop - 1])
        self._traffic.flush(self._said)
        return self._taken()

    def advance(self, now: float) -> list[Output]:
        """Move the clock to `now`, or as far as it may come, and say what fell due.

        No scan comes before `now` any more, whether the clock may come there yet or not.
        """
        if not now > self.clock:
            return []
        self._derive()
        reached = min(now, self.limit - GRID_SECONDS)
        if reached > self.clock:
            self._move(reached)
        self._pupil.promise(now, self.clock)
        return self._taken()

    def _move(self, now: float) -> None:
        minute = int(now // GRID_SECONDS)
        self._said.minutes = np.array([minute])
        self._enter(int(now // self.epoch_seconds))
        self._timers.fire_until(minute)
        self._traffic.flush(self._said)
        self.clock = float(now)

    def _taken(self) -> list[Output]:
        """Return what was said, lessons last, and forget it."""
        return [*self._said.take(), *self._pupil.take()]

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page in full; what is not in pages stands on the first."""
        parcels, usual = self._parcels, self._usual
        blobs = [part.dump(page, pages) for part in (parcels, parcels.names, parcels.carriers)]
        blobs += [sketches.dump(page, pages) for sketches in usual.sketches()]
        blobs += [self._pupil.inbox.dump(page, pages), self._partials.dump() if page == 0 else b""]
        return pack(VERSION, self._scalars(), blobs)

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        scalars, blobs = self._unpack(blob)
        parcels, usual = self._parcels, self._usual
        parcels.load(page, pages, blobs[0])
        parcels.names.apply(blobs[1])
        parcels.carriers.apply(blobs[2])
        for sketches, part in zip(usual.sketches(), blobs[3:-2], strict=True):
            sketches.load(page, pages, part)
        self._pupil.inbox.load(page, pages, blobs[-2])
        self._restore(scalars, blobs[-1])

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        parcels, usual = self._parcels, self._usual
        blobs = [part.changes() for part in (parcels, parcels.names, parcels.carriers)]
        blobs += [sketches.changes() for sketches in usual.sketches()]
        blobs += [self._pupil.inbox.changes(), self._partials.changes()]
        return pack(VERSION, self._scalars(), blobs)

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        scalars, blobs = self._unpack(blob)
        parcels, usual = self._parcels, self._usual
        parcels.apply(blobs[0])
        parcels.names.apply(blobs[1])
        parcels.carriers.apply(blobs[2])
        for sketches, told in zip(usual.sketches(), blobs[3:-2], strict=True):
            sketches.apply(told)
        self._pupil.inbox.apply(blobs[-2])
        self._restore(scalars, blobs[-1])

    def _scalars(self) -> dict[str, Any]:
        return {"clock": self.clock, "promised": max(self.clock, self._pupil.promised)}

    def _unpack(self, blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
        scalars, blobs = unpack(VERSION, blob)
        if (
            len(blobs) != 5 + len(self._usual.sketches())
            or scalars.keys() != self._scalars().keys()
        ):
            raise StateError("the state of a parcels core has other parts")
        return scalars, blobs

    def _restore(self, scalars: Mapping[str, Any], partials: bytes) -> None:
        self.clock, self._pupil.promised = scalars["clock"], scalars["promised"]
        if partials:
            self._partials.load(partials)
        self._derived = False

    def _derive(self) -> None:
        """Make anew, after loading, what is derived from the state."""
        if self._derived:
            return
        self._derived = True
        self._renumber()
        self._timers.derive()

    def _renumber(self) -> None:
        self._parcels.derive()
        self._usual.forget_codes()
        self._traffic.forget_derived()

    def _enter(self, epoch: int) -> None:
        """Come to the start of an epoch: fire what was due before, fold, fire what is due."""
        begun = None if self.clock == NEVER else int(self.clock // self.epoch_seconds)
        if begun is not None and epoch <= begun:
            return
        self._pupil.promise(float(epoch * self.epoch_seconds), self.clock)
        if not self._pupil.alone:
            for counts_from, seen in self._pupil.learn(epoch):
                self._fold(counts_from, seen)
        elif begun is not None:
            self._fold(begun + 1, begun)
        if self._usual.crowded():
            self._renumber()
        self._timers.fire_until(epoch * self.epoch_seconds // GRID_SECONDS)
        self._parcels.tidy()

    def _fold(self, epoch: int, seen: int) -> None:
        """Fold at the start of an epoch what was seen in another one."""
        length = self.epoch_seconds
        self._timers.fire_until(epoch * length // GRID_SECONDS - 1)
        self._usual.fold((seen + 1) * length / DAY_SECONDS)
