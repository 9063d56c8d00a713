"""Freshdesk: webhooks of automations, and tickets as the API returns them.

An automation's webhook sends `freshdesk_webhook` with the placeholders one ticked ("simple") or an
object of one's own with the same names ("advanced"); neither has the time unless
`ticket_created_at` is among them, so a ticket then counts from when it came. Let the automation run
on creation only: a ticket is one complaint, whatever else is sent about it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

import msgspec

from pipeline.adapters.base import as_text
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Ignored, Item, Refusal, Skipped, Unreadable
from pipeline.adapters.tickets import Ticket, TicketAdapter

_SOURCES: Final = {
    "1": "email",
    "2": "portal",
    "3": "phone",
    "7": "chat",
    "9": "feedback_widget",
    "10": "outbound_email",
}
"""Numbers the API gives for where a ticket came from."""


class _Requester(msgspec.Struct):
    email: str | None = None
    phone: str | None = None


class _Webhook(msgspec.Struct):
    ticket_id: str | int | None = None
    ticket_created_at: str | None = None
    ticket_tags: str | list[str] | None = None
    ticket_ticket_type: str | None = None
    ticket_source: str | int | None = None
    ticket_requester_email: str | None = None
    ticket_requester_phone: str | None = None
    triggered_event: str | None = None


class _Ticket(msgspec.Struct):
    """Fields of the API; `type` is the ticket's kind."""

    id: str | int | None = None
    created_at: str | None = None
    requester_id: str | int | None = None
    requester: _Requester | None = None
    tags: list[str] | None = None
    type: str | None = None
    source: str | int | None = None


class _Document(_Ticket):
    freshdesk_webhook: _Webhook | None = None
    ticket: _Ticket | None = None


_document: Final = msgspec.json.Decoder(_Document)


class Freshdesk(TicketAdapter):
    """Reads Freshdesk's tickets."""

    name: ClassVar[str] = "freshdesk"

    @staticmethod
    def documented_zone() -> str:
        """Return UTC, in which the API gives every time."""
        return "UTC"

    def items(self, payload: Document, at: datetime | None, /) -> Iterator[Item]:
        """Yield a complaint for each new ticket."""
        document = decoded(_document, payload)
        hook = document.freshdesk_webhook
        if hook is not None and "updated" in (hook.triggered_event or "").casefold():
            yield Ignored(Skipped.OTHER_SUBJECT)
            return
        found = _of_ticket(document.ticket or document) if hook is None else _of_webhook(hook)
        yield self.complaint(found, at)


def _of_webhook(hook: _Webhook) -> Ticket:
    tags = hook.ticket_tags or []
    return Ticket(
        number=_number(hook.ticket_id),
        time=hook.ticket_created_at,
        people=(hook.ticket_requester_email, hook.ticket_requester_phone),
        tags=tags.replace(",", " ").split() if isinstance(tags, str) else tags,
        subject=hook.ticket_ticket_type,
        channel=_channel(hook.ticket_source),
    )


def _of_ticket(ticket: _Ticket) -> Ticket:
    person = ticket.requester or _Requester()
    return Ticket(
        number=_number(ticket.id),
        time=ticket.created_at,
        people=(person.email, person.phone, as_text(ticket.requester_id)),
        tags=ticket.tags or [],
        subject=ticket.type,
        channel=_channel(ticket.source),
    )


def _number(given: str | int | None) -> str:
    if given is None:
        raise Unreadable(Refusal.NO_ID, "holds no ticket with an id")
    return str(given)


def _channel(source: str | int | None) -> str | None:
    text = as_text(source)
    return _SOURCES.get(text or "", text)
