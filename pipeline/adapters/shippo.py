"""Shippo: `track_updated` webhooks, and tracks as the API returns them.

`status_date` is "displayed in UTC" (TrackingStatus); test mode leaves the `Z` out. Every update
carries the history, and webhooks "are not idempotent": the same one may come more than once.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec

from pipeline.adapters.base import Spot
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Ignored, Item, Refusal, Skipped, Unreadable
from pipeline.adapters.privacy import code
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import SAME, M, Vocabulary

VOCABULARY: Final = Vocabulary(
    title="Shippo",
    source="docs.goshippo.com/docs/tracking/tracking: event definitions",
    coarse={
        "UNKNOWN": M.OTHER,
        "PRE_TRANSIT": M.LABEL_CREATED,
        "TRANSIT": M.OTHER,
        "DELIVERED": M.DELIVERED,
        "RETURNED": M.RETURNING,  # on its way back, or back: not said
        "FAILURE": M.OTHER,  # the substatus says which
    },
    fine={
        "information_received": M.LABEL_CREATED,
        "address_issue": M.OTHER,
        "contact_carrier": M.OTHER,
        "delayed": M.OTHER,
        "delivery_attempted": M.DELIVERY_FAILED,
        "delivery_rescheduled": M.OTHER,
        "delivery_scheduled": M.OTHER,
        "location_inaccessible": M.DELIVERY_FAILED,
        "notice_left": M.DELIVERY_FAILED,
        "out_for_delivery": M.OUT_FOR_DELIVERY,
        "package_accepted": M.PICKED_UP,
        "package_arrived": M.ARRIVED,
        "package_damaged": M.DAMAGED,
        "package_departed": M.DEPARTED,
        "package_forwarded": M.DEPARTED,
        "package_held": M.OTHER,  # by the carrier, not by customs
        "package_processed": M.OTHER,
        "package_processing": M.OTHER,
        "pickup_available": M.AT_PICKUP_POINT,
        "reschedule_delivery": M.OTHER,
        "return_to_sender": M.RETURNING,
        "package_unclaimed": M.RETURNING,
        "package_undeliverable": M.DELIVERY_FAILED,
        "package_disposed": M.LOST,  # it will not come
        "package_lost": M.LOST,
        "other": SAME,
    },
    firm=frozenset({"DELIVERED"}),
)


class _Place(msgspec.Struct):
    city: str | None = None
    state: str | None = None
    country: str | None = None


class _Substatus(msgspec.Struct):
    code: str | None = None


class _Status(msgspec.Struct):
    status: str | None = None
    substatus: _Substatus | None = None
    status_date: str | None = None
    object_created: str | None = None
    location: _Place | None = None


class _Service(msgspec.Struct):
    token: str | None = None


class _Track(msgspec.Struct):
    tracking_number: str | int | None = None
    carrier: str | None = None
    address_from: _Place | None = None
    address_to: _Place | None = None
    servicelevel: _Service | None = None
    tracking_status: _Status | None = None
    tracking_history: list[_Status] | None = None


class _Document(_Track):
    """A webhook (`data`), or a track itself."""

    event: str | None = None
    data: _Track | None = None


_document: Final = msgspec.json.Decoder(_Document)


class Shippo(TrackingAdapter):
    """Reads Shippo's tracks."""

    name: ClassVar[str] = "shippo"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    @staticmethod
    def documented_zone() -> str:
        """Return UTC: the reference says so of `status_date`."""
        return "UTC"

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the history of a track, its newest status last."""
        document = decoded(_document, payload)
        if document.event not in {None, "track_updated"}:
            yield Ignored(Skipped.OTHER_SUBJECT)
            return
        track = document.data or document
        if track.tracking_number is None:
            raise Unreadable(Refusal.WRONG_SHAPE, "holds no track")
        statuses = list(track.tracking_history or [])
        if track.tracking_status is not None and not _in(track.tracking_status, statuses):
            statuses.append(track.tracking_status)
        if not statuses:
            yield Ignored(Skipped.NO_SCANS)
            return
        parcel = self._parcel(track)
        for status in statuses:
            yield self.scanned(parcel, _scan(status))

    def _parcel(self, track: _Track) -> Parcel:
        target = _spot(track.address_to)
        context: dict[str, Any] = {
            "origin_region": self.region(_spot(track.address_from)),
            "destination_region": self.region(target),
            "service_level": code((track.servicelevel or _Service()).token),
        }
        number = self.number(track.tracking_number)
        return Parcel(self.carrier(track.carrier), number, context, target)


def _in(status: _Status, history: list[_Status]) -> bool:
    """Tell whether the newest status is in the history as well: mostly the same scan."""
    return any(
        (each.status, each.status_date) == (status.status, status.status_date) for each in history
    )


def _spot(place: _Place | None) -> Spot:
    found = place or _Place()
    return Spot(None, found.city, found.state, found.country)


def _scan(status: _Status) -> Scan:
    fine = (status.substatus or _Substatus()).code
    return Scan(
        status.status, fine, status.status_date, _spot(status.location), status.object_created
    )
