"""Any table of complaints, by a mapping."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from configs.mapping import ComplaintFields, Mapping
from detectors.events import Category, Complaint, InvalidEvent
from pipeline.adapters.base import Spot, made_id
from pipeline.adapters.items import (
    Document,
    Item,
    Options,
    Read,
    Refusal,
    Rejected,
    Row,
    Unreadable,
)
from pipeline.adapters.privacy import code, identifier, parcel_number
from pipeline.adapters.rows import Cells, items_of, text_of
from pipeline.adapters.table import with_zones
from pipeline.adapters.tickets import TicketAdapter
from pipeline.adapters.vocabulary import fold


class ComplaintTable(TicketAdapter):
    """Reads rows as a mapping says.

    Parameters
    ----------
    options
        What the operator says about the source.
    mapping
        Where the fields stand; its zones win over those of `options`.
    """

    name: ClassVar[str] = "complaint-table"
    retracts: ClassVar[bool] = True

    def __init__(self, options: Options, mapping: Mapping) -> None:
        super().__init__(with_zones(options, mapping))
        if mapping.complaints is None:
            raise ValueError("the mapping is one of scans")
        self._fields: ComplaintFields = mapping.complaints
        self._source = mapping.source
        self._cells = Cells(self.zones, self.people)

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the complaint of a row; for a change also what it takes back."""
        yield from items_of(payload, self._item, is_log=True)

    def _item(self, row: Row) -> Item:
        fields = self._fields
        number = text_of(row, fields.complaint_id)
        if number is None:
            raise Unreadable(Refusal.NO_ID, "no id")
        customer = self._cells.customer(row, fields.customer_id)
        if customer is None:
            if not fields.customer_id.pseudonym:
                raise Unreadable(Refusal.NO_CUSTOMER, "no customer, or none that is a pseudonym")
            return self.nobody()
        region = self.region(Spot(state=text_of(row, fields.region))) or self.options.region
        if region is None:
            raise Unreadable(Refusal.NO_REGION, "no region")
        occurred = self._cells.time(row, fields.occurred_at, region)
        if occurred is None:
            raise Unreadable("no_time", "no time")
        carrier = text_of(row, fields.carrier)
        try:
            return Read(
                Complaint(
                    complaint_id=made_id(self._source, number),
                    customer_id=customer,
                    occurred_at=occurred,
                    received_at=self._cells.time(row, fields.received_at, region),
                    region=region,
                    order_id=identifier(text_of(row, fields.order_id)),
                    parcel_id=parcel_number(text_of(row, fields.parcel_id)),
                    carrier=self.carrier(carrier) if carrier else None,
                    category=self._category(row),
                    issue=code(text_of(row, fields.issue)),
                    channel=code(text_of(row, fields.channel)),
                    language=code(text_of(row, fields.language)),
                    supplier_id=identifier(text_of(row, fields.supplier_id)),
                )
            )
        except InvalidEvent as error:
            return Rejected(error.reason, "a complaint that cannot be")

    def _category(self, row: Row) -> Category | None:
        spec = self._fields.category
        text = text_of(row, spec)
        if spec is None or text is None:
            return None
        named = {fold(value): found for value, found in spec.values.items()}
        return named.get(fold(text)) or _CATEGORIES.get(fold(text))


_CATEGORIES = {category.value: category for category in Category}
