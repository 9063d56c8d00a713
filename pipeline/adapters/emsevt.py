"""UPU EMSEVT V3: the events posts exchange about an item, as EDIFACT or one row or object an event.

Columns are recognised by the names posts' systems export (below), whatever their case; messages of
an EDIFACT interchange are read by `emsevt_message`. Times are local to the office unless they carry
an offset or the column says GMT. The item's S10 identifier is checked, and its country names the
carrier (`post-cn`).

Customs time counts only between an EME *with a retention reason* and the EMF or EDC that ends it
(UPU quality of service: without a reason "the clock does not stop"). So EME with a reason is
`customs_held`, and EME without one says no more than that customs has the item. Which reasons mean
that customs wait for the addressee is in a code list of UPU members that is not public: a source's
`awaits_customer` names them.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

from pipeline.adapters.base import Spot
from pipeline.adapters.documents import row_of
from pipeline.adapters.edifact import Message, is_interchange, messages
from pipeline.adapters.emsevt_message import OFFICE, REASON, S10, events, is_emsevt
from pipeline.adapters.items import (
    Document,
    Ignored,
    Item,
    Refusal,
    Rejected,
    Row,
    Skipped,
    Unreadable,
)
from pipeline.adapters.scans import Parcel, Scan, TrackingAdapter
from pipeline.adapters.vocabulary import M, Vocabulary

RETAINED: Final = "EME + reason"
VOCABULARY: Final = Vocabulary(
    title="UPU EMSEVT V3",
    source="UPU EDI message EMSEVT V3, event codes; OE = office of exchange",
    coarse={
        "EMA": M.PICKED_UP,  # posting or collection
        "EMB": M.ARRIVED,  # at the outward OE
        "EXA": M.CUSTOMS_PRESENTED,  # to export customs or security
        "EXB": M.CUSTOMS_HELD,
        "EXC": M.CUSTOMS_RELEASED,  # returned by export customs
        "EXD": M.OTHER,  # held at the outward OE, not by customs
        "EXX": M.CANCELLED,  # export cancelled
        "EMC": M.DEPARTED,  # from the outward OE
        "EMJ": M.ARRIVED,  # at a transit OE
        "EMK": M.DEPARTED,
        "EMD": M.ARRIVED,  # at the inward OE
        "EDA": M.OTHER,  # held at the inward OE, not by customs
        "EDB": M.CUSTOMS_PRESENTED,  # to import customs
        "EME": M.CUSTOMS_PRESENTED,  # held by import customs, no reason given
        "EDC": M.CUSTOMS_RELEASED,  # returned by import customs
        "EMF": M.DEPARTED,  # from the inward OE
        "EDD": M.ARRIVED,  # into a sorting centre
        "EDE": M.DEPARTED,
        "EMG": M.ARRIVED,  # at the delivery office
        "EDF": M.OTHER,  # held at the delivery depot
        "EDG": M.OUT_FOR_DELIVERY,
        "EDH": M.AT_PICKUP_POINT,
        "EMH": M.DELIVERY_FAILED,
        "EMI": M.DELIVERED,
        "EDX": M.OTHER,  # import terminated: by whom and to what end is not said
    },
    fine={RETAINED: M.CUSTOMS_HELD},  # held by import customs, with a retention reason
)

_COLUMNS: Final = {
    "item": ("item_id", "item_identifier", "mailitm_fid", "mail_item_id", "s10", "tracking_number"),
    "code": ("event_code", "event_type", "event_type_cd", "event", "code"),
    "gmt": ("event_gmt_dt", "event_datetime_gmt", "event_utc"),
    "time": ("event_datetime", "event_date_time", "event_lcl_dt", "event_dt", "event_time", "time"),
    "office": ("office", "office_code", "event_office_cd", "office_of_exchange", "impc"),
    "reason": ("retention_reason", "retention_reason_code", "retention_reason_cd", "reason_code"),
    "recorded": ("capture_gmt_dt", "captured_at", "transmitted_at"),
}
_S10_WEIGHTS: Final = (8, 6, 4, 2, 3, 5, 9, 7)
_NOT_WORD: Final = re.compile(r"\W+")


class Emsevt(TrackingAdapter):
    """Reads EMSEVT events: interchanges, rows and objects."""

    name: ClassVar[str] = "emsevt"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def items(self, payload: Document, _at: datetime | None, /) -> Iterator[Item]:
        """Yield the event of a row, or those of an interchange, message by message."""
        if not isinstance(payload, bytes) or not is_interchange(payload):
            yield self._event(_named(row_of(payload)))
            return
        for message in messages(payload):
            if not is_emsevt(message):
                yield Ignored(Skipped.OTHER_SUBJECT)
                continue
            yield from self._of_message(message)

    def _of_message(self, message: Message) -> Iterator[Item]:
        try:
            found = events(message)
        except Unreadable as error:
            yield Rejected(error.reason, str(error))
            return
        for each in found:
            try:
                yield self._event(each)
            except Unreadable as error:  # of this item alone
                yield Rejected(error.reason, str(error))

    def _event(self, found: dict[str, str]) -> Item:
        item = (found.get("item") or "").replace(" ", "").upper()
        code = found.get("code")
        if not code:
            raise Unreadable(Refusal.NO_STATUS, "no event code; known columns: event_code, …")
        parcel = Parcel(self._carrier_of(item), self.number(item), {})
        return self.scanned(parcel, _scan(code, found))

    def _carrier_of(self, item: str) -> str:
        match = S10.fullmatch(item)
        if match is None:
            return self.carrier(None)
        if check_digit(match[1]) != match[2]:
            raise Unreadable(Refusal.NO_PARCEL, "an S10 identifier with a wrong check digit")
        return self.carrier(self.options.carrier or f"post-{match[3]}")


def check_digit(serial: str) -> str:
    """Return the check digit of the eight digits of an S10 identifier.

    Examples
    --------
    >>> check_digit("47312482")  # UPU S10, example RA473124829CN
    '9'
    """
    weighed = sum(w * int(digit) for w, digit in zip(_S10_WEIGHTS, serial, strict=True))
    found = 11 - weighed % 11
    return {10: "0", 11: "5"}.get(found, str(found))


def _named(row: Row) -> dict[str, str]:
    """Return the values of a row by what they are."""
    folded = {_NOT_WORD.sub("_", str(name).strip().casefold()): v for name, v in row.items()}
    found = {}
    for name, columns in _COLUMNS.items():
        for column in columns:
            value = folded.get(column)
            if isinstance(value, str | int) and str(value).strip():
                found[name] = str(value).strip()
                break
    return found


def _scan(code: str, found: dict[str, str]) -> Scan:
    held = code.strip().upper() == "EME" and REASON.fullmatch(found.get("reason", ""))
    office = found.get("office", "").upper()
    known = OFFICE.fullmatch(office) is not None
    spot = Spot(office if known else None, None, None, office[:2] if known else None)
    gmt = found.get("gmt")
    time = f"{gmt.removesuffix('Z')}+00:00" if gmt and "+" not in gmt else gmt
    return Scan(
        code,
        RETAINED if held else None,
        time or found.get("time"),
        spot,
        found.get("recorded"),
        reason=found["reason"] if held else None,
    )
