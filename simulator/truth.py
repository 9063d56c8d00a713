"""A line of the truth: one planted trouble, and what a judge of detections needs."""

from datetime import datetime

import msgspec
import numpy as np

from simulator.parcels import Parcels
from simulator.trouble import Kind
from simulator.world import World


class Truth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One planted trouble, or one healthy parcel that suffered from one."""

    kind: Kind
    subject: str
    """As in decisions: `parcel/CARRIER/ID`, `region/NAME`, `carrier/NAME`, `customer/ID`."""
    began_at: datetime
    """Start of the silence, outage or surge; of the wrong scan; of the second complaint."""
    ended_at: datetime | None = None
    """When it moved on or was over; None = not within the world."""
    p99_at: datetime | None = None
    """When 99 of 100 healthy parcels would have moved on (working time)."""
    judged_until: datetime | None = None
    """Three times that: a flag after it comes too late. None = beyond the calendar."""
    complained_at: datetime | None = None
    """The customer's first complaint that names the parcel, after it began."""
    parcel_id: str | None = None
    carrier: str | None = None
    region: str | None = None
    facility: str | None = None
    customer_id: str | None = None
    category: str | None = None
    issue: str | None = None
    milestone: str | None = None
    """The milestone the parcel waits for, or the wrong one it got."""
    reason: str | None = None
    """How a sign-off is wrong, or what a victim suffered from."""
    complaints: int | None = None
    """Complaints added by a surge."""
    lost_share: float | None = None
    """Share of a silent or lossy feed's scans that never come."""
    factor: float | None = None
    """How many times slower a slow-down makes what it meets."""
    origin_region: str | None = None
    destination_region: str | None = None
    """Ends of a lane that is slower."""
    p99_working_seconds: int | None = None
    """The 99th percentile of that dwell, had it begun then, in working time."""


def sometime(world: World, hours: float) -> datetime | None:
    """Turn hours of the world into a time; None for never."""
    return world.moment(hours) if np.isfinite(hours) else None


def parcel_id(world: World, parcels: Parcels, parcel: int) -> str:
    """Return a parcel's id: letters of its carrier and its number."""
    return f"{world.carriers[int(parcels.carrier[parcel])].name[:2].upper()}{parcel:08d}"
