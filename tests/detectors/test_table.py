"""Tables: rows come, change, go, and come back from pages and changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import StateError
from detectors.table import Table, pack, page_of, unpack

PAGES = 8


def table() -> Table:
    return Table("things", {"size": "f8", "bins": ("u2", 3)}, ["label"])


def contents(one: Table) -> list[bytes]:
    return [one.dump(page, PAGES) for page in range(PAGES)]


def put(one: Table, key: str, value: float) -> None:
    row = one.add([key])
    one["size"][row] = value
    one["bins"][row] = [1, 2, int(value) % 100]
    one.text("label")[int(row[0])] = f"{key}:{value}"


KEYS = st.sampled_from([f"k{n}" for n in range(30)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.floats(0, 1e6)),
        st.tuples(st.just("remove"), KEYS, st.just(0.0)),
        st.tuples(st.just("chunk"), st.just(""), st.just(0.0)),
    ),
    max_size=60,
)


def test_a_key_keeps_its_row_while_it_lives() -> None:
    """Rows are found by key, -1 stands for none, and repeated keys are one row."""
    one = table()
    rows = one.add(["a", "b", "a"])
    assert rows[0] == rows[2] != rows[1]
    assert one.find(["b", "c"]).tolist() == [rows[1], -1]
    assert len(one) == 2
    assert "a" in one
    assert "c" not in one


def test_removed_rows_come_back_empty() -> None:
    """A recycled row shows nothing of its former owner."""
    one = table()
    put(one, "a", 7.0)
    one.remove(one.find(["a"]))
    row = int(one.add(["b"])[0])
    assert one["size"][row] == 0
    assert one["bins"][row].tolist() == [0, 0, 0]
    assert one.text("label")[row] is None
    assert one.key(row) == "b"


def test_grows_without_losing_rows() -> None:
    """Rows survive the growth of columns."""
    one = table()
    for n in range(1000):
        put(one, f"k{n}", float(n))
    assert one["size"][one.find([f"k{n}" for n in range(1000)])].tolist() == list(range(1000))


@given(STEPS)
def test_changes_replicate(steps: list[tuple[str, str, float]]) -> None:
    """A copy that applies every chunk's changes, some twice, has the same pages."""
    one, copy = table(), table()
    for step, key, value in [*steps, ("chunk", "", 0.0)]:
        if step == "put":
            put(one, key, value)
        elif step == "remove" and key in one:
            one.remove(one.find([key]))
        elif step == "chunk":
            blob = one.changes()
            copy.apply(blob)
            copy.apply(blob)
    assert contents(copy) == contents(one)


@given(STEPS, st.integers(0, PAGES - 1))
def test_a_page_replaces_a_page(steps: list[tuple[str, str, float]], page: int) -> None:
    """Loading a page replaces that page and leaves the others alone."""
    one, other = table(), table()
    for step, key, value in steps:
        if step == "put":
            put(one, key, value)
    for n in range(30):
        put(other, f"k{n}", -1.0)
    before = contents(other)
    other.load(page, PAGES, one.dump(page, PAGES))
    after = contents(other)
    assert after[page] == one.dump(page, PAGES)
    assert [b for p, b in enumerate(after) if p != page] == [
        b for p, b in enumerate(before) if p != page
    ]


def test_pages_split_when_they_double() -> None:
    """Page p of K becomes pages p and p + K of 2 K."""
    for n in range(200):
        assert page_of(f"k{n}", 16) % 8 == page_of(f"k{n}", 8)


def test_what_cannot_be_read_is_refused() -> None:
    """Broken rows, another table's rows and another version's columns are errors."""
    one = table()
    with pytest.raises(StateError, match="broken rows"):
        one.apply(b"nonsense")
    with pytest.raises(StateError, match="are of table others"):
        one.apply(Table("others", {"size": "f8"}).changes())
    with pytest.raises(StateError, match="other columns"):
        one.apply(Table("things", {"size": "f8"}).changes())
    with pytest.raises(StateError, match="version 2"):
        unpack(1, pack(2, {}, []))
    assert unpack(1, pack(1, {"clock": 1.5}, [b"x"])) == ({"clock": 1.5}, [b"x"])


def test_columns_survive_as_plain_numbers() -> None:
    """Infinite and tiny values come back bit by bit."""
    one, copy = table(), table()
    for key, value in (("inf", np.inf), ("tiny", 5e-324)):
        row = one.add([key])
        one["size"][row] = value
    copy.apply(one.changes())
    assert copy["size"][copy.find(["inf", "tiny"])].tolist() == [np.inf, 5e-324]


@given(STEPS)
def test_sorted_rows_are_the_same_rows(steps: list[tuple[str, str, float]]) -> None:
    """Numbering rows by their keys moves every column, and changes and pages stay the same."""
    one, other = table(), table()
    for step, key, value in steps:
        for it in (one, other):
            if step == "put":
                put(it, key, value)
            elif step == "remove" and key in it:
                it.remove(it.find([key]))
        if step == "chunk":
            rows = one.sort()
            assert one["size"][rows].tolist() == [
                other["size"][other.row(key)] for key in sorted(other.keys(other.rows()))
            ]
            assert one.changes() == other.changes()
    rows = one.sort()
    assert one.keys(rows) == sorted(one.keys(rows)) == [one.key(n) for n in range(len(one))]
    assert one.find(one.keys(rows)).tolist() == list(range(len(one)))
    assert contents(one) == contents(other)


def test_numbers_by_key_become_a_column() -> None:
    """Keys without a row are left out, rows without a number have 0."""
    one = table()
    one.add(["b", "a", "c"])
    one.sort()
    assert one.spread({"a": 2, "c": 5, "unknown": 9}).tolist() == [2.0, 0.0, 5.0]
    assert one.spread({}).tolist() == [0.0] * 3


def test_a_part_of_the_key_can_decide_the_page() -> None:
    """Rows of the same part share a page, as rows of another table do whose key it is."""
    waiting = Table("waiting", {"size": "f8"}, page_key=lambda key: key.partition("/")[2])
    waiting.add([f"{bucket}/k{n}" for bucket in range(3) for n in range(30)])
    for page in range(PAGES):
        copy = Table("waiting", {"size": "f8"})
        copy.load(0, 1, waiting.dump(page, PAGES))
        keys = {key.partition("/")[2] for key in copy.keys(copy.rows())}
        assert {page_of(key, PAGES) for key in keys} <= {page}
        assert len(copy) == 3 * len(keys)


def test_discarded_rows_are_not_told() -> None:
    """Rows that a copy drops by itself stand in no changes."""
    one = table()
    put(one, "a", 1.0)
    one.changes()
    one.discard(one.find(["a"]))
    assert one.changes() == table().changes()
