"""Records for tests of the wire: a valid event, and ways to change it."""

import json
from typing import Any, Final

from pipeline.records import RawRecord

NOON_MS: Final = 1_772_366_400_000
"""2026-03-01T12:00:00Z."""
SCAN: Final[dict[str, Any]] = {
    "event_id": "e-1",
    "parcel_id": "SW000123",
    "carrier": "swift",
    "milestone": "arrived",
    "occurred_at": "2026-03-01T19:30:00+08:00",
    "received_at": "2026-03-01T11:45:00Z",
    "facility": "R01-HUB",
    "region": "R01",
}
COMPLAINT: Final[dict[str, Any]] = {
    "complaint_id": "c-1",
    "customer_id": "cust-7",
    "occurred_at": "2026-03-01T11:40:00Z",
    "region": "R01",
    "category": "logistics",
    "issue": "late",
    "text": "Where is it?\nIt should have come \u202eyesterday.",
}


def record(
    value: bytes | dict[str, Any] | None,
    *headers: tuple[str, bytes | None],
    timestamp_ms: int = NOON_MS,
    offset: int = 0,
) -> RawRecord:
    """A record with that value (a dict is written as compact JSON)."""
    raw = compact(value) if isinstance(value, dict) else value
    return RawRecord(b"swift/SW000123", raw, offset, timestamp_ms, headers)


def compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def scan(**changes: Any) -> bytes:
    """A valid scan with other or further fields."""
    return compact({**SCAN, **changes})


def scan_with(name: str, raw: bytes) -> bytes:
    """A valid scan with a further field of which the value is given as raw JSON."""
    return b'%s,"%s":%s}' % (compact(SCAN)[:-1], name.encode(), raw)


def without(name: str) -> bytes:
    return compact({key: value for key, value in SCAN.items() if key != name})
