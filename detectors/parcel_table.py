"""The parcels in flight: one record of fixed length each, in one array.

A chunk's parcels are gathered into a block, judged there, and put back: each parcel is two cache
lines that are touched twice, however many parcels there are. Names stand as numbers
(`detectors.names`); what is a parcel's own is one string (`detectors.own_text`) in
`detectors.texts`. A new parcel takes the lowest number that is free, and numbers become free at
ends of epochs only, so numbers, too, depend on the sequence of events alone; they are what pages
are made of.
"""

from collections.abc import Sequence
from enum import IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import StateError
from detectors.decisions import instant
from detectors.key_index import MAX_ROWS, KeyIndex, spread
from detectors.names import Names
from detectors.own_text import Own, packed, unpacked
from detectors.row_state import RowState, Unpacked, pack_rows, unpack_rows
from detectors.scan_columns import MILESTONES, Index, Mask
from detectors.texts import Texts

NEVER: Final = 2**32 - 1
"""In a column of minutes: not ever."""
_LEAST_GARBAGE: Final = 1 << 20
_NO_ROWS: Final = np.zeros(0, np.int64)
_FIRST_CAPACITY: Final = 64
MOST_NAMES: Final = 1_000_000
MOST_CARRIERS: Final = 65_535

ROW: Final = np.dtype(
    [
        ("last_at", "<f8"),
        ("outside_at", "<f8"),
        ("since", "<f8"),
        ("stall_from", "<f8"),
        ("value", "<i8"),
        ("due", "<u4"),
        ("wait_until", "<u4"),
        ("gone_at", "<u4"),
        ("stall_at", "<u4"),
        ("promised", "<u4"),
        ("same_time", "<u4"),
        ("facility", "<u4"),
        ("region", "<u4"),
        ("origin", "<u4"),
        ("destination", "<u4"),
        ("service", "<u4"),
        ("lane", "<u4"),
        ("text", "<u4"),
        ("way", "<u4"),
        ("began", "<u4"),
        ("length", "<u2"),
        ("carrier", "<u2"),
        ("epoch", "<u2"),
        ("flags", "<u2"),
        ("stage", "u1"),
        ("inside", "u1"),
        ("stall", "u1"),
        ("failures", "u1"),
    ]
)
"""`last_at`: last scan. `outside_at`: last scan outside the destination region. `since`: when its
life ended, where it has; else when customs began, 0 = not in customs, later by all that customs
waited for the customer. `stall_from`: the scan an open stall counts from; `stall`: its reason's
number; `stall_at`: when it opened. Those and `promised` (the last two whole) are seconds since the
epoch, 0 = none. `value` is the declared one in minor units plus 1, 0 = unknown.

In minutes since the epoch, `NEVER` = never: `due`, the next deadline of any kind; `wait_until`,
when the silence is too long or is looked at again, or the open stall worsens; `gone_at`, when the
parcel is forgotten.

`same_time`: bits of the milestones seen exactly at `last_at`. `facility` to `service` and
`carrier` are numbers of names. `text` and `length`: where in `Texts` what is its own stands. `lane`
and `text` are derived and no part of the state. `way`: how long it has been on its way to its
region, see `detectors.ways`. `began`: its first scan that was no label, whole seconds since the
epoch, 0 = none. `inside`: the last movement was in the destination region. `failures`: failed
attempts seen, at most 255. The length is a multiple of
8, so that columns of a block are aligned."""

Block = NDArray[np.void]
"""Records of ROW, shape (n,). `take` and opaque records are how numpy copies them fast: indexing an
array of records copies column by column (0.24 us a record instead of 0.02)."""
OPAQUE: Final = np.dtype((np.void, ROW.itemsize))


class Flag(IntFlag):
    """What is known of a parcel's life so far."""

    SEEN = 1
    ENDED = 2
    ATTEMPTED = 4
    """Out for delivery, a failed attempt or at a pick-up point has been seen."""
    ENTERED = 8
    """Counted as arrived in its destination region."""
    LEFT = 16
    """Counted as gone from there."""
    CUSTOMS_SAID = 32
    """This customs episode has been announced as overdue."""
    TURNED_BACK = 64
    """A scan that it is returning has been seen."""
    RETURN_EXPECTED = 128
    """A failed attempt, a pick-up point, damage or a hold by customs has been seen."""
    AWAITS_CUSTOMER = 256
    """Where it is now, the customer has to act first."""
    WORSENED = 512
    """The open stall has been said to go on."""
    GRAVER = 1024
    """The open stall has been said to have a graver reason by now."""
    PROMISE_ASKED = 2048
    """It has been looked at some days before its promise."""
    FRAGILE_SAID = 16384
    """Somebody has said whether it is fragile."""
    FRAGILE = 32768


