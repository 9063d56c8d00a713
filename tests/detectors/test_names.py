"""Names by number: the same numbers however the stream was cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import StateError
from detectors.names import Names

_PAIRS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(["c", "d", "Ü", None])),
    min_size=1,
    max_size=20,
)


def numbered(names: Names, pairs: list[tuple[str | None, str | None]]) -> list[tuple[int, int]]:
    """Return the numbers of two columns."""
    first, second = names.number([(None, [a for a, _ in pairs]), (None, [b for _, b in pairs])])
    return list(zip(first.tolist(), second.tolist(), strict=True))


@given(_PAIRS, st.integers(0, 20))
def test_cuts_do_not_show(pairs: list[tuple[str | None, str | None]], cut: int) -> None:
    """Numbers follow position, then column, whatever was read together."""
    whole, cut_up = Names(10), Names(10)
    expected = numbered(whole, pairs)
    parts = [part for part in (pairs[:cut], pairs[cut:]) if part]
    assert [each for part in parts for each in numbered(cut_up, part)] == expected
    assert [whole[n] for pair in expected for n in pair] == [
        name for pair in pairs for name in pair
    ]
    assert [whole.dump(page, 4) for page in range(4)] == [cut_up.dump(page, 4) for page in range(4)]


@given(_PAIRS, st.integers(0, 20))
def test_pages_and_changes_bring_a_copy_to_the_same_numbers(
    pairs: list[tuple[str | None, str | None]], cut: int
) -> None:
    """In any order of pages; changes twice are as good as once."""
    names, copy = Names(10), Names(10)
    if pairs[:cut]:
        numbered(names, pairs[:cut])
    names.changes()
    for page in (3, 1, 0, 2):
        copy.apply(names.dump(page, 4))
    if pairs[cut:]:
        numbered(names, pairs[cut:])
    told = names.changes()
    copy.apply(told)
    copy.apply(told)
    assert numbered(copy, pairs) == numbered(names, pairs)
    assert len(copy) == len(names)


def test_positions_of_a_column_with_gaps_count() -> None:
    """A column that only some scans have takes its turn at their places."""
    names = Names(10)
    positions = np.array([1], np.int64)
    everywhere, somewhere = names.number([(None, ["a", "c", "d"]), (positions, ["b"])])
    assert everywhere.tolist() == [1, 2, 4]
    assert somewhere.tolist() == [3]


def test_a_full_table_makes_further_names_nameless() -> None:
    """Those known stay, and nothing is refused."""
    names = Names(1)
    assert names.number([(None, ["a", "b", "a"])])[0].tolist() == [1, 0, 1]
    assert names.find("b") == 0
    assert len(names) == 1


def test_broken_names_are_refused() -> None:
    """What cannot be read is an error."""
    with pytest.raises(StateError):
        Names(1).apply(b"\xc1")
