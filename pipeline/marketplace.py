"""A marketplace's orders and reviews, as tables in CSV, turned into scans and complaints.

The layout is that of Olist's public data set (Brazilian marketplace, 2016 to 2018): `orders`,
`order_items`, `sellers`, `customers` and `order_reviews`, each as NAME.csv or
olist_NAME_dataset.csv, plain or gzip.

What the tables do not say is decided here, once:

- Times are local. They are read as Brasília standard time, UTC-03:00, all year round: summer
  time would move some by an hour, less than the data's own care for minutes deserves.
- The estimated delivery date is a day; the promise is kept until that day ends.
- When an order was cancelled is not recorded. Its event is put at the promised time, when
  nobody can still believe in it, so that nothing is known too early.
- An order is one parcel of one carrier, `marketplace`; it goes from the state of the first
  item's seller to the customer's.
- A review with 1 or 2 stars is a complaint, made when it was answered: of logistics if the order
  had not arrived or arrived late, otherwise of the product.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Final

from detectors.events import Category, Complaint, InvalidEvent, Milestone, TrackingEvent

BRASILIA: Final = timezone(timedelta(hours=-3))
CARRIER: Final = "marketplace"
_UNHAPPY_STARS: Final = 2
_TEXT_CHARACTERS: Final = 1000
_ENDED: Final = ("canceled", "unavailable")

Row = Mapping[str, str | None]


class Refusal(StrEnum):
    """Why a row was not turned into anything."""

    NO_ORDER_ID = "no_order_id"
    ORDER_TWICE = "order_twice"
    UNKNOWN_CUSTOMER = "unknown_customer"
    UNKNOWN_ORDER = "unknown_order"
    NO_TIME = "no_time"
    UNREADABLE_TIME = "unreadable_time"
    UNREADABLE_SCORE = "unreadable_score"
    IMPOSSIBLE_EVENT = "impossible_event"
    """It would break a limit of the vocabulary, e.g. a control character in an id."""


class RefusedRow(ValueError):
    """A row nothing can be made of."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class MissingTable(FileNotFoundError):
    """A table that is needed is not in the directory."""


def read_table(folder: Path, name: str) -> Iterator[Row]:
    """Yield the rows of a table. Raises `MissingTable`."""
    for stem in (name, f"olist_{name}_dataset"):
        for suffix in (".csv.gz", ".csv"):
            path = folder / f"{stem}{suffix}"
            if path.exists():
                yield from _rows(path)
                return
    raise MissingTable(f"no {name}.csv(.gz) or olist_{name}_dataset.csv(.gz) in {folder}")


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as raw:
        packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        with io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)


