"""The state of P partitions as that of N: what moves where when keys move.

Pure, on the blobs that each core's `dump(0, 1)` returns, after the clocks of all partitions of a
core have come to the same time (`advance`), flow has heard all counts and everybody all lessons. A
parcel, a customer and a series go, unchanged, where their keys belong now; what was learned is
given to every new partition (`detectors.merging`); counts that wait go to any, because flow adds
them up.
Every new source stands where the old ones stood, so nothing is counted twice or lost.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors import complaints, counts, flow, parcels
from detectors.base import Metric, StateError
from detectors.dealing import Homes, added, dealt, emptied, read_table
from detectors.expectation import merged_pools
from detectors.hearing import merged_hearing
from detectors.lessons import NEVER
from detectors.merging import (
    moved_sketches,
    new_inbox,
    new_teachers,
    refuse_lessons,
    waiting_lessons,
)
from detectors.names import Names
from detectors.own_text import SEPARATOR
from detectors.parcel_table import MOST_CARRIERS, MOST_NAMES, ROW
from detectors.partials import PartialCounts
from detectors.row_state import Unpacked, pack_rows, unpack_rows
from detectors.surges import HOUR
from detectors.table import Table, pack, unpack

_NAMED: Final = ("facility", "region", "origin", "destination", "service")
_SOURCES: Final = {"through": "i8", "first": "i8"}
_Names = list[str | None]


class ParcelsPart(NamedTuple):
    """One partition's parcels: what of them is dealt out, and what is merged."""

    scalars: dict[str, Any]
    rows: Unpacked
    names: _Names
    carriers: _Names
    heard: bytes
    models: list[bytes]
    inbox: bytes
    partials: bytes

    def texts(self) -> list[bytes]:
        """Return each row's own string: parcel id, order, customer."""
        ends = np.cumsum(self.rows.records["length"].astype(np.int64)).tolist()
        return [self.rows.texts[start:end] for start, end in pairwise([0, *ends])]

    def keys(self) -> list[str]:
        """Return `carrier/parcel_id` of each row."""
        carriers = self.rows.records["carrier"].tolist()
        return [
            f"{self.carriers[carrier]}/{text.partition(SEPARATOR)[0].decode()}"
            for carrier, text in zip(carriers, self.texts(), strict=True)
        ]


def read_parcels(blob: bytes) -> ParcelsPart:
    """Return what a parcels core's `dump(0, 1)` holds; raises `StateError`."""
    scalars, (rows, names, carriers, heard, *models, inbox, partials) = unpack(
        parcels.VERSION, blob
    )
    return ParcelsPart(
        scalars,
        unpack_rows(rows, ROW),
        _listed(names, MOST_NAMES),
        _listed(carriers, MOST_CARRIERS),
        heard,
        models,
        inbox,
        partials,
    )


def moved_parcels(
    blobs: Sequence[bytes], homes: Homes, count: int, *, epoch_seconds: int
) -> list[bytes]:
    """Return the state of `count` parcels cores made from that of others.

    `epoch_seconds` is the cores' parameter.
    """
    old = [read_parcels(blob) for blob in blobs]
    scalars = _same("parcels", [part.scalars for part in old])
    through = _same("parcels' counts", [_through(part.partials) for part in old])
    places = [homes(part.keys()) for part in old]
    texts = [part.texts() for part in old]
    lessons = waiting_lessons(old[0].inbox, len(old))
    models = [
        moved_sketches(each, [le.tallies[n] for le in lessons if len(le.tallies) > n], count)
        for n, each in enumerate(zip(*(part.models for part in old), strict=True))
    ]
    heard = merged_hearing([part.heard for part in old])
    inbox = new_inbox(lessons, epoch_start(scalars["clock"], epoch_seconds), count)
    moved = []
    for home, mine in enumerate(zip(*models, strict=True)):
        rows = _rows(old, texts, [np.flatnonzero(place == home) for place in places])
        waiting = PartialCounts("")
        waiting.through = through
        for part in old[home::count]:
            waiting.join(part.partials)
        moved.append(pack(parcels.VERSION, scalars, [*rows, heard, *mine, inbox, waiting.dump()]))
    return moved


