"""The ledger for people: remedies as rows, the history of one, a table for a spreadsheet."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TextIO

import msgspec

from pipeline.facts import amount_text
from pipeline.ledger import (
    Account,
    Book,
    Entry,
    NotificationEntry,
    RemedyEntry,
    State,
    decode_entry,
)
from pipeline.ledger_log import read_book, read_values
from pipeline.remedies import Reason
from pipeline.settings import Kafka

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")


class Row(msgspec.Struct, frozen=True):
    """One remedy in one line."""

    remedy_id: str
    partition: int
    state: str
    reason: str
    waits_for: str
    """Who decides what is held."""
    amount_minor: int
    currency: str
    decided_at: str
    rule: str
    subject: str
    parcel_id: str
    order_id: str
    customer_id: str
    region: str
    reference: str
    attempts: int
    told: str

    @property
    def amount(self) -> str:
        """For a person."""
        return amount_text(self.amount_minor, self.currency) if self.amount_minor else "-"


class Event(msgspec.Struct, frozen=True):
    """One entry of a remedy's history."""

    at: str
    what: str
    reason: str
    who: str
    detail: str


def read_books(kafka: Kafka) -> list[Book]:
    """Fold every partition; raises `BrokenLedger` and `BrokerUnavailable`."""
    return [read_book(kafka, partition) for partition in range(kafka.partitions)]


def rows(books: Sequence[Book]) -> Iterator[Row]:
    """Return every remedy."""
    for partition, book in enumerate(books):
        for account in book.accounts.values():
            yield _row(partition, account)


def _row(partition: int, account: Account) -> Row:
    request = account.request
    return Row(
        remedy_id=request.remedy_id,
        partition=partition,
        state=str(account.state),
        reason=str(account.reason or ""),
        waits_for=_waits_for(account),
        amount_minor=request.amount_minor,
        currency=request.currency,
        decided_at=request.decided_at.isoformat(),
        rule=request.rule,
        subject=request.subject,
        parcel_id=request.parcel_id or "",
        order_id=request.order_id or "",
        customer_id=request.customer_id or "",
        region=request.region or "",
        reference=account.reference or "",
        attempts=account.attempts,
        told=str(account.told) if account.state is State.ISSUED else "",
    )


def _waits_for(account: Account) -> str:
    """Return who decides a held remedy; the night ends by itself."""
    if account.state is not State.HELD or account.reason is Reason.QUIET_HOURS:
        return ""
    request = account.request
    by_rule = {
        Reason.OVER_AUTHORITY: request.person,
        Reason.PERSON_FIRST: request.person,
        Reason.HIGH_CARE: request.person_in_high_care,
    }
    if account.reason not in by_rule:
        return "operations"  # one cause explains many: it is one decision for all of them
    return str(by_rule[account.reason] or "")


def named(found: Iterable[Row], name: str) -> list[Row]:
    """Return the remedies of a parcel, an order, a customer or of that id."""
    return [
        row
        for row in found
        if name in {row.remedy_id, row.parcel_id, row.order_id, row.customer_id, row.subject}
    ]


def history(kafka: Kafka, row: Row) -> list[Event]:
    """Return everything the ledger says of a remedy, oldest first."""
    entries = (
        decode_entry(value)
        for _, value in read_values(kafka, "ledger", row.partition)
        if value is not None
    )
    return [event for entry in entries if (event := _event(entry, row.remedy_id)) is not None]


def _event(entry: Entry, remedy_id: str) -> Event | None:
    if isinstance(entry, RemedyEntry) and entry.remedy_id == remedy_id:
        word = entry.ruling
        return Event(
            at=entry.at.isoformat(),
            what=str(entry.state),
            reason=str(entry.reason or ""),
            who=f"{word.who}: {word.why}" if word else "",
            detail=entry.detail or "",
        )
    if isinstance(entry, NotificationEntry) and entry.remedy_id == remedy_id:
        return Event(entry.at.isoformat(), f"told: {entry.told}", "", "", entry.detail or "")
    return None


def write_csv(found: Iterable[Row], stream: TextIO) -> int:
    """Write remedies as CSV and return how many; no cell is a formula to a spreadsheet."""
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(Row.__struct_fields__)
    count = 0
    for row in found:
        writer.writerow([cell(value) for value in msgspec.structs.astuple(row)])
        count += 1
    return count


def cell(value: object) -> str:
    """Return a cell that is text wherever it is opened (OWASP: CSV injection).

    Examples
    --------
    >>> print(cell('=HYPERLINK("http://evil.example")'))
    '=HYPERLINK("http://evil.example")
    >>> cell(-5), cell("P1")
    ('-5', 'P1')
    """
    if isinstance(value, int):
        return str(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))
    original = str(value).lstrip(" ")
    return f"'{text}" if original.startswith(_FORMULA) else text
