import base64
import json
from typing import Any

import pytest

from detectors.events import Complaint, TrackingEvent
from pipeline.limits import Reason
from pipeline.records import RawRecord, read_complaints, read_tracking
from tests.pipeline.wire import COMPLAINT, SCAN, compact, record, scan, without

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "ce-1",
    "source": "/tms",
    "type": "forewarn.tracking.v1",
    "time": "2026-03-01T11:00:00Z",
}
STRUCTURED = ("content-type", b"application/cloudevents+json; charset=UTF-8")


def binary(value: bytes | None, **changes: str | None) -> RawRecord:
    """A binary-mode event; an attribute given as None is left out."""
    attributes = {**ATTRIBUTES, "contenttype": "application/json", **changes}
    headers = [
        ("content-type" if name == "contenttype" else f"ce_{name}", text.encode())
        for name, text in attributes.items()
        if text is not None
    ]
    return record(value, *headers)


def structured(data: Any = SCAN, **changes: Any) -> RawRecord:
    """A structured-mode event; `data=None` leaves it out."""
    envelope = {**ATTRIBUTES, **({} if data is None else {"data": data}), **changes}
    return record(json.dumps(envelope).encode(), STRUCTURED)


def taken(raw: RawRecord) -> TrackingEvent:
    chunk = read_tracking([raw])
    assert chunk.dead == []
    return chunk.events[0]


def reason(raw: RawRecord) -> str:
    chunk = read_tracking([raw])
    assert chunk.events == []
    return chunk.dead[0].reason


PLAIN = taken(record(SCAN))


@pytest.mark.parametrize(
    "raw",
    [
        binary(scan()),
        binary(scan(), contenttype=None),
        binary(scan(), contenttype="Application/JSON; charset=utf-8"),
        binary(scan(), contenttype="application/vnd.acme+json", subject="swift/SW000123"),
        structured(),
        structured(datacontenttype="text/json", extension=5, subject=None),
        structured(None, data_base64=base64.b64encode(scan()).decode()),
        record(
            json.dumps({**ATTRIBUTES, "data": SCAN}).encode(),
            ("Content-Type", b"APPLICATION/CloudEvents+JSON"),
            ("ce_id", b"also here"),
        ),
    ],
)
def test_the_envelope_changes_nothing(raw: RawRecord) -> None:
    """Either mode gives the event that plain JSON gives."""
    assert taken(raw) == PLAIN


@pytest.mark.parametrize("data", [without("event_id"), scan(event_id=None)])
def test_id_stands_in_for_the_event_id(data: bytes) -> None:
    """Where the data have no id, that of the envelope is as good."""
    assert taken(binary(data)).event_id == "ce-1"
    assert taken(structured(json.loads(data))).event_id == "ce-1"


def test_time_stands_in_for_occurred_at() -> None:
    """Where the data have no time, that of the envelope is as good."""
    assert taken(binary(without("occurred_at"))).occurred_at.isoformat().startswith("2026-03-01T11")
    assert reason(binary(without("occurred_at"), time=None)) == Reason.MISSING_FIELD
    assert reason(binary(without("occurred_at"), time="noon")) == Reason.IMPOSSIBLE_VALUE
    assert reason(binary(without("occurred_at"), time="2026-03-01T11:00:00")) == (
        Reason.NAIVE_TIMESTAMP
    )