def epoch_start(clock: float, epoch_seconds: int) -> float:
    """Return when the epoch of a clock began; NEVER for NEVER."""
    return clock if clock == NEVER else clock // epoch_seconds * epoch_seconds


def moved_teachers(
    blobs: Sequence[bytes], parcels_blob: bytes, count: int, *, epoch_seconds: int
) -> list[bytes]:
    """Return the state of `count` teachers; `parcels_blob` is that of any parcels core."""
    refuse_lessons(blobs)
    scalars, _ = unpack(parcels.VERSION, parcels_blob)
    return new_teachers(epoch_start(scalars["clock"], epoch_seconds), count)


def moved_complaints(blobs: Sequence[bytes], homes: Homes, count: int) -> list[bytes]:
    """Return the state of `count` complaints cores made from that of others."""
    old = [unpack(complaints.VERSION, blob) for blob in blobs]
    scalars = _same("complaints", [scalars for scalars, _ in old])
    customers, pending = zip(*(tables for _, tables in old), strict=True)
    empty = dealt(pending[:1], lambda keys: np.full(len(keys), 1), 1)[0]
    return [
        pack(complaints.VERSION, scalars, [mine, added([empty, *pending[home::count]], "<i8")])
        for home, mine in enumerate(dealt(customers, homes, count))
    ]


def moved_flow(
    blobs: Sequence[bytes], homes: Homes, sources: Sequence[str], count: int
) -> list[bytes]:
    """Return the state of `count` flow cores made from that of others.

    `sources` are the new ones, `core/partition`; each has come as far as the old ones of its core.
    """
    old = [unpack(flow.VERSION, blob) for blob in blobs]
    stepped = _same("flow's steps", [scalars["stepped"] for scalars, _ in old])
    active = max((s["active"] for s, _ in old if s["active"] is not None), default=None)
    tables = [list(column) for column in zip(*(tables for _, tables in old), strict=True)]
    first_of_scans = [read_table(column[0]).name for column in tables].index("series")
    columns = [
        _table(column, homes, sources, count, scans=first_of_scans <= n < first_of_scans + 2)
        for n, column in enumerate(tables)
    ]
    scalars = {"stepped": stepped, "active": active}
    return [pack(flow.VERSION, scalars, list(tables)) for tables in zip(*columns, strict=True)]


def strays(parcels_blobs: Sequence[bytes], complaints_blobs: Sequence[bytes], homes: Homes) -> int:
    """Return how many parcels and customers lie elsewhere than `homes` says; blobs by partition."""
    keys = [read_parcels(blob).keys() for blob in parcels_blobs]
    keys += [_customers(blob) for blob in complaints_blobs]
    places = [*range(len(parcels_blobs)), *range(len(complaints_blobs))]
    return sum(
        int(np.count_nonzero(homes(mine) != place))
        for mine, place in zip(keys, places, strict=True)
    )


def placed(blobs: Sequence[tuple[bytes, bytes]], homes: Homes, count: int) -> NDArray[np.int64]:
    """Return how many parcels and customers each of `count` partitions would hold.

    Shape (2, count); a blob of parcels and one of complaints for each old partition.
    """
    total = np.zeros((2, count), np.int64)
    for parcels_blob, complaints_blob in blobs:
        for row, keys in enumerate(
            (read_parcels(parcels_blob).keys(), _customers(complaints_blob))
        ):
            total[row] += np.bincount(homes(keys), minlength=count)
    return total


def _customers(complaints_blob: bytes) -> list[str]:
    _, (customers, _) = unpack(complaints.VERSION, complaints_blob)
    return read_table(customers).keys


