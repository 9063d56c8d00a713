"""What a rule of `policies.yaml` can do: give, hand to a person, tell operations."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.sections import Currency, Days, Name, PositiveMinor, Section


class Upgrade(StrEnum):
    """What is done for the parcel."""

    NONE = "none"
    EXPRESS = "express"
    PRIORITY_CLEARANCE = "priority_clearance"


class FollowUp(StrEnum):
    """Who looks after the customer."""

    NONE = "none"
    DEDICATED_AGENT = "dedicated_agent"


class Person(StrEnum):
    """Who decides when software does not."""

    AGENT = "agent"
    """Looks after the customer."""
    SPECIALIST = "specialist"
    """May grant refunds up to `authority.refund_minor`."""
    COMPLAINTS_LEAD = "complaints_lead"
    """May grant everything."""


class Form(StrEnum):
    """What money comes as."""

    COUPON = "coupon"
    REFUND = "refund"
    """Refund only: the customer keeps the goods. Always granted by a person."""


class Severity(StrEnum):
    """How soon operations should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Coupon(Section):
    """Money for the next order."""

    amount_minor: PositiveMinor
    """Minor units: ¥5 is 500."""
    validity_days: Days = 30
    """For how long it can be used."""
    currency: Currency | None = None
    """Only to say it once more: it must be the currency of the budgets."""


class Refund(Section):
    """Money back without the goods coming back; a person grants it."""

    amount_minor: PositiveMinor
    """Minor units."""
    currency: Currency | None = None
    """Only to say it once more: it must be the currency of the budgets."""


class Remedy(Section):
    """What a customer is given and told."""

    template: Name
    """The text of the message: one that ships (`sinks/templates`) or of the folder `templates`
    beside this file. A text says only what the remedy gives."""
    coupon: Coupon | None = None
    """None: an apology without money."""
    refund: Refund | None = None
    """Instead of a coupon."""
    upgrade: Upgrade = Upgrade.NONE
    """What is done for the parcel."""
    follow_up: FollowUp = FollowUp.NONE
    """Who looks after the customer."""
    follow_up_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    """Within how many hours of the decision they do."""
    campaign: Name | None = None
    """The budget of `budgets.campaigns` it is paid from, besides the global and the region's."""
    window_days: Days = 14
    """A parcel is given one remedy for a reason within so many days, whatever the episode."""
    person_first: Person | None = None
    """Nothing is sent before this person has approved it."""
    in_high_care: Person | None = Person.AGENT
    """Who approves it first for a customer in high care; null: nobody, they are as all others."""

    @model_validator(mode="after")
    def _one_form_of_money(self) -> Self:
        if self.coupon is not None and self.refund is not None:
            raise ValueError("gives a coupon or a refund, not both")
        if self.campaign is not None and self.money is None:
            raise ValueError("a campaign pays for a coupon or a refund, and there is none")
        return self

    @property
    def money(self) -> Coupon | Refund | None:
        """The coupon or the refund."""
        return self.coupon or self.refund


class Operations(Section):
    """A note to operations (Alertmanager)."""

    severity: Severity = Severity.WARNING
    """How soon somebody should look."""
    expires_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24
    """An alert that nothing ends is resolved after this long without news."""
