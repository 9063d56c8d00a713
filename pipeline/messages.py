"""Remedies as messages: the bodies that coupon provider and notification service receive.

A body is made once, written to the ledger and sent as it is each time, so a repeated key never
comes with other bytes.
"""

from typing import Final

import msgspec

from configs.remedy_schema import FollowUp, Upgrade
from detectors.events import Instant
from pipeline.remedies import RemedyRequest
from sinks.base import Message, MessageKind
from sinks.templates import Text, render

_SYMBOLS: Final = {"CNY": "¥", "EUR": "€", "GBP": "£", "USD": "$", "JPY": "¥"}
_NO_MINOR_UNITS: Final = frozenset({"JPY", "KRW", "VND"})


class CouponOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the coupon provider is asked for."""

    remedy_id: str
    amount_minor: int
    currency: str
    validity_days: int
    reason: str
    decided_at: Instant
    upgrade: Upgrade
    customer_id: str | None = None
    order_id: str | None = None
    parcel_id: str | None = None
    carrier: str | None = None
    campaign: str | None = None


class CustomerNotice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer is told, in every language, and what else is to be done."""

    remedy_id: str
    template: str
    texts: dict[str, Text]
    upgrade: Upgrade
    follow_up: FollowUp
    amount_minor: int
    currency: str
    customer_id: str | None = None
    order_id: str | None = None
    parcel_id: str | None = None
    carrier: str | None = None
    coupon: str | None = None
    """The provider's name for the coupon."""


def coupon_body(request: RemedyRequest) -> str:
    """Return the frozen body of a coupon."""
    order = CouponOrder(
        remedy_id=request.remedy_id,
        amount_minor=request.amount_minor,
        currency=request.currency,
        validity_days=request.validity_days,
        reason=request.decision_reason,
        decided_at=request.decided_at,
        upgrade=request.upgrade,
        customer_id=request.customer_id,
        order_id=request.order_id,
        parcel_id=request.parcel_id,
        carrier=request.carrier,
        campaign=request.campaign,
    )
    return msgspec.json.encode(order).decode()


def coupon_message(remedy_id: str, body: str) -> Message:
    """Return what the provider is sent."""
    return Message(kind=MessageKind.COUPON, key=remedy_id, body=body.encode())


def notification_message(request: RemedyRequest, reference: str | None) -> Message:
    """Return what the notification service is sent; the same for the same remedy."""
    values = {
        "parcel": request.parcel_id or "",
        "carrier": request.carrier or "",
        "amount": amount_text(request.amount_minor, request.currency),
        "validity_days": str(request.validity_days),
    }
    notice = CustomerNotice(
        remedy_id=request.remedy_id,
        template=request.template,
        texts=render(request.template, values),
        upgrade=request.upgrade,
        follow_up=request.follow_up,
        amount_minor=request.amount_minor,
        currency=request.currency,
        customer_id=request.customer_id,
        order_id=request.order_id,
        parcel_id=request.parcel_id,
        carrier=request.carrier,
        coupon=reference,
    )
    return notice_message(request.remedy_id, msgspec.json.encode(notice).decode())


def notice_message(remedy_id: str, body: str) -> Message:
    """Return what the notification service is sent, from its frozen body."""
    return Message(kind=MessageKind.NOTIFICATION, key=f"{remedy_id}.notice", body=body.encode())


def amount_text(amount_minor: int, currency: str) -> str:
    """Return an amount for a customer to read, without rounding.

    Examples
    --------
    >>> amount_text(500, "CNY"), amount_text(1050, "EUR"), amount_text(500, "JPY")
    ('¥5', '€10.50', '¥500')
    """
    if currency in _NO_MINOR_UNITS:
        whole, rest = amount_minor, 0
    else:
        whole, rest = divmod(amount_minor, 100)
    number = f"{whole}.{rest:02d}" if rest else str(whole)
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{number} {currency}"
