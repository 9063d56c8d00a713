"""What ticket systems have in common: a new ticket of a customer is a complaint.

A ticket's text is never read. What it is about comes from its tags, which agents, forms and
automations set: `region_…`, `order_…`, `parcel_…`, `carrier_…`, `issue_…`, `category_…`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from detectors.events import Category, Complaint, InvalidEvent
from pipeline.adapters.base import Adapter, Spot, made_id
from pipeline.adapters.items import Item, Kind, Read, Refusal, Rejected
from pipeline.adapters.privacy import code, identifier, label, parcel_number, place
from pipeline.adapters.times import BadTime, read_time

PREFIXES: Final = ("region", "order", "parcel", "carrier", "issue", "category", "supplier")
_CATEGORIES: Final = {category.value: category for category in Category}


class Ticket(NamedTuple):
    """A ticket as the help desk says it."""

    number: str
    time: str | None
    """When it was made; None for a webhook that does not say: then when it came."""
    people: tuple[str | None, ...]
    """What tells who the customer is, the best first."""
    tags: Iterable[str]
    subject: str | None = None
    """The ticket's type; stands in for the issue where no tag names one."""
    channel: str | None = None


class TicketAdapter(Adapter):
    """An adapter whose documents are tickets."""

    kind = Kind.COMPLAINTS

    def complaint(self, ticket: Ticket, at: datetime | None) -> Item:
        """Return the complaint a ticket is, or why there is none."""
        about = self._about(ticket.tags)
        customer = self.people.of(*ticket.people)
        region = about["region"] or self.options.region
        if customer is None:
            return self.nobody()
        if region is None:
            return Rejected(Refusal.NO_REGION, "no tag region_…, and no region for the source")
        try:
            return Read(
                Complaint(
                    complaint_id=made_id(self.name, ticket.number),
                    customer_id=customer,
                    occurred_at=self._moment(ticket, at),
                    region=region,
                    order_id=identifier(about["order"]),
                    parcel_id=parcel_number((about["parcel"] or "").upper()),  # tags are small
                    carrier=self.carrier(about["carrier"]) if about["carrier"] else None,
                    category=_CATEGORIES.get(about["category"] or ""),
                    issue=code(about["issue"] or ticket.subject),
                    channel=code(ticket.channel),
                    supplier_id=identifier(about["supplier"]),
                )
            )
        except BadTime as error:
            return Rejected(error.problem, str(error))
        except InvalidEvent as error:
            return Rejected(error.reason, "a complaint that cannot be")

    def nobody(self) -> Rejected:
        """Return why there is no customer."""
        if not self.people.possible:
            return Rejected(
                Refusal.NO_PSEUDONYM_KEY, "set ingest.pseudonym_key: customers pass as pseudonyms"
            )
        return Rejected(Refusal.NO_CUSTOMER, "nothing tells who the customer is")

    def _moment(self, ticket: Ticket, at: datetime | None) -> datetime:
        if ticket.time is None and at is not None:
            return at
        return read_time(ticket.time, self.zones.of())

    def _about(self, tags: Iterable[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = dict.fromkeys(PREFIXES)
        for tag in tags:
            prefix, _, rest = tag.strip().partition("_")
            if prefix.casefold() in found and rest:
                found[prefix.casefold()] = rest
        if found["region"] is not None:
            named = found["region"].replace("_", " ")
            found["region"] = self.region(Spot(state=place(named) or label(found["region"])))
        return found

    def region(self, spot: Spot) -> str | None:
        """Return a region as the help desk writes it: codes such as `R01` are regions too."""
        return super().region(spot) or label(spot.state)
