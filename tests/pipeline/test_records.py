import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.events import Complaint, Invalid, TrackingEvent
from pipeline.limits import MAX_RECORD_BYTES, Reason, Refused
from pipeline.records import (
    _COMPLAINTS,
    _TRACKING,
    RawRecord,
    read_complaints,
    read_tracking,
)
from tests.pipeline.wire import (
    COMPLAINT,
    NOON_MS,
    SCAN,
    compact,
    record,
    scan,
    scan_with,
    without,
)

NOON = NOON_MS / 1000

REFUSED: dict[str, tuple[Reason, bytes | None]] = {
    "null record": (Reason.NULL_RECORD, None),
    "65537 bytes": (
        Reason.RECORD_TOO_LARGE,
        scan(event_id="x" * 0) + b" " * (MAX_RECORD_BYTES + 1 - len(scan(event_id=""))),
    ),
    "not UTF-8 in a field": (Reason.NOT_UTF8, scan(region="A").replace(b'"A"', b'"\xff"')),
    "not UTF-8 in an unknown field": (Reason.NOT_UTF8, scan_with("zone", b'"\xff"')),
    "not UTF-8 in an unknown key": (Reason.NOT_UTF8, scan(zone=1).replace(b"zone", b"z\xff")),
    "surrogate written as UTF-8": (Reason.NOT_UTF8, scan_with("zone", b'"\xed\xa0\x80"')),
    "no JSON": (Reason.NOT_JSON, b"hello"),
    "empty value": (Reason.NOT_JSON, b""),
    "cut off": (Reason.NOT_JSON, scan()[:-1]),
    "something after it": (Reason.NOT_JSON, scan() + b"{}"),
    "byte order mark": (Reason.NOT_JSON, b"\xef\xbb\xbf" + scan()),
    "lone surrogate escaped": (Reason.NOT_JSON, scan_with("zone", b'"\\ud800"')),
    "raw control character": (Reason.NOT_JSON, scan(region="A").replace(b'"A"', b'"\x01"')),
    "33 deep": (Reason.TOO_DEEP, scan_with("zone", b"[" * 32 + b"]" * 32)),
    "30000 deep": (Reason.TOO_DEEP, scan_with("zone", b"[" * 30000 + b"]" * 30000)),
    "30000 deep, not closed": (Reason.TOO_DEEP, b'{"a":' * 10000),
    "string of 4097 bytes": (Reason.STRING_TOO_LONG, scan(region="x" * 4097)),
    "unknown string of 4097 bytes": (Reason.STRING_TOO_LONG, scan(zone=["é" * 2048 + "x"])),
    "key of 4097 bytes": (Reason.STRING_TOO_LONG, scan(**{"x" * 4097: 1})),
    "NaN": (Reason.NOT_FINITE, scan(zone=float("nan"))),
    "infinite": (Reason.NOT_FINITE, scan(zone=[float("-inf")])),
    "1e999": (Reason.NOT_FINITE, scan_with("zone", b"1e999")),
    "field twice": (Reason.DUPLICATE_KEY, scan_with("region", b'"R02"')),
    "field twice, once null": (Reason.DUPLICATE_KEY, scan_with("region", b"null")),
    "field twice, once escaped": (Reason.DUPLICATE_KEY, scan_with("regi\\u006fn", b'"R02"')),
    "unknown field twice": (Reason.DUPLICATE_KEY, scan_with("a", b'1,"a" :1')),
    "twice further down": (Reason.DUPLICATE_KEY, scan_with("a", b'{"b":1,"b":2}')),
    "number twice": (
        Reason.DUPLICATE_KEY,
        scan_with("declared_value_minor", b'5,"declared_value_minor":6'),
    ),
    "no parcel_id": (Reason.MISSING_FIELD, without("parcel_id")),
    "null parcel_id": (Reason.MISSING_FIELD, scan(parcel_id=None)),
    "empty object": (Reason.MISSING_FIELD, b"{}"),
    "unknown milestone": (Reason.IMPOSSIBLE_VALUE, scan(milestone="teleported")),
    "number for an id": (Reason.IMPOSSIBLE_VALUE, scan(event_id=7)),
    "empty id": (Reason.IMPOSSIBLE_VALUE, scan(facility="")),
    "blank id": (Reason.IMPOSSIBLE_VALUE, scan(event_id="  ")),
    "carrier with a slash": (Reason.IMPOSSIBLE_VALUE, scan(carrier="swift/north")),
    "negative value": (Reason.IMPOSSIBLE_VALUE, scan(declared_value_minor=-1)),
    "value beyond 10^15": (Reason.IMPOSSIBLE_VALUE, scan(declared_value_minor=10**15 + 1)),
    "an address for its hash": (
        Reason.IMPOSSIBLE_VALUE,
        scan(address_hash="12 Main Street"),
    ),
    "number of 5000 digits": (Reason.IMPOSSIBLE_VALUE, scan_with("zone", b"1" * 5000)),
    "an array": (Reason.IMPOSSIBLE_VALUE, b"[]"),
    "JSON null": (Reason.IMPOSSIBLE_VALUE, b"null"),
    "no such day": (Reason.IMPOSSIBLE_VALUE, scan(occurred_at="2026-02-30T00:00:00Z")),
    "year 1": (Reason.IMPOSSIBLE_VALUE, scan(occurred_at="0001-01-01T00:00:00+14:00")),
    "scanner's clock reset": (Reason.IMPOSSIBLE_VALUE, scan(occurred_at="2000-01-01T00:00:00Z")),
    "received before 2000": (Reason.IMPOSSIBLE_VALUE, scan(received_at="1970-01-01T00:00:00Z")),
    "received in 2100": (Reason.IMPOSSIBLE_VALUE, scan(received_at="2100-01-01T00:00:00Z")),
    "promised in 9999": (Reason.IMPOSSIBLE_VALUE, scan(promised_at="9999-12-31T23:59:59-14:00")),
    "promised in 1900": (Reason.IMPOSSIBLE_VALUE, scan(promised_at="1900-01-01T00:00:00Z")),
    "control character": (Reason.UNSAFE_CHARACTER, scan(parcel_id="SW\u0000")),
    "delete": (Reason.UNSAFE_CHARACTER, scan(parcel_id="SW\u007f")),
    "bidirectional override": (Reason.UNSAFE_CHARACTER, scan(region="R\u202e10")),
    "isolate": (Reason.UNSAFE_CHARACTER, scan(order_id="\u2066o-1")),
    "no offset": (Reason.NAIVE_TIMESTAMP, scan(occurred_at="2026-03-01T11:30:00")),
    "version 2": (Reason.UNKNOWN_VERSION, scan(schema_version="2.0")),
    "version 10": (Reason.UNKNOWN_VERSION, scan(schema_version="10")),
    "version 2 as a number": (Reason.UNKNOWN_VERSION, scan(schema_version=2)),
    "occurred 5 min 1 s ahead": (
        Reason.AHEAD_OF_ARRIVAL,
        scan(occurred_at="2026-03-01T11:50:01Z"),
    ),
    "received in 2099": (
        Reason.AHEAD_OF_ARRIVAL,
        scan(received_at="2099-01-01T00:00:00Z", occurred_at="2099-01-01T00:00:00Z"),
    ),
}

