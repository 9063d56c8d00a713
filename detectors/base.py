"""The protocol of a core: what the worker and the replay drive.

A core is pure: time arrives as an argument, state leaves as pages of plain numbers. How the
broker cuts the stream into chunks must not show: state and outputs depend only on the sequence
of events. Three rules give that (docs/decisions/):

1. The clock is the running maximum of arrivals, event by event. `clock[i]` includes event i.
2. A deadline due at minute g fires before the first event with `clock[i] >= g`, and its
   decision carries g, not the moment somebody looked.
3. Models judge with what they knew at the start of the epoch of the clock and fold what they
   have seen at its end. Between, what was seen is kept as integers, whose sums do not depend
   on order. What partitions share (detectors.lessons) is folded a fixed number of epochs later.

It follows that `advance(now)` for any `now` up to the arrival of the next event changes no later
outcome: it only makes decisions known earlier.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Generic, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.decisions import Decision
from detectors.tallies import Tally

GRID_SECONDS = 60
"""Deadlines fall on whole minutes of the clock."""

Event = TypeVar("Event")
Observed_contra = TypeVar("Observed_contra", contravariant=True)
"""A `Batch` of events, or events as columns."""


class Batch(msgspec.Struct, Generic[Event], frozen=True):
    """Events of one input in the order of the log, with the time each arrived."""

    events: Sequence[Event]
    arrivals: NDArray[np.float64]
    """Seconds since the epoch, shape (len(events),); not monotone."""


class Metric(StrEnum):
    """What partial counts count."""

    COMPLAINTS = "complaints"
    """Complaints by region and category, in the hour they occurred."""
    SCANS = "scans"
    """Scans by carrier, in the quarter of an hour of the clock."""
    ENTERED = "entered"
    """Parcels that arrived in a region, in the hour of the clock."""
    LEFT = "left"
    """Parcels that left a region or ended there, in the hour of the clock."""
    CAME = "came"
    """Parcels that came into a stage of their way to a region, in the hour of the clock."""
    WENT = "went"
    """Those that left a stage, by their age in it."""


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """How many of one metric fell into one bucket of one series."""

    metric: Metric
    series: str
    """Region (entered, left), `region\\x1fcategory` (complaints), carrier (scans), region and stage
    (came), or region, stage and age (went): see `detectors.inflow`."""
    bucket: int
    """Start of the bucket, seconds since the epoch."""
    count: int
    late_at: int = 0
    """0, or for a count that came after its bucket had closed on the source's own clock: the
    start of the hour of that clock. It corrects the past when that hour closes and opens nothing.
    (`through` will not do: how much a record carries depends on how the stream was cut.)"""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Partial counts of one source, and how far that source has come."""

    source: str
    """`parcels/3`, `complaints/0`: core and partition."""
    through: int
    """Every event of the source before this minute of its clock is in this or an earlier record."""
    cells: tuple[Cell, ...]


class RejectReason(StrEnum):
    """Why a core will not take a valid event."""

    TOO_MANY_PARCELS = "too_many_parcels"
    TOO_MANY_CARRIERS = "too_many_carriers"
    TOO_MANY_CUSTOMERS = "too_many_customers"
    TOO_MANY_SERIES = "too_many_series"


class Rejected(msgspec.Struct, frozen=True):
    """Event `index` of the batch was not taken; it belongs in the dead letters."""

    index: int
    reason: RejectReason


EVERYBODY: Final = -1


class Lesson(msgspec.Struct, frozen=True, array_like=True):
    """What was counted in an epoch, or a piece of it."""

    source: str
    """`parcels/3`, or `teacher/0` of a merged lesson."""
    to: int
    """The teacher, or EVERYBODY."""
    epoch: int
    """Start of the epoch in which it was counted, seconds since the epoch."""
    piece: int
    """Which one of the lesson, from 0."""
    through: int
    """The source has said all before this time of its clock, seconds; 0 while more follows."""
    tallies: tuple[Tally, ...]
    """One for each model, in the order of `Usual.sketches`."""


Output = Decision | Counts | Rejected | Lesson


class Core(Protocol[Observed_contra]):
    """Events in, outputs out, state as pages.

    A page is the rows whose key's hash falls into it: `page_of(key, pages)` of detectors.table,
    `pages` a power of two; of rows that have numbers, those whose number mod `pages` it is. Blobs
    are versioned msgpack; a blob of an unknown version raises `StateError`.
    """

    @property
    def clock(self) -> float:
        """Seconds since the epoch; -inf before the first event."""
        ...

    def observe(self, batch: Observed_contra) -> list[Output]:
        """Judge and remember events in order; outputs in the order they came to be true."""
        ...

    def advance(self, now: float) -> list[Output]:
        """Move the clock to `now` (never back) and return what fell due."""
        ...

    def __len__(self) -> int:
        """Return the number of rows of state: what the page count follows."""
        ...

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page in full."""
        ...

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        ...

    def changes(self) -> bytes:
        """Return what changed since the last call: whole rows, removed keys, the scalars."""
        ...

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned; twice is as good as once."""
        ...


class StateError(ValueError):
    """State that cannot be read: unknown version or broken blob."""
