"""The vocabulary of what happened: tracking scans and complaints.

Frozen structs that cannot be built invalid: every constructor, and every decoder that builds
them, runs the same checks and raises `InvalidEvent` with a closed reason. On the wire they are
JSON objects of the same field names; unknown fields are ignored, `schema_version` other than
major 1 is refused. Times are aware datetimes (RFC 3339 with an offset on the wire).

`occurred_at` orders a parcel's life and measures dwells; `received_at` says when anyone could
know. Where a producer gives no `received_at`, the record's timestamp stands in.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

MAJOR_VERSION: Final = 1
MAX_TEXT_LENGTH: Final = 4096
"""Longest string anywhere in an event, in characters; the wire limits bytes as well."""

ADDRESS_HASH: Final = re.compile(r"[0-9a-f]{12,64}")
"""A pseudonym of an address: hexadecimal digits, of which the first twelve count. Nothing else is
taken, so no address can stand there by mistake."""

MAX_VALUE_MINOR: Final = 10**15
"""Largest declared value: what a double still holds exactly, with room for sums."""

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


def _check_ids(event: "TrackingEvent | Complaint", names: tuple[str, ...]) -> None:
    """Refuse empty ids and ids with control, bidirectional or unassigned characters."""
    for name in names:
        value = getattr(event, name)
        if value is None:
            continue
        if not value or value.isspace():
            raise InvalidEvent(Invalid.IMPOSSIBLE_VALUE, f"{name} is empty")
        if len(value) > MAX_TEXT_LENGTH:
            raise InvalidEvent(
                Invalid.STRING_TOO_LONG,
                f"{name} has {len(value)} characters; at most {MAX_TEXT_LENGTH}",
            )
        if not value.isprintable():
            raise InvalidEvent(
                Invalid.UNSAFE_CHARACTER,
                f"{name} has a control, bidirectional or unassigned character: {value!a}",
            )


def _refuse_naive(event: "TrackingEvent | Complaint", names: tuple[str, ...]) -> None:
    for name in names:
        value: datetime | None = getattr(event, name)
        if value is not None and value.tzinfo is None:
            raise InvalidEvent(
                Invalid.NAIVE_TIMESTAMP, f"{name} {value.isoformat()} has no offset from UTC"
            )


def _check_version(version: str | int) -> None:
    if str(version).split(".", 1)[0] != str(MAJOR_VERSION):
        raise InvalidEvent(
            Invalid.UNKNOWN_VERSION,
            f"schema_version {str(version)[:40]!r}: only major {MAJOR_VERSION} is known",
        )


def _bad_carrier() -> InvalidEvent:
    return InvalidEvent(Invalid.IMPOSSIBLE_VALUE, "carrier has a '/', which separates it in keys")


_TRACKING_IDS: Final = (
    "event_id", "parcel_id", "carrier", "facility", "region", "order_id", "customer_id",
    "origin_region", "destination_region", "service_level", "supplier_id",
)  # fmt: skip
_TRACKING_TIMES: Final = ("occurred_at", "received_at", "promised_at")
_COMPLAINT_IDS: Final = (
    "complaint_id", "customer_id", "region", "order_id", "parcel_id", "carrier", "issue",
    "channel", "language", "supplier_id",
)  # fmt: skip
_COMPLAINT_TIMES: Final = ("occurred_at", "received_at")


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
    address_hash: str | None = None
    """A keyed pseudonym of where it is delivered, 12 to 64 hexadecimal digits in lower case."""
    awaits_customer: bool | None = None
    """From this scan on the customer has to act first (papers, duties): the clock of its silence
    stands still, and customs' too, until it moves. False says no more than None."""
    schema_version: str | int | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidEvent` for what cannot be."""
        ids = (
            f" {self.event_id} "
            f"{self.parcel_id} "
            f"{self.carrier} "
            f"{'-' if self.facility is None else self.facility} "
            f"{'-' if self.region is None else self.region} "
            f"{'-' if self.order_id is None else self.order_id} "
            f"{'-' if self.customer_id is None else self.customer_id} "
            f"{'-' if self.origin_region is None else self.origin_region} "
            f"{'-' if self.destination_region is None else self.destination_region} "
            f"{'-' if self.service_level is None else self.service_level} "
            f"{'-' if self.supplier_id is None else self.supplier_id} "
        )
        # One pass over all of them together costs a third of a look at each.
        if not ids.isprintable() or "  " in ids or len(ids) > MAX_TEXT_LENGTH:
            _check_ids(self, _TRACKING_IDS)
        if (
            self.occurred_at.tzinfo is None
            or (self.received_at is not None and self.received_at.tzinfo is None)
            or (self.promised_at is not None and self.promised_at.tzinfo is None)
        ):
            _refuse_naive(self, _TRACKING_TIMES)
        if self.schema_version is not None:
            _check_version(self.schema_version)
        if self.declared_value_minor is not None and not (
            0 <= self.declared_value_minor <= MAX_VALUE_MINOR
        ):
            raise InvalidEvent(
                Invalid.IMPOSSIBLE_VALUE, f"declared_value_minor is not in 0..{MAX_VALUE_MINOR}"
            )
        if self.address_hash is not None and not ADDRESS_HASH.fullmatch(self.address_hash):
            raise InvalidEvent(
                Invalid.IMPOSSIBLE_VALUE, "address_hash is not of 12 to 64 hexadecimal digits"
            )
        if "/" in self.carrier:
            raise _bad_carrier()

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
        ids = (
            f" {self.complaint_id} "
            f"{self.customer_id} "
            f"{self.region} "
            f"{'-' if self.order_id is None else self.order_id} "
            f"{'-' if self.parcel_id is None else self.parcel_id} "
            f"{'-' if self.carrier is None else self.carrier} "
            f"{'-' if self.issue is None else self.issue} "
            f"{'-' if self.channel is None else self.channel} "
            f"{'-' if self.language is None else self.language} "
            f"{'-' if self.supplier_id is None else self.supplier_id} "
        )
        # One pass over all of them together costs a third of a look at each.
        if not ids.isprintable() or "  " in ids or len(ids) > MAX_TEXT_LENGTH:
            _check_ids(self, _COMPLAINT_IDS)
        if self.text is not None and len(self.text) > MAX_TEXT_LENGTH:
            raise InvalidEvent(
                Invalid.STRING_TOO_LONG,
                f"text has {len(self.text)} characters; at most {MAX_TEXT_LENGTH}",
            )
        if self.occurred_at.tzinfo is None or (
            self.received_at is not None and self.received_at.tzinfo is None
        ):
            _refuse_naive(self, _COMPLAINT_TIMES)
        if self.schema_version is not None:
            _check_version(self.schema_version)
        if self.carrier is not None and "/" in self.carrier:
            raise _bad_carrier()

    @property
    def key(self) -> str:
        """The key of the record and of the customer's state."""
        return self.customer_id
