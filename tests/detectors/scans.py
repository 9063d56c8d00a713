"""Scans in virtual time, for tests of the parcels core that read as a specification."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from detectors.base import Batch, Counts, Output
from detectors.decisions import Decision
from detectors.events import Milestone, TrackingEvent
from detectors.parcels import ParcelsCore

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = 3600.0
DAY = 24 * HOUR


def at(hours: float) -> datetime:
    """Return a time in hours of the test."""
    return START + timedelta(hours=hours)


def seconds(hours: float) -> float:
    """Return a time in hours of the test as seconds since the epoch."""
    return START.timestamp() + hours * HOUR


def scan(
    parcel: str, milestone: Milestone, hours: float, *, arrives: float | None = None, **fields: Any
) -> TrackingEvent:
    """Return a scan that happened at `hours` and arrives at once, or at `arrives`."""
    carrier, parcel_id = parcel.split("/")
    return TrackingEvent(
        event_id=f"{parcel}-{milestone}-{hours}",
        parcel_id=parcel_id,
        carrier=carrier,
        milestone=milestone,
        occurred_at=at(hours),
        received_at=at(hours if arrives is None else arrives),
        **fields,
    )


def batch(scans: Sequence[TrackingEvent]) -> Batch[TrackingEvent]:
    """Return scans in the order given, each arriving when it says."""
    arrivals = [s.received_at.timestamp() for s in scans if s.received_at is not None]
    return Batch(events=list(scans), arrivals=np.array(arrivals))


def core(**parameters: Any) -> ParcelsCore:
    """Return a core that has opinions after 50 dwells.

    Its parcels come one after the other, so their carrier's silence is no excuse unless asked for.
    """
    return ParcelsCore(
        source="parcels/0", config_version="test", **{"unheard_days": 0.0, **parameters}
    )


def said(outputs: Sequence[Output]) -> list[Any]:
    """Return the decisions among outputs."""
    return [output for output in outputs if isinstance(output, Decision)]


def cells(outputs: Sequence[Output]) -> dict[tuple[str, str], int]:
    """Return how many of each metric were counted for each series."""
    total: dict[tuple[str, str], int] = {}
    for output in outputs:
        if isinstance(output, Counts):
            for cell in output.cells:
                key = (cell.metric.value, cell.series)
                total[key] = total.get(key, 0) + cell.count
    return total


LANE: dict[str, Any] = {"origin_region": "R01", "destination_region": "R07"}


def journey(parcel: str, start: float, *, slowness: float = 1.0) -> list[TrackingEvent]:
    """Return the scans of a healthy parcel: 2 h to pick-up, 4 h, 10 h, 5 h, 3 h."""
    steps = (
        (Milestone.LABEL_CREATED, 0.0, "R01", None),
        (Milestone.PICKED_UP, 2.0, "R01", "depot R01"),
        (Milestone.DEPARTED, 4.0, "R01", "hub R01"),
        (Milestone.ARRIVED, 10.0, "R07", "station R07"),
        (Milestone.OUT_FOR_DELIVERY, 5.0, "R07", "station R07"),
        (Milestone.DELIVERED, 3.0, "R07", None),
    )
    scans, hours = list[TrackingEvent](), start
    for place, (milestone, dwell, region, facility) in enumerate(steps):
        hours += dwell * slowness
        context: dict[str, Any] = LANE if place == 0 else {}
        scans.append(scan(parcel, milestone, hours, region=region, facility=facility, **context))
    return scans


def healthy(parcels: int, *, carrier: str = "swift", start: float = 0.0) -> list[TrackingEvent]:
    """Return many healthy journeys, one starting each hour, dwells within a factor of 1.5."""
    scans: list[TrackingEvent] = []
    for number in range(parcels):
        slowness = float(np.exp(0.2 * np.sin(12.9898 * number)))
        scans += journey(f"{carrier}/H{number}", start + number, slowness=slowness)
    return sorted(scans, key=lambda s: s.occurred_at)
