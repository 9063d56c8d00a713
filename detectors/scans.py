"""The scans of a batch as the core judges them: names as numbers, times on the clock."""

import numpy as np

from detectors.base import GRID_SECONDS
from detectors.own_text import SEPARATOR
from detectors.parcel_table import ParcelTable
from detectors.scan_columns import Index, ScanColumns

Owners = tuple[list[str | None], ...]
"""Orders, customers and addresses."""


class Scans:
    """Scans in the order of the log; every array of shape (n,).

    Parameters
    ----------
    columns
        What was read.
    clock
        The clock before the first of them.
    parcels
        Whose numbers of names are used; new names get one.
    """

    def __init__(self, columns: ScanColumns, clock: float, parcels: ParcelTable) -> None:
        count = len(columns)
        self.columns = columns
        self.starts = [parcel_id.encode() + SEPARATOR for parcel_id in columns.parcel_ids]
        self.arrival = columns.arrivals
        self.clock = np.maximum.accumulate(np.maximum(self.arrival, clock))
        self.minute = (self.clock // GRID_SECONDS).astype(np.int64)
        """The minute of the clock at each scan."""
        self.at = columns.occurred
        self.milestone = columns.milestones.astype(np.int64)
        context = columns.context
        (self.carrier,) = parcels.carriers.number([(None, columns.carriers)])
        named = parcels.names.number(
            [
                (None, columns.facilities),
                (None, columns.regions),
                (context.positions, context.origins),
                (context.positions, context.destinations),
                (context.positions, context.service_levels),
            ]
        )
        self.facility, self.region, self.origins, self.destinations, self.services = named
        self.place = np.where(self.facility != 0, self.facility, self.region)
        self.context = np.full(count, -1, np.int64)
        """Where in the context's columns a scan stands; -1 = it brings none."""
        self.context[context.positions] = np.arange(len(context.positions))
        self.awaits = np.zeros(count, np.bool_)
        """Scans after which the customer has to act first."""
        self.awaits[context.positions] = context.awaits
        self.first = np.zeros(count, np.bool_)
        """Scans that made their parcel's record, which has their order and customer."""
        self.rows: Index = np.full(count, -1, np.int64)
        """The parcel of each scan, -1 while there is none."""

    def __len__(self) -> int:
        """Return how many scans there are."""
        return len(self.starts)

    def whose(self, events: Index) -> Owners:
        """Return the orders, the customers and the addresses that scans bring."""
        context, places = self.columns.context, self.context[events].tolist()
        told = (context.order_ids, context.customer_ids, context.address_hashes)
        return tuple([None if at < 0 else column[at] for at in places] for column in told)
