"""Our own events, as `pipeline/schemas` describes them, e.g. over HTTP or in a CloudEvent."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final, TypeVar

import msgspec

from detectors.events import Complaint, InvalidEvent, TrackingEvent
from pipeline.adapters.base import Adapter
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Item, Kind, Read, Rejected, Unreadable

_Event = TypeVar("_Event", TrackingEvent, Complaint)
_scan: Final = msgspec.json.Decoder(TrackingEvent)
_complaint: Final = msgspec.json.Decoder(Complaint)


class NativeTracking(Adapter):
    """Reads tracking events of our own schema."""

    name: ClassVar[str] = "tracking"

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the event."""
        yield _read(_scan, payload)


class NativeComplaints(Adapter):
    """Reads complaints of our own schema, without their text."""

    name: ClassVar[str] = "complaints"
    kind: ClassVar[Kind] = Kind.COMPLAINTS

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the complaint."""
        item = _read(_complaint, payload)
        if isinstance(item, Read):
            yield Read(msgspec.structs.replace(item.event, text=None))
        else:
            yield item


def _read(decoder: msgspec.json.Decoder[_Event], payload: Document) -> Item:
    try:
        return Read(decoded(decoder, payload))
    except Unreadable as error:
        cause = error.__cause__
        inner = cause.__cause__ if cause is not None else None
        if isinstance(inner, InvalidEvent):  # its message may quote the value
            return Rejected(inner.reason, "an event that cannot be; see pipeline/schemas")
        return Rejected(error.reason, str(error))
