"""Our own events, as `pipeline/schemas` describes them, e.g. over HTTP or in a CloudEvent.

What is in them is passed on as it is, except what does not look like what it should be: an optional
field is then dropped and a required one refuses the event.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final, TypeVar

import msgspec

from detectors.events import Complaint, InvalidEvent, TrackingEvent
from pipeline.adapters.base import Adapter
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Item, Kind, Read, Refusal, Unreadable
from pipeline.adapters.privacy import code, identifier, label, parcel_number

_Event = TypeVar("_Event", TrackingEvent, Complaint)
_scan: Final = msgspec.json.Decoder(TrackingEvent)
_IMPOSSIBLE: Final = "an event that cannot be; see pipeline/schemas"
_complaint: Final = msgspec.json.Decoder(Complaint)


class NativeTracking(Adapter):
    """Reads tracking events of our own schema."""

    name: ClassVar[str] = "tracking"

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the event."""
        event = _read(_scan, payload)
        number, event_id = parcel_number(event.parcel_id), identifier(event.event_id)
        if number is None or event_id is None:
            raise Unreadable(Refusal.NO_PARCEL, "event_id or parcel_id is no identifier")
        yield Read(
            msgspec.structs.replace(
                event,
                event_id=event_id,
                parcel_id=number,
                carrier=_carrier(event.carrier),
                facility=label(event.facility),
                region=label(event.region),
                order_id=identifier(event.order_id),
                customer_id=identifier(event.customer_id),
                origin_region=label(event.origin_region),
                destination_region=label(event.destination_region),
                service_level=label(event.service_level),
                supplier_id=identifier(event.supplier_id),
            )
        )


class NativeComplaints(Adapter):
    """Reads complaints of our own schema, without their text."""

    name: ClassVar[str] = "complaints"
    kind: ClassVar[Kind] = Kind.COMPLAINTS

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the complaint."""
        event = _read(_complaint, payload)
        number, customer = identifier(event.complaint_id), identifier(event.customer_id)
        region = label(event.region)
        if number is None or customer is None or region is None:
            raise Unreadable(Refusal.NO_ID, "complaint_id, customer_id or region is none")
        yield Read(
            msgspec.structs.replace(
                event,
                complaint_id=number,
                customer_id=customer,
                region=region,
                order_id=identifier(event.order_id),
                parcel_id=parcel_number(event.parcel_id),
                carrier=None if event.carrier is None else _carrier(event.carrier),
                issue=code(event.issue),
                channel=code(event.channel),
                text=None,
                language=code(event.language),
                supplier_id=identifier(event.supplier_id),
            )
        )


def _carrier(name: str) -> str:
    found = label(name)
    if found is None:
        raise Unreadable(Refusal.NO_CARRIER, "no carrier")
    return found


def _read(decoder: msgspec.json.Decoder[_Event], payload: Document) -> _Event:
    try:
        return decoded(decoder, payload)
    except Unreadable as error:
        cause = error.__cause__
        inner = cause.__cause__ if cause is not None else None
        if isinstance(inner, InvalidEvent):  # its message may quote the value
            raise Unreadable(inner.reason, _IMPOSSIBLE) from None
        if "enum" in str(error):  # so does the decoder's
            raise Unreadable(error.reason, _IMPOSSIBLE) from None
        raise
