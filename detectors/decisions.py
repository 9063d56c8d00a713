"""The vocabulary of what was concluded: a tagged union of frozen decisions.

On the wire a decision is one flat JSON object: `kind` (the tag), `decision_id`, `episode_id`,
`subject`, `reason`, `decided_at`, the kind's own fields and `evidence`. A decision's id is made
from event data only (kind, subject, reason and what started the episode), so the same events
give the same ids whichever process, chunk or replay they went through.
"""

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import msgspec

from detectors.events import Category, Instant, Milestone


class StallReason(StrEnum):
    """Why a parcel is called stalled. Their order is part of the state: new ones come last."""

    NO_PICKUP = "no_pickup"
    NO_MOVEMENT = "no_movement"
    CUSTOMS_HOLD = "customs_hold"
    CUSTOMS_OVER_7_DAYS = "customs_over_7_days"
    """What a stall in customs worsens to when `customs.overdue` is said."""
    OUT_FOR_DELIVERY_TOO_LONG = "out_for_delivery_too_long"
    DELIVERY_FAILED_REPEATEDLY = "delivery_failed_repeatedly"
    """Silent after the second failed attempt or a later one."""
    AT_PICKUP_POINT_TOO_LONG = "at_pickup_point_too_long"
    RETURNING_UNANNOUNCED = "returning_unannounced"
    """It turned back, and nothing seen before says why."""
    LATE_AGAINST_PROMISE = "late_against_promise"
    FACILITY_INCIDENT = "facility_incident"
    CARRIER_SILENT = "carrier_silent"
    LANE_SLOW = "lane_slow"


class ClearedReason(StrEnum):
    """What ended a stall."""

    MOVED = "moved"
    DELIVERED = "delivered"
    RETURNED = "returned"
    LOST = "lost"
    DAMAGED = "damaged"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Silent for so long that the parcel is forgotten."""


class SignoffReason(StrEnum):
    """Why a sign-off is hard to believe."""

    WITHOUT_OUT_FOR_DELIVERY = "delivered_without_out_for_delivery"
    OTHER_REGION = "delivered_in_other_region"
    IMPLAUSIBLY_SOON = "delivered_implausibly_soon"
    AFTER_RETURNING = "delivered_after_returning"
    AFTER_LOST = "delivered_after_lost"
    UNUSUAL_STEP = "delivered_after_unusual_step"
    """After a scan that this carrier's parcels are hardly ever delivered after."""


class CustomsReason(StrEnum):
    """Which customs rule was broken."""

    OVER_7_DAYS = "customs_over_7_days"


class SurgeReason(StrEnum):
    """Why a surge episode opened, changed or closed."""

    ABOVE_EXPECTATION = "complaints_above_expectation"
    WORSENED = "worsened"
    BACK_TO_EXPECTATION = "back_to_expectation"


class CapacityReason(StrEnum):
    """Why a region needs couriers."""

    COMPLAINT_SURGE = "complaint_surge"
    BACKLOG_GROWING = "backlog_growing"
    """More lies there than is cleared in time."""
    OVERFLOW_AHEAD = "overflow_ahead"
    """It will, if nothing is done."""
    BACK_TO_USUAL = "back_to_usual"


class CapacityCause(StrEnum):
    """What may have overloaded a region."""

    ORDERS_EVERYWHERE = "orders_everywhere"
    """More parcels than usual are on their way, to all regions: a promotion."""
    ORDERS_HERE = "orders_here"
    """More are on their way to this region than to the others."""
    HELD_UPSTREAM = "held_upstream"
    """Parcels on their way came to a halt and arrive together: a hub or a line haul."""
    COURIERS_MISSING = "couriers_missing"
    """Less is cleared than as a rule: couriers, vehicles, weather."""


class FeedReason(StrEnum):
    """What a carrier's feed did."""

    NO_ARRIVALS = "no_arrivals"
    ARRIVALS_AGAIN = "arrivals_again"


