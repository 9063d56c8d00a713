"""AfterShip: tracking webhooks, and trackings as the API returns them.

`checkpoint_time` is the courier's, "in the timezone of the checkpoint", with or without an offset
(Tracking API, Checkpoint): without one it is local to the checkpoint's place. `created_at` is when
AfterShip got it, UTC. Every update carries all checkpoints.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec

from pipeline.adapters.base import Spot, as_text
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Ignored, Item, Refusal, Skipped, Unreadable
from pipeline.adapters.privacy import code, identifier
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import SAME, M, Vocabulary

VOCABULARY: Final = Vocabulary(
    title="AfterShip",
    source="Tracking API 2026-07: delivery statuses and delivery sub-statuses",
    coarse={
        "Pending": M.OTHER,
        "InfoReceived": M.LABEL_CREATED,
        "InTransit": M.OTHER,  # says that something happened, not what
        "OutForDelivery": M.OUT_FOR_DELIVERY,
        "AttemptFail": M.DELIVERY_FAILED,
        "Delivered": M.DELIVERED,
        "AvailableForPickup": M.AT_PICKUP_POINT,
        "Exception": M.OTHER,
        "Expired": M.OTHER,
    },
    fine={
        "Pending_001": SAME,
        "Pending_002": SAME,  # 002 to 006 exist; what they mean is not published
        "Pending_003": SAME,
        "Pending_004": SAME,
        "Pending_005": SAME,
        "Pending_006": SAME,
        "InfoReceived_001": SAME,
        "InTransit_001": SAME,  # on the way
        "InTransit_002": M.PICKED_UP,  # accepted by the courier
        "InTransit_003": M.ARRIVED,  # arrival scan
        "InTransit_004": M.ARRIVED,  # in the destination country
        "InTransit_005": M.CUSTOMS_RELEASED,
        "InTransit_006": M.CUSTOMS_PRESENTED,  # clearance started
        "InTransit_007": M.DEPARTED,  # departure scan
        "InTransit_008": SAME,  # a problem was resolved
        "InTransit_009": M.DEPARTED,  # forwarded
        "InTransit_010": SAME,  # not in the published list, met in client code
        "InTransit_011": SAME,  # 011 to 013 since 2026-07
        "InTransit_012": SAME,
        "InTransit_013": SAME,
        "OutForDelivery_001": SAME,
        "OutForDelivery_003": M.OTHER,  # the customer was contacted
        "OutForDelivery_004": M.OTHER,  # an appointment was made
        "AttemptFail_001": SAME,
        "AttemptFail_002": SAME,  # nobody at home
        "AttemptFail_003": SAME,  # closed
        "Delivered_001": SAME,
        "Delivered_002": SAME,  # picked up by the customer
        "Delivered_003": SAME,  # signed for
        "Delivered_004": SAME,  # cash collected
        "Delivered_005": SAME,  # at a neighbour's
        "AvailableForPickup_001": SAME,
        "Exception_001": SAME,
        "Exception_002": M.DELIVERY_FAILED,  # the customer has moved
        "Exception_003": M.DELIVERY_FAILED,  # refused
        "Exception_004": M.CUSTOMS_HELD,  # delayed by customs
        "Exception_005": SAME,  # delayed by something else
        "Exception_006": SAME,  # held for payment
        "Exception_007": M.DELIVERY_FAILED,  # wrong address
        "Exception_008": SAME,  # a pick-up was missed; whose is not said
        "Exception_009": SAME,  # rejected by the carrier
        "Exception_010": M.RETURNING,
        "Exception_011": M.RETURNED,
        "Exception_012": M.DAMAGED,
        "Exception_013": M.LOST,
        "Exception_016": SAME,  # delayed by processing; 016 to 021 since 2026-03
        "Exception_017": SAME,  # by weather
        "Exception_018": M.CUSTOMS_HELD,  # documents wrong or missing: held by an authority
        "Exception_019": SAME,  # by a late flight
        "Exception_020": M.CANCELLED,
        "Exception_021": M.LOST,  # disposed of: it will not come
        "Expired_001": SAME,
    },
    awaits=frozenset({"Exception_006"}),
)


class _Checkpoint(msgspec.Struct):
    checkpoint_time: str | None = None
    created_at: str | None = None
    city: str | None = None
    state: str | None = None
    country_region: str | None = None
    country_iso3: str | None = None
    tag: str | None = None
    subtag: str | None = None


class _Promise(msgspec.Struct):
    promised_delivery_date: str | None = None


class _Customer(msgspec.Struct):
    id: str | int | None = None
    email: str | None = None
    phone_number: str | None = None


class _Tracking(msgspec.Struct):
    tracking_number: str | int | None = None
    slug: str | None = None
    order_id: str | int | None = None
    order_number: str | int | None = None
    shipment_type: str | None = None
    origin_country_region: str | None = None
    origin_country_iso3: str | None = None
    origin_state: str | None = None
    destination_country_region: str | None = None
    destination_country_iso3: str | None = None
    destination_state: str | None = None
    order_promised_delivery_date: str | _Promise | None = None
    customers: list[_Customer] | None = None
    checkpoints: list[_Checkpoint] | None = None


class _Data(msgspec.Struct):
    tracking: _Tracking | None = None
    trackings: list[_Tracking] | None = None


class _Document(_Tracking):
    """A webhook (`msg`), an answer of the API (`data`), or a tracking itself."""

    msg: _Tracking | None = None
    data: _Data | None = None
    tracking: _Tracking | None = None


_document: Final = msgspec.json.Decoder(_Document)


class AfterShip(TrackingAdapter):
    """Reads AfterShip's trackings."""

    name: ClassVar[str] = "aftership"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the checkpoints of every tracking."""
        for tracking in _trackings(decoded(_document, payload)):
            if not tracking.checkpoints:
                yield Ignored(Skipped.NO_SCANS)
                continue
            parcel = self._parcel(tracking)
            for each in tracking.checkpoints:
                yield self.scanned(parcel, _scan(each))

    def _parcel(self, tracking: _Tracking) -> Parcel:
        to_country = tracking.destination_country_region or tracking.destination_country_iso3
        origin_country = tracking.origin_country_region or tracking.origin_country_iso3
        promised = tracking.order_promised_delivery_date
        text = promised.promised_delivery_date if isinstance(promised, _Promise) else promised
        target = Spot(None, None, tracking.destination_state, to_country)
        context: dict[str, Any] = {
            "order_id": identifier(as_text(tracking.order_number))
            or identifier(as_text(tracking.order_id)),
            "customer_id": self._customer(tracking.customers or []),
            "origin_region": self.region(Spot(None, None, tracking.origin_state, origin_country)),
            "destination_region": self.region(target),
            "promised_at": self.promise(text, tracking.destination_state, to_country),
            "service_level": code(tracking.shipment_type),
        }
        number = self.number(tracking.tracking_number)
        return Parcel(self.carrier(tracking.slug), number, context, target)

    def _customer(self, customers: list[_Customer]) -> str | None:
        if not customers:
            return None
        first = customers[0]
        return self.people.of(first.email, first.phone_number, as_text(first.id))


def _trackings(document: _Document) -> list[_Tracking]:
    if document.msg is not None:
        return [document.msg]
    if document.tracking is not None:
        return [document.tracking]
    data = document.data
    if data is not None and (data.tracking is not None or data.trackings is not None):
        return data.trackings or ([data.tracking] if data.tracking is not None else [])
    if document.tracking_number is None:
        raise Unreadable(Refusal.WRONG_SHAPE, "holds no tracking")
    return [document]


def _scan(each: _Checkpoint) -> Scan:
    country = each.country_region or each.country_iso3
    spot = Spot(None, each.city, each.state, country)
    return Scan(each.tag, each.subtag, each.checkpoint_time, spot, each.created_at)
