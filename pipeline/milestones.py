"""What carriers and aggregators call a milestone, mapped onto ours.

Plain data: one table a vocabulary, with where its codes are published. `milestone` never fails:
a code that is not in the table is `Milestone.OTHER`, which moves time but not the stage; callers
count those (`is_known`). A finer code wins over the coarse one it belongs to.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from detectors.events import Milestone

M: TypeAlias = Milestone


class Vocabulary(StrEnum):
    """Whose codes."""

    AFTERSHIP = "aftership"
    TRACK17 = "17track"
    EASYPOST = "easypost"
    EMSEVT = "emsevt"
    EPCIS = "epcis"


def milestone(vocabulary: Vocabulary, code: str, detail: str | None = None) -> Milestone:
    """Return the milestone of a code and, where the vocabulary has one, of its finer code.

    Examples
    --------
    >>> milestone(Vocabulary.AFTERSHIP, "InTransit", "InTransit_006").value
    'customs_presented'
    >>> milestone(Vocabulary.EMSEVT, "EMI").value
    'delivered'
    >>> milestone(Vocabulary.EASYPOST, "a code of tomorrow").value
    'other'
    """
    table = _TABLES[vocabulary]
    found = table.get(_normal(detail)) if detail else None
    return found or table.get(_normal(code), M.OTHER)


def is_known(vocabulary: Vocabulary, code: str) -> bool:
    """Tell whether a code is in the table, also where it maps to `other`."""
    return _normal(code) in _TABLES[vocabulary]


def codes(vocabulary: Vocabulary) -> Mapping[str, Milestone]:
    """Return the table, keyed in lower case."""
    return _TABLES[vocabulary]


def _normal(code: str) -> str:
    """Fold case; EPCIS 2.0 writes CBV terms bare, as URN or as web URI."""
    folded = code.strip().casefold()
    for prefix in (
        "urn:epcglobal:cbv:bizstep:",
        "https://ref.gs1.org/cbv/bizstep-",
        "cbv:bizstep-",
    ):
        folded = folded.removeprefix(prefix)
    return folded


_AFTERSHIP: Final = {
    # Tags, aftership-tracking-sdk 10.0.1 tag.py; sub-tags, AfterShip Tracking API 2026-07,
    # delivery-sub-statuses. Numbers that are not published stay with their tag.
    "Pending": M.OTHER,
    "InfoReceived": M.LABEL_CREATED,
    "InTransit": M.OTHER,  # says that something happened, not what
    "InTransit_001": M.OTHER,
    "InTransit_002": M.PICKED_UP,
    "InTransit_003": M.ARRIVED,
    "InTransit_004": M.ARRIVED,
    "InTransit_005": M.CUSTOMS_RELEASED,
    "InTransit_006": M.CUSTOMS_PRESENTED,
    "InTransit_007": M.DEPARTED,
    "InTransit_008": M.OTHER,
    "InTransit_009": M.DEPARTED,
    "OutForDelivery": M.OUT_FOR_DELIVERY,
    "OutForDelivery_003": M.OTHER,  # the customer was contacted
    "OutForDelivery_004": M.OTHER,  # an appointment was made
    "AttemptFail": M.DELIVERY_FAILED,
    "Delivered": M.DELIVERED,
    "AvailableForPickup": M.AT_PICKUP_POINT,
    "Exception": M.OTHER,
    "Exception_001": M.OTHER,
    "Exception_002": M.DELIVERY_FAILED,
    "Exception_003": M.DELIVERY_FAILED,
    "Exception_004": M.CUSTOMS_HELD,
    "Exception_005": M.OTHER,
    "Exception_006": M.OTHER,
    "Exception_007": M.DELIVERY_FAILED,
    "Exception_008": M.OTHER,  # a pick-up was missed; whose is not said
    "Exception_009": M.OTHER,
    "Exception_010": M.RETURNING,
    "Exception_011": M.RETURNED,
    "Exception_012": M.DAMAGED,
    "Exception_013": M.LOST,
    "Exception_016": M.OTHER,
    "Exception_017": M.OTHER,
    "Exception_018": M.OTHER,
    "Exception_019": M.OTHER,
    "Exception_020": M.CANCELLED,
    "Exception_021": M.LOST,  # disposed of: it will not come
    "Expired": M.OTHER,
}

_TRACK17: Final = {
    # 17TRACK API v2.2, main and sub status.
    "NotFound": M.OTHER,
    "NotFound_Other": M.OTHER,
    "NotFound_InvalidCode": M.OTHER,
    "InfoReceived": M.LABEL_CREATED,
    "InTransit": M.OTHER,
    "InTransit_PickedUp": M.PICKED_UP,
    "InTransit_Other": M.OTHER,
    "InTransit_Departure": M.DEPARTED,
    "InTransit_Arrival": M.ARRIVED,
    "InTransit_CustomsProcessing": M.CUSTOMS_PRESENTED,
    "InTransit_CustomsReleased": M.CUSTOMS_RELEASED,
    "InTransit_CustomsRequiringInformation": M.CUSTOMS_HELD,
    "Expired": M.OTHER,
    "Expired_Other": M.OTHER,
    "AvailableForPickup": M.AT_PICKUP_POINT,
    "AvailableForPickup_Other": M.AT_PICKUP_POINT,
    "OutForDelivery": M.OUT_FOR_DELIVERY,
    "OutForDelivery_Other": M.OUT_FOR_DELIVERY,
    "DeliveryFailure": M.DELIVERY_FAILED,
    "DeliveryFailure_Other": M.DELIVERY_FAILED,
    "DeliveryFailure_NoBody": M.DELIVERY_FAILED,
    "DeliveryFailure_Security": M.DELIVERY_FAILED,
    "DeliveryFailure_Rejected": M.DELIVERY_FAILED,
    "DeliveryFailure_InvalidAddress": M.DELIVERY_FAILED,
    "Delivered": M.DELIVERED,
    "Delivered_Other": M.DELIVERED,
    "Exception": M.OTHER,
    "Exception_Other": M.OTHER,
    "Exception_Returning": M.RETURNING,
    "Exception_Returned": M.RETURNED,
    "Exception_NoBody": M.DELIVERY_FAILED,
    "Exception_Security": M.OTHER,
    "Exception_Damage": M.DAMAGED,
    "Exception_Rejected": M.DELIVERY_FAILED,
    "Exception_Delayed": M.OTHER,
    "Exception_Lost": M.LOST,
    "Exception_Destroyed": M.LOST,
    "Exception_Cancel": M.CANCELLED,
}

_EASYPOST: Final = {
    # docs.easypost.com/docs/trackers, status. `failure` covers lost, damaged and undeliverable:
    # too much to say which.
    "unknown": M.OTHER,
    "pre_transit": M.LABEL_CREATED,
    "in_transit": M.OTHER,
    "out_for_delivery": M.OUT_FOR_DELIVERY,
    "delivered": M.DELIVERED,
    "available_for_pickup": M.AT_PICKUP_POINT,
    "return_to_sender": M.RETURNING,
    "failure": M.OTHER,
    "cancelled": M.CANCELLED,
    "error": M.OTHER,
}

_EMSEVT: Final = {
    # UPU EDI message EMSEVT V3, event codes. OE = office of exchange.
    "EMA": M.PICKED_UP,  # posting or collection
    "EMB": M.ARRIVED,  # at the outward OE
    "EXA": M.CUSTOMS_PRESENTED,  # to export customs
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
    "EME": M.CUSTOMS_HELD,
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
}

_EPCIS: Final = {
    # GS1 EPCIS 2.0, EPCIS-BizSteps-JSON-Schema.json (41 values). Most are of factory and shop.
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
}  # fmt: skip

_TABLES: Final[Mapping[Vocabulary, Mapping[str, Milestone]]] = MappingProxyType(
    {
        name: MappingProxyType({_normal(code): found for code, found in table.items()})
        for name, table in (
            (Vocabulary.AFTERSHIP, _AFTERSHIP),
            (Vocabulary.TRACK17, _TRACK17),
            (Vocabulary.EASYPOST, _EASYPOST),
            (Vocabulary.EMSEVT, _EMSEVT),
            (Vocabulary.EPCIS, _EPCIS),
        )
    }
)
