"""What deliver is asked to do: the records of `P.remedies`.

A remedy's id is made from the parcel (or customer), the reason and the episode, and from nothing
else, so the same episode can never ask twice under two names. Amounts are integers in minor units
of `currency`.
"""

from enum import StrEnum
from hashlib import blake2b
from typing import Final

import msgspec

from configs.remedy_schema import FollowUp, Form, Person, Severity, Upgrade
from detectors.decisions import ClearedReason
from detectors.events import Instant, Milestone


class Reason(StrEnum):
    """Why a remedy was held, refused or parked."""

    # Held for a person (quiet hours: until they end)
    OVER_AUTHORITY = "over_authority"
    PERSON_FIRST = "person_first"
    """The rule wants a person to decide."""
    HIGH_CARE = "high_care"
    """A person looks after this customer."""
    FEED_SILENT = "feed_silent"
    CARRIER_FLOOD = "carrier_flood"
    FACILITY_FLOOD = "facility_flood"
    FACILITY_INCIDENT = "facility_incident"
    QUIET_HOURS = "quiet_hours"
    # Refused
    HOLD_OUT = "hold_out"
    NO_RECIPIENT = "no_recipient"
    UNPROVEN_COMPLAINT = "unproven_complaint"
    """Money for a complaint that names no order of this customer with an observed stall."""
    GIVEN_BEFORE = "given_before"
    """This parcel had a remedy for this reason within the rule's window."""
    CUSTOMER_CAP = "customer_cap"
    ORDER_CAP = "order_cap"
    ADDRESS_CAP = "address_cap"
    DAY_CAP = "day_cap"
    BUDGET_GLOBAL = "budget_global"
    BUDGET_REGION = "budget_region"
    BUDGET_CAMPAIGN = "budget_campaign"
    PARCEL_DELIVERED = "parcel_delivered"
    EPISODE_OVER = "episode_over"
    PROVIDER_REFUSED = "provider_refused"
    REJECTED_BY_PERSON = "rejected_by_person"
    # Parked for a person
    PROVIDER_SILENT = "provider_silent"
    REFUSED_AFTER_DOUBT = "refused_after_doubt"
    """The provider refuses what it may have given when it was asked before."""
    SENT_AND_LOST = "sent_and_lost"
    """A provider that cannot be asked twice was asked, and nobody knows what it did."""


HOLDING: Final = (
    Reason.OVER_AUTHORITY,
    Reason.PERSON_FIRST,
    Reason.HIGH_CARE,
    Reason.FEED_SILENT,
    Reason.CARRIER_FLOOD,
    Reason.FACILITY_FLOOD,
    Reason.FACILITY_INCIDENT,
    Reason.QUIET_HOURS,
)
"""Why a remedy is HELD."""


class Nothing(StrEnum):
    """Why a decision asks for nothing."""

    NO_RULE = "no_rule"
    RULE_SAYS_NOTHING = "rule_says_nothing"


class RemedyRequest(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="remedy", tag_field="type"
):
    """Give one customer one remedy."""

    remedy_id: str
    decision_id: str
    episode_id: str
    subject: str
    kind: str
    """Kind of the decision."""
    decision_reason: str
    decided_at: Instant
    rule: str
    template: str
    amount_minor: int
    """0: no money."""
    currency: str
    validity_days: int
    upgrade: Upgrade
    follow_up: FollowUp
    form: Form = Form.COUPON
    follow_up_due_at: Instant | None = None
    """By when the customer is looked after."""
    campaign: str | None = None
    window_days: int = 0
    """The parcel gets nothing more for this reason within so many days; 0: no such window."""
    customer_id: str | None = None
    order_id: str | None = None
    parcel_id: str | None = None
    carrier: str | None = None
    facility: str | None = None
    region: str | None = None
    destination_region: str | None = None
    address_hash: str | None = None
    milestone: Milestone | None = None
    """The parcel's stage."""
    since_at: Instant | None = None
    """The scan the decision counts from."""
    promised_at: Instant | None = None
    eta_p50_at: Instant | None = None
    eta_p90_at: Instant | None = None
    """Half, and nine in ten, of such parcels arrive before; None: no opinion."""
    time_zone: str = "UTC"
    """Of the recipient."""
    held_out: bool = False
    """The customer is one of those the effect is measured by."""
    person_in_high_care: Person | None = None
    """Who approves it first when the customer is in high care."""
    person: Person | None = None
    """Who approves what `hold` holds."""
    hold: Reason | None = None
    """The policy itself holds it."""
    refuse: Reason | None = None
    """The policy itself refuses it."""
    not_before: Instant | None = None
    """End of the quiet hours it was decided in."""


class OperationsAlert(msgspec.Struct, frozen=True, kw_only=True, tag="alert", tag_field="type"):
    """Something operations should know, or that it is over."""

    alert_id: str
    """The same for all news of one thing: name and labels, without the severity."""
    name: str
    episode_id: str
    firing: bool
    tell: bool
    """False: only remembered (a silent feed no rule speaks of still holds money back)."""
    severity: Severity
    labels: dict[str, str]
    annotations: dict[str, str]
    decided_at: Instant
    starts_at: Instant
    expires_seconds: float
    silent_carrier: str | None = None
    """The carrier whose feed this says is silent."""
    stuck_facility: str | None = None
    """`carrier/facility`: the place this says is an incident."""

    @property
    def holds_back(self) -> str | None:
        """What money is held back for while this fires: a carrier, or a carrier's facility."""
        return self.silent_carrier or self.stuck_facility


class EpisodeEnded(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="ended", tag_field="type"
):
    """A stall is over: what was not given for it yet is not given any more."""

    subject: str
    episode_id: str
    reason: ClearedReason
    decided_at: Instant


class Verdict(StrEnum):
    """What a person says of a remedy."""

    APPROVE = "approve"
    """Give it: what was held goes on within budgets and caps, what was parked is asked again."""
    REJECT = "reject"
    """Do not give it: what it holds of the budgets is free again."""
    FOUND = "found"
    """The provider has it: a person looked. What was parked counts as issued, unasked."""


class Ruling(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="ruling", tag_field="type"):
    """A person's word on a remedy that is held or parked."""

    remedy_id: str
    subject: str
    """Of the remedy: says which partition has it."""
    verdict: Verdict
    who: str
    why: str
    decided_at: Instant
    """Wall time."""
    expires_at: Instant
    """Without effect when it is read later than this."""
    reference: str | None = None
    """With `found`: the provider's name for the coupon."""


Wish = RemedyRequest | OperationsAlert | EpisodeEnded | Ruling

_DECODER: Final = msgspec.json.Decoder(Wish)
_SEPARATOR: Final = "\x1f"


def remedy_id(subject: str, reason: str, episode_id: str) -> str:
    """Return the one id of the remedy for a subject, a reason and an episode.

    Examples
    --------
    >>> remedy_id("parcel/swift/P1", "no_movement", "e1")
    'rem_8cad7598cf56b31ba5178f5d5cc46079'
    """
    text = _SEPARATOR.join((subject, reason, episode_id))
    return "rem_" + blake2b(text.encode(), digest_size=16).hexdigest()


def encode_wish(wish: Wish) -> bytes:
    """Return the record's value."""
    return msgspec.json.encode(wish)


def decode_wish(value: bytes) -> Wish:
    """Read a record's value; raises `msgspec.MsgspecError`."""
    wish: Wish = _DECODER.decode(value)
    return wish