class ParcelTable:
    """Records of parcels by carrier and parcel id."""

    def __init__(self) -> None:
        self.rows: Block = np.zeros(_FIRST_CAPACITY, ROW)
        self.names = Names(MOST_NAMES)
        self.carriers = Names(MOST_CARRIERS)
        self.lanes: list[tuple[str, str]] = []
        """(carrier, lane) by lane number."""
        self._texts = Texts()
        self._garbage = 0
        """Bytes of texts, about, that no record has any more."""
        self._live = np.zeros(_FIRST_CAPACITY, np.bool_)
        self._count = 0
        self._used = 0
        """Rows from here on were never taken."""
        self._state = RowState(_FIRST_CAPACITY)
        self.forget_derived()

    def __len__(self) -> int:
        """Return the number of parcels."""
        return self._count

    # ---- what is derived

    def forget_derived(self) -> None:
        """Forget lanes, index and free rows; `derive` makes them anew."""
        self.lanes.clear()
        self._lane_numbers: dict[tuple[int, int, int], int] = {}
        self._index = KeyIndex()
        self._free = np.zeros(0, np.int64)

    def derive(self) -> None:
        """Make what is derived anew from the state."""
        self.forget_derived()
        rows = self.live()
        self._used = int(rows[-1]) + 1 if len(rows) else 0
        self._count = len(rows)
        if len(rows):
            self._index.add(self._hashes_of(rows), rows)
            self.rows["lane"][rows] = self.lane_numbers(self.gather(rows))
        self.tidy()

    def tidy(self) -> None:
        """Note, at an epoch's end, which numbers may be taken from now on.

        Texts are put together where more than half of them is garbage.
        """
        self._free = np.flatnonzero(~self._live[: self._used])
        if self._garbage * 2 > self._texts.size_bytes > _LEAST_GARBAGE:
            rows = self.live()
            starts, lengths = self._text_of(rows)
            self._texts, self.rows["text"][rows] = self._texts.compacted(starts, lengths)
            self._garbage = 0

    def lane_numbers(self, block: Block) -> Index:
        """Return the lane of each record by its carrier, origin and destination."""
        ends = [block[name].tolist() for name in ("carrier", "origin", "destination")]
        number = self._lane_number
        return np.array([number(key) for key in zip(*ends, strict=True)], np.int64)

    # ---- blocks

    def gather(self, rows: Index) -> Block:
        """Return copies of records."""
        return self.rows.take(rows)

    def put(self, rows: Index, block: Block) -> None:
        """Put records back; each row stands once."""
        self.rows.view(OPAQUE)[rows] = block.view(OPAQUE)

    # ---- rows by key

    def live(self) -> Index:
        """Return the rows of parcels, ascending."""
        return np.flatnonzero(self._live)

    def find(self, parcel_ids: Sequence[str], starts: Sequence[bytes], carriers: Index) -> Index:
        """Return the row of each parcel, -1 where there is none.

        `starts` are the ids as bytes with SEPARATOR behind them.
        """
        hashes = _hashes(parcel_ids, carriers)
        rows, slots = self._index.find(hashes)
        known = np.flatnonzero(rows >= 0)
        if len(known) == 0:
            return rows
        found = rows[known]
        wanted = starts if len(known) == len(starts) else [starts[k] for k in known.tolist()]
        same = self._texts.begin_with(self.rows["text"][found].astype(np.int64), wanted)
        same &= self.rows["carrier"][found] == carriers[known]
        for place in known[~same].tolist():
            rows[place] = self._find_beyond(
                starts[place], carriers[place], hashes[place], slots[place]
            )
        return rows

    def add(
        self,
        parcel_ids: Sequence[str],
        carriers: Index,
        order_ids: Sequence[str | None],
        customer_ids: Sequence[str | None],
        addresses: Sequence[str | None],
    ) -> Index:
        """Make records of new parcels, the lowest free numbers first; return their rows."""
        rows = self._take(len(parcel_ids))
        self._index.add(_hashes(parcel_ids, carriers), rows)
        block = _new_block(len(rows))
        block["carrier"] = carriers
        block["lane"] = self.lane_numbers(block)
        own = zip(parcel_ids, order_ids, customer_ids, addresses, strict=True)
        block["text"], block["length"] = self._texts.add([packed(*each) for each in own])
        self.put(rows, block)
        self._live[rows] = True
        self._count += len(rows)
        self._state.renew(rows)
        return rows

    def remove(self, rows: Index) -> None:
        """Forget parcels; their numbers are free after `find_free`."""
        self._index.remove(self._hashes_of(rows), rows)
        self._garbage += int(self.rows["length"][rows].sum())
        self.put(rows, _new_block(len(rows)))
        self._live[rows] = False
        self._count -= len(rows)
        self.touch(rows)

    def recycle(self, row: int) -> None:
        """Start a new life of a number that a carrier uses again."""
        before, fresh = self.rows[row], _new_block(1)
        fresh["epoch"] = (int(before["epoch"]) + 1) % 65536
        fresh["carrier"] = before["carrier"]
        fresh["lane"] = self.lane_numbers(fresh)
        fresh["text"], fresh["length"] = self._texts.add([packed(self._own(row).parcel_id)])
        self._garbage += int(before["length"])
        self.rows[row] = fresh[0]
        self._state.renew(np.array([row]))

    def touch(self, rows: Index) -> None:
        """Mark records changed."""
        self._state.touch(rows)

    def own(
        self,
        rows: Index,
        order_ids: Sequence[str | None],
        customer_ids: Sequence[str | None],
        addresses: Sequence[str | None],
        *,
        overwrite: bool,
    ) -> None:
        """Note whose parcels they are; without `overwrite` gaps are filled only."""
        rows_of: list[int] = []
        texts: list[bytes] = []
        told = zip(order_ids, customer_ids, addresses, strict=True)
        for row, brought in zip(rows.tolist(), told, strict=True):
            parcel_id, *known = self._own(row)
            first, second = (brought, known) if overwrite else (known, brought)
            rows_of.append(row)
            texts.append(packed(parcel_id, *(a or b for a, b in zip(first, second, strict=True))))
        self._garbage += int(self.rows["length"][rows_of].sum())
        starts, lengths = self._texts.add(texts)
        self.rows["text"][rows_of], self.rows["length"][rows_of] = starts, lengths
        self._state.renew(np.array(rows_of, np.int64))

    # ---- what decisions say

    def key(self, row: int) -> str:
        """Return `carrier/parcel_id` of a live row."""
        return f"{self.carriers[int(self.rows['carrier'][row])]}/{self._own(row).parcel_id}"

    def name(self, row: int, column: str) -> str | None:
        """Return the name in a column."""
        return self.names[int(self.rows[column][row])]

    def facts(self, row: int) -> dict[str, Any]:
        """Return the fields every decision about a parcel has, except what it says."""
        record = self.rows[row]
        own, flags = self._own(row), int(record["flags"])
        carrier = self.carriers[int(record["carrier"])]
        promised, value = float(record["promised"]), int(record["value"])
        return {
            "subject": f"parcel/{carrier}/{own.parcel_id}",
            "parcel_id": own.parcel_id,
            "carrier": carrier,
            "milestone": MILESTONES[max(int(record["stage"]), 1) - 1],
            "promised_at": instant(promised) if promised else None,
            "declared_value_minor": value - 1 if value else None,
            "facility": self.names[int(record["facility"])],
            "region": self.names[int(record["region"])],
            "order_id": own.order_id,
            "customer_id": own.customer_id,
            "origin_region": self.names[int(record["origin"])],
            "destination_region": self.names[int(record["destination"])],
            "service_level": self.names[int(record["service"])],
            "fragile": bool(flags & Flag.FRAGILE) if flags & Flag.FRAGILE_SAID else None,
            "address_hash": own.address,
        }

    # ---- state

    def dump(self, page: int, pages: int) -> bytes:
        """Return the records whose number belongs to a page."""
        rows = np.arange(page, self._used, pages)
        rows = rows[self._live[rows]]
        texts = self._texts.joined(*self._text_of(rows))
        return pack_rows(rows, self._plain(rows), rows, texts, _NO_ROWS)

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page by what `dump` returned; `derive` must follow."""
        told = unpack_rows(blob, ROW)
        self._live[page::pages] = False
        self._fill(told)

    def changes(self) -> bytes:
        """Return the records changed, and the numbers gone, since the last call."""
        touched, renewed = self._state.take()
        live = self._live[touched]
        rows, gone = touched[live], touched[~live]
        renewed = renewed[self._live[renewed]]
        texts = self._texts.joined(*self._text_of(renewed))
        return pack_rows(rows, self._plain(rows), renewed, texts, gone)

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned; `derive` must follow."""
        told = unpack_rows(blob, ROW)
        self._stretch(int(told.gone.max(initial=-1)) + 1)
        self._live[told.gone] = False
        self._fill(told)

    def _plain(self, rows: Index) -> Block:
        records = self.gather(rows)
        records["lane"] = records["text"] = 0
        return records

    def _fill(self, told: Unpacked) -> None:
        """Take records, and the texts of those that are renewed."""
        rows = told.rows
        self._stretch(int(rows.max(initial=-1)) + 1)
        records = told.records.copy()
        records["text"] = self.rows["text"][rows]
        renewed = np.searchsorted(rows, told.renewed)
        lengths = records["length"][renewed].astype(np.int64)
        self._garbage += int(self.rows["length"][told.renewed].sum())
        try:
            records["text"][renewed] = self._texts.add_joined(told.texts, lengths)
        except ValueError as error:
            raise StateError(f"broken records: {error}") from error
        self.put(rows, records)
        self._live[rows] = True
        self._used = max(self._used, int(rows.max(initial=-1)) + 1)

    # ---- inside

    def _own(self, row: int) -> Own:
        """Return what is a parcel's own."""
        record = self.rows[row]
        return unpacked(self._texts.get(int(record["text"]), int(record["length"])))

    def _text_of(self, rows: Index) -> tuple[Index, Index]:
        return (
            self.rows["text"][rows].astype(np.int64),
            self.rows["length"][rows].astype(np.int64),
        )

    def _hashes_of(self, rows: Index) -> NDArray[np.uint64]:
        ids = [self._own(row).parcel_id for row in rows.tolist()]
        return _hashes(ids, self.rows["carrier"][rows].astype(np.int64))

    def _find_beyond(self, start: bytes, carrier: int, hash_: np.uint64, slot: np.uint64) -> int:
        """Look on where another parcel has the same tag."""
        while True:
            row, slot = self._index.next(hash_, slot)
            if row < 0 or self.rows["carrier"][row] != carrier:
                if row < 0:
                    return row
                continue
            if self._texts.get(int(self.rows["text"][row]), len(start)) == start:
                return row

    def _take(self, count: int) -> Index:
        again, self._free = self._free[:count], self._free[count:]
        new = np.arange(self._used, self._used + count - len(again))
        self._stretch(self._used + len(new))
        self._used += len(new)
        return np.concatenate([again, new])

    def _stretch(self, wanted: int) -> None:
        """Make room for so many rows."""
        capacity = len(self.rows)
        if wanted <= capacity:
            return
        if wanted > MAX_ROWS:
            raise OverflowError(f"more than {MAX_ROWS} parcels in one table")
        while capacity < wanted:
            capacity = capacity * 3 // 2
        more = capacity - len(self.rows)
        rows = np.zeros(capacity, ROW)
        rows[: len(self.rows)] = self.rows
        self.rows = rows
        self._live = np.concatenate([self._live, np.zeros(more, np.bool_)])
        self._state.stretch(capacity)

    def _lane_number(self, key: tuple[int, int, int]) -> int:
        number = self._lane_numbers.get(key)
        if number is None:
            carrier, origin, destination = key
            known = origin or destination
            ends = (self.names[origin] or "?", self.names[destination] or "?")
            number = self._lane_numbers[key] = len(self.lanes)
            self.lanes.append((self.carriers[carrier] or "", ">".join(ends) if known else ""))
        return number


def _new_block(count: int) -> Block:
    """Return records of parcels of which nothing is known yet."""
    block = np.zeros(count, ROW)
    for column in ("due", "wait_until", "gone_at"):
        block[column] = NEVER
    return block


def _hashes(parcel_ids: Sequence[str], carriers: Index) -> NDArray[np.uint64]:
    plain = np.fromiter(map(hash, parcel_ids), np.int64, len(parcel_ids))
    return spread(plain, carriers)


def some(block: Block, which: Mask) -> Block:
    """Return the records of a block that a mask chooses."""
    return block.take(np.flatnonzero(which))


def has(flags: NDArray[np.uint16], flag: Flag) -> Mask:
    """Tell which of the flags have one."""
    mask: Mask = flags & np.uint16(flag) != 0
    return mask
