"""Remedies as messages: the bodies that coupon provider and notification service receive.

A body is made once, written to the ledger and sent as it is each time, so a repeated key never
comes with other bytes.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from configs.remedy_schema import FollowUp, Form, Upgrade
from detectors.events import Instant
from pipeline.remedies import RemedyRequest
from sinks.base import Message, MessageKind
from sinks.letters import Letter, as_text


class CouponOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the coupon provider is asked for."""

    remedy_id: str
    form: Form
    """`refund`: back to the way the order was paid; nothing comes back."""
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


class Text(msgspec.Struct, frozen=True):
    """One message in one language."""

    subject: str
    body: str
    """Plain text."""
    letter: Letter
    """The same in parts, for those who set it themselves."""


class CustomerNotice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer is told, in every language, and what else is to be done."""

    remedy_id: str
    template: str
    written_at: Instant
    texts: dict[str, Text]
    upgrade: Upgrade
    follow_up: FollowUp
    amount_minor: int
    currency: str
    follow_up_due_at: Instant | None = None
    region: str | None = None
    customer_id: str | None = None
    order_id: str | None = None
    parcel_id: str | None = None
    carrier: str | None = None
    coupon: str | None = None
    """The provider's name for the coupon."""


class ActionOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody has to do for a parcel or a customer."""

    remedy_id: str
    action: str
    """An upgrade (`express`, `priority_clearance`) or a follow-up (`dedicated_agent`)."""
    reason: str
    decided_at: Instant
    due_at: Instant | None = None
    customer_id: str | None = None
    order_id: str | None = None
    parcel_id: str | None = None
    carrier: str | None = None
    facility: str | None = None
    region: str | None = None


def coupon_body(request: RemedyRequest) -> str:
    """Return the frozen body of a coupon."""
    order = CouponOrder(
        remedy_id=request.remedy_id,
        form=request.form,
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


def action_messages(request: RemedyRequest) -> dict[str, Message]:
    """Return what is asked for the parcel and the customer, by the field of the request."""
    wanted = {
        "upgrade": (request.upgrade, Upgrade.NONE, None),
        "follow_up": (request.follow_up, FollowUp.NONE, request.follow_up_due_at),
    }
    return {
        field: _action_message(request, field, str(action), due_at)
        for field, (action, none, due_at) in wanted.items()
        if action is not none
    }


def has_actions(request: RemedyRequest) -> bool:
    """Tell whether something is asked for besides money."""
    return request.upgrade is not Upgrade.NONE or request.follow_up is not FollowUp.NONE


def _action_message(
    request: RemedyRequest, field: str, action: str, due_at: datetime | None
) -> Message:
    order = ActionOrder(
        remedy_id=request.remedy_id,
        action=action,
        reason=request.decision_reason,
        decided_at=request.decided_at,
        due_at=due_at,
        customer_id=request.customer_id,
        order_id=request.order_id,
        parcel_id=request.parcel_id,
        carrier=request.carrier,
        facility=request.facility,
        region=request.region,
    )
    key = f"{request.remedy_id}.{field}"
    return Message(kind=MessageKind.ACTION, key=key, body=msgspec.json.encode(order))


def notice_body(
    request: RemedyRequest,
    reference: str | None,
    letters: Mapping[str, Letter],
    written_at: datetime,
) -> str:
    """Return the body of what the notification service is sent, to be frozen."""
    notice = CustomerNotice(
        remedy_id=request.remedy_id,
        template=request.template,
        written_at=written_at,
        texts={
            language: Text(letter.subject, as_text(letter), letter)
            for language, letter in letters.items()
        },
        upgrade=request.upgrade,
        follow_up=request.follow_up,
        follow_up_due_at=request.follow_up_due_at,
        amount_minor=request.amount_minor,
        currency=request.currency,
        region=request.destination_region or request.region,
        customer_id=request.customer_id,
        order_id=request.order_id,
        parcel_id=request.parcel_id,
        carrier=request.carrier,
        coupon=reference,
    )
    return msgspec.json.encode(notice).decode()


def notice_message(remedy_id: str, body: str) -> Message:
    """Return what the notification service is sent, from its frozen body."""
    return Message(kind=MessageKind.NOTIFICATION, key=f"{remedy_id}.notice", body=body.encode())
