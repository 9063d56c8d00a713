"""What a column is and what its values mean, guessed, each guess with how sure and why."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from detectors.events import Milestone
from pipeline.adapters.table import VOCABULARIES
from pipeline.adapters.times import BadTime, TimeProblem, read_time
from pipeline.adapters.vocabulary import fold

_SURE: Final = 0.82
"""Similarity from which a phrase is taken for a known one."""
_MOST: Final = 0.8
"""Share of values that must look like something for the column to be it."""


class Field(StrEnum):
    """Fields of a scan that a column may hold."""

    PARCEL_ID = "parcel_id"
    CARRIER = "carrier"
    MILESTONE = "milestone"
    OCCURRED_AT = "occurred_at"
    FACILITY = "facility"
    CITY = "city"
    REGION = "region"
    ORDER_ID = "order_id"
    CUSTOMER_ID = "customer_id"
    PROMISED_AT = "promised_at"
    SERVICE_LEVEL = "service_level"


class ColumnGuess(NamedTuple):
    """What a column probably is."""

    field: Field | None
    score: float


class TimeGuess(NamedTuple):
    """How times are written."""

    format: str
    local: bool
    """They have no offset."""
    unread: int
    ambiguous: str | None
    """The format that reads them as well, with day and month exchanged."""


class Status(NamedTuple):
    """What a status probably means; no milestone where nothing is like it."""

    milestone: Milestone | None
    why: str


_NAMES: Final = {
    Field.PARCEL_ID: "tracking number; tracking no; trackingnumber; tracking id; tracking; parcel; "
    "parcel id; parcel no; shipment id; waybill; awb; barcode; consignment; item id; item; "
    "sendungsnummer; paketnummer; numero de suivi; numero de envio; codigo de rastreio; 运单号; "
    "快递单号; 单号",
    Field.CARRIER: "carrier; courier; slug; shipper; carrier name; dienstleister; transporteur; "
    "transportadora; 承运商; 快递公司",
    Field.MILESTONE: "status; event; state; event code; status code; scan type; activity; "
    "event type; event status; ereignis; statut; evento; estado; milestone; 状态",
    Field.OCCURRED_AT: "event time; timestamp; scan time; scanned at; date time; datetime; "
    "occurred at; event date; event datetime; status date; time; date; zeitpunkt; datum; zeit; "
    "date heure; fecha; changed at; updated at; 时间; 扫描时间",
    Field.FACILITY: "facility; hub; depot; office; station; branch; niederlassung; agence; 网点",
    Field.CITY: "city; location; town; ort; stadt; ville; ciudad; cidade; 城市",
    Field.REGION: "region; state; province; bundesland; provincia; 省份; 地区",
    Field.ORDER_ID: "order; order id; order number; order no; auftrag; bestellnummer; commande; "
    "pedido; 订单号",
    Field.CUSTOMER_ID: "customer; customer id; client; client id; kunde; kundennummer; "
    "cliente; 客户",
    Field.PROMISED_AT: "eta; promised; promised at; promised date; estimated delivery; "
    "expected delivery; liefertermin; 预计送达",
    Field.SERVICE_LEVEL: "service; service level; product; servicio; produkt; leistung; 服务",
}
_FORMATS: Final = (
    "iso", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M %p",
    "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d %b %Y %H:%M", "%b %d, %Y %I:%M %p",
    "%Y%m%d%H%M%S", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%Y%m%d",
)  # fmt: skip
_PHRASES: Final = {
    Milestone.LABEL_CREATED: "label created; shipment information received; announced; order data "
    "transmitted; angekündigt; elektronisch angekündigt; 已下单",
    Milestone.PICKED_UP: "picked up; collected; accepted; received by carrier; abgeholt; "
    "eingeliefert; pris en charge; recogido; 已揽收; 揽收",
    Milestone.DEPARTED: "departed; departed facility; left facility; in transit; on the way; "
    "forwarded; unterwegs; en route; 已发出; 运输中",
    Milestone.ARRIVED: "arrived; arrived at facility; arrival scan; in sorting centre; "
    "processed at facility; im paketzentrum; arrivé; 到达; 已到达",
    Milestone.CUSTOMS_PRESENTED: "customs clearance started; presented to customs; in customs; "
    "zoll",
    Milestone.CUSTOMS_HELD: "held by customs; customs hold; beim zoll festgehalten; 海关扣留",
    Milestone.CUSTOMS_RELEASED: "customs cleared; released by customs; verzollt; 清关完成",
    Milestone.OUT_FOR_DELIVERY: "out for delivery; with courier; with driver; in zustellung; "
    "im zustellfahrzeug; en cours de livraison; en reparto; 派送中; 派件中",
    Milestone.DELIVERY_FAILED: "delivery failed; failed attempt; delivery attempted; not home; "
    "refused; zustellversuch; nicht angetroffen; 派送失败",
    Milestone.AT_PICKUP_POINT: "available for pickup; ready for collection; at pickup point; "
    "in filiale; abholbereit; 待取件",
    Milestone.DELIVERED: "delivered; delivered to recipient; zugestellt; livré; entregado; "
    "entregue; 已签收; 签收",
    Milestone.RETURNING: "return to sender; returning; rücksendung; retoure; 退回中",
    Milestone.RETURNED: "returned; returned to sender; zurück an absender; 已退回",
    Milestone.DAMAGED: "damaged; beschädigt; 破损",
    Milestone.LOST: "lost; verloren; 丢失",
    Milestone.CANCELLED: "cancelled; canceled; storniert; annulé; 已取消",
}
_TRACKING_NUMBER: Final = re.compile(r"(?=(?:.*\d){5})[A-Za-z0-9-]{8,40}")
_WORDS: Final = re.compile(r"[\W_]+")


def _phrase(text: str) -> str:
    return " ".join(_WORDS.split(text.casefold())).strip()


_KNOWN_NAMES: Final = {
    field: tuple(_phrase(name) for name in names.split(";")) for field, names in _NAMES.items()
}
_KNOWN: Final = {
    _phrase(phrase): milestone
    for milestone, phrases in _PHRASES.items()
    for phrase in phrases.split(";")
} | {_phrase(milestone): milestone for milestone in Milestone if milestone is not Milestone.OTHER}


def field_of(name: str, values: Sequence[str]) -> ColumnGuess:
    """Return what a column probably is, by its name and by what stands in it."""
    words = _phrase(name.rpartition(".")[2])
    scores = {field: _likeness(words, known) for field, known in _KNOWN_NAMES.items()}
    if _share(values, _looks_like_status) >= _MOST:
        scores[Field.MILESTONE] += 1.0
    if time_format(values) is None:
        scores[Field.OCCURRED_AT] = scores[Field.PROMISED_AT] = 0.0
    else:
        scores[Field.OCCURRED_AT] += 0.6
    if _share(values, _looks_like_number) >= _MOST and len(set(values)) > 1:
        scores[Field.PARCEL_ID] += 0.5
    best = max(scores, key=lambda field: scores[field])
    return ColumnGuess(best, scores[best]) if scores[best] >= 0.75 else ColumnGuess(None, 0.0)


def _likeness(words: str, known: Sequence[str]) -> float:
    """Return 1 for a known name, less where it is only like one."""
    if words in known:
        return 1.0
    return 0.8 if difflib.get_close_matches(words, known, n=1, cutoff=0.8) else 0.0


def _share(values: Sequence[str], looks: Callable[[str], bool]) -> float:
    return sum(looks(value) for value in values) / len(values) if values else 0.0


def _looks_like_status(value: str) -> bool:
    return status_of(value).milestone is not None


def _looks_like_number(value: str) -> bool:
    return _TRACKING_NUMBER.fullmatch(value) is not None


def status_of(value: str) -> Status:
    """Return what a status means, by the codes and the words known here."""
    for name, vocabulary in VOCABULARIES.items():
        for code, milestone in vocabulary.rows():
            if fold(code) == fold(value) and milestone not in {None, Milestone.OTHER}:
                return Status(milestone, f"a code of {name}")
    words = _phrase(value)
    if words in _KNOWN:
        return Status(_KNOWN[words], "said so")
    near = difflib.get_close_matches(words, _KNOWN, n=1, cutoff=_SURE)
    if near:
        return Status(_KNOWN[near[0]], f"DOUBT: like {near[0]!r}")
    return Status(None, "")


def vocabulary_of(values: Sequence[str]) -> str | None:
    """Return the vocabulary that knows nearly all values, None where none does."""
    distinct = Counter(map(fold, values))
    best, known = None, 0
    for name, vocabulary in VOCABULARIES.items():
        codes = {fold(code) for code, _ in vocabulary.rows()}
        found = sum(count for value, count in distinct.items() if value in codes)
        if found > known:
            best, known = name, found
    return best if known >= 0.9 * sum(distinct.values()) else None


def time_format(values: Sequence[str]) -> TimeGuess | None:
    """Return the format that reads most values, None where none reads most."""
    if not values:
        return None
    if _share(values, str.isdecimal) == 1.0:
        return _epoch(values)
    read = {layout: sum(_reads(value, layout) for value in values) for layout in _FORMATS}
    best = max(_FORMATS, key=lambda layout: read[layout])
    if read[best] < _MOST * len(values):
        return None
    exchanged = best.replace("%d", "%!").replace("%m", "%d").replace("%!", "%m")
    other = exchanged if exchanged != best and read.get(exchanged, 0) == read[best] else None
    return TimeGuess(best, _is_local(values, best), len(values) - read[best], other)


def _epoch(values: Sequence[str]) -> TimeGuess | None:
    digits = {len(value) for value in values}
    layout = {10: "epoch_s", 13: "epoch_ms", 16: "epoch_us", 14: "%Y%m%d%H%M%S", 8: "%Y%m%d"}.get(
        next(iter(digits)) if len(digits) == 1 else 0
    )
    if layout is None or not all(_reads(value, layout) for value in values):
        return None
    return TimeGuess(layout, not layout.startswith("epoch"), 0, None)


def _reads(value: str, layout: str) -> bool:
    try:
        found = read_time(value, None, layout)
    except BadTime as error:
        return error.problem is TimeProblem.NO_ZONE
    return 2000 <= found.year < 2100


def _is_local(values: Sequence[str], layout: str) -> bool:
    for value in values:
        try:
            read_time(value, None, layout)
        except BadTime as error:
            if error.problem is TimeProblem.NO_ZONE:
                return True
    return False
