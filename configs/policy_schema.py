"""Strict models of `policies.yaml`: who is given what, within which limits.

A policy list is read from the top; the first rule whose conditions all hold decides. Money is in
minor units (fen, cents) and always an integer. Every name is from a closed list, so a typing error
is found by `forewarn check` and not by a customer.
"""

import typing
from enum import StrEnum
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)

from detectors.decisions import (
    CapacityAlert,
    CustomerHighCare,
    CustomsOverdue,
    FeedSilent,
    SignoffAbnormal,
    StallOpened,
    StallWorsened,
    SurgeOpened,
)


class Kind(StrEnum):
    """What a rule can be about: decisions that open something, and stalls that worsen.

    Other updates and ends follow the rule of what they belong to.
    """

    STALL = "stall.opened"
    WORSENED = "stall.worsened"
    """For operations only: the customer was given the remedy of the opening."""
    SIGNOFF = "signoff.abnormal"
    CUSTOMS = "customs.overdue"
    HIGH_CARE = "customer.high_care"
    SURGE = "surge.opened"
    CAPACITY = "capacity.alert"
    FEED = "feed.silent"


_DECISIONS: Final[dict[Kind, type[msgspec.Struct]]] = {
    Kind.STALL: StallOpened,
    Kind.WORSENED: StallWorsened,
    Kind.SIGNOFF: SignoffAbnormal,
    Kind.CUSTOMS: CustomsOverdue,
    Kind.HIGH_CARE: CustomerHighCare,
    Kind.SURGE: SurgeOpened,
    Kind.CAPACITY: CapacityAlert,
    Kind.FEED: FeedSilent,
}
_CUSTOMER_KINDS: Final = frozenset({Kind.STALL, Kind.SIGNOFF, Kind.CUSTOMS, Kind.HIGH_CARE})


class Template(StrEnum):
    """What the customer is told; the texts are in `sinks/templates`."""

    APOLOGY = "apology"
    """Late, and sorry: promises nothing else."""
    STALL_APOLOGY = "stall_apology"
    """Promises express shipping and a coupon."""
    CUSTOMS_APOLOGY = "customs_apology"
    """Promises priority clearance and a coupon."""
    SIGNOFF_INQUIRY = "signoff_inquiry"
    HIGH_CARE = "high_care"
    """Promises a dedicated agent."""


class Upgrade(StrEnum):
    """What is done for the parcel."""

    NONE = "none"
    EXPRESS = "express"
    PRIORITY_CLEARANCE = "priority_clearance"


class FollowUp(StrEnum):
    """Who looks after the customer."""

    NONE = "none"
    DEDICATED_AGENT = "dedicated_agent"


class Severity(StrEnum):
    """How soon operations should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_PROMISES: Final[dict[Template, tuple[Upgrade | None, bool, FollowUp | None]]] = {
    Template.STALL_APOLOGY: (Upgrade.EXPRESS, True, None),
    Template.CUSTOMS_APOLOGY: (Upgrade.PRIORITY_CLEARANCE, True, None),
    Template.HIGH_CARE: (None, False, FollowUp.DEDICATED_AGENT),
}


def reasons_of(kind: Kind) -> frozenset[str]:
    """Return the reasons a decision of this kind can have."""
    reason = typing.get_type_hints(_DECISIONS[kind])["reason"]
    return frozenset(str(member) for member in reason)


def _several(value: object) -> object:
    """Let one name stand for a list of one."""
    return [value] if isinstance(value, str) else value


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be a time zone such as Asia/Shanghai") from error
    return name


Minor = Annotated[StrictInt, Field(ge=0, le=10**12)]
PositiveMinor = Annotated[StrictInt, Field(ge=1, le=10**12)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Names = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_several), Field(min_length=1)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ValueRange(_Section):
    """Declared value of the parcel; one without a declared value is in no range."""

    min_minor: Minor | None = None
    """At least this."""
    max_minor: Minor | None = None
    """At most this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_minor is None and self.max_minor is None:
            raise ValueError("needs min_minor or max_minor")
        if (self.min_minor or 0) > (10**12 if self.max_minor is None else self.max_minor):
            raise ValueError("min_minor is above max_minor")
        return self


class When(_Section):
    """Conditions; all that are given must hold. A list means any of it."""

    kind: Kinds
    """Kinds of decision, e.g. `stall.opened`."""
    reason: Names | None = None
    """Reasons of those kinds, e.g. `no_movement`."""
    carrier: Names | None = None
    """Carriers' names."""
    region: Names | None = None
    """Region of the scan, the surge or the complaint."""
    service_level: Names | None = None
    """Service levels as the events name them."""
    category: Names | None = None
    """Categories of complaints, for surges."""
    value: ValueRange | None = None
    """Declared value."""
    probability_at_most: Annotated[float, Field(ge=0, le=1)] | None = None
    """The evidence's probability (of a silence at least as long if nothing were wrong) is known
    and at most this."""
    in_high_care: StrictBool | None = None
    """Whether a person should look after the customer (`customer.high_care`)."""

    @model_validator(mode="after")
    def _known_reasons(self) -> Self:
        known = frozenset[str]().union(*(reasons_of(kind) for kind in self.kind))
        for reason in self.reason or ():
            if reason not in known:
                raise ValueError(f"no decision of these kinds has a reason {reason!r}")
        return self


