"""From the bytes of the log to events: the one place that decodes the wire.

Every record becomes either an event with its arrival or a dead letter with a reason; none can
raise, and none has any influence on another. Times are judged against the record itself:

    arrival = received_at, else the record's timestamp, else occurred_at
    received_at <= timestamp + 5 min          a platform cannot receive after the broker did
    arrival - 366 d <= occurred_at <= arrival + 5 min

A record that breaks a line is a dead letter before it can move a partition's clock. (Replays of
history have record timestamps long after `received_at`, which is fine. What a producer writes
as the record's own timestamp is bounded by the broker: see pipeline.topics.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from detectors.base import Batch
from detectors.events import Complaint, InvalidEvent, TrackingEvent
from pipeline import cloudevents
from pipeline.limits import (
    EARLIEST_SECONDS,
    LATEST_SECONDS,
    MAX_AHEAD_SECONDS,
    MAX_BEHIND_SECONDS,
    MAX_RECORD_BYTES,
    MAX_STRING_BYTES,
    Reason,
    Refused,
    scan,
    utf8,
)
from pipeline.record_columns import RawRecord as RawRecord  # noqa: PLC0414 - part of this module

Event = TypeVar("Event")
Wire = TypeVar("Wire", TrackingEvent, Complaint)


class DeadLetter(NamedTuple):
    """A record nothing can be made of, and why."""

    record: RawRecord
    reason: str
    """A `Reason`, or the `RejectReason` of a core."""
    detail: str


@dataclass(slots=True)
class Chunk(Generic[Event]):
    """What a sequence of records came to; every record is in `records` or in `dead`, once."""

    events: list[Event]
    arrivals: NDArray[np.float64]
    """Seconds since the epoch, one for each event."""
    records: list[RawRecord]
    """The record of each event, at the same index."""
    dead: list[DeadLetter]

    @property
    def batch(self) -> Batch[Event]:
        """What a core observes."""
        return Batch(self.events, self.arrivals)


def read_tracking(records: Sequence[RawRecord], *, history: bool = False) -> Chunk[TrackingEvent]:
    """Decode scans; never raises for what a record says.

    `history` says that the records tell of the past: without `received_at` an event then arrived
    when it occurred, as in a replay of files, and not when the record was written.
    """
    return _TRACKING.read(records, history=history)


def read_complaints(records: Sequence[RawRecord], *, history: bool = False) -> Chunk[Complaint]:
    """Decode complaints; never raises for what a record says. `history` as for scans."""
    return _COMPLAINTS.read(records, history=history)


class _Reader(Generic[Wire]):
    """Reads one kind of event, fast where the record is plain and strictly where it is not."""

    def __init__(
        self, event: type[Wire], count_others: Callable[[Wire], int], envelope: cloudevents.Kind
    ) -> None:
        self._decode: Callable[[bytes | str], Wire] = msgspec.json.Decoder(event).decode
        self._width = len(msgspec.structs.fields(event))
        self._count_others: Callable[[Wire], int] = count_others
        self._envelope = envelope

    def read(self, records: Sequence[RawRecord], *, history: bool) -> Chunk[Wire]:
        events: list[Wire] = []
        arrivals: list[float] = []
        kept: list[RawRecord] = []
        dead: list[DeadLetter] = []
        for record in records:
            try:
                event, arrival = self.fast(record, history=history) or self.strict(
                    record, history=history
                )
            except Refused as refused:
                dead.append(DeadLetter(record, refused.reason, str(refused)))
                continue
            events.append(event)
            arrivals.append(arrival)
            kept.append(record)
        return Chunk(events, np.array(arrivals, np.float64), kept, dead)

    def fast(self, record: RawRecord, *, history: bool = False) -> tuple[Wire, float] | None:
        """Return what `strict` would, or None where cheap tests cannot tell."""
        _, value, _, timestamp_ms, headers = record
        if value is None or len(value) > MAX_STRING_BYTES:
            return None
        if headers and cloudevents.is_envelope(headers):
            return None
        try:
            event = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if value.find(_BACKSLASH) >= 0:
            return None
        # Without a backslash every string has two quotation marks. A text with no more strings
        # than the keys and the string values of the fields it has set holds nothing else: an
        # unknown key, one given twice or one of a null would be a further string.
        marks = value.count(b'"')
        fields = self._width - astuple(event).count(None)
        if marks != 4 * fields - 2 * self._count_others(event) and not _flat(value, marks):
            return None
        arrival = _arrival(event, timestamp_ms, history=history)
        return None if arrival is None else (event, arrival)

    def strict(self, record: RawRecord, *, history: bool = False) -> tuple[Wire, float]:
        """Return the event and its arrival, or raise `Refused`."""
        value = record.value
        if value is None:
            raise Refused(Reason.NULL_RECORD, "the record has no value")
        if len(value) > MAX_RECORD_BYTES:
            raise Refused(
                Reason.RECORD_TOO_LARGE, f"{len(value)} bytes; at most {MAX_RECORD_BYTES}"
            )
        if cloudevents.is_envelope(record.headers):
            text = cloudevents.unwrap(record.headers, value, self._envelope)
        else:
            text = utf8(value)
            scan(text)
        event = self._typed(text)
        arrival = _arrival(event, record.timestamp_ms, history=history)
        if arrival is None:
            raise _why_not(event, record.timestamp_ms)
        return event, arrival

    def _typed(self, text: str) -> Wire:
        try:
            return self._decode(text)
        except msgspec.ValidationError as error:
            raise _refusal(error) from error
        except msgspec.DecodeError as error:
            raise Refused(Reason.NOT_JSON, str(error)) from error


def _others_in_scan(event: TrackingEvent) -> int:
    """Count the fields that are set and not written as a JSON string."""
    return (
        (event.declared_value_minor is not None)
        + (event.fragile is not None)
        + (event.awaits_customer is not None)
        + isinstance(event.schema_version, int)
    )


def _others_in_complaint(event: Complaint) -> int:
    """Count the fields that are set and not written as a JSON string."""
    return isinstance(event.schema_version, int)


def _flat(value: bytes, marks: int) -> bool:
    """Tell whether a text without backslashes is one object without containers or doubled keys.

    Then it has as many strings as it has distinct keys and string values.
    """
    if value.count(b"{") > 1 or value.find(b"[") >= 0:
        return False
    try:
        found = _decode_any(value)
    except (msgspec.DecodeError, UnicodeDecodeError):  # e.g. 1e999 in an unknown field
        return False
    return marks == 2 * (len(found) + sum([type(x) is str for x in found.values()]))


def _refusal(error: msgspec.ValidationError) -> Refused:
    """Turn what the decoder or the event's own checks said into a closed reason."""
    detail = str(error)
    if isinstance(error.__cause__, InvalidEvent):
        return Refused(Reason(error.__cause__.reason), detail)
    if "missing required field" in detail or "got `null` - at" in detail:
        return Refused(Reason.MISSING_FIELD, detail)
    if "timezone component" in detail:
        return Refused(Reason.NAIVE_TIMESTAMP, detail)
    return Refused(Reason.IMPOSSIBLE_VALUE, detail)


