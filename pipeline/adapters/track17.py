"""17TRACK: `TRACKING_UPDATED` webhooks, and answers of `gettrackinfo` (API 2.2 and later).

`time_iso` carries an offset, which 17TRACK infers from the place where the carrier gives none;
where it could not, only `time_raw` (`date`, `time`, `timezone`) is left, local to the place. Every
update carries all events of every carrier of the parcel.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec

from pipeline.adapters.base import Spot
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Ignored, Item, Refusal, Skipped, Unreadable
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import SAME, M, Vocabulary

VOCABULARY: Final = Vocabulary(
    title="17TRACK",
    source="Tracking API 2.2: main status, sub-status and stage",
    coarse={
        "NotFound": M.OTHER,
        "InfoReceived": M.LABEL_CREATED,
        "InTransit": M.OTHER,
        "Expired": M.OTHER,
        "AvailableForPickup": M.AT_PICKUP_POINT,
        "OutForDelivery": M.OUT_FOR_DELIVERY,
        "DeliveryFailure": M.DELIVERY_FAILED,
        "Delivered": M.DELIVERED,
        "Exception": M.OTHER,
        # Stages of an event that are no status of a parcel.
        "PickedUp": M.PICKED_UP,
        "Departure": M.DEPARTED,
        "Arrival": M.ARRIVED,
        "Returning": M.RETURNING,
        "Returned": M.RETURNED,
    },
    fine={
        "NotFound_Other": SAME,
        "NotFound_InvalidCode": SAME,
        "InTransit_PickedUp": M.PICKED_UP,
        "InTransit_Other": SAME,
        "InTransit_Departure": M.DEPARTED,
        "InTransit_Arrival": M.ARRIVED,
        "InTransit_CustomsProcessing": M.CUSTOMS_PRESENTED,
        "InTransit_CustomsReleased": M.CUSTOMS_RELEASED,
        "InTransit_CustomsRequiringInformation": M.CUSTOMS_HELD,
        "Expired_Other": SAME,
        "AvailableForPickup_Other": SAME,
        "OutForDelivery_Other": SAME,
        "DeliveryFailure_Other": SAME,
        "DeliveryFailure_NoBody": SAME,
        "DeliveryFailure_Security": SAME,
        "DeliveryFailure_Rejected": SAME,
        "DeliveryFailure_InvalidAddress": SAME,
        "Delivered_Other": SAME,
        "Exception_Other": SAME,
        "Exception_Returning": M.RETURNING,
        "Exception_Returned": M.RETURNED,
        "Exception_NoBody": M.DELIVERY_FAILED,
        "Exception_Security": SAME,
        "Exception_Damage": M.DAMAGED,
        "Exception_Rejected": M.DELIVERY_FAILED,
        "Exception_Delayed": SAME,
        "Exception_Lost": M.LOST,
        "Exception_Destroyed": M.LOST,
        "Exception_Cancel": M.CANCELLED,
    },
    awaits=frozenset({"InTransit_CustomsRequiringInformation"}),
)


class _Place(msgspec.Struct):
    country: str | None = None
    state: str | None = None
    city: str | None = None


class _RawTime(msgspec.Struct):
    date: str | None = None
    time: str | None = None
    timezone: str | None = None


class _Event(msgspec.Struct):
    time_iso: str | None = None
    time_utc: str | None = None
    time_raw: _RawTime | None = None
    stage: str | None = None
    sub_status: str | None = None
    address: _Place | None = None


class _Provider(msgspec.Struct):
    events: list[_Event] | None = None


class _Tracking(msgspec.Struct):
    providers: list[_Provider] | None = None


class _Shipping(msgspec.Struct):
    shipper_address: _Place | None = None
    recipient_address: _Place | None = None


class _Info(msgspec.Struct):
    shipping_info: _Shipping | None = None
    tracking: _Tracking | None = None


class _Data(msgspec.Struct):
    number: str | int | None = None
    carrier: int | str | None = None
    track_info: _Info | None = None
    accepted: "list[_Data] | None" = None


class _Document(_Data):
    event: str | None = None
    data: _Data | None = None


_document: Final = msgspec.json.Decoder(_Document)


class Track17(TrackingAdapter):
    """Reads 17TRACK's trackings. Carriers are its numbers, `17track-3011`, unless renamed."""

    name: ClassVar[str] = "17track"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the events of every carrier of every parcel."""
        document = decoded(_document, payload)
        if document.event is not None and document.event != "TRACKING_UPDATED":
            yield Ignored(Skipped.OTHER_SUBJECT)
            return
        for data in _parcels(document):
            yield from self._events(data)

    def _events(self, data: _Data) -> Iterator[Item]:
        info = data.track_info or _Info()
        providers = (info.tracking or _Tracking()).providers or []
        events = [event for provider in providers for event in provider.events or []]
        if not events:
            yield Ignored(Skipped.NO_SCANS)
            return
        parcel = self._parcel(data, info)
        for event in events:
            yield self.scanned(parcel, _scan(event))

    def _carrier_of(self, data: _Data) -> str:
        if isinstance(data.carrier, int):
            renamed = self._carriers.get(str(data.carrier))
            return renamed or self.carrier(f"17track-{data.carrier}")
        return self.carrier(data.carrier)

    def _parcel(self, data: _Data, info: _Info) -> Parcel:
        shipping = info.shipping_info or _Shipping()
        target = _spot(shipping.recipient_address)
        context: dict[str, Any] = {
            "origin_region": self.region(_spot(shipping.shipper_address)),
            "destination_region": self.region(target),
        }
        return Parcel(self._carrier_of(data), self.number(data.number), context, target)


def _parcels(document: _Document) -> list[_Data]:
    data = document.data
    if data is not None:
        return [data] if data.accepted is None else data.accepted
    if document.number is None:
        raise Unreadable(Refusal.WRONG_SHAPE, "holds no tracking")
    return [document]


def _scan(event: _Event) -> Scan:
    return Scan(event.stage, event.sub_status, _time(event), _spot(event.address))


def _spot(place: _Place | None) -> Spot:
    found = place or _Place()
    return Spot(None, found.city, found.state, found.country)


def _time(event: _Event) -> str | None:
    if event.time_iso or event.time_utc:
        return event.time_iso or event.time_utc
    raw = event.time_raw or _RawTime()
    if not raw.date or not raw.time:
        return raw.date
    return f"{raw.date}T{raw.time}{raw.timezone or ''}"