TAKEN: dict[str, bytes] = {
    "plain": scan(),
    "spaces": json.dumps(SCAN).encode(),
    "indented": json.dumps(SCAN, indent=2).encode() + b"\n",
    "escapes": json.dumps({**SCAN, "region": "Zürich"}).encode(),
    "non-ASCII": scan(region="华东", facility="上海 一号"),
    "every field": scan(
        order_id="o-1",
        customer_id="c-1",
        origin_region="R01",
        destination_region="R02",
        promised_at="2026-03-09T00:00:00Z",
        declared_value_minor=10**15,
        service_level="express",
        supplier_id="s-1",
        fragile=True,
        address_hash="0123456789abcdef" * 4,
        schema_version=1,
    ),
    "unknown fields": scan(zone="A", weight=1.5, tags=["a", {"b": None}]),
    "nulls": scan(order_id=None, fragile=None),
    "32 deep": scan_with("zone", b"[" * 31 + b"]" * 31),
    "brackets in a string": scan(zone="[" * 100),
    "string of 4096 bytes": scan(zone="é" * 2048),
    "65536 bytes": scan() + b" " * (MAX_RECORD_BYTES - len(scan())),
    "string beginning with a colon": scan(facility=":A", region=":"),
    "occurred 5 min ahead": scan(occurred_at="2026-03-01T11:50:00Z"),
    "occurred 366 days before": scan(occurred_at="2025-02-28T11:45:00Z"),
    "version 1.7": scan(schema_version="1.7"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_limit_has_its_reason(case: str) -> None:
    """A record that breaks one limit becomes a dead letter of that limit's reason."""
    reason, value = REFUSED[case]
    chunk = read_tracking([record(value)])
    assert [letter.reason for letter in chunk.dead] == [reason]
    assert chunk.events == []
    assert chunk.arrivals.shape == (0,)


def test_every_reason_of_the_events_is_a_reason_of_the_wire() -> None:
    """What an event's own checks say keeps its name, and no reason lacks a test."""
    assert {reason.value for reason in Invalid} <= {reason.value for reason in Reason}
    tested = {reason for reason, _ in REFUSED.values()}
    assert set(Reason) - tested == {Reason.ENVELOPE_INVALID, Reason.ENVELOPE_TYPE}


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_within_the_limits_is_taken(case: str) -> None:
    """At the very limit and in any formatting a record is an event."""
    chunk = read_tracking([record(TAKEN[case])])
    assert chunk.dead == []
    assert chunk.events[0].event_id == "e-1"


@pytest.mark.parametrize("case", ["plain", "spaces", "indented", "non-ASCII", "every field"])
def test_plain_records_take_the_fast_path(case: str) -> None:
    """Formatting and optional fields do not cost the strict pass."""
    assert _TRACKING.fast(record(TAKEN[case])) is not None


def test_nulls_and_flat_unknown_fields_take_the_fast_path() -> None:
    """Producers that write all their fields are not punished."""
    assert _TRACKING.fast(record(scan(order_id=None, zone="A", weight=1.5))) is not None


def test_a_detail_names_field_and_limit_and_is_safe_to_print() -> None:
    """What a person reads never carries the record's own control characters."""
    (letter,) = read_tracking([record(scan(region="R\u202e" + "x" * 5000))]).dead
    assert letter.detail == "$.'region' has 5004 bytes; at most 4096"
    for _, value in REFUSED.values():
        (letter,) = read_tracking([record(value)]).dead
        assert letter.detail.isprintable()
        assert 5 < len(letter.detail) <= 500


class TestArrival:
    """received_at, else the record's timestamp, else occurred_at."""

    def test_received_at_comes_first(self) -> None:
        """A replay's late record timestamp does not matter where received_at is given."""
        chunk = read_tracking([record(scan(), timestamp_ms=NOON_MS + 10**9)])
        assert chunk.arrivals.tolist() == [NOON - 900]

    def test_the_timestamp_stands_in(self) -> None:
        """Without received_at the log says when anyone could know."""
        assert read_tracking([record(without("received_at"))]).arrivals.tolist() == [NOON]

    @pytest.mark.parametrize("none", [0, -1])
    def test_occurred_at_stands_in_for_both(self, none: int) -> None:
        """History without either arrives when it happened."""
        chunk = read_tracking([record(without("received_at"), timestamp_ms=none)])
        assert chunk.arrivals.tolist() == [NOON - 1800]

    def test_history_arrives_when_it_happened(self) -> None:
        """A past written to a topic today is the past, as in a replay of files."""
        old = without("received_at").replace(b"2026-03-01T19", b"2024-03-01T19")
        chunk = read_tracking([record(old), record(without("received_at"))], history=True)
        assert [event.occurred_at.timestamp() for event in chunk.events] == chunk.arrivals.tolist()

    def test_history_is_not_the_future_of_its_timestamp(self) -> None:
        """What happened after it was written is refused in a past as well."""
        early = record(without("received_at"), timestamp_ms=NOON_MS - 2_400_000)
        (letter,) = read_tracking([early], history=True).dead
        assert letter.reason == Reason.AHEAD_OF_ARRIVAL

    def test_microseconds_survive(self) -> None:
        """An arrival is as exact as the text it came from."""
        chunk = read_tracking([record(scan(received_at="2026-03-01T11:45:00.123456Z"))])
        assert chunk.arrivals.tolist() == [NOON - 900 + 0.123456]

    def test_received_five_minutes_after_the_broker_is_tolerated(self) -> None:
        """Clocks differ a little; one second more is refused."""
        at_limit = record(scan(), timestamp_ms=NOON_MS - 1_200_000)
        beyond = record(scan(), timestamp_ms=NOON_MS - 1_201_000)
        chunk = read_tracking([at_limit, beyond])
        assert chunk.records == [at_limit]
        assert [letter.reason for letter in chunk.dead] == [Reason.AHEAD_OF_ARRIVAL]
        assert "received_at is 301 s ahead of the record's timestamp" in chunk.dead[0].detail

    @pytest.mark.parametrize("timestamp_ms", [1_772_366_400, 5_000_000_000_000])
    def test_an_impossible_timestamp_is_no_arrival(self, timestamp_ms: int) -> None:
        """Seconds for milliseconds, or a year after 2099, cannot become the clock."""
        for value in (without("received_at"), scan(received_at="2026-03-01T11:45:00Z")):
            chunk = read_tracking([record(value, timestamp_ms=timestamp_ms)])
            if timestamp_ms < NOON_MS or b"received_at" not in value:
                assert [letter.reason for letter in chunk.dead] == [Reason.IMPOSSIBLE_VALUE]

    def test_history_far_behind_its_timestamp_is_refused_with_the_remedy(self) -> None:
        """Old scans without received_at would otherwise all look like stalls at once."""
        old = without("received_at").replace(b"2026-03-01T19", b"2024-03-01T19")
        (letter,) = read_tracking([record(old)]).dead
        assert letter.reason == Reason.IMPOSSIBLE_VALUE
        assert "history needs received_at" in letter.detail


def test_one_bad_record_touches_no_other() -> None:
    """Events, arrivals and order of the rest are as if the bad ones had not been there."""
    good = [record(scan(event_id=f"e-{n}"), offset=n) for n in range(5)]
    bad = [record(value, offset=100 + n) for n, (_, value) in enumerate(REFUSED.values())]
    mixed = good[:2] + bad + good[2:]
    chunk, alone = read_tracking(mixed), read_tracking(good)
    assert chunk.events == alone.events
    assert chunk.records == good
    assert np.array_equal(chunk.arrivals, alone.arrivals)
    assert [letter.record for letter in chunk.dead] == bad


def test_no_records_make_an_empty_chunk() -> None:
    """An empty chunk has arrays of the right type."""
    chunk = read_tracking([])
    assert (chunk.events, chunk.records, chunk.dead) == ([], [], [])
    assert chunk.arrivals.dtype == np.float64


def test_a_complaint_keeps_its_free_text() -> None:
    """Line breaks and directions are allowed in text, only ids must be plain."""
    chunk = read_complaints([record(COMPLAINT)])
    assert chunk.events[0].text == COMPLAINT["text"]
    assert chunk.arrivals.tolist() == [NOON]
    bad = read_complaints([record({**COMPLAINT, "issue": "la\nte"})])
    assert [letter.reason for letter in bad.dead] == [Reason.UNSAFE_CHARACTER]


def test_a_complaints_carrier_must_fit_into_a_key() -> None:
    """A complaint names a parcel the way the parcel's own key does."""
    chunk = read_complaints([record({**COMPLAINT, "carrier": "a/b"})])
    assert [letter.reason for letter in chunk.dead] == [Reason.IMPOSSIBLE_VALUE]


# ------------------------------------------------------------------------------------ properties

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(list(SCAN.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from([*TrackingEvent.__struct_fields__, "zone", ":", ""]) | st.text(max_size=5)


@st.composite
def _texts(draw: st.DrawFn) -> bytes:
    """JSON objects near a valid scan, with doubled keys and any white space."""
    pairs = [*SCAN.items(), *draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=3))]
    gap = draw(st.sampled_from(["", " ", "\n", "\t "]))
    ascii_only = draw(st.booleans())
    parts = [
        f"{json.dumps(name, ensure_ascii=ascii_only)}{gap}:{gap}"
        f"{json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in draw(st.permutations(pairs))
    ]
    return f"{{{gap}{f'{gap},{gap}'.join(parts)}{gap}}}".encode("utf-8", "surrogatepass")


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A valid text with a few bytes changed, inserted or cut out."""
    value = bytearray(draw(st.sampled_from([*TAKEN.values(), compact(COMPLAINT)]))[:2000])
    rng = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 4))):
        _mutate(value, rng)
    return bytes(value)


def _mutate(value: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(value) + 1)
    piece = rng.choice([b"", b'"', b"\\", b"{", b"}", b",", b"null", b"1e999", b"\xff", b"\x00"])
    value[place : place + rng.randrange(4)] = piece


_RAW = st.none() | st.binary(max_size=200) | _mutated() | _texts()
_TIMESTAMPS = st.sampled_from([-1, 0, 1, NOON_MS, NOON_MS - 10**7]) | st.integers(-1, 2**62)
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_specversion", "ce_id", "content-type", "Content-Type", "trace"]),
        st.none()
        | st.binary(max_size=8)
        | st.sampled_from([b"1.0", b"application/json", b"application/cloudevents+json"]),
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(_RAW, _TIMESTAMPS, _HEADERS), max_size=6))
def test_nothing_raises_and_nothing_gets_lost(
    drawn: list[tuple[bytes | None, int, Any]],
) -> None:
    """Whatever the log holds, every record is an event or a dead letter, once."""
    records = [RawRecord(b"k", raw, n, ms, hs) for n, (raw, ms, hs) in enumerate(drawn)]
    for chunk in (read_tracking(records), read_complaints(records)):
        offsets = [r.offset for r in chunk.records] + [d.record.offset for d in chunk.dead]
        assert sorted(offsets) == list(range(len(records)))
        assert len(chunk.events) == len(chunk.records) == len(chunk.arrivals)
        assert np.isfinite(chunk.arrivals).all()
        assert all(letter.detail.isprintable() for letter in chunk.dead)


@settings(max_examples=600, deadline=None)
@given(_mutated() | _texts(), _TIMESTAMPS)
def test_the_fast_path_agrees_with_the_strict_one(raw: bytes, timestamp_ms: int) -> None:
    """Where the cheap tests decide, they decide as the strict pass does."""
    for reader in (_TRACKING, _COMPLAINTS):
        found: tuple[TrackingEvent | Complaint, float] | None
        found = reader.fast(record(raw, timestamp_ms=timestamp_ms))
        if found is None:
            continue
        try:
            assert found == reader.strict(record(raw, timestamp_ms=timestamp_ms))
        except Refused as refused:
            pytest.fail(f"fast takes what strict refuses: {refused.reason} {refused}")