class CareReason(StrEnum):
    """Why a customer is cared for by a person."""

    SAME_ISSUE_TWICE = "same_issue_twice"


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a decision rests on. "No opinion" is None, never 0."""

    text: str
    """One or two sentences for a person."""
    unit: str
    """Unit of observed and expected: `seconds`, `complaints`, `parcels`, `scans` or `days`."""
    observed: float
    expected: float | None = None
    probability: float | None = None
    """Chance of something at least as extreme if nothing were wrong, 0..1; None for plain rules."""
    threshold: float | None = None
    """The value of `observed` from which on the decision is made."""
    segment: str
    """What the expectation was learned from, e.g. `swift R01>R07 arrived`, or the rule's name."""
    observations: int
    """How many observations stand behind the expectation; 0 for plain rules."""
    model: str
    """Name and version of the detector."""
    config: str
    """Version of the configuration (a short hash)."""


class _Decision(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    decision_id: str
    episode_id: str
    """The decision_id of the decision that opened the episode (its own for an opening)."""
    subject: str
    """`parcel/CARRIER/ID`, `region/NAME`, `carrier/NAME` or `customer/PSEUDONYM`."""
    decided_at: Instant
    evidence: Evidence


class _ParcelDecision(_Decision, frozen=True, kw_only=True):
    parcel_id: str
    carrier: str
    milestone: Milestone
    """The parcel's stage when the decision was made."""
    occurred_at: Instant
    """When the scan happened that the decision counts from."""
    facility: str | None = None
    region: str | None = None
    order_id: str | None = None
    customer_id: str | None = None
    origin_region: str | None = None
    destination_region: str | None = None
    promised_at: Instant | None = None
    declared_value_minor: int | None = None
    service_level: str | None = None
    fragile: bool | None = None
    address_hash: str | None = None
    """Of where it is delivered, a keyed pseudonym of twelve hexadecimal digits."""


class _StallDecision(_ParcelDecision, frozen=True, kw_only=True):
    late_probability: float | None = None
    """The chance that it arrives after its promise, 0..1; None for no promise or no opinion."""
    eta_p50_at: Instant | None = None
    """When half of the parcels like it have arrived; None for no opinion."""
    eta_p90_at: Instant | None = None
    """When nine in ten have."""


class StallOpened(_StallDecision, frozen=True, kw_only=True, tag="stall.opened"):
    """A parcel has been silent for longer than its segment explains, or will miss its promise."""

    reason: StallReason


class StallWorsened(_StallDecision, frozen=True, kw_only=True, tag="stall.worsened"):
    """An open stall goes on, or its reason became graver; `episode_id` says which stall."""

    reason: StallReason
    """Why it is stalled by now."""
    stall_reason: StallReason
    """Why it was opened."""
    opened_at: Instant
    times: int
    """How often it has worsened, this time included: 1 or 2."""


class StallCleared(_ParcelDecision, frozen=True, kw_only=True, tag="stall.cleared"):
    """A stall ended; `episode_id` says which. Stage and place are those it was stalled in."""

    reason: ClearedReason
    stall_reason: StallReason
    """Why it was opened."""
    opened_at: Instant
    next_milestone: Milestone | None = None
    """The scan that ended it; None where none did."""
    next_facility: str | None = None
    next_region: str | None = None


class SignoffAbnormal(_ParcelDecision, frozen=True, kw_only=True, tag="signoff.abnormal"):
    """A delivery scan that is hard to believe."""

    reason: SignoffReason
    wrong_probability: float | None = None
    """How likely it is wrong, by all that is learned of last steps; None for no opinion."""


class CustomsOverdue(_ParcelDecision, frozen=True, kw_only=True, tag="customs.overdue"):
    """A parcel has been in customs for over seven days."""

    reason: CustomsReason
    customs_since: Instant


class _SurgeDecision(_Decision, frozen=True, kw_only=True):
    region: str
    category: Category
    reason: SurgeReason
    began_at: Instant
    """Start of the first bucket of the episode."""
    parts: tuple[Category, ...] = ()
    """Categories that take part, the most surprising at the opening first: `category` is it."""


class SurgeOpened(_SurgeDecision, frozen=True, kw_only=True, tag="surge.opened"):
    """Complaints of a region and category exceed their expectation."""


class SurgeUpdated(_SurgeDecision, frozen=True, kw_only=True, tag="surge.updated"):
    """An open surge grew."""


class SurgeClosed(_SurgeDecision, frozen=True, kw_only=True, tag="surge.closed"):
    """A surge is over."""


class CauseCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A cause, and how much better it explains what was counted than chance does."""

    cause: CapacityCause
    log_likelihood_ratio: float


class InflowForecast(msgspec.Struct, frozen=True, kw_only=True):
    """Parcels that will arrive within some hours; the band holds four outcomes in five."""

    hours: int
    expected: float
    low: float
    high: float


class _CapacityDecision(_Decision, frozen=True, kw_only=True):
    region: str
    reason: CapacityReason
    expected: float
    """Expected complaints (or deliveries) of the episode so far."""
    observed: float
    backlog_parcels: int
    """Parcels that arrived in the region and have not left it."""
    couriers_to_add: int
    """For two days from now; then what lies there is back to the usual."""
    couriers_low: int | None = None
    couriers_high: int | None = None
    """Interval of 80 %, None before there is enough history."""
    limit_parcels: int | None = None
    """With more than this the region overflows."""
    probability: float | None = None
    """Chance of an overflow within two days, 0..1."""
    overflow_at: Instant | None = None
    """When, if nothing is done; None where it is not expected within two days."""
    overflow_earliest: Instant | None = None
    overflow_latest: Instant | None = None
    """Interval of 80 %; None where it lies beyond two days."""
    inflow: tuple[InflowForecast, ...] = ()
    causes: tuple[CauseCandidate, ...] = ()
    """The likeliest first."""


class CapacityAlert(_CapacityDecision, frozen=True, kw_only=True, tag="capacity.alert"):
    """A region needs couriers, or will."""


class CapacityUpdated(_CapacityDecision, frozen=True, kw_only=True, tag="capacity.updated"):
    """What an open capacity alert says has changed."""


class CapacityClosed(_CapacityDecision, frozen=True, kw_only=True, tag="capacity.closed"):
    """A region has couriers enough again."""


class FeedSilent(_Decision, frozen=True, kw_only=True, tag="feed.silent"):
    """A carrier's scans have stopped arriving."""

    carrier: str
    reason: FeedReason
    silent_since: Instant


class FeedResumed(_Decision, frozen=True, kw_only=True, tag="feed.resumed"):
    """A silent carrier speaks again."""

    carrier: str
    reason: FeedReason
    silent_since: Instant


class CustomerHighCare(_Decision, frozen=True, kw_only=True, tag="customer.high_care"):
    """The same customer complained of the same issue twice."""

    customer_id: str
    reason: CareReason
    issue: str
    complaint_ids: tuple[str, ...]
    region: str
    order_id: str | None = None


Decision = (
    StallOpened
    | StallWorsened
    | StallCleared
    | SignoffAbnormal
    | CustomsOverdue
    | SurgeOpened
    | SurgeUpdated
    | SurgeClosed
    | CapacityAlert
    | CapacityUpdated
    | CapacityClosed
    | FeedSilent
    | FeedResumed
    | CustomerHighCare
)

_SEPARATOR: Final = "\x1f"


def decision_id(kind: str, subject: str, reason: str, started: str) -> str:
    """Return 32 hex digits made from event data only; `started` names what began the episode."""
    text = _SEPARATOR.join((kind, subject, reason, started))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def instant(seconds: float) -> datetime:
    """Turn seconds since the epoch into the aware datetime a decision carries (µs precision)."""
    return datetime.fromtimestamp(round(seconds, 6), UTC)