def _arrival(event: TrackingEvent | Complaint, timestamp_ms: int, *, history: bool) -> float | None:
    """Return when anyone could know of the event, None if its times cannot be."""
    occurred = event.occurred_at.timestamp()
    if event.received_at is not None:
        arrival = event.received_at.timestamp()
        if 0 < timestamp_ms < (arrival - MAX_AHEAD_SECONDS) * 1000:
            return None
    elif timestamp_ms > 0 and not history:
        arrival = timestamp_ms / 1000
    else:
        arrival = occurred
        if 0 < timestamp_ms < (occurred - MAX_AHEAD_SECONDS) * 1000:
            return None
    if not EARLIEST_SECONDS <= arrival < LATEST_SECONDS:
        return None
    if not -MAX_BEHIND_SECONDS <= occurred - arrival <= MAX_AHEAD_SECONDS:
        return None
    promised = event.promised_at if isinstance(event, TrackingEvent) else None
    return arrival if promised is None or _possible(promised.timestamp()) else None


def _possible(seconds: float) -> bool:
    return EARLIEST_SECONDS <= seconds < LATEST_SECONDS


def _why_not(event: TrackingEvent | Complaint, timestamp_ms: int) -> Refused:
    """Say what is wrong with times that `_arrival` would not take."""
    occurred = event.occurred_at.timestamp()
    stamp = timestamp_ms / 1000 if timestamp_ms > 0 else None
    received = None if event.received_at is None else event.received_at.timestamp()
    promised = event.promised_at if isinstance(event, TrackingEvent) else None
    times = (
        ("received_at", received),
        ("the record's timestamp", stamp),
        ("promised_at", None if promised is None else promised.timestamp()),
    )
    for name, seconds in times:
        if seconds is not None and not _possible(seconds):
            return Refused(Reason.IMPOSSIBLE_VALUE, f"{name} is not between 2000 and 2099")
    if received is not None and stamp is not None and received - stamp > MAX_AHEAD_SECONDS:
        return _ahead("received_at", received, "the record's timestamp", stamp)
    arrival = received if received is not None else stamp
    if arrival is None:
        return Refused(Reason.IMPOSSIBLE_VALUE, "occurred_at is not between 2000 and 2099")
    if occurred > arrival:
        return _ahead("occurred_at", occurred, "its arrival", arrival)
    days = (arrival - occurred) / 86_400
    return Refused(
        Reason.IMPOSSIBLE_VALUE,
        f"occurred_at is {days:.0f} days before its arrival, at most "
        f"{MAX_BEHIND_SECONDS / 86_400:.0f}; history needs received_at",
    )


def _ahead(name: str, seconds: float, other: str, limit: float) -> Refused:
    return Refused(
        Reason.AHEAD_OF_ARRIVAL,
        f"{name} is {seconds - limit:.0f} s ahead of {other} "
        f"({datetime.fromtimestamp(limit, UTC).isoformat()}); at most {MAX_AHEAD_SECONDS:.0f} s",
    )


_BACKSLASH: Final = ord("\\")
_decode_any: Final = msgspec.json.Decoder(dict[str, object]).decode
_TRACKING: Final = _Reader(TrackingEvent, _others_in_scan, cloudevents.TRACKING)
_COMPLAINTS: Final = _Reader(Complaint, _others_in_complaint, cloudevents.COMPLAINTS)
