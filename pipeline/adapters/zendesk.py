"""Zendesk: webhooks subscribed to ticket events, and tickets as the API returns them.

Only `ticket.created` is a complaint; later changes of the same ticket are not new ones. Times are
ISO 8601 in UTC. The event names the requester by id alone; webhooks of triggers and tickets of the
API may carry the e-mail address, which is then what the pseudonym is made of.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

import msgspec

from pipeline.adapters.base import as_text
from pipeline.adapters.documents import decoded
from pipeline.adapters.items import Document, Ignored, Item, Refusal, Skipped, Unreadable
from pipeline.adapters.tickets import Ticket, TicketAdapter

_CREATED: Final = frozenset({"zen:event-type:ticket.created", "ticket.TicketCreated"})


class _Via(msgspec.Struct):
    channel: str | int | None = None


class _Requester(msgspec.Struct):
    id: str | int | None = None
    email: str | None = None
    phone: str | None = None


class _Ticket(msgspec.Struct):
    id: str | int | None = None
    created_at: str | None = None
    requester_id: str | int | None = None
    requester: _Requester | None = None
    tags: list[str] | str | None = None
    type: str | None = None
    via: _Via | None = None


class _Document(_Ticket):
    """An event (`detail`), an answer of the API (`ticket`, `tickets`), or a ticket itself."""

    detail: _Ticket | None = None
    ticket: _Ticket | None = None
    tickets: list[_Ticket] | None = None


_document: Final = msgspec.json.Decoder(_Document)


class Zendesk(TicketAdapter):
    """Reads Zendesk's tickets."""

    name: ClassVar[str] = "zendesk"

    @staticmethod
    def documented_zone() -> str:
        """Return UTC, in which the API gives every time."""
        return "UTC"

    def items(self, payload: Document, at: datetime | None, /) -> Iterator[Item]:
        """Yield a complaint for each new ticket."""
        document = decoded(_document, payload)
        if document.detail is not None and document.type not in _CREATED:
            yield Ignored(Skipped.OTHER_SUBJECT)
            return
        for each in _tickets(document):
            yield self.complaint(_ticket(each), at)


def _tickets(document: _Document) -> list[_Ticket]:
    if document.tickets is not None:
        return document.tickets
    return [document.detail or document.ticket or document]


def _ticket(each: _Ticket) -> Ticket:
    if each.id is None:
        raise Unreadable(Refusal.NO_ID, "holds no ticket with an id")
    person = each.requester or _Requester()
    tags = each.tags or []
    return Ticket(
        number=str(each.id),
        time=each.created_at,
        people=(person.email, person.phone, as_text(each.requester_id), as_text(person.id)),
        tags=tags.split() if isinstance(tags, str) else tags,
        subject=each.type,
        channel=as_text((each.via or _Via()).channel),
    )
