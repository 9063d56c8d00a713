"""Texts in one array: what was put in comes out, wherever it lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.texts import Texts

_TEXTS = st.lists(st.binary(min_size=1, max_size=30), max_size=20)


@given(st.lists(_TEXTS, max_size=5))
def test_every_text_comes_back(portions: list[list[bytes]]) -> None:
    """One by one, joined, through what `joined` wrote, and after what is garbage has gone."""
    texts, told = Texts(), list[tuple[int, int, bytes]]()
    for portion in portions:
        starts, lengths = texts.add(portion)
        told += zip(starts.tolist(), lengths.tolist(), portion, strict=True)
    assert [texts.get(start, length) for start, length, _ in told] == [text for *_, text in told]
    kept = told[::2]
    starts = np.array([start for start, *_ in kept], np.int64)
    lengths = np.array([length for _, length, _ in kept], np.int64)
    joined = b"".join(text for *_, text in kept)
    assert texts.joined(starts, lengths) == joined
    compact, moved = texts.compacted(starts, lengths)
    assert compact.joined(moved, lengths) == joined
    assert compact.size_bytes <= texts.size_bytes
    again = Texts()
    assert again.joined(again.add_joined(joined, lengths), lengths) == joined


@given(st.binary(min_size=1, max_size=9), _TEXTS)
def test_prefixes_are_compared_to_the_byte(prefix: bytes, texts: list[bytes]) -> None:
    """Also where a prefix is longer than the text, or than all that is left."""
    arena = Texts()
    starts, _ = arena.add([text + b"\x1f" for text in texts])
    prefixes = [prefix + b"\x1f" if place % 2 else text for place, text in enumerate(texts)]
    wanted = [(text + b"\x1f").startswith(each) for text, each in zip(texts, prefixes, strict=True)]
    # A text of its own ends with the separator, which no prefix has before its end.
    clean = [b"\x1f" not in text and b"\x1f" not in prefix for text in texts]
    found = arena.begin_with(starts, prefixes).tolist()
    assert [f for f, c in zip(found, clean, strict=True) if c] == [
        w for w, c in zip(wanted, clean, strict=True) if c
    ]


def test_lengths_that_do_not_fit_are_refused() -> None:
    """State that was cut short is an error, not other parcels' names."""
    with pytest.raises(ValueError, match="not as long"):
        Texts().add_joined(b"abc", np.array([2]))


def test_many_texts_make_the_array_grow() -> None:
    """Nothing is lost when it does."""
    texts = Texts()
    starts, lengths = texts.add([b"%d" % number for number in range(200_000)])
    assert texts.joined(starts[-2:], lengths[-2:]) == b"199998199999"
    _, moved = texts.compacted(starts[::2], lengths[::2])
    assert len(moved) == 100_000
