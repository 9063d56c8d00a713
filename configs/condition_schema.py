"""What a rule of `policies.yaml` can ask of a decision."""

import typing
from enum import StrEnum
from typing import Annotated, Final, Self

import msgspec
from pydantic import BeforeValidator, Field, StrictBool, model_validator

from configs.sections import Minor, Names, Section, several
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


DECISIONS: Final[dict[Kind, type[msgspec.Struct]]] = {
    Kind.STALL: StallOpened,
    Kind.WORSENED: StallWorsened,
    Kind.SIGNOFF: SignoffAbnormal,
    Kind.CUSTOMS: CustomsOverdue,
    Kind.HIGH_CARE: CustomerHighCare,
    Kind.SURGE: SurgeOpened,
    Kind.CAPACITY: CapacityAlert,
    Kind.FEED: FeedSilent,
}
CUSTOMER_KINDS: Final = frozenset({Kind.STALL, Kind.SIGNOFF, Kind.CUSTOMS, Kind.HIGH_CARE})
"""Those a customer can be given something for."""
OBSERVED_KINDS: Final = frozenset({Kind.STALL, Kind.SIGNOFF, Kind.CUSTOMS})
"""Those seen in scans; the others rest on what somebody said."""


class Weekday(StrEnum):
    """Days in the recipient's time zone, in the order of `datetime.weekday`."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


def reasons_of(kind: Kind) -> frozenset[str]:
    """Return the reasons a decision of this kind can have."""
    reason = typing.get_type_hints(DECISIONS[kind])["reason"]
    return frozenset(str(member) for member in reason)


def has_field(kind: Kind, field: str) -> bool:
    """Whether decisions of a kind have a field, so that a condition on it can ever hold."""
    return field in DECISIONS[kind].__struct_fields__


class ValueRange(Section):
    """Declared value of the parcel; one without a declared value is in no range."""

    min_minor: Minor | None = None
    """At least this."""
    max_minor: Minor | None = None
    """At most this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _ordered(self, self.min_minor, self.max_minor, "min_minor", "max_minor")


Time = Annotated[float, Field(ge=-3650, le=3650)]


class DayRange(Section):
    """A span of days, fractions allowed; what is not known is in no range."""

    min: Time | None = None
    """At least this."""
    max: Time | None = None
    """At most this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _ordered(self, self.min, self.max, "min", "max")


_Range = typing.TypeVar("_Range")


def _ordered(
    found: _Range, low: float | None, high: float | None, low_name: str, high_name: str
) -> _Range:
    if low is None and high is None:
        raise ValueError(f"needs {low_name} or {high_name}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{low_name} is above {high_name}")
    return found


Kinds = Annotated[tuple[Kind, ...], BeforeValidator(several), Field(min_length=1)]
Weekdays = Annotated[tuple[Weekday, ...], BeforeValidator(several), Field(min_length=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class When(Section):
    """Conditions; all that are given must hold. A list means any of it."""

    kind: Kinds
    """Kinds of decision, e.g. `stall.opened`."""
    reason: Names | None = None
    """Reasons of those kinds, e.g. `no_movement`."""
    carrier: Names | None = None
    """Carriers' names."""
    region: Names | None = None
    """Region of the scan, the surge or the complaint."""
    destination_region: Names | None = None
    """Region the parcel goes to."""
    service_level: Names | None = None
    """Service levels as the events name them."""
    category: Names | None = None
    """Categories of complaints, for surges."""
    fragile: StrictBool | None = None
    """Whether the parcel is known to be fragile, for decisions that say so."""
    value: ValueRange | None = None
    """Declared value."""
    probability_at_most: Probability | None = None
    """The evidence's probability (of a silence at least as long if nothing were wrong) is known
    and at most this."""
    late_probability_at_least: Probability | None = None
    """The probability that the promise is missed is known and at least this."""
    wrong_probability_at_least: Probability | None = None
    """The probability that a sign-off is wrong is known and at least this."""
    days_late: DayRange | None = None
    """Days since the promised time when the decision is made; negative before it."""
    days_in_customs: DayRange | None = None
    """Days in customs when the decision is made."""
    weekday: Weekdays | None = None
    """Day of the decision in the recipient's time zone (`recipients`), e.g.
    `[saturday, sunday]`."""
    hold_out: StrictBool | None = None
    """Whether the customer is one of those held out to measure the effect. `true` says what they
    get instead of nothing; it may hold no money."""

    @model_validator(mode="after")
    def _known_reasons(self) -> Self:
        known = frozenset[str]().union(*(reasons_of(kind) for kind in self.kind))
        for reason in self.reason or ():
            if reason not in known:
                raise ValueError(f"no decision of these kinds has a reason {reason!r}")
        return self
