from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.events import (
    MAX_TEXT_LENGTH,
    MAX_VALUE_MINOR,
    Complaint,
    Invalid,
    InvalidEvent,
    Milestone,
    TrackingEvent,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCAN: dict[str, Any] = {
    "event_id": "e-1",
    "parcel_id": "p-1",
    "carrier": "swift",
    "milestone": Milestone.ARRIVED,
    "occurred_at": NOON,
}
COMPLAINT: dict[str, Any] = {
    "complaint_id": "c-1",
    "customer_id": "u-1",
    "occurred_at": NOON,
    "region": "R01",
}
IDS = {
    TrackingEvent: (
        "event_id", "parcel_id", "carrier", "facility", "region", "order_id", "customer_id",
        "origin_region", "destination_region", "service_level", "supplier_id",
    ),
    Complaint: (
        "complaint_id", "customer_id", "region", "order_id", "parcel_id", "carrier", "issue",
        "channel", "language", "supplier_id",
    ),
}  # fmt: skip
EVERY_ID = [(kind, name) for kind, names in IDS.items() for name in names]


def build(kind: type[TrackingEvent] | type[Complaint], **changes: Any) -> TrackingEvent | Complaint:
    return kind(**{**(SCAN if kind is TrackingEvent else COMPLAINT), **changes})


@pytest.mark.parametrize(("kind", "name"), EVERY_ID)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", Invalid.IMPOSSIBLE_VALUE),
        (" ", Invalid.IMPOSSIBLE_VALUE),
        ("   ", Invalid.IMPOSSIBLE_VALUE),
        ("x" * (MAX_TEXT_LENGTH + 1), Invalid.STRING_TOO_LONG),
        ("a\n", Invalid.UNSAFE_CHARACTER),
        ("\x1b[31m", Invalid.UNSAFE_CHARACTER),
        ("a\u202eb", Invalid.UNSAFE_CHARACTER),
        ("a\ud800", Invalid.UNSAFE_CHARACTER),
    ],
)
def test_every_id_is_checked_and_named(kind: Any, name: str, value: str, reason: Invalid) -> None:
    """No id escapes the check of all ids at once, and the message says which it was."""
    with pytest.raises(InvalidEvent, match=name) as raised:
        build(kind, **{name: value})
    assert raised.value.reason is reason


@pytest.mark.parametrize(("kind", "name"), EVERY_ID)
@pytest.mark.parametrize("value", ["New  York", " x", "x ", "None", "-", "x" * MAX_TEXT_LENGTH])
def test_an_unusual_id_is_an_id(kind: Any, name: str, value: str) -> None:
    """What makes the quick check look closer is not refused for that."""
    assert getattr(build(kind, **{name: value}), name) == value


@given(st.sampled_from(EVERY_ID), st.text(max_size=6))
def test_an_id_is_taken_if_it_is_printable_and_not_blank(which: Any, value: str) -> None:
    """The check of all ids at once equals the check of each."""
    kind, name = which
    fine = value.isprintable() and not value.isspace() and value != ""
    if name == "carrier" and "/" in value:
        fine = False
    try:
        build(kind, **{name: value})
    except InvalidEvent:
        assert not fine
    else:
        assert fine


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        (TrackingEvent, {"occurred_at": NOON.replace(tzinfo=None)}, Invalid.NAIVE_TIMESTAMP),
        (TrackingEvent, {"received_at": NOON.replace(tzinfo=None)}, Invalid.NAIVE_TIMESTAMP),
        (TrackingEvent, {"promised_at": NOON.replace(tzinfo=None)}, Invalid.NAIVE_TIMESTAMP),
        (TrackingEvent, {"declared_value_minor": -1}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"declared_value_minor": MAX_VALUE_MINOR + 1}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"address_hash": "12 Main Street"}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"address_hash": "1f00ab5c9d7"}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"address_hash": "1f00ab5c9d7e\n"}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"address_hash": "f" * 65}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"carrier": "a/b"}, Invalid.IMPOSSIBLE_VALUE),
        (TrackingEvent, {"schema_version": 2}, Invalid.UNKNOWN_VERSION),
        (Complaint, {"occurred_at": NOON.replace(tzinfo=None)}, Invalid.NAIVE_TIMESTAMP),
        (Complaint, {"received_at": NOON.replace(tzinfo=None)}, Invalid.NAIVE_TIMESTAMP),
        (Complaint, {"carrier": "a/b"}, Invalid.IMPOSSIBLE_VALUE),
        (Complaint, {"text": "x" * (MAX_TEXT_LENGTH + 1)}, Invalid.STRING_TOO_LONG),
        (Complaint, {"schema_version": "x"}, Invalid.UNKNOWN_VERSION),
    ],
)
def test_what_cannot_be_cannot_be_built(kind: Any, changes: Any, reason: Invalid) -> None:
    """The constructor refuses what the wire refuses, with the field in the message."""
    with pytest.raises(InvalidEvent, match=next(iter(changes))) as raised:
        build(kind, **changes)
    assert raised.value.reason is reason


def test_keys_are_those_of_the_records() -> None:
    """A parcel is a carrier's number, a customer a pseudonym."""
    assert build(TrackingEvent).key == "swift/p-1"
    assert build(Complaint).key == "u-1"
