"""Orders of a marketplace as columns, from files in the layout of Olist's public data set.

`orders`, `order_items`, `sellers` and `customers` as .csv or .csv.gz. An order is a parcel: its
approval is the label, then the seller hands it over to the carrier, and it is delivered, or not,
by the promised date.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.stalls.event_log import MOST_BAD, BadFileError, Floats, Mask, lines_of, seconds_of

DAY: Final = 86_400.0
SAMPLED: Final = 18.6
"""What a delivered order stands for where all others were kept and few of these."""
_WHOLE: Final = 0.8
"""With fewer orders delivered than this share, delivered ones are taken for a sample."""
_COLUMNS: Final = {
    "orders": (
        "order_id", "customer_id", "order_status", "order_purchase_timestamp",
        "order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date",
        "order_estimated_delivery_date",
    ),
    "order_items": ("order_id", "seller_id", "shipping_limit_date"),
    "sellers": ("seller_id", "seller_state"),
    "customers": ("customer_id", "customer_state"),
}  # fmt: skip

_Row = tuple[float, float, float, float, float, float, str, str, str]
"""The times of `Orders` in their order, then origin, destination and seller."""


class Orders(NamedTuple):
    """Orders by the time of purchase, shape (n,); times in days since 1970, NaN for never."""

    bought: Floats
    labelled: Floats
    """When the payment was approved: the carrier knows of it."""
    handed: Floats
    delivered: Floats
    promised: Floats
    ship_by: Floats
    """When the seller should hand it over."""
    origin: list[str]
    """State of the (first) seller, empty for unknown; so below."""
    destination: list[str]
    seller: list[str]
    weight: Floats
    """How many orders each stands for."""
    skipped: int
    """Rows that could not be read."""

    @property
    def late(self) -> Mask:
        """Delivered after the promised moment, or never."""
        late: Mask = ~(self.delivered <= self.promised)
        return late

    def within(self, first: date, last: date) -> Mask:
        """Tell which orders were handed over at all and bought from `first` until before `last`."""
        start, stop = ((day - date(1970, 1, 1)).days for day in (first, last))
        shipped: Mask = ~np.isnan(self.handed) & (self.bought >= start) & (self.bought < stop)
        return shipped


def read_orders(folder: Path, delivered_weight: float | None = None) -> Orders:
    """Return the orders of a folder; raises `BadFileError` for files that are missing or others.

    `delivered_weight` is how many orders a delivered one stands for; None for 18.6 where fewer
    than 80 % of all are delivered, as in a sample that kept all others, and else 1.
    """
    states = {row["seller_id"]: row["seller_state"] for row in _rows(folder, "sellers")}
    towns = {row["customer_id"]: row["customer_state"] for row in _rows(folder, "customers")}
    items: dict[str, dict[str, str]] = {}
    for row in _rows(folder, "order_items"):
        items.setdefault(row["order_id"], row)
    rows: list[_Row] = []
    skipped = 0
    for row in _rows(folder, "orders"):
        times = [_days(row[column]) for column in _COLUMNS["orders"][3:]]
        if np.isnan(times[0]) or np.isnan(times[4]):
            skipped += 1
            continue
        item = items.get(row["order_id"], {})
        seller = item.get("seller_id", "")
        limit = _days(item.get("shipping_limit_date", ""))
        places = (states.get(seller, ""), towns.get(row["customer_id"], ""), seller)
        bought, labelled, handed, delivered, promised = times
        rows.append((bought, labelled, handed, delivered, promised, limit, *places))
    if not rows or skipped > MOST_BAD * (len(rows) + skipped):
        raise BadFileError(f"{folder}: {skipped} of {len(rows) + skipped} orders cannot be read")
    rows.sort(key=lambda row: row[0])
    return _orders(rows, skipped, delivered_weight)


def _orders(rows: list[_Row], skipped: int, delivered_weight: float | None) -> Orders:
    bought, labelled, handed, delivered, promised, limit = np.array([row[:6] for row in rows]).T
    arrived = ~np.isnan(delivered)
    if delivered_weight is None:
        delivered_weight = SAMPLED if arrived.mean() < _WHOLE else 1.0
    return Orders(
        bought=bought,
        labelled=np.where(np.isnan(labelled), bought, labelled),
        handed=handed,
        # What arrived before it was handed over is an error of the books.
        delivered=np.where(delivered < handed, handed, delivered),
        promised=promised,
        ship_by=limit,
        origin=[row[6] for row in rows],
        destination=[row[7] for row in rows],
        seller=[row[8] for row in rows],
        weight=np.where(arrived, delivered_weight, 1.0),
        skipped=skipped,
    )


def _rows(folder: Path, name: str) -> Iterator[dict[str, str]]:
    """Yield rows of a file whose name ends as given, also `olist_orders_dataset.csv`."""
    names = (
        f"{name}.csv",
        f"{name}.csv.gz",
        f"olist_{name}_dataset.csv",
        f"olist_{name}_dataset.csv.gz",
    )
    found = next((folder / each for each in names if (folder / each).is_file()), None)
    if found is None:
        raise BadFileError(f"{folder}: there is no {name}.csv or {name}.csv.gz")
    for number, row in enumerate(lines_of(found)):
        if not number and (missing := set(_COLUMNS[name]) - row.keys()):
            raise BadFileError(f"{found}: has no column {', '.join(sorted(missing))}")
        yield {column: row[column] or "" for column in _COLUMNS[name]}


def _days(text: str) -> float:
    seconds = seconds_of(text)
    return np.nan if seconds is None else seconds / DAY