def _table(
    blobs: Sequence[bytes], homes: Homes, sources: Sequence[str], count: int, *, scans: bool
) -> list[bytes]:
    """Return one of flow's tables for each new partition, by what its keys are.

    Tables of `scans` are dealt out; those of regions go to `flow.REGIONS_PARTITION`.
    """
    name = read_table(blobs[0]).name
    if name == "sources":
        return [_sources(blobs, sources)] * count
    if name == "pending":
        return dealt(blobs, lambda keys: _waiting_homes(keys, homes), count)
    shared = merged_pools(blobs, HOUR) if name == "counts-pool" else None
    if name in {"pool", "inflow", "bands"}:
        # Shapes, spreads and shares that all series of a partition share: sums, so they add up.
        shared = added(blobs, "<f8")
    if scans and shared is not None:
        return [shared] * count
    if scans:
        return dealt(blobs, homes, count)
    if shared is None:
        return dealt(blobs, _with_regions, count)
    if name == "counts-pool":
        idle = dealt(blobs[:1], _nowhere, 1)
    else:
        idle = [emptied(blob) for blob in blobs]
    moved = [idle[min(home, len(idle) - 1)] for home in range(count)]
    moved[flow.REGIONS_PARTITION] = shared
    return moved


def _with_regions(keys: Sequence[str]) -> NDArray[np.int64]:
    return np.full(len(keys), flow.REGIONS_PARTITION)


def _nowhere(keys: Sequence[str]) -> NDArray[np.int64]:
    return np.full(len(keys), -1)


def _waiting_homes(keys: Sequence[str], homes: Homes) -> NDArray[np.int64]:
    """Return where counts that wait belong: by metric, and scans by carrier."""
    parts = [key.split(counts.SEPARATOR) for key in keys]
    scans = np.array([part[1] == Metric.SCANS for part in parts], np.bool_)
    return np.where(scans, homes([part[4] for part in parts]), flow.REGIONS_PARTITION)


def _sources(blobs: Sequence[bytes], names: Sequence[str]) -> bytes:
    """Return how far the new sources have come: as far as the old ones of their core."""
    through: dict[str, set[int]] = {}
    first: dict[str, int] = {}
    for blob in blobs:
        table = Table("sources", _SOURCES)
        table.load(0, 1, blob)
        for row in table.rows().tolist():
            core = table.key(row).partition("/")[0]
            through.setdefault(core, set()).add(int(table["through"][row]))
            begun = int(table["first"][row])
            first[core] = min(first.get(core, begun), begun)
    whole = Table("sources", _SOURCES)
    for name in names:
        core = name.partition("/")[0]
        if core in through:
            row = whole.add([name])
            whole["through"][row] = _same(f"flow's sources {core}", list(through[core]))
            whole["first"][row] = first[core]
    return whole.dump(0, 1)


def _rows(
    old: Sequence[ParcelsPart],
    texts: Sequence[Sequence[bytes]],
    chosen: Sequence[NDArray[np.int64]],
) -> list[bytes]:
    """Return chosen rows of each part as one part's, with the names they use numbered anew."""
    names, carriers = Names(MOST_NAMES), Names(MOST_CARRIERS)
    records, own = [], list[bytes]()
    for part, theirs, rows in zip(old, texts, chosen, strict=True):
        mine = part.rows.records[rows]
        for column in _NAMED:
            mine[column] = _renumbered(mine[column], part.names, names)
        mine["carrier"] = _renumbered(mine["carrier"], part.carriers, carriers)
        records.append(mine)
        own += [theirs[row] for row in rows.tolist()]
    every = np.arange(len(own))
    none = np.zeros(0, np.int64)
    packed = pack_rows(every, np.concatenate(records), every, b"".join(own), none)
    return [packed, names.dump(0, 1), carriers.dump(0, 1)]


def _renumbered(numbers: NDArray[Any], old: _Names, new: Names) -> NDArray[np.int64]:
    used, where = np.unique(numbers, return_inverse=True)
    [given] = new.number([(None, [old[number] for number in used.tolist()])])
    return given[where]


def _listed(blob: bytes, limit: int) -> _Names:
    names = Names(limit)
    names.apply(blob)
    return [names[number] for number in range(len(names) + 1)]


def _through(partials: bytes) -> int | None:
    return PartialCounts("").join(partials)


def _same(what: str, values: Sequence[Any]) -> Any:
    """Return what all partitions agree on; raise `StateError` where they do not."""
    if any(value != values[0] for value in values):
        raise StateError(f"{what}: the partitions have not come equally far: {values}")
    return values[0]
