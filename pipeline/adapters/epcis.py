"""GS1 EPCIS 2.0 in JSON and JSON-LD: documents, query results and single events.

A parcel is a logistic unit: an SSCC, a shipment or consignment, or an identifier of one's own;
products and assets are no parcels. `eventTime` has an offset by the standard. `errorDeclaration`
says that the event it is on never happened; the event itself, said before, carries the same
`eventID`, and what happened instead comes as an event of its own.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

import msgspec

from pipeline.adapters.base import Spot, made_id
from pipeline.adapters.documents import decoded
from pipeline.adapters.gs1 import location, logistic_unit
from pipeline.adapters.items import (
    Document,
    Ignored,
    Item,
    Read,
    Refusal,
    Retraction,
    Skipped,
    Unreadable,
)
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import SAME, M, Vocabulary

VOCABULARY: Final = Vocabulary(
    title="GS1 EPCIS 2.0",
    source="Core Business Vocabulary 2.0: business steps and dispositions",
    coarse={
        # Most are of factory and shop.
        **dict.fromkeys(
            (
                "assembling", "commissioning", "consigning", "creating_class_instance",
                "cycle_counting", "decommissioning", "disassembling", "dispensing", "encoding",
                "entering_exiting", "holding", "inspecting", "installing", "killing", "loading",
                "other", "packing", "picking", "removing", "repackaging", "repairing", "replacing",
                "reserving", "retail_selling", "sampling", "sensor_reporting", "staging_outbound",
                "stock_taking", "stocking", "storing", "transporting", "unloading", "unpacking",
            ),
            M.OTHER,
        ),
        "accepting": M.ARRIVED,  # a change of possession on arrival
        "arriving": M.ARRIVED,
        "collecting": M.PICKED_UP,
        "departing": M.DEPARTED,
        "destroying": M.LOST,
        "receiving": M.ARRIVED,
        "shipping": M.DEPARTED,
        "void_shipping": M.CANCELLED,
    },
    fine={
        **dict.fromkeys(
            (
                "active", "available", "completeness_inferred", "completeness_verified",
                "conformant", "container_closed", "container_open", "dispensed", "encoded",
                "expired", "in_progress", "in_transit", "inactive", "mismatch_class",
                "mismatch_instance", "mismatch_quantity", "needs_replacement", "no_pedigree_match",
                "non_conformant", "non_sellable_other", "partially_dispensed", "recalled",
                "reserved", "retail_sold", "sellable_accessible", "sellable_not_accessible",
                "unavailable", "unknown",
            ),
            SAME,
        ),
        "damaged": M.DAMAGED,
        "destroyed": M.LOST,
        "disposed": M.LOST,
        "stolen": M.LOST,
        "returned": M.RETURNING,  # on arrival: returned
    },
)  # fmt: skip

_PREFIXES: Final = (
    "urn:epcglobal:cbv:bizstep:", "urn:epcglobal:cbv:disp:", "https://ref.gs1.org/cbv/bizstep-",
    "https://ref.gs1.org/cbv/disp-", "cbv:bizstep-", "cbv:disp-",
)  # fmt: skip
_ARRIVALS: Final = frozenset({"accepting", "arriving", "receiving"})
_Site = dict[str, object] | str | None


class _ErrorDeclaration(msgspec.Struct):
    declarationTime: str | None = None  # noqa: N815 - the standard's names


class _Event(msgspec.Struct):
    type: str | None = None
    isA: str | None = None  # noqa: N815
    eventID: str | None = None  # noqa: N815
    eventTime: str | None = None  # noqa: N815
    recordTime: str | None = None  # noqa: N815
    epcList: list[str] | None = None  # noqa: N815
    parentID: str | None = None  # noqa: N815
    bizStep: str | None = None  # noqa: N815
    disposition: str | None = None
    readPoint: _Site = None  # noqa: N815
    bizLocation: _Site = None  # noqa: N815
    errorDeclaration: _ErrorDeclaration | None = None  # noqa: N815


class _Results(msgspec.Struct):
    eventList: list[_Event] | None = None  # noqa: N815


class _QueryResults(msgspec.Struct):
    resultsBody: _Results | None = None  # noqa: N815


class _Body(_Results):
    event: _Event | None = None
    queryResults: _QueryResults | None = None  # noqa: N815


class _Document(_Event):
    """An EPCISDocument or EPCISQueryDocument (`epcisBody`), or an event itself."""

    epcisBody: _Body | None = None  # noqa: N815


_document: Final = msgspec.json.Decoder(_Document)


class Epcis(TrackingAdapter):
    """Reads EPCIS events of logistic units."""

    name: ClassVar[str] = "epcis"
    retracts: ClassVar[bool] = True
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield every event once for each parcel it is about."""
        for event in _events(decoded(_document, payload)):
            units = _units(event)
            if not units:
                yield Ignored(Skipped.NO_LOGISTIC_UNIT)
            for unit in units:
                yield self._item(event, unit)

    def _item(self, event: _Event, unit: str) -> Item:
        step, disposition = _term(event.bizStep), _term(event.disposition)
        site = location(_id(event.readPoint) or _id(event.bizLocation))
        parcel = Parcel(self.carrier(self.options.carrier or self.name), self.number(unit), {})
        scan = Scan(step, disposition, event.eventTime, Spot(site), event.recordTime)
        if disposition == "returned" and step in _ARRIVALS:
            item = self.event(parcel, scan, M.RETURNED)
        else:
            item = self.scanned(parcel, scan)
        if not isinstance(item, Read):
            return item
        # The code alone would make an event and its correction (another place, say) the same.
        seen = (item.event.occurred_at.isoformat(), step or "", disposition or "", site or "")
        identity = made_id(self.name, parcel.carrier, parcel.number, *seen, event.eventID or "")
        if event.errorDeclaration is not None:
            return Retraction(identity)
        return Read(msgspec.structs.replace(item.event, event_id=identity), item.unknown)


def _events(document: _Document) -> list[_Event]:
    body = document.epcisBody
    if body is None:
        if document.eventTime is None:
            raise Unreadable(Refusal.WRONG_SHAPE, "holds no EPCIS event")
        return [document]
    if body.queryResults is not None:
        body = _Body(eventList=(body.queryResults.resultsBody or _Results()).eventList)
    return body.eventList or ([body.event] if body.event is not None else [])


def _units(event: _Event) -> list[str]:
    """Return the parcels an event is about: a pallet that parcels are put on, or themselves."""
    uris = [event.parentID] if event.parentID else event.epcList or []
    return [unit for unit in map(logistic_unit, uris) if unit is not None]


def _term(text: str | None) -> str | None:
    """Return a term of the vocabulary, which may be bare, a URN or a web URI."""
    if text is None:
        return None
    folded = text.strip().casefold()
    for prefix in _PREFIXES:
        folded = folded.removeprefix(prefix)
    return folded


def _id(site: _Site) -> str | None:
    if isinstance(site, dict):
        found = site.get("id")
        return found if isinstance(found, str) else None
    return site
