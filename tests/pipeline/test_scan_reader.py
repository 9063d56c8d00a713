"""A chunk of scans read at once says what its records say one by one."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.scan_columns import columns_of, joined
from pipeline.record_columns import RawRecord, RecordColumns
from pipeline.records import read_tracking
from pipeline.scan_reader import BLOCK, ScanChunk, _plain, read_scans, scans_of
from tests.pipeline.test_records import (
    _HEADERS,
    _RAW,
    _TIMESTAMPS,
    REFUSED,
    TAKEN,
)
from tests.pipeline.wire import NOON_MS, record, scan, without


def assert_same(records: list[RawRecord], *, history: bool = False) -> ScanChunk:
    """Read records both ways; columns, records and dead letters are the same."""
    one = read_tracking(records, history=history)
    many = read_scans(records, history=history)
    expected = columns_of(one.batch)
    for name in expected.__struct_fields__:
        if name != "context":
            _equal(name, getattr(many.batch, name), getattr(expected, name))
    for name in expected.context.__struct_fields__:
        _equal(name, getattr(many.batch.context, name), getattr(expected.context, name))
    assert list(many.records) == one.records
    assert many.dead == one.dead
    return many


def _equal(name: str, found: Any, wanted: Any) -> None:
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype, name
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    else:
        assert list(found) == list(wanted), name


def plain(records: list[RawRecord]) -> bool:
    """Tell whether records are read at once."""
    return _plain(RecordColumns.of(records), history=False) is not None


@pytest.mark.parametrize("case", ["plain", "spaces", "non-ASCII", "every field"])
def test_plain_records_are_read_at_once(case: str) -> None:
    """Compact JSON, Python's default spacing, any script, and every field."""
    records = [record(TAKEN[case], offset=n) for n in range(3)]
    assert plain(records)
    assert_same(records)


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_within_the_limits_is_taken_whatever_stands_beside_it(case: str) -> None:
    """An odd record among plain ones is read as if it stood alone, and so are they."""
    records = [record(scan(event_id=f"e-{n}"), offset=n) for n in range(3 * BLOCK)]
    records[BLOCK + 5] = record(TAKEN[case], offset=BLOCK + 5)
    assert len(assert_same(records).batch) == 3 * BLOCK


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_limit_is_refused_alone(case: str) -> None:
    """One bad record among plain ones is one dead letter, at any place."""
    reason, value = REFUSED[case]
    for place in (0, BLOCK, 2 * BLOCK):
        records = [record(scan(event_id=f"e-{n}"), offset=n) for n in range(2 * BLOCK + 1)]
        records[place] = record(value, offset=place)
        chunk = assert_same(records)
        assert [letter.reason for letter in chunk.dead] == [reason]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (scan() + b"," + scan(), b""),
        (scan()[:-1], b'"zone":"A"}'),
        (scan()[:-1] + b',"zone":"', b'{"}'),
        (scan() + b",", scan()),
        (scan() + b"]", b"[" + scan()),
        (scan() + b"," + scan(), b"{"),
    ],
)
def test_values_that_make_sense_together_only_make_none(first: bytes, second: bytes) -> None:
    """Where one record ends and the next begins is what the log says."""
    records = [record(first, offset=0), record(second, offset=1), record(scan(), offset=2)]
    assert not plain(records)
    assert_same(records)


@pytest.mark.parametrize(
    "changed",
    [
        {"region": ""},
        {"region": " "},
        {"facility": "\x7f"},
        {"facility": "\u3000"},
        {"carrier": "a/b"},
        {"milestone": "teleported"},
        {"declared_value_minor": -1},
        {"address_hash": "12 Main Street"},
        {"schema_version": 2},
        {"schema_version": "1.9"},
    ],
)
def test_values_that_need_a_closer_look_get_one(changed: dict[str, Any]) -> None:
    """Whatever only the event's own checks can judge is left to them."""
    value = json.dumps({**msgspec.json.decode(scan()), **changed}, ensure_ascii=False).encode()
    assert not plain([record(value)])
    assert_same([record(value), record(scan(), offset=1)])


@pytest.mark.parametrize("history", [False, True])
def test_arrivals_are_those_of_single_records(history: bool) -> None:
    """received_at, the record's timestamp or occurred_at, in one chunk."""
    stamps = [NOON_MS, 0, -1, NOON_MS + 10**9, NOON_MS + 1]
    values = [scan(), without("received_at")]
    records = [record(v, timestamp_ms=ms, offset=n) for n, (v, ms) in enumerate(
        (v, ms) for v in values for ms in stamps)]  # fmt: skip
    assert_same(records, history=history)


def test_context_is_told_by_those_that_bring_it() -> None:
    """Positions say which scans bring an order, a promise or a value."""
    records = [
        record(scan(), offset=0),
        record(scan(order_id="o-1", declared_value_minor=0), offset=1),
        record(scan(promised_at="2026-03-09T00:00:00Z"), offset=2),
        record(scan(fragile=False), offset=3),
        record(scan(fragile=True, address_hash="1f00ab5c9d7e"), offset=4),
    ]
    assert plain(records)
    context = assert_same(records).batch.context
    assert context.positions.tolist() == [1, 2, 3, 4]
    assert context.values.tolist() == [1, 0, 0, 0]
    assert context.fragile.tolist() == [0, 0, 1, 2]
    assert list(context.address_hashes) == [None, None, None, "1f00ab5c9d7e"]


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_parts_of_scans_are_scans_of_parts(chosen: list[bool], start: int, stop: int) -> None:
    """Side by side, at any places, and joined again: context stays with its scan."""
    every = [
        scan(event_id=f"e-{n}", order_id=f"o-{n}") if n % 3 else scan(event_id=f"e-{n}")
        for n in range(len(chosen))
    ]
    whole = scans_of(every)
    assert whole is not None
    start, stop = min(start, stop, len(every)), min(max(start, stop), len(every))
    for part, values in (
        (whole.part(start, stop), every[start:stop]),
        (
            whole.take(np.flatnonzero(chosen)),
            [value for value, taken in zip(every, chosen, strict=True) if taken],
        ),
        (joined([whole.part(0, start), whole.part(start, len(every))]), every),
    ):
        alone = read_scans([record(value, timestamp_ms=0) for value in values]).batch
        assert list(part.parcel_ids) == list(alone.parcel_ids)
        assert part.context.positions.tolist() == alone.context.positions.tolist()
        assert list(part.context.order_ids) == list(alone.context.order_ids)


def test_no_records_make_no_scans() -> None:
    """An empty chunk has empty columns."""
    assert len(read_scans([]).batch) == 0


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(_RAW | st.just(scan()), _TIMESTAMPS, _HEADERS), max_size=8), st.booleans()
)
def test_whatever_the_log_holds_is_read_alike(
    drawn: list[tuple[bytes | None, int, Any]], history: bool
) -> None:
    """Any bytes, any timestamps, any headers: the same scans and the same dead letters."""
    records = [RawRecord(b"k", raw, n, ms, tuple(hs)) for n, (raw, ms, hs) in enumerate(drawn)]
    assert_same(records, history=history)
