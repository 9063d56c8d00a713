"""What every adapter is built on: a document in, items out, event ids that do not change.

An event's id is made of source, parcel, time and code, so a provider that sends a parcel's whole
history with each update, a retried webhook and a file fed twice all yield each scan under one id.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple

from pipeline.adapters.documents import payloads
from pipeline.adapters.items import (
    Document,
    Ignored,
    Item,
    Kind,
    Options,
    Refusal,
    Rejected,
    Skipped,
    Unreadable,
)
from pipeline.adapters.privacy import Pseudonyms, label, parcel_number, place
from pipeline.adapters.times import BadTime, Zones, read_time
from pipeline.adapters.vocabulary import fold
from pipeline.limits import MAX_AHEAD_SECONDS

_NOT_SLUG: Final = re.compile(r"[^\w.-]+")
_REMEMBERED: Final = 4096
"""Places and carriers an adapter remembers: they repeat from parcel to parcel."""
_AHEAD: Final = timedelta(seconds=MAX_AHEAD_SECONDS)


class Spot(NamedTuple):
    """Where a scan was made, as the provider says it."""

    facility: str | None = None
    """A code of a building; without one the carrier's place in the city stands in."""
    city: str | None = None
    state: str | None = None
    country: str | None = None


class Adapter(ABC):
    """Reads documents of one provider.

    Parameters
    ----------
    options
        What the operator says about the source.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = Kind.TRACKING
    retracts: ClassVar[bool] = False
    """Whether the provider takes events back."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.people = Pseudonyms(options.pseudonym_key)
        self.zones = Zones(options.zone or self.documented_zone(), options.zones)
        self._days = Zones(options.zone, options.zones)
        self._carriers = {fold(name): other for name, other in options.carriers.items()}
        self._regions = {fold(name): other for name, other in options.regions.items()}
        self._region_of = lru_cache(_REMEMBERED)(self._find_region)
        self._slug_of = lru_cache(_REMEMBERED)(self._find_carrier)

    @staticmethod
    def documented_zone() -> str | None:
        """Return the zone the provider documents for times without an offset, if it does."""
        return None

    @abstractmethod
    def items(self, payload: Document, at: datetime | None, /) -> Iterator[Item]:
        """Yield what a payload holds. May raise `Unreadable`; what was yielded before stands."""

    def read(self, document: Document, at: datetime | None = None) -> Iterator[Item]:
        """Yield the items of a document; never raises for what a document says.

        `at` is when the document came, for providers that do not write it down themselves.
        """
        try:
            empty = True
            for payload in payloads(document) if isinstance(document, bytes) else (document,):
                empty = False
                yield from self._guarded(payload, at)
            if empty:
                yield Ignored(Skipped.NO_SCANS)
        except Unreadable as error:
            yield Rejected(error.reason, str(error))

    def _guarded(self, payload: Document, at: datetime | None) -> Iterator[Item]:
        if isinstance(payload, bytes) and payload.strip() == b"null":
            yield Ignored(Skipped.TOMBSTONE)
            return
        empty = True
        try:
            for item in self.items(payload, at):
                empty = False
                yield item
        except Unreadable as error:
            yield Rejected(error.reason, str(error))
        else:
            if empty:
                yield Ignored(Skipped.NO_SCANS)

    def carrier(self, name: str | int | None) -> str:
        """Return a carrier's name as it stands in keys. Raises `Unreadable`."""
        return self._slug_of(name)

    def _find_carrier(self, name: str | int | None) -> str:
        given = label(str(name)) if name not in {None, ""} else self.options.carrier
        if given is None:
            raise Unreadable(Refusal.NO_CARRIER, "no carrier")
        slug = _NOT_SLUG.sub("-", given.strip().casefold()).strip("-.")
        found = self._carriers.get(fold(given)) or self._carriers.get(slug) or slug
        if not found:
            raise Unreadable(Refusal.NO_CARRIER, "no carrier")
        return found

    def number(self, text: str | int | None) -> str:
        """Return a tracking number. Raises `Unreadable`."""
        found = parcel_number(None if text is None else str(text))
        if found is None:
            raise Unreadable(Refusal.NO_PARCEL, "no tracking number, or none that can be one")
        return found

    def region(self, spot: Spot) -> str | None:
        """Return the region of a place: state and country, under the operator's own name."""
        return self._region_of(spot)

    def _find_region(self, spot: Spot) -> str | None:
        parts = [found for found in (place(spot.country), place(spot.state)) if found]
        region = "-".join(parts) or None
        for name in (spot.facility, spot.city, region):
            if name is not None and fold(name) in self._regions:
                return self._regions[fold(name)]
        return region

    def promise(self, text: str | None, *names: str | None) -> datetime | None:
        """Return a promised time; a bare date is kept until that day ends where it is due.

        A date where no zone is configured promises nothing that could be checked: None.
        """
        if not text:
            return None
        bare = len(text.strip()) <= 10
        zone = (self._days if bare else self.zones).of(*names)
        try:
            moment = read_time(f"{text.strip()}T23:59:59" if bare else text, zone)
        except BadTime:
            return None
        return moment if 2000 <= moment.year < 2100 else None


def made_id(source: str, *parts: str) -> str:
    """Return an id that is the same whenever its parts are."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass"))
    return f"{source}-{digest.hexdigest()[:24]}"


def as_text(value: str | int | None) -> str | None:
    """Return an id that JSON may give as a number."""
    return None if value is None else str(value)
