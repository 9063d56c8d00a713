"""What an adapter makes of a document: events, or why there is none. Never half an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from detectors.events import Complaint, Milestone, TrackingEvent

Row: TypeAlias = Mapping[str, object]
"""A row of a table: CSV gives strings, Parquet and JSON whatever they hold."""
Document: TypeAlias = bytes | Row
"""JSON as it came, or a row."""


class Kind(StrEnum):
    """Which stream an adapter feeds; also the short name of its topic."""

    TRACKING = "tracking"
    COMPLAINTS = "complaints"


class Refusal(StrEnum):
    """Why a scan or a ticket cannot be used; `TimeProblem` and `pipeline.limits.Reason` join."""

    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    """JSON, but not the provider's: a field has another type."""
    NO_PARCEL = "no_parcel"
    """No tracking number, or one that is none."""
    NO_CARRIER = "no_carrier"
    NO_STATUS = "no_status"
    NO_ID = "no_id"
    NO_CUSTOMER = "no_customer"
    NO_PSEUDONYM_KEY = "no_pseudonym_key"
    """A complaint needs a customer, and customers pass as keyed pseudonyms only."""
    NO_REGION = "no_region"
    MISSING_COLUMN = "missing_column"
    UNREADABLE_NUMBER = "unreadable_number"
    IMPOSSIBLE_VALUE = "impossible_value"


class Skipped(StrEnum):
    """Why something that is in order is no event."""

    OTHER_SUBJECT = "other_subject"
    """A webhook about something else than a parcel's scans or a new ticket."""
    NO_SCANS = "no_scans"
    """A parcel nothing has happened to yet."""
    NO_LOGISTIC_UNIT = "no_logistic_unit"
    """An EPCIS event about products, not about parcels."""
    TOMBSTONE = "tombstone"


class Unreadable(ValueError):
    """A document or a part of it nothing can be made of; the message quotes no value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Read(NamedTuple):
    """An event, and the value of the source that no table knows."""

    event: TrackingEvent | Complaint
    unknown: str | None = None


class Rejected(NamedTuple):
    """A part of a document that should have been an event."""

    reason: str
    detail: str


class Retraction(NamedTuple):
    """The source says that this event never happened."""

    event_id: str


class Ignored(NamedTuple):
    """A part of a document that is in order and no event."""

    why: Skipped


Item: TypeAlias = Read | Rejected | Retraction | Ignored


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator says about a source beyond its adapter. Names match whatever their case."""

    zone: str | None = None
    """IANA zone of local times without a better one."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """Zone by facility, city, region or country, as the provider spells it."""
    carrier: str | None = None
    """Carrier of a source that names none."""
    carriers: Mapping[str, str] = field(default_factory=dict)
    """Other names for carriers, e.g. the ones the shop uses."""
    region: str | None = None
    """Region of a ticket that names none."""
    regions: Mapping[str, str] = field(default_factory=dict)
    """Region by facility, or another name of a region."""
    values: Mapping[str, Milestone] = field(default_factory=dict)
    """Milestone by the provider's value; wins over the adapter's table."""
    awaits: Sequence[str] = ()
    """Values after which the customer has to act first, besides the table's; EME's reasons, too."""
    pseudonym_key: bytes | None = None
    """Key of `customer_id`; without it customers are dropped."""