class Marketplace:
    """What orders and reviews refer to, and how they become events.

    Parameters
    ----------
    folder
        Directory of the tables.
    """

    def __init__(self, folder: Path) -> None:
        states = {row["seller_id"]: row["seller_state"] for row in read_table(folder, "sellers")}
        self._customers = {
            row["customer_id"]: (row["customer_unique_id"], row["customer_state"])
            for row in read_table(folder, "customers")
        }
        self._seller: dict[str | None, str | None] = {}
        self._value_minor: dict[str | None, int] = {}
        for row in read_table(folder, "order_items"):
            order = row["order_id"]
            self._seller.setdefault(order, row["seller_id"])
            price = round(float(row["price"] or 0) * 100)
            self._value_minor[order] = self._value_minor.get(order, 0) + price
        self._states = states
        self._orders: dict[str, Row] = {}

    def scans(self, row: Row) -> list[TrackingEvent]:
        """Return the events of an order, the label first. Raises `RefusedRow`."""
        order = row["order_id"]
        if not order:
            raise RefusedRow(Refusal.NO_ORDER_ID, "an order without an id")
        if order in self._orders:
            raise RefusedRow(Refusal.ORDER_TWICE, f"order {order} is there twice")
        customer, state = self._customer(row)
        moments = _moments(row)
        seller = self._seller.get(order)
        origin = self._states.get(seller)
        label = moments[0][1]
        promised = promise(row)
        try:
            events = [
                TrackingEvent(
                    event_id=f"{order}-label",
                    parcel_id=order,
                    carrier=CARRIER,
                    milestone=Milestone.LABEL_CREATED,
                    occurred_at=label,
                    received_at=label,
                    region=origin,
                    order_id=order,
                    customer_id=customer,
                    origin_region=origin,
                    destination_region=state,
                    promised_at=promised,
                    declared_value_minor=self._value_minor.get(order),
                    supplier_id=seller,
                )
            ]
            events += [
                TrackingEvent(
                    event_id=f"{order}-{milestone.value}",
                    parcel_id=order,
                    carrier=CARRIER,
                    milestone=milestone,
                    occurred_at=at,
                    received_at=at,
                    region=state if milestone is Milestone.DELIVERED else origin,
                )
                for milestone, at in moments[1:]
            ]
        except InvalidEvent as error:
            raise RefusedRow(Refusal.IMPOSSIBLE_EVENT, str(error)) from error
        self._orders[order] = row
        return events

    def complaint(self, row: Row) -> Complaint | None:
        """Return the complaint a review is, None if it is content. Raises `RefusedRow`."""
        score = row["review_score"] or ""
        if score not in {"1", "2", "3", "4", "5"}:
            raise RefusedRow(Refusal.UNREADABLE_SCORE, f"a score of {score!r}")
        if int(score) > _UNHAPPY_STARS:
            return None
        order = self._orders.get(row["order_id"] or "")
        if order is None:
            raise RefusedRow(Refusal.UNKNOWN_ORDER, f"order {row['order_id']} is not known")
        customer, state = self._customer(order)
        written = _time(row["review_answer_timestamp"]) or _time(row["review_creation_date"])
        if written is None:
            raise RefusedRow(Refusal.NO_TIME, "a review without a time")
        category, issue = cause(order, written)
        try:
            return Complaint(
                complaint_id=f"{row['review_id']}-{order['order_id']}",
                customer_id=customer,
                occurred_at=written,
                received_at=written,
                region=state,
                order_id=order["order_id"],
                parcel_id=order["order_id"],
                carrier=CARRIER,
                category=category,
                issue=issue,
                channel="review",
                text=(row["review_comment_message"] or "")[:_TEXT_CHARACTERS] or None,
                language="pt",
                supplier_id=self._seller.get(order["order_id"]),
            )
        except InvalidEvent as error:
            raise RefusedRow(Refusal.IMPOSSIBLE_EVENT, str(error)) from error

    def _customer(self, row: Row) -> tuple[str, str]:
        customer, state = self._customers.get(row["customer_id"], (None, None))
        if not customer or not state:
            raise RefusedRow(Refusal.UNKNOWN_CUSTOMER, f"customer {row['customer_id']}")
        return customer, state


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=BRASILIA)
    except ValueError as error:
        raise RefusedRow(Refusal.UNREADABLE_TIME, f"a time of {text!r}") from error


def promise(row: Row) -> datetime | None:
    """Return the last second of the day an order is promised for."""
    day = _time(row["order_estimated_delivery_date"])
    return None if day is None else day + timedelta(days=1, seconds=-1)


def _moments(row: Row) -> list[tuple[Milestone, datetime]]:
    """Return the milestones of an order, the label first; the others by time."""
    label = _time(row["order_approved_at"]) or _time(row["order_purchase_timestamp"])
    if label is None:
        raise RefusedRow(Refusal.NO_TIME, f"order {row['order_id']} has no time")
    known = [
        (Milestone.PICKED_UP, _time(row["order_delivered_carrier_date"])),
        (Milestone.DELIVERED, _time(row["order_delivered_customer_date"])),
    ]
    moments = [(milestone, at) for milestone, at in known if at is not None]
    if row["order_status"] in _ENDED:
        latest = max([label, *(at for _, at in moments)])
        moments.append((Milestone.CANCELLED, max(promise(row) or latest, latest)))
    return [(Milestone.LABEL_CREATED, label), *moments]


def cause(order: Row, written: datetime) -> tuple[Category, str]:
    """Guess from the times what a bad review of an order complains of."""
    promised, delivered = promise(order), _time(order["order_delivered_customer_date"])
    if delivered is None or delivered > written:
        return Category.LOGISTICS, "not_received"
    if promised is not None and delivered > promised:
        return Category.LOGISTICS, "late_delivery"
    return Category.PRODUCT, "disappointed"
