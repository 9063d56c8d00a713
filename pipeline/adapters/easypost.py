"""EasyPost: `tracker.created` / `tracker.updated` events, and trackers as the API returns them.

`datetime` of a tracking detail is ISO 8601 in UTC. Every update carries all tracking details. A
tracking code is recycled by carriers, so a parcel is carrier and code, and its life has an epoch.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final

import msgspec

from pipeline.adapters.base import Spot
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Ignored, Item, Refusal, Skipped, Unreadable
from pipeline.adapters.privacy import code
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import SAME, M, Vocabulary

VOCABULARY: Final = Vocabulary(
    title="EasyPost",
    source="docs.easypost.com/docs/trackers: status and status_detail",
    coarse={
        "unknown": M.OTHER,
        "pre_transit": M.LABEL_CREATED,
        "in_transit": M.OTHER,
        "out_for_delivery": M.OUT_FOR_DELIVERY,
        "delivered": M.DELIVERED,
        "available_for_pickup": M.AT_PICKUP_POINT,
        "return_to_sender": M.RETURNING,
        "failure": M.OTHER,  # lost, damaged or undeliverable: the detail says which
        "cancelled": M.CANCELLED,
        "error": M.OTHER,
    },
    fine={
        "address_correction": M.OTHER,
        "arrived_at_destination": M.ARRIVED,
        "arrived_at_facility": M.ARRIVED,
        "arrived_at_pickup_location": M.AT_PICKUP_POINT,
        "awaiting_information": M.OTHER,
        "damaged": M.DAMAGED,
        "delayed": M.OTHER,
        "delivery_exception": M.DELIVERY_FAILED,
        "departed_facility": M.DEPARTED,
        "departed_origin_facility": M.DEPARTED,
        "expired": M.OTHER,
        "held": M.OTHER,  # where and by whom is not said
        "label_created": M.LABEL_CREATED,
        "lost": M.LOST,
        "missorted": M.OTHER,
        "received_at_destination_facility": M.ARRIVED,
        "received_at_origin_facility": M.PICKED_UP,  # the first time the carrier has it
        "refused": M.DELIVERY_FAILED,
        "return": M.RETURNING,
        "status_update": SAME,
        "transferred_to_destination_carrier": M.DEPARTED,
        "transit_exception": M.OTHER,
        "weather_delay": M.OTHER,
    },
    firm=frozenset(
        {
            "out_for_delivery",
            "delivered",
            "available_for_pickup",
            "return_to_sender",
            "cancelled",
        }
    ),
)


class _Location(msgspec.Struct):
    city: str | None = None
    state: str | None = None
    country: str | None = None


class _Detail(msgspec.Struct):
    status: str | None = None
    status_detail: str | None = None
    datetime: str | None = None
    tracking_location: _Location | None = None


class _CarrierDetail(msgspec.Struct):
    service: str | None = None
    origin_tracking_location: _Location | None = None
    destination_tracking_location: _Location | None = None
    guaranteed_delivery_date: str | None = None


class _Tracker(msgspec.Struct):
    tracking_code: str | int | None = None
    carrier: str | None = None
    carrier_detail: _CarrierDetail | None = None
    tracking_details: list[_Detail] | None = None


class _Document(_Tracker):
    """An event (`result`), a list (`trackers`), or a tracker itself."""

    description: str | None = None
    result: _Tracker | None = None
    trackers: list[_Tracker] | None = None


_document: Final = msgspec.json.Decoder(_Document)


class EasyPost(TrackingAdapter):
    """Reads EasyPost's trackers."""

    name: ClassVar[str] = "easypost"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    @staticmethod
    def documented_zone() -> str:
        """Return UTC: the reference says so of every `datetime`."""
        return "UTC"

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the tracking details of every tracker."""
        document = decoded(_document, payload)
        if document.result is not None and not (document.description or "").startswith("tracker."):
            yield Ignored(Skipped.OTHER_SUBJECT)
            return
        for tracker in _trackers(document):
            if not tracker.tracking_details:
                yield Ignored(Skipped.NO_SCANS)
                continue
            parcel = self._parcel(tracker)
            for detail in tracker.tracking_details:
                yield self.scanned(parcel, _scan(detail))

    def _parcel(self, tracker: _Tracker) -> Parcel:
        detail = tracker.carrier_detail or _CarrierDetail()
        countries = _countries(tracker)
        origin = _spot(detail.origin_tracking_location, countries)
        target = _spot(detail.destination_tracking_location, countries)
        context: dict[str, Any] = {
            "origin_region": self.region(origin),
            "destination_region": self.region(target),
            "promised_at": self.promise(detail.guaranteed_delivery_date, *target[1:]),
            "service_level": code(detail.service),
        }
        number = self.number(tracker.tracking_code)
        return Parcel(self.carrier(tracker.carrier), number, context, target)


def _trackers(document: _Document) -> list[_Tracker]:
    if document.result is not None:
        return [document.result]
    if document.trackers is not None:
        return document.trackers
    if document.tracking_code is None:
        raise Unreadable(Refusal.WRONG_SHAPE, "holds no tracker")
    return [document]


def _countries(tracker: _Tracker) -> dict[str, str]:
    """Return the country of each state: a carrier's detail often leaves it out."""
    places = [detail.tracking_location or _Location() for detail in tracker.tracking_details or []]
    return {each.state: each.country for each in places if each.state and each.country}


def _spot(location: _Location | None, countries: Mapping[str, str] = MappingProxyType({})) -> Spot:
    found = location or _Location()
    country = found.country or countries.get(found.state or "")
    return Spot(None, found.city, found.state, country)


def _scan(detail: _Detail) -> Scan:
    where = _spot(detail.tracking_location)
    return Scan(detail.status, detail.status_detail, detail.datetime, where)