def test_complaints_have_a_type_of_their_own() -> None:
    """A complaint's id is filled from the envelope, and scans are refused on its topic."""
    data = {name: value for name, value in COMPLAINT.items() if name != "complaint_id"}
    chunk = read_complaints([structured(data, type="forewarn.complaint.v1")])
    assert [type(event) for event in chunk.events] == [Complaint]
    assert chunk.events[0].complaint_id == "ce-1"
    assert [d.reason for d in read_complaints([structured()]).dead] == [Reason.ENVELOPE_TYPE]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (binary(scan(), specversion="0.3"), Reason.ENVELOPE_INVALID),
        (binary(scan(), id=None), Reason.ENVELOPE_INVALID),
        (binary(scan(), source=""), Reason.ENVELOPE_INVALID),
        (binary(scan(), type=None), Reason.ENVELOPE_INVALID),
        (binary(scan(), type="com.acme.scanned"), Reason.ENVELOPE_TYPE),
        (binary(scan(), type="forewarn.tracking.v2"), Reason.UNKNOWN_VERSION),
        (binary(scan(), contenttype="application/avro"), Reason.ENVELOPE_TYPE),
        (binary(without("event_id"), id="e\u202e"), Reason.UNSAFE_CHARACTER),
        (binary(scan(), id="x" * 4097), Reason.STRING_TOO_LONG),
        (binary(None), Reason.NULL_RECORD),
        (binary(b"[]"), Reason.IMPOSSIBLE_VALUE),
        (binary(b"hello"), Reason.NOT_JSON),
        (binary(b'{"zone":"\xff"}'), Reason.NOT_UTF8),
        (binary(scan() + b"}"), Reason.NOT_JSON),
        (binary(without("event_id")[:-1] + b',"region":"R02"}'), Reason.DUPLICATE_KEY),
        (structured(specversion="1.1"), Reason.ENVELOPE_INVALID),
        (structured(specversion=1.0), Reason.ENVELOPE_INVALID),
        (structured(id=""), Reason.ENVELOPE_INVALID),
        (structured(source=None), Reason.ENVELOPE_INVALID),
        (structured(None), Reason.ENVELOPE_INVALID),
        (structured(data_base64="e30="), Reason.ENVELOPE_INVALID),
        (structured(None, data_base64="not base64!"), Reason.ENVELOPE_INVALID),
        (structured(None, data_base64="e30="), Reason.MISSING_FIELD),
        (structured("<xml/>", datacontenttype="application/xml"), Reason.ENVELOPE_TYPE),
        (structured("a string"), Reason.IMPOSSIBLE_VALUE),
        (structured({**SCAN, "zone": float("nan")}), Reason.NOT_FINITE),
        (record(b'{"id":"1","id":"2"}', STRUCTURED), Reason.DUPLICATE_KEY),
        (record(b"[]", STRUCTURED), Reason.ENVELOPE_INVALID),
        (record(b"[]", ("content-type", b"application/cloudevents-batch+json")),
         Reason.ENVELOPE_INVALID),
        (record(scan(), ("content-type", b"application/cloudevents+avro")),
         Reason.ENVELOPE_INVALID),
        (record(scan(), STRUCTURED, STRUCTURED), Reason.ENVELOPE_INVALID),
        (record(scan(), ("ce_specversion", b"1.0"), ("ce_specversion", b"1.0")),
         Reason.ENVELOPE_INVALID),
        (record(scan(), ("ce_specversion", None)), Reason.ENVELOPE_INVALID),
        (record(scan(), ("ce_specversion", b"\xff")), Reason.NOT_UTF8),
    ],
)  # fmt: skip
def test_what_is_no_cloudevent_of_ours_is_refused(raw: RawRecord, expected: Reason) -> None:
    """Wrong versions, types, content types and broken envelopes have reasons of their own."""
    assert reason(raw) == expected


def test_other_headers_make_no_envelope() -> None:
    """Tracing headers and a plain content type leave a record plain."""
    headers = [("traceparent", b"00-1-1-01"), ("content-type", b"application/json"), ("x", None)]
    assert taken(record(SCAN, *headers)) == PLAIN
    assert taken(record(SCAN, ("ce_id", b"alone"))).event_id == "e-1"


def test_the_raw_record_is_what_dies() -> None:
    """A dead letter holds the envelope as it came, so that it can be replayed."""
    raw = binary(compact({"a": 1}))
    assert read_tracking([raw]).dead[0].record is raw
