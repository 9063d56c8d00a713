"""Records of parcels: numbers, texts and state, without anything being judged."""

import numpy as np
import pytest

from detectors.base import StateError
from detectors.own_text import SEPARATOR
from detectors.parcel_table import NEVER, ROW, ParcelTable
from detectors.row_state import pack_rows, unpack_rows


def add(table: ParcelTable, *keys: str) -> np.ndarray:
    """Make records of `carrier/parcel` keys."""
    carriers, ids = zip(*(key.split("/") for key in keys), strict=True)
    (numbers,) = table.carriers.number([(None, carriers)])
    nothing = [None] * len(ids)
    return table.add(ids, numbers, nothing, [f"customer of {i}" for i in ids], nothing)


def find(table: ParcelTable, *keys: str) -> list[int]:
    """Return rows of keys."""
    carriers, ids = zip(*(key.split("/") for key in keys), strict=True)
    numbers = np.array([table.carriers.find(carrier) for carrier in carriers])
    rows: list[int] = table.find(ids, [i.encode() + SEPARATOR for i in ids], numbers).tolist()
    return rows


def test_a_key_is_carrier_and_parcel() -> None:
    """One number of two carriers is two parcels; a number that begins another is itself."""
    table = ParcelTable()
    add(table, "swift/P1", "comet/P1", "swift/P12")
    assert find(table, "swift/P1", "comet/P1", "swift/P12", "swift/P", "comet/P12") == [
        0, 1, 2, -1, -1,
    ]  # fmt: skip


def test_the_lowest_free_number_is_taken_first() -> None:
    """Numbers that became free are taken again, after `tidy`, and before new ones."""
    table = ParcelTable()
    rows = add(table, *(f"swift/P{n}" for n in range(6)))
    table.remove(rows[[4, 1]])
    assert add(table, "swift/A").tolist() == [6]
    table.tidy()
    assert add(table, "swift/B", "swift/C", "swift/D").tolist() == [1, 4, 7]
    assert find(table, "swift/P1", "swift/B", "swift/P5") == [-1, 1, 5]
    assert table.rows["due"][1] == NEVER


def test_texts_of_those_who_left_make_room() -> None:
    """However many parcels come and go, texts take at most about twice what the living have."""
    table, sizes = ParcelTable(), list[int]()
    for day in range(12):
        rows = add(table, *(f"swift/{day}-{n:06d}" for n in range(20_000)))
        sizes.append(table._texts.size_bytes)
        table.remove(rows)
        table.tidy()
    assert max(sizes) < 4 * sizes[0]


def test_orders_and_customers_that_come_later_are_kept() -> None:
    """What comes later is taken; a late scan fills gaps only."""
    table = ParcelTable()
    rows = add(table, "swift/P1")
    table.own(rows, ["O1"], [None], [None], overwrite=True)
    table.own(rows, ["O2"], ["another"], ["1f" * 32], overwrite=False)
    facts = table.facts(0)
    assert (facts["order_id"], facts["customer_id"]) == ("O1", "customer of P1")
    table.own(rows, ["O2"], [None], ["00" * 6], overwrite=True)
    assert table.facts(0)["order_id"] == "O2"
    assert (facts["address_hash"], table.facts(0)["address_hash"]) == ("1f" * 6, "00" * 6)


def test_equal_tags_are_told_apart_by_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all keys have one hash, each is still found, and none for another."""
    monkeypatch.setattr(
        "detectors.parcel_table.spread", lambda values, _: np.full(len(values), 7, np.uint64)
    )
    table = ParcelTable()
    rows = add(table, "swift/P1", "comet/P1", "swift/P2")
    assert find(table, "swift/P1", "comet/P1", "swift/P2", "comet/P2") == [0, 1, 2, -1]
    table.remove(rows[:1])
    assert find(table, "swift/P1", "comet/P1", "swift/P2") == [-1, 1, 2]


def test_a_later_version_reads_an_earlier_ones_records() -> None:
    """Columns that were not there are zero; columns nobody knows are an error."""
    fields = [(name, ROW[name].str) for name in ROW.names or () if name != "value"]
    rows, earlier = np.array([3]), np.zeros(1, np.dtype(fields))
    earlier["last_at"], earlier["stage"] = 60.0, 4
    told = unpack_rows(pack_rows(rows, earlier, rows[:0], b"", rows[:0]), ROW)
    assert told.records.dtype == ROW
    assert (told.records["last_at"][0], told.records["value"][0]) == (60.0, 0)
    later = np.zeros(1, np.dtype([*fields, ("mood", "<f8")]))
    with pytest.raises(StateError, match="later version: mood"):
        unpack_rows(pack_rows(rows, later, rows[:0], b"", rows[:0]), ROW)


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_broken_records_are_refused(cut: int) -> None:
    """Nothing that was cut short is read as something else."""
    table = ParcelTable()
    add(table, "swift/P1")
    with pytest.raises(StateError):
        ParcelTable().load(0, 1, table.dump(0, 1)[:-cut])
