"""`forewarn import-orders`: a shop's tables become the two streams, and the books balance."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from detectors.events import Complaint, TrackingEvent
from pipeline.marketplace import Marketplace, MissingTable, RefusedRow, read_table
from pipeline.producer import Outgoing, send_with_progress
from pipeline.settings import Settings

_SHOWN_REFUSALS: Final = 5


class Unbalanced(RuntimeError):
    """Rows were neither used nor refused: a defect of the importer."""


@dataclass(slots=True)
class Books:
    """Every row read and what became of it."""

    order_rows: int = 0
    orders: int = 0
    """Rows that became events."""
    orders_refused: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    """Tracking events by milestone."""
    review_rows: int = 0
    complaints: Counter[str] = field(default_factory=Counter)
    """Rows that became complaints, by category."""
    content: int = 0
    """Reviews with three stars or more."""
    reviews_refused: Counter[str] = field(default_factory=Counter)

    def check(self) -> None:
        """Raise `Unbalanced` unless every row is accounted for once."""
        orders = self.orders + self.orders_refused.total()
        reviews = self.complaints.total() + self.content + self.reviews_refused.total()
        if (orders, reviews) != (self.order_rows, self.review_rows):
            raise Unbalanced(
                f"{self.order_rows} orders read, {orders} accounted for; "
                f"{self.review_rows} reviews read, {reviews} accounted for"
            )

    def report(self) -> dict[str, Any]:
        """Return the books as plain data."""
        return {
            "orders": {
                "rows": self.order_rows,
                "used": self.orders,
                "refused": dict(sorted(self.orders_refused.items())),
            },
            "events": dict(sorted(self.events.items())) | {"total": self.events.total()},
            "reviews": {
                "rows": self.review_rows,
                "complaints": dict(sorted(self.complaints.items())),
                "content": self.content,
                "refused": dict(sorted(self.reviews_refused.items())),
            },
        }


@dataclass(slots=True)
class Imported:
    """Both streams in order of time, the books, and the first refusals in words."""

    tracking: list[TrackingEvent]
    complaints: list[Complaint]
    books: Books
    refusals: list[str]

    def tracking_lines(self) -> Iterator[bytes]:
        """Yield the scans as lines of JSON."""
        return (_encode(event) for event in self.tracking)

    def complaint_lines(self) -> Iterator[bytes]:
        """Yield the complaints as lines of JSON."""
        return (_encode(complaint) for complaint in self.complaints)


def import_orders(folder: Path) -> Imported:
    """Read the tables of a directory. Raises `MissingTable`."""
    imported = Imported([], [], Books(), [])
    market = Marketplace(folder)
    books = imported.books
    for row in read_table(folder, "orders"):
        books.order_rows += 1
        try:
            events = market.scans(row)
        except RefusedRow as refused:
            _refuse(imported, books.orders_refused, refused)
            continue
        books.orders += 1
        books.events.update(event.milestone.value for event in events)
        imported.tracking += events
    for row in read_table(folder, "order_reviews"):
        books.review_rows += 1
        try:
            complaint = market.complaint(row)
        except RefusedRow as refused:
            _refuse(imported, books.reviews_refused, refused)
            continue
        if complaint is None:
            books.content += 1
        else:
            books.complaints[str(complaint.category)] += 1
            imported.complaints.append(complaint)
    imported.tracking.sort(key=lambda event: event.occurred_at)
    imported.complaints.sort(key=lambda complaint: complaint.occurred_at)
    books.check()
    return imported


def _refuse(imported: Imported, counted: Counter[str], refused: RefusedRow) -> None:
    counted[refused.reason.value] += 1
    if len(imported.refusals) < _SHOWN_REFUSALS:
        imported.refusals.append(f"{refused.reason.value}: {refused}")


def import_command(
    folder: Annotated[
        Path, typer.Argument(help="Directory with orders.csv, order_items.csv, … (plain or gzip).")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory for the two files.")
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Write to the topics, in order of time.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="With --kafka: how much faster than time. Default: at once."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the books as JSON.")] = False,
) -> None:
    """Turn a marketplace's orders and reviews into tracking events and complaints.

    Reads the layout of Olist's public data set. Approval, handover, delivery and cancellation
    become scans, the estimated date a promise, and bad reviews complaints.

    Example: forewarn import-orders olist --out recorded

    Example: forewarn replay --tracking recorded/tracking.ndjson --complaints
    recorded/complaints.ndjson --decisions decisions.ndjson
    """
    if out is None and not kafka:
        raise typer.BadParameter("say where to: --out DIR or --kafka (or both)")
    try:
        imported = import_orders(folder)
    except MissingTable as error:
        raise typer.BadParameter(str(error)) from error
    if out is not None:
        _write(imported, out)
    if kafka:
        settings = Settings.load()
        records = sorted(outgoing(imported, settings), key=lambda each: each.timestamp_ms)
        send_with_progress(records, len(records), settings, speed)
    if as_json:
        typer.echo(msgspec.json.encode(imported.books.report()).decode())
    else:
        _tell(imported)


def _write(imported: Imported, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    streams = (("tracking", imported.tracking_lines()), ("complaints", imported.complaint_lines()))
    for name, lines in streams:
        with (out / f"{name}.ndjson").open("wb") as file:
            file.writelines(line + b"\n" for line in lines)


def outgoing(imported: Imported, settings: Settings) -> Iterator[Outgoing]:
    """Yield scans, then complaints, as records for the topics, each stream in order of time."""
    streams: Sequence[tuple[str, Sequence[TrackingEvent | Complaint]]] = (
        ("tracking", imported.tracking),
        ("complaints", imported.complaints),
    )
    for name, events in streams:
        topic = settings.kafka.topic(name)
        for event in events:
            stamp = _milliseconds(event.occurred_at)
            yield Outgoing(topic, event.key.encode(), _encode(event), stamp)


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _tell(imported: Imported) -> None:
    books = imported.books
    typer.echo(
        f"{books.order_rows:,} orders read: {books.orders:,} used, "
        f"{books.orders_refused.total():,} refused {_reasons(books.orders_refused)}"
    )
    for milestone, number in books.events.most_common():
        typer.echo(f"  {milestone}: {number:,}")
    typer.echo(
        f"{books.review_rows:,} reviews read: {books.complaints.total():,} complaints "
        f"{_reasons(books.complaints)}, {books.content:,} content, "
        f"{books.reviews_refused.total():,} refused {_reasons(books.reviews_refused)}"
    )
    for line in imported.refusals:
        typer.echo(f"  refused, {line}", err=True)


def _reasons(counted: Counter[str]) -> str:
    if not counted:
        return ""
    return "(" + ", ".join(f"{name} {n:,}" for name, n in sorted(counted.items())) + ")"


def _encode(event: TrackingEvent | Complaint) -> bytes:
    return _encoder.encode({k: v for k, v in msgspec.to_builtins(event).items() if v is not None})


_encoder: Final = msgspec.json.Encoder()
