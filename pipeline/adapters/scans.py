"""Parcels with scans: from a scan as a provider says it to an event, or to why there is none."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, NamedTuple

from detectors.events import InvalidEvent, Milestone, TrackingEvent
from pipeline.adapters.base import Adapter, Spot, made_id
from pipeline.adapters.items import Item, Options, Read, Rejected
from pipeline.adapters.privacy import identifier, place
from pipeline.adapters.times import BadTime, TimeProblem, Zones, read_time
from pipeline.adapters.vocabulary import Vocabulary, fold
from pipeline.limits import MAX_AHEAD_SECONDS

_AHEAD: Final = timedelta(seconds=MAX_AHEAD_SECONDS)


class Parcel(NamedTuple):
    """Whose scans follow."""

    carrier: str
    number: str
    context: dict[str, Any]
    """Fields of `TrackingEvent` from `order_id` on; None where not known."""
    target: Spot | None = None
    """Where it goes, as the provider says it."""


class Scan(NamedTuple):
    """One scan as the provider says it."""

    coarse: str | None
    fine: str | None
    time: str | None
    spot: Spot = Spot()
    recorded: str | None = None
    """When the provider got it; becomes `received_at` where that is possible."""
    layout: str = "iso"
    reason: str | None = None
    """Why it is held, as the provider says it."""


class TrackingAdapter(Adapter):
    """An adapter whose documents hold parcels with scans."""

    vocabulary: ClassVar[Vocabulary]

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.words = self.vocabulary.folded(options.values, options.awaits)

    def scanned(self, parcel: Parcel, scan: Scan) -> Item:
        """Return the event of a scan, or why there is none."""
        meaning = self.words.read(scan.coarse, scan.fine)
        if meaning.awaits or (scan.reason is not None and self.words.awaits(scan.reason)):
            parcel = parcel._replace(context={**parcel.context, "awaits_customer": True})
        return self.event(parcel, scan, meaning.milestone, meaning.unknown)

    def event(
        self, parcel: Parcel, scan: Scan, milestone: Milestone, unknown: str | None = None
    ) -> Item:
        """Return an event of a milestone that is known already, or why there is none."""
        spot = scan.spot
        try:
            at = self.moment(scan)
            return Read(
                TrackingEvent(
                    event_id=self.event_id(parcel, at, scan),
                    parcel_id=parcel.number,
                    carrier=parcel.carrier,
                    milestone=milestone,
                    occurred_at=at,
                    received_at=self._recorded(scan, at),
                    facility=_facility(parcel.carrier, spot),
                    region=self._scan_region(spot, milestone, parcel.target),
                    **parcel.context,
                ),
                unknown,
            )
        except BadTime as error:
            return Rejected(error.problem, str(error))
        except InvalidEvent as error:
            return Rejected(error.reason, "an event that cannot be")

    def moment(self, scan: Scan) -> datetime:
        """Return when a scan was made. Raises `BadTime`."""
        try:
            return read_time(scan.time, None, scan.layout)
        except BadTime as error:
            if error.problem is not TimeProblem.NO_ZONE:
                raise
        spot = scan.spot
        zone = self.zones.of(spot.facility, spot.city, self.region(spot), spot.state, spot.country)
        return read_time(scan.time, zone, scan.layout)

    def event_id(self, parcel: Parcel, at: datetime, scan: Scan) -> str:
        """Return the id of a scan."""
        code = f"{fold(scan.coarse or '')}|{fold(scan.fine or '')}"
        return made_id(self.name, parcel.carrier, parcel.number, at.isoformat(), code)

    def _scan_region(self, spot: Spot, milestone: Milestone, target: Spot | None) -> str | None:
        """Return a scan's region; none where it is delivered in what only looks like another one.

        A delivery outside of the parcel's destination is an abnormal sign-off, so `US` and
        `US-FL`, or `NY` and `New York`, must not stand beside each other.
        """
        if milestone is Milestone.DELIVERED and target is not None and not _alike(spot, target):
            return None
        return self.region(spot)

    def _recorded(self, scan: Scan, at: datetime) -> datetime | None:
        if scan.recorded is None:
            return None
        try:
            recorded = read_time(scan.recorded, _UTC)
        except BadTime:
            return None  # the record's own timestamp stands in
        return recorded if at - recorded <= _AHEAD and recorded.year < 2100 else None


def _facility(carrier: str, spot: Spot) -> str | None:
    """Return the building, or the carrier's place in a city: stalls are learned by place."""
    building = identifier(spot.facility)
    if building is not None:
        return building
    city = place(spot.city)
    return f"{carrier}-{city}" if city else None


def _alike(spot: Spot, other: Spot) -> bool:
    """Tell whether two places are said the same way: as far, and by codes or by names."""
    return (_form(spot.country), _form(spot.state)) == (_form(other.country), _form(other.state))


def _form(name: str | None) -> int:
    """Return how a name is written: -1 not at all, 1 to 3 a code of that length, 0 in full."""
    found = place(name)
    if found is None:
        return -1
    return len(found) if len(found) <= 3 else 0


_UTC: Final = Zones("UTC", {}).of()
"""For times a provider writes itself and documents as UTC."""
