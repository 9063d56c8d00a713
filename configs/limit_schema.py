"""What policies are held within: authority, budgets, caps, floods, quiet hours, the hold-out."""

from typing import Annotated, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from configs.sections import (
    Currency,
    Days,
    Minor,
    Name,
    PositiveMinor,
    Section,
    TimeOfDay,
    TimeZone,
)


class Authority(Section):
    """How much is given without a person, and who decides above it."""

    automatic_minor: Minor
    """A coupon up to this needs nobody; more is the complaints lead's to grant."""
    refund_minor: Minor
    """A refund up to this is a specialist's to grant; more is the complaints lead's."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.refund_minor < self.automatic_minor:
            raise ValueError("refund_minor, a specialist's, is below automatic_minor, nobody's")
        return self


class Campaign(Section):
    """A budget with a purpose."""

    total_minor: PositiveMinor
    """For the whole campaign."""
    per_day_minor: PositiveMinor | None = None
    """Of it, a day."""
    per_month_minor: PositiveMinor | None = None
    """Of it, a month."""
    currency: Currency | None = None
    """Only to say it once more: it must be the currency of the file."""


class Budgets(Section):
    """Limits that reserved + spent never exceed. Day and month are the decision's, in UTC."""

    global_per_day_minor: PositiveMinor
    """All regions together, a day."""
    global_per_month_minor: PositiveMinor | None = None
    """All regions together, a month."""
    region_per_day_minor: PositiveMinor
    """Each region, a day."""
    region_per_month_minor: PositiveMinor | None = None
    """Each region, a month."""
    campaigns: dict[Name, Campaign] = Field(default_factory=dict)
    """By name."""


class Cap(Section):
    """How much one customer, order or address may be given within a window."""

    window_days: Days
    """Remedies decided less than this long apart count together."""
    remedies: Annotated[StrictInt, Field(ge=1)]
    """How many, with or without money."""
    amount_minor: Minor
    """How much money."""


class Caps(Section):
    """Caps a customer, an order, an address, and for a customer's day."""

    customer: Cap
    customer_day: Cap | None = None
    """A second, shorter window for a customer."""
    order: Cap
    address: Cap | None = None
    """By `address_hash`, for many accounts at one door: for parcels whose scans brought one."""
    remedies_per_day: Annotated[StrictInt, Field(ge=1)] = 100_000
    """Remedies of all customers together, with or without money, a UTC day of the decision."""


class Breaker(Section):
    """When a flood has one cause, its remedies wait for a person, with their count and cost."""

    window_minutes: Annotated[StrictInt, Field(ge=1, le=7 * 24 * 60)] = 60
    """Requests decided within this long are one flood."""
    carrier_requests: Annotated[StrictInt, Field(ge=1)] = 500
    """More of one carrier than this are held."""
    facility_requests: Annotated[StrictInt, Field(ge=1)] = 200
    """More of one facility than this are held."""
    hold_when_feed_silent: StrictBool = True
    """Hold while the carrier's feed is silent: its parcels may well be moving."""
    hold_in_incident: StrictBool = True
    """Hold while the facility is an incident that operations already know of."""


class QuietHours(Section):
    """Remedies decided in these hours of the recipient's clock wait for their end."""

    begin: TimeOfDay
    """`HH:MM`."""
    end: TimeOfDay
    """`HH:MM`; earlier than `begin` means the next morning."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.begin == self.end:
            raise ValueError("begin and end are the same; leave quiet_hours out for none")
        return self


class Recipients(Section):
    """Where customers are: their clocks."""

    time_zone: TimeZone = "UTC"
    """E.g. `Asia/Shanghai`."""
    region_time_zones: dict[str, TimeZone] = Field(default_factory=dict)
    """Of regions that differ, by the name events give them: of the parcel's destination where it
    is known, else of the decision's region."""

    def time_zone_of(self, region: str | None) -> str:
        """Return the time zone of a region's customers."""
        return self.region_time_zones.get(region or "", self.time_zone)


class HighCare(Section):
    """Customers a person looks after (`customer.high_care`): remedies wait for that person."""

    days: Days = 30
    """For so long after the decision."""


class Complaints(Section):
    """What a complaint must show before it counts for money."""

    proof_days: Days = 30
    """It names an order of that customer whose parcel was seen to have stalled (or to be held in
    customs, or strangely signed off) within so many days of the complaint."""


class HoldOut(Section):
    """Customers who are given nothing, so that the effect can be measured."""

    share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Part of the customers, chosen by a hash of their pseudonym."""
    salt: Annotated[str, Field(min_length=1, max_length=64)] = "forewarn"
    """Another salt chooses others."""
