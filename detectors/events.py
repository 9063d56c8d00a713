"""The vocabulary of what happened: tracking scans and complaints.

Frozen structs that cannot be built invalid: every constructor, and every decoder that builds
them, runs the same checks and raises `InvalidEvent` with a closed reason. On the wire they are
JSON objects of the same field names; unknown fields are ignored, `schema_version` other than
major 1 is refused. Times are aware datetimes (RFC 3339 with an offset on the wire).

`occurred_at` orders a parcel's life and measures dwells; `received_at` says when anyone could
know. Where a producer gives no `received_at`, the record's timestamp stands in.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

MAJOR_VERSION: Final = 1
MAX_TEXT_LENGTH: Final = 4096
"""Longest string anywhere in an event, in characters; the wire limits bytes as well."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Invalid(StrEnum):
    """Why an event cannot be built. Wire limits have their own reasons in `pipeline.records`."""

    MISSING_FIELD = "missing_field"
    IMPOSSIBLE_VALUE = "impossible_value"
    UNSAFE_CHARACTER = "unsafe_character"
    STRING_TOO_LONG = "string_too_long"
    NAIVE_TIMESTAMP = "naive_timestamp"
    UNKNOWN_VERSION = "unknown_version"


class InvalidEvent(ValueError):
    """An event that cannot be: `reason` says why, the message says which field."""

    def __init__(self, reason: Invalid, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Milestone(StrEnum):
    """Where a parcel is in its life. `other` moves time but not the stage."""

    LABEL_CREATED = "label_created"
    PICKED_UP = "picked_up"
    DEPARTED = "departed"
    ARRIVED = "arrived"
    CUSTOMS_PRESENTED = "customs_presented"
    CUSTOMS_HELD = "customs_held"
    CUSTOMS_RELEASED = "customs_released"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERY_FAILED = "delivery_failed"
    AT_PICKUP_POINT = "at_pickup_point"
    DELIVERED = "delivered"
    RETURNING = "returning"
    RETURNED = "returned"
    DAMAGED = "damaged"
    LOST = "lost"
    CANCELLED = "cancelled"
    OTHER = "other"


class Category(StrEnum):
    """The four kinds of complaint of the trade."""

    PRODUCT = "product"
    LOGISTICS = "logistics"
    SERVICE = "service"
    ORDER = "order"


def _check_ids(*ids: str | None) -> None:
    """Refuse empty ids and ids with control, bidirectional or unassigned characters."""
    for value in ids:
        if value is None:
            continue
        if not value or value.isspace():
            raise InvalidEvent(Invalid.IMPOSSIBLE_VALUE, "an id is empty")
        if len(value) > MAX_TEXT_LENGTH:
            raise InvalidEvent(Invalid.STRING_TOO_LONG, "an id has over 4096 characters")
        if not value.isprintable():
            raise InvalidEvent(
                Invalid.UNSAFE_CHARACTER, f"control or bidirectional character in {value!r}"
            )


def _check_times(*times: datetime | None) -> None:
    for value in times:
        if value is not None and value.tzinfo is None:
            raise InvalidEvent(Invalid.NAIVE_TIMESTAMP, f"{value.isoformat()} has no offset")


def _check_version(version: str | int | None) -> None:
    if version is not None and str(version).split(".", 1)[0] != str(MAJOR_VERSION):
        raise InvalidEvent(
            Invalid.UNKNOWN_VERSION, f"schema_version {version!r}: only major {MAJOR_VERSION} is known"
        )


class TrackingEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One scan of one parcel. Context that comes once (from `order_id` on) is remembered."""

    event_id: str
    parcel_id: str
    carrier: str
    milestone: Milestone
    occurred_at: Instant
    received_at: Instant | None = None
    facility: str | None = None
    region: str | None = None
    order_id: str | None = None
    customer_id: str | None = None
    """A pseudonym, never a phone number or an address."""
    origin_region: str | None = None
    destination_region: str | None = None
    promised_at: Instant | None = None
    declared_value_minor: int | None = None
    """Minor units of the platform's currency (fen, cents), >= 0."""
    service_level: str | None = None
    supplier_id: str | None = None
    fragile: bool | None = None
    schema_version: str | int | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidEvent` for what cannot be."""
        _check_ids(
            self.event_id, self.parcel_id, self.carrier, self.facility, self.region,
            self.order_id, self.customer_id, self.origin_region, self.destination_region,
            self.service_level, self.supplier_id,
        )  # fmt: skip
        _check_times(self.occurred_at, self.received_at, self.promised_at)
        _check_version(self.schema_version)
        if self.declared_value_minor is not None and self.declared_value_minor < 0:
            raise InvalidEvent(Invalid.IMPOSSIBLE_VALUE, "declared_value_minor is negative")
        if "/" in self.carrier:
            raise InvalidEvent(Invalid.IMPOSSIBLE_VALUE, "a carrier's name has no '/'")

    @property
    def key(self) -> str:
        """`carrier/parcel_id`: the key of the record and of the parcel's state."""
        return f"{self.carrier}/{self.parcel_id}"


class Complaint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One complaint of one customer. Its record's key is the customer's pseudonym."""

    complaint_id: str
    customer_id: str
    occurred_at: Instant
    region: str
    received_at: Instant | None = None
    order_id: str | None = None
    parcel_id: str | None = None
    carrier: str | None = None
    category: Category | None = None
    issue: str | None = None
    channel: str | None = None
    text: str | None = None
    language: str | None = None
    supplier_id: str | None = None
    schema_version: str | int | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidEvent` for what cannot be."""
        _check_ids(
            self.complaint_id, self.customer_id, self.region, self.order_id, self.parcel_id,
            self.carrier, self.issue, self.channel, self.language, self.supplier_id,
        )  # fmt: skip
        if self.text is not None and len(self.text) > MAX_TEXT_LENGTH:
            raise InvalidEvent(Invalid.STRING_TOO_LONG, "text has over 4096 characters")
        _check_times(self.occurred_at, self.received_at)
        _check_version(self.schema_version)

    @property
    def key(self) -> str:
        """The key of the record and of the customer's state."""
        return self.customer_id
