"""Rows are dealt out by key, whatever their columns."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.base import StateError
from detectors.dealing import Homes, added, dealt, emptied, read_table
from detectors.table import Table


def table(*keys: str) -> Table:
    """A table whose rows tell which key they are of."""
    made = Table("rows", {"size": "i8", "pair": ("f4", 2), "flag": "i1"}, ["text"])
    rows = made.add(keys)
    for row, key in zip(rows.tolist(), keys, strict=True):
        number = int(key[1:])
        made["size"][row], made["flag"][row] = number, number % 2
        made["pair"][row] = [number, -number]
        made.text("text")[row] = f"text of {key}" if number else None
    return made


def by_number(count: int) -> Homes:
    def homes(keys: Sequence[str]) -> NDArray[np.int64]:
        return np.array([int(key[1:]) % count for key in keys], np.int64)

    return homes


def test_every_row_goes_to_its_home_as_it_was() -> None:
    """Numbers, vectors and texts travel with their key; homes without rows are empty tables."""
    old = [table("k0", "k7", "k3"), table("k5"), table()]
    new = dealt([each.dump(0, 1) for each in old], by_number(4), 4)
    assert new == [table(*keys).dump(0, 1) for keys in (("k0",), ("k5",), (), ("k3", "k7"))]


def test_a_key_in_two_partitions_is_refused() -> None:
    """Which of the two rows is right nobody can tell."""
    blobs = [table("k1").dump(0, 1), table("k1").dump(0, 1)]
    with pytest.raises(StateError, match="1 keys"):
        dealt(blobs, by_number(2), 2)


def test_rows_of_one_key_are_added_up() -> None:
    """Vectors, too; tables without rows add nothing."""

    def sums(**rows: float) -> Table:
        made = Table("sums", {"one": "f8", "pair": ("f8", 2)})
        for key, value in rows.items():
            row = made.add([key])
            made["one"][row], made["pair"][row] = value, [value, 2 * value]
        return made

    parts = [sums(a=1.0, b=2.0), sums(), sums(b=3.0, c=0.5)]
    whole = added([part.dump(0, 1) for part in parts], "<f8")
    assert whole == sums(a=1.0, b=5.0, c=0.5).dump(0, 1)
    assert added([sums().dump(0, 1)] * 2, "<f8") == sums().dump(0, 1)


def test_what_is_no_table_is_refused() -> None:
    """A broken blob is no empty table."""
    with pytest.raises(StateError, match="broken"):
        dealt([b"\xc1"], by_number(1), 1)


def test_an_emptied_table_has_the_rows_and_no_numbers() -> None:
    """Keys stay, every number is 0."""
    blob = table("k7", "k3").dump(0, 1)
    was, now = read_table(blob), read_table(emptied(blob))
    assert now.keys == was.keys
    assert {name: bytes(len(cells)) for name, cells in was.numbers.items()} == now.numbers
