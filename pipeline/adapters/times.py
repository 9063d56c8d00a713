"""Times as providers write them, in UTC, and never silently taken as UTC.

A time with an offset is what it says. One without is local to some place: it is resolved in the
zone of the scan's place where the configuration names one, else in the source's zone (which
for a provider that documents UTC is UTC), else refused.

Daylight saving follows RFC 5545, 3.3.5: a local time that occurs twice is the first of the two, and
one that is skipped is taken with the offset before the gap (02:30 becomes 03:30).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

_DATE_CHARACTERS: Final = 10
"""`YYYY-MM-DD`: anything as short has no time of day."""
_EPOCH_UNITS: Final = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}


class TimeProblem(StrEnum):
    """Why a time cannot be used."""

    NO_TIME = "no_time"
    UNREADABLE = "unreadable_time"
    NO_ZONE = "no_zone"
    """It has no offset, and no zone is configured for its place or its source."""


class BadTime(ValueError):
    """A time nothing can be made of; the message does not quote it."""

    def __init__(self, problem: TimeProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Zones:
    """Which zone a place's clocks are in.

    Parameters
    ----------
    default
        Zone of everything else; None refuses it.
    places
        Zone by facility, city, region or country, as the provider spells it; case does not matter.
    """

    def __init__(self, default: str | None, places: Mapping[str, str]) -> None:
        self._default = None if default is None else ZoneInfo(default)
        self._places = {name.casefold(): ZoneInfo(zone) for name, zone in places.items()}

    def of(self, *names: str | None) -> ZoneInfo | None:
        """Return the zone of the first name that has one, the finest first; else the default."""
        if self._places:
            for name in names:
                zone = self._places.get(name.casefold()) if name else None
                if zone is not None:
                    return zone
        return self._default


def read_time(text: str | None, zone: ZoneInfo | None, layout: str = "iso") -> datetime:
    """Return a time in UTC, or raise `BadTime`.

    `layout` is `iso`, `epoch_s`, `epoch_ms`, `epoch_us` or a format of `strptime`.

    Examples
    --------
    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> read_time("2026-03-29T02:30:00", berlin).isoformat()  # skipped: 03:30 summer time
    '2026-03-29T01:30:00+00:00'
    >>> read_time("2026-10-25 02:30", berlin).isoformat()  # twice: the first, summer time
    '2026-10-25T00:30:00+00:00'
    >>> read_time("01.02.2026 23:15", berlin, "%d.%m.%Y %H:%M").isoformat()
    '2026-02-01T22:15:00+00:00'
    """
    if text is None or not text.strip():
        raise BadTime(TimeProblem.NO_TIME, "there is no time")
    try:
        found = _parse(text.strip(), layout)
        return _located(found, zone).astimezone(UTC)
    except BadTime:
        raise
    except (ValueError, OverflowError, OSError) as error:
        raise BadTime(TimeProblem.UNREADABLE, f"a time that is not {layout}") from error


def _located(found: datetime, zone: ZoneInfo | None) -> datetime:
    if found.tzinfo is not None:
        return found
    if zone is None:
        raise BadTime(
            TimeProblem.NO_ZONE,
            "a local time without an offset, and no zone for its place or source",
        )
    return found.replace(tzinfo=zone)


def _parse(text: str, layout: str) -> datetime:
    if layout in _EPOCH_UNITS:
        return datetime.fromtimestamp(float(text) / _EPOCH_UNITS[layout], UTC)
    if layout != "iso":
        # The zone, if the format has none, is applied by the caller.
        return datetime.strptime(text, layout)  # noqa: DTZ007
    if len(text) <= _DATE_CHARACTERS:
        raise BadTime(TimeProblem.UNREADABLE, "a date without a time of day")
    return datetime.fromisoformat(text)
