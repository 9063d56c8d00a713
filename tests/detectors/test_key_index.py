"""The index of keys: what a dictionary would find, for many keys at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.key_index import ROW_BITS, KeyIndex, spread

# Few different tags, so that keys collide, and 0 among them: the tag of an empty slot.
_HASHES = st.integers(0, 40).map(lambda tag: tag << ROW_BITS | 5)
_STEPS = st.lists(st.tuples(st.booleans(), st.sets(_HASHES, min_size=1, max_size=8)), max_size=30)


@settings(deadline=None)
@given(_STEPS)
def test_finds_what_a_dictionary_finds(steps: list[tuple[bool, set[int]]]) -> None:
    """Rows come and go in any order, with keys beside one another and in one another's slots."""
    index, rows, free = KeyIndex(), dict[int, int](), iter(range(10**6))
    for adding, keys in steps:
        changed = sorted(key for key in keys if (key in rows) != adding)
        if adding:
            rows |= {key: next(free) for key in changed}
        numbers = np.array([rows[key] for key in changed], np.int64)
        hashes = np.array(changed, np.uint64)
        (index.add if adding else index.remove)(hashes, numbers)
        if not adding:
            for key in changed:
                del rows[key]
        every = np.array([tag << ROW_BITS | 5 for tag in range(41)], np.uint64)
        found, _ = index.find(every)
        assert found.tolist() == [rows.get(int(key), -1) for key in every]


def test_rows_of_one_tag_are_found_one_after_the_other() -> None:
    """Who compares keys goes on from the slot of the wrong one to the next, and then to none."""
    index, same = KeyIndex(), np.full(3, 7 << ROW_BITS, np.uint64)
    index.add(same, np.array([1, 2, 3]))
    rows, slots = index.find(same[:1])
    found, slot = [int(rows[0])], slots[0]
    while True:
        row, slot = index.next(same[0], slot)
        if row < 0:
            break
        found.append(row)
    assert sorted(found) == [1, 2, 3]


def test_many_rows_come_and_go() -> None:
    """The table grows with the rows and forgets the places of those that are gone."""
    index, rows = KeyIndex(), np.arange(100_000)
    hashes = spread(rows, np.zeros_like(rows))
    index.add(hashes, rows)
    assert index.find(hashes)[0].tolist() == rows.tolist()
    for start in range(0, 100_000, 10_000):
        part = slice(start, start + 10_000)
        index.remove(hashes[part], rows[part])
        index.add(hashes[part], rows[part])
    index.remove(hashes[1:], rows[1:])
    assert index.find(hashes)[0].tolist() == [0] + [-1] * 99_999
    index.add(hashes[1:3], rows[1:3])
    assert index.find(hashes[:4])[0].tolist() == [0, 1, 2, -1]


def test_the_table_is_made_anew_seldom() -> None:
    """However rows come, it doubles now and then; where rows take turns it is made anew seldom."""
    made = list[int]()

    class Counting(KeyIndex):
        def _rebuild(self, more: int) -> None:
            made.append(more)
            super()._rebuild(more)

    index, rows = Counting(), np.arange(300_000)
    hashes = spread(rows, np.zeros_like(rows))
    for start in range(0, len(rows), 100):
        index.add(hashes[start : start + 100], rows[start : start + 100])
    assert len(made) <= 10
    made.clear()
    for start in range(0, 200_000, 100):
        part = slice(start, start + 100)
        index.remove(hashes[part], rows[part])
        index.add(spread(rows[part], np.ones(100, np.int64)), rows[part])
    assert len(made) <= 5


def test_a_row_that_is_not_there_cannot_be_removed() -> None:
    """An error, and no endless search."""
    index = KeyIndex()
    index.add(np.array([1 << ROW_BITS], np.uint64), np.array([1]))
    with pytest.raises(KeyError):
        index.remove(np.array([1 << ROW_BITS], np.uint64), np.array([2]))


def test_the_salt_tells_equal_values_apart() -> None:
    """Two carriers' parcels of one number are two keys."""
    hashes = spread(np.array([5, 5, 6]), np.array([1, 2, 1]))
    assert len(set(hashes.tolist())) == 3
