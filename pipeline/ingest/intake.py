"""From documents to records that are proven valid, each event once, with everything accounted for.

An event goes out as it will be read: its bytes have been through `pipeline.records`, so nothing
that an adapter makes can become a dead letter for what it says.
"""

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from detectors.events import Complaint, TrackingEvent
from pipeline.adapters.base import Adapter
from pipeline.adapters.items import Document, Ignored, Kind, Read, Rejected, Retraction
from pipeline.adapters.privacy import looks_personal
from pipeline.limits import printable
from pipeline.records import RawRecord, read_complaints, read_tracking

_NOTHING_GONE: Final[frozenset[str]] = frozenset()
SEEN_IDS: Final = 500_000
"""Ids a run remembers; a repetition further apart goes out again, under the same id."""
UNKNOWN_VALUES: Final = 200
"""Distinct unknown values a run remembers; more are counted together."""
_EXAMPLES: Final = 3
_VALUE_CHARACTERS: Final = 80
MORE: Final = "(more values)"
WITHHELD: Final = "(not shown: looks personal)"


class Outgoing(NamedTuple):
    """One event as it is written."""

    event_id: str
    key: bytes
    value: bytes


@dataclass(slots=True)
class Taken:
    """What became of one document."""

    events: list[Outgoing] = field(default_factory=list)
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    retracted: int = 0
    """Events taken back before they went out."""
    too_late: int = 0
    """Events taken back that may have gone out already."""
    unknown: int = 0
    """Events with a value no table knows."""


class Seen:
    """The last ids, oldest forgotten first."""

    def __init__(self, most: int = SEEN_IDS) -> None:
        self._most = most
        self._ids: dict[str, None] = {}

    def __contains__(self, event_id: str) -> bool:
        """Tell whether an id is remembered."""
        return event_id in self._ids

    def add(self, event_id: str) -> None:
        """Remember an id."""
        if len(self._ids) >= self._most:
            del self._ids[next(iter(self._ids))]
        self._ids[event_id] = None


@dataclass(slots=True)
class Unknowns:
    """Values no table knows, how often each came and where it was seen first; bounded."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def see(self, value: str, where: str) -> str:
        """Count a value and return the name it is counted under."""
        name = WITHHELD if looks_personal(value) else printable(value.strip(), _VALUE_CHARACTERS)
        if name not in self.counts and len(self.counts) >= UNKNOWN_VALUES:
            name = MORE
        self.counts[name] += 1
        places = self.examples.setdefault(name, [])
        if len(places) < _EXAMPLES:
            places.append(where)
        return name


class Intake:
    """Takes the documents of one source.

    Parameters
    ----------
    adapter
        Reads them.
    seen
        Ids that went out already. The caller adds to it, once an event is safe.
    retracted
        Ids that are known to be taken back further on, from a first pass over the same documents.
    history
        Events without a time of receipt were received when they occurred.
    """

    def __init__(
        self,
        adapter: Adapter,
        seen: Seen,
        *,
        retracted: Iterable[str] = (),
        history: bool = False,
    ) -> None:
        self.adapter = adapter
        self.seen = seen
        self.unknowns = Unknowns()
        self._retracted = frozenset(retracted)
        self._history = history

    def take(self, document: Document, where: str, at: datetime | None = None) -> Taken:
        """Return what a document comes to; never raises for what it says.

        `where` names the document for people, nothing where the parcel must do; `at` is when it
        came, None for files.
        """
        items = list(self.adapter.read(document, at))
        taken = Taken()
        here: set[str] = set()
        if len(items) == 1 and isinstance(items[0], Read):  # what most webhooks bring
            self._event(items[0], where, at, taken, _NOTHING_GONE, here)
            return taken
        gone = {item.event_id for item in items if isinstance(item, Retraction)}
        # Some providers write a history with the newest first; a log tells it as it happened.
        read = [item for item in items if isinstance(item, Read)]
        for event in sorted(read, key=_occurred):
            self._event(event, where, at, taken, gone, here)
        for item in items:
            if isinstance(item, Rejected):
                taken.rejected.append(item)
            elif isinstance(item, Ignored):
                taken.ignored[item.why] = taken.ignored.get(item.why, 0) + 1
        stopped = self._retracted | here
        taken.too_late += sum(1 for event_id in gone if event_id not in stopped)
        return taken

    def _event(
        self,
        item: Read,
        where: str,
        at: datetime | None,
        taken: Taken,
        gone: Set[str],
        here: set[str],
    ) -> None:
        event = self._received(item.event)
        event_id = event.event_id if isinstance(event, TrackingEvent) else event.complaint_id
        if event_id in gone or event_id in self._retracted:
            taken.retracted += 1
            here.add(event_id)
            return
        if event_id in here or event_id in self.seen:
            taken.duplicates += 1
            return
        here.add(event_id)
        out = Outgoing(event_id, event.key.encode(), encode(event))
        why = proof(self.adapter.kind, out, at)
        if why is not None:
            taken.rejected.append(why)
            return
        if item.unknown is not None:
            self.unknowns.see(item.unknown, where or event.key)
            taken.unknown += 1
        taken.events.append(out)

    def _received(self, event: TrackingEvent | Complaint) -> TrackingEvent | Complaint:
        if not self._history or event.received_at is not None:
            return event
        return msgspec.structs.replace(event, received_at=event.occurred_at)


def _occurred(item: Read) -> datetime:
    return item.event.occurred_at


def retractions(adapter: Adapter, documents: Iterable[Document]) -> set[str]:
    """Return the ids that documents take back."""
    return {
        item.event_id
        for document in documents
        for item in adapter.read(document)
        if isinstance(item, Retraction)
    }


def encode(event: TrackingEvent | Complaint) -> bytes:
    """Return an event as JSON without the fields it does not have."""
    fields = msgspec.structs.asdict(event)
    return _encoder.encode({name: value for name, value in fields.items() if value is not None})


def proof(kind: Kind, out: Outgoing, at: datetime | None) -> Rejected | None:
    """Return why the worker would not take an event, None if it would."""
    stamp_ms = 0 if at is None else int(at.timestamp() * 1000)
    record = RawRecord(out.key, out.value, 0, stamp_ms)
    read = read_tracking if kind is Kind.TRACKING else read_complaints
    chunk = read([record], history=at is None)
    if not chunk.dead:
        return None
    letter = chunk.dead[0]
    return Rejected(letter.reason, letter.detail)


_encoder: Final = msgspec.json.Encoder()
