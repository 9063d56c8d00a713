"""Any table of scans, by a mapping: rows of a file, objects of NDJSON, changes of a database."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec

from configs.mapping import Column, Mapping, MilestoneColumn, TrackingFields
from detectors.events import Complaint, Milestone, TrackingEvent
from pipeline.adapters import aftership, easypost, emsevt, epcis, shippo, track17
from pipeline.adapters.base import Spot, made_id
from pipeline.adapters.items import Document, Item, Options, Read, Refusal, Row, Unreadable
from pipeline.adapters.privacy import code, identifier, label
from pipeline.adapters.rows import Cells, amount_minor, flag, items_of, text_of
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import Reader, Vocabulary

VOCABULARIES: Final = {
    "aftership": aftership.VOCABULARY,
    "17track": track17.VOCABULARY,
    "easypost": easypost.VOCABULARY,
    "shippo": shippo.VOCABULARY,
    "emsevt": emsevt.VOCABULARY,
    "epcis": epcis.VOCABULARY,
}
"""What a column may hold: the codes of a provider."""
OWN_WORDS: Final = Vocabulary(
    title="Forewarn",
    source="this project",
    coarse={milestone.value: milestone for milestone in Milestone},
    fine={},
)
"""What a column may hold without a vocabulary: our milestones."""


class Table(TrackingAdapter):
    """Reads rows as a mapping says.

    Parameters
    ----------
    options
        What the operator says about the source.
    mapping
        Where the fields stand; its zones win over those of `options`.
    """

    name: ClassVar[str] = "table"
    retracts: ClassVar[bool] = True
    vocabulary: ClassVar[Vocabulary] = OWN_WORDS

    def __init__(self, options: Options, mapping: Mapping) -> None:
        super().__init__(with_zones(options, mapping))
        if mapping.tracking is None:
            raise ValueError("the mapping is one of complaints")
        self._fields: TrackingFields = mapping.tracking
        self._source = mapping.source
        self._cells = Cells(self.zones, self.people)
        self.words = _words(mapping.tracking.milestone, options)

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the event of a row; for a change also what it takes back."""
        yield from items_of(payload, self._item, is_log=self._fields.event_id is not None)

    def _item(self, row: Row) -> Item:
        fields = self._fields
        status = text_of(row, fields.milestone)
        if status is None:
            raise Unreadable(Refusal.NO_STATUS, "no status")
        detail = fields.milestone.detail
        fine = None if detail is None else text_of(row, Column(column=detail))
        spot = Spot(
            text_of(row, fields.facility), text_of(row, fields.city), text_of(row, fields.region)
        )
        parcel = Parcel(
            self.carrier(text_of(row, fields.carrier)),
            self.number(text_of(row, fields.parcel_id)),
            self._context(row),
        )
        item = self.scanned(parcel, self._scan(row, spot, status, fine))
        own_id = text_of(row, fields.event_id)
        if own_id is None or not isinstance(item, Read):
            return item
        return Read(self._named(item.event, own_id, status, fine), item.unknown)

    def _named(
        self, event: TrackingEvent | Complaint, own_id: str, status: str, fine: str | None
    ) -> TrackingEvent | Complaint:
        """Put the source's own id in; a correction of the same scan is told by time and code."""
        at = event.occurred_at.isoformat()
        identity = made_id(self._source, own_id, at, status, fine or "")
        return msgspec.structs.replace(event, event_id=identity)

    def event_id(self, parcel: Parcel, at: datetime, scan: Scan) -> str:
        """Return the id of a row, under the mapping's own source."""
        codes = (scan.coarse or "", scan.fine or "")
        return made_id(self._source, parcel.carrier, parcel.number, at.isoformat(), *codes)

    def region(self, spot: Spot) -> str | None:
        """Return a region as the table writes it: codes such as `R01` are regions too."""
        return super().region(spot) or label(spot.state)

    def _scan(self, row: Row, spot: Spot, status: str, fine: str | None) -> Scan:
        places = (*spot[:2], self.region(spot), spot.state)
        occurred = self._cells.time(row, self._fields.occurred_at, *places)
        received = self._cells.time(row, self._fields.received_at, *places)
        return Scan(status, fine, _iso(occurred), spot, _iso(received))

    def _context(self, row: Row) -> dict[str, Any]:
        fields = self._fields
        target = text_of(row, fields.destination_region)
        return {
            "order_id": identifier(text_of(row, fields.order_id)),
            "customer_id": self._cells.customer(row, fields.customer_id),
            "origin_region": self.region(Spot(state=text_of(row, fields.origin_region))),
            "destination_region": self.region(Spot(state=target)),
            "promised_at": self._promised(row, target),
            "declared_value_minor": amount_minor(row, fields.declared_value_minor),
            "service_level": code(text_of(row, fields.service_level)),
            "supplier_id": identifier(text_of(row, fields.supplier_id)),
            "address_hash": self._cells.address(row, fields.address_hash),
            "fragile": flag(text_of(row, fields.fragile)),
            "awaits_customer": flag(text_of(row, fields.awaits_customer)),
        }

    def _promised(self, row: Row, target: str | None) -> datetime | None:
        spec = self._fields.promised_at
        if spec is None or spec.format != "iso":
            return self._cells.time(row, spec, target)
        return self.promise(text_of(row, spec), target)


def with_zones(options: Options, mapping: Mapping) -> Options:
    """Return options with the zones of a mapping where it has some."""
    return replace(
        options, zone=mapping.zone or options.zone, zones={**options.zones, **mapping.zones}
    )


def _words(spec: MilestoneColumn, options: Options) -> Reader:
    base = VOCABULARIES[spec.vocabulary] if spec.vocabulary else OWN_WORDS
    return base.folded({**options.values, **spec.values}, options.awaits)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
