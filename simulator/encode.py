"""Scans and complaints as the lines of JSON a producer would send.

Ids are plain ASCII, so lines are put together from strings; a test decodes every line with the
strict structs of `detectors.events`.
"""

from collections.abc import Iterator

import numpy as np

from detectors.events import Milestone
from simulator.calendars import Hours
from simulator.complaints import CHANNELS, ISSUES, Complaints
from simulator.journey import facility_names
from simulator.parcels import SERVICES, Index, Parcels
from simulator.scans import MILESTONES, Scans, seconds
from simulator.truth import parcel_id
from simulator.world import World

_BLOCK = 100_000
_LABEL = MILESTONES.index(Milestone.LABEL_CREATED)

Record = tuple[bytes, bytes, int]
"""Key, value and arrival (milliseconds since the epoch) of one record."""


class Encoder:
    """Turns columns of one world into records."""

    def __init__(self, world: World, parcels: Parcels, promised: Hours) -> None:
        self._world, self._parcels = world, parcels
        self._names = [parcel_id(world, parcels, number) for number in range(len(parcels))]
        self._carriers = [carrier.name for carrier in world.carriers]
        self._regions = [region.name for region in world.regions]
        self._facilities = facility_names(world)
        self._promised = promised
        self._start = int(world.start.timestamp())

    def tracking(self, scans: Scans) -> Iterator[Record]:
        """Yield a record for each scan."""
        for start in range(0, len(scans), _BLOCK):
            yield from self._tracking(scans.take(np.arange(start, min(start + _BLOCK, len(scans)))))

    def complaints(self, complaints: Complaints) -> Iterator[Record]:
        """Yield a record for each complaint."""
        parcel = complaints.parcel.tolist()
        carrier = self._parcels.carrier[complaints.parcel].tolist()
        region = self._parcels.destination[complaints.parcel].tolist()
        columns = zip(
            parcel, carrier, region, complaints.customer.tolist(), complaints.issue.tolist(),
            complaints.channel.tolist(), self._stamps(complaints.occurred),
            self._stamps(complaints.received), self._milliseconds(complaints.received),
            strict=True,
        )  # fmt: skip
        for number, (p, c, r, who, why, how, occurred, received, at) in enumerate(columns):
            category, issue, _ = ISSUES[why]
            customer = f"C{who:08d}"
            line = (
                f'{{"complaint_id":"K{number:08d}","customer_id":"{customer}",'
                f'"occurred_at":"{occurred}Z","received_at":"{received}Z",'
                f'"region":"{self._regions[r]}","order_id":"O{p:08d}",'
                f'"parcel_id":"{self._names[p]}","carrier":"{self._carriers[c]}",'
                f'"category":"{category.value}","issue":"{issue}","channel":"{CHANNELS[how]}"}}'
            )
            yield customer.encode(), line.encode(), at

    def _tracking(self, scans: Scans) -> Iterator[Record]:
        names, carriers, facilities = self._names, self._carriers, self._facilities
        regions, milestones = self._regions, [milestone.value for milestone in MILESTONES]
        columns = zip(
            scans.parcel.tolist(), self._parcels.carrier[scans.parcel].tolist(),
            scans.number.tolist(), scans.milestone.tolist(), scans.facility.tolist(),
            scans.region.tolist(), self._stamps(scans.occurred), self._stamps(scans.received),
            self._milliseconds(scans.received), strict=True,
        )  # fmt: skip
        for p, c, number, milestone, facility, region, occurred, received, at in columns:
            name, carrier = names[p], carriers[c]
            where = f',"facility":"{facilities[facility]}"' if facility >= 0 else ""
            if milestone == _LABEL:
                where = self._order(p)
            place = f',"region":"{regions[region]}"' if region >= 0 else ""
            line = (
                f'{{"event_id":"E{number:x}","parcel_id":"{name}","carrier":"{carrier}",'
                f'"milestone":"{milestones[milestone]}","occurred_at":"{occurred}Z",'
                f'"received_at":"{received}Z"{where}{place}}}'
            )
            yield f"{carrier}/{name}".encode(), line.encode(), at

    def _order(self, parcel: int) -> str:
        """Return the context that comes once, with the label."""
        one = self._parcels
        promise = ""
        if one.promised[parcel] and np.isfinite(self._promised[parcel]):
            promise = f'"promised_at":"{self._stamps(seconds(self._promised[[parcel]]))[0]}Z",'
        return (
            f',"order_id":"O{parcel:08d}","customer_id":"C{int(one.customer[parcel]):08d}",'
            f'"origin_region":"{self._regions[int(one.origin[parcel])]}",'
            f'"destination_region":"{self._regions[int(one.destination[parcel])]}",{promise}'
            f'"declared_value_minor":{int(one.value_minor[parcel])},'
            f'"service_level":"{SERVICES[int(one.service[parcel])]}",'
            f'"supplier_id":"S{int(one.supplier[parcel]):05d}",'
            f'"fragile":{"true" if one.fragile[parcel] else "false"}'
        )

    def _stamps(self, seconds_of_world: Index) -> list[str]:
        """Return RFC 3339 times without the Z, in whole seconds."""
        moments = (seconds_of_world + self._start).astype("datetime64[s]")
        text: list[str] = np.datetime_as_string(moments, unit="s").tolist()
        return text

    def _milliseconds(self, seconds_of_world: Index) -> list[int]:
        values: list[int] = ((seconds_of_world + self._start) * 1000).tolist()
        return values