class Coupon(_Section):
    """Money for the customer."""

    amount_minor: PositiveMinor
    """Minor units: ¥5 is 500."""
    validity_days: Annotated[StrictInt, Field(ge=1, le=3650)] = 30
    """For how long it can be used."""


class Remedy(_Section):
    """What a customer is given and told."""

    template: Template
    """The text of the message."""
    coupon: Coupon | None = None
    """None: an apology without money."""
    upgrade: Upgrade = Upgrade.NONE
    """What is done for the parcel."""
    follow_up: FollowUp = FollowUp.NONE
    """Who looks after the customer."""
    campaign: Name | None = None
    """The budget of `budgets.campaigns` it is paid from, besides the global and the region's."""

    @model_validator(mode="after")
    def _keeps_its_promises(self) -> Self:
        """A text must not promise what is not given."""
        upgrade, coupon, follow_up = _PROMISES.get(self.template, (None, False, None))
        if coupon and self.coupon is None:
            raise ValueError(f"the text {self.template} promises a coupon")
        if upgrade is not None and self.upgrade is not upgrade:
            raise ValueError(f"the text {self.template} promises upgrade: {upgrade}")
        if follow_up is not None and self.follow_up is not follow_up:
            raise ValueError(f"the text {self.template} promises follow_up: {follow_up}")
        if self.campaign is not None and self.coupon is None:
            raise ValueError("a campaign pays for a coupon, and there is none")
        return self


class Operations(_Section):
    """A note to operations (Alertmanager)."""

    severity: Severity = Severity.WARNING
    """How soon somebody should look."""
    expires_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24
    """An alert that nothing ends is resolved after this long without news."""


class Rule(_Section):
    """One line of the list: conditions, and one of `remedy`, `operations` or `nothing: true`."""

    name: Name
    """Stands in the ledger and in metrics."""
    when: When
    """Conditions."""
    remedy: Remedy | None = None
    """What the customer is given."""
    operations: Operations | None = None
    """What operations are told."""
    nothing: typing.Literal[True] | None = None
    """Deliberately nothing."""

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        given = [self.remedy, self.operations, self.nothing]
        if sum(outcome is not None for outcome in given) != 1:
            raise ValueError("needs exactly one of remedy, operations and nothing")
        if self.remedy is not None and not set(self.when.kind) <= _CUSTOMER_KINDS:
            raise ValueError(
                "a remedy is for decisions about a parcel or a customer, when a stall opens and "
                "not when it worsens"
            )
        return self


class Campaign(_Section):
    """A budget with a purpose."""

    total_minor: PositiveMinor
    """For the whole campaign."""


class Budgets(_Section):
    """Limits that reserved + spent never exceed. A day is the UTC day of the decision."""

    global_per_day_minor: PositiveMinor
    """All regions together, a day."""
    region_per_day_minor: PositiveMinor
    """Each region, a day."""
    campaigns: dict[Name, Campaign] = Field(default_factory=dict)
    """By name."""


class Cap(_Section):
    """How much one customer or one order may be given within a window."""

    window_days: Annotated[StrictInt, Field(ge=1, le=3650)]
    """Remedies decided less than this long apart count together."""
    remedies: Annotated[StrictInt, Field(ge=1)]
    """How many, with or without money."""
    amount_minor: Minor
    """How much money."""


class Caps(_Section):
    """Caps a customer and an order."""

    customer: Cap
    order: Cap


class Breaker(_Section):
    """When a flood has one cause, money waits for a person."""

    window_minutes: Annotated[StrictInt, Field(ge=1, le=7 * 24 * 60)] = 60
    """Requests decided within this long are one flood."""
    carrier_requests: Annotated[StrictInt, Field(ge=1)] = 500
    """More of one carrier than this are held."""
    facility_requests: Annotated[StrictInt, Field(ge=1)] = 200
    """More of one facility than this are held."""
    hold_when_feed_silent: StrictBool = True
    """Hold while the carrier's feed is silent: its parcels may well be moving."""


class QuietHours(_Section):
    """Remedies decided in these hours wait for their end; they are never dropped."""

    begin: TimeOfDay
    """`HH:MM`."""
    end: TimeOfDay
    """`HH:MM`; earlier than `begin` means the next morning."""
    time_zone: TimeZone
    """E.g. `Asia/Shanghai`."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.begin == self.end:
            raise ValueError("begin and end are the same; leave quiet_hours out for none")
        return self


class HoldOut(_Section):
    """Customers who are given nothing, so that the effect can be measured."""

    share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Part of the customers, chosen by a hash of their pseudonym."""
    salt: Annotated[str, Field(min_length=1, max_length=64)] = "forewarn"
    """Another salt chooses others."""


class Policies(_Section):
    """The whole of `policies.yaml`."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """ISO 4217, of every amount here."""
    automatic_limit_minor: Minor
    """A coupon above this is held for a person."""
    budgets: Budgets
    caps: Caps
    breaker: Breaker = Breaker()
    hold_out: HoldOut = HoldOut()
    quiet_hours: QuietHours | None = None
    policies: tuple[Rule, ...]
    """First match wins; what no rule matches is left alone."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [rule.name for rule in self.policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]!r}")
        for rule in self.policies:
            campaign = rule.remedy.campaign if rule.remedy else None
            if campaign is not None and campaign not in self.budgets.campaigns:
                raise ValueError(f"rule {rule.name!r}: no campaign {campaign!r} in budgets")
        return self
