"""A local time is resolved where it was written, or refused; never taken as UTC."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.times import BadTime, TimeProblem, Zones, read_time

BERLIN = ZoneInfo("Europe/Berlin")
APIA = ZoneInfo("Pacific/Apia")


@pytest.mark.parametrize(
    ("text", "zone", "layout", "expected"),
    [
        ("2026-03-02T09:14:00+08:00", None, "iso", "2026-03-02T01:14:00"),
        ("2026-03-02T09:14:00Z", BERLIN, "iso", "2026-03-02T09:14:00"),
        ("2026-03-02 09:14:00+0800", None, "iso", "2026-03-02T01:14:00"),
        ("2026-03-02T09:14:00", BERLIN, "iso", "2026-03-02T08:14:00"),
        ("2026-07-02T09:14:00", BERLIN, "iso", "2026-07-02T07:14:00"),
        ("2026-03-29T02:30:00", BERLIN, "iso", "2026-03-29T01:30:00"),
        ("2026-10-25T02:30:00", BERLIN, "iso", "2026-10-25T00:30:00"),
        ("2026-10-25T02:30:00+01:00", BERLIN, "iso", "2026-10-25T01:30:00"),
        ("2011-12-30T12:00:00", APIA, "iso", "2011-12-30T22:00:00"),
        ("1772442840", None, "epoch_s", "2026-03-02T09:14:00"),
        ("1772442840000", None, "epoch_ms", "2026-03-02T09:14:00"),
        ("1772442840000000", None, "epoch_us", "2026-03-02T09:14:00"),
        ("02.03.2026 09:14", BERLIN, "%d.%m.%Y %H:%M", "2026-03-02T08:14:00"),
        ("02/03/26 9:14 AM -0500", None, "%d/%m/%y %I:%M %p %z", "2026-03-02T14:14:00"),
    ],
)
def test_times_in_utc(text: str, zone: ZoneInfo | None, layout: str, expected: str) -> None:
    """Offsets win over zones; twice-told hours are the first, skipped ones keep the old offset."""
    assert read_time(text, zone, layout) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, TimeProblem.NO_TIME),
        ("  ", TimeProblem.NO_TIME),
        ("2026-03-02T09:14:00", TimeProblem.NO_ZONE),
        ("2026-03-02", TimeProblem.UNREADABLE),
        ("20260302", TimeProblem.UNREADABLE),
        ("soon", TimeProblem.UNREADABLE),
        ("0001-01-01T00:00:00+14:00", TimeProblem.UNREADABLE),
        ("9999-12-31T23:59:59-14:00", TimeProblem.UNREADABLE),
        ("2026-02-30T09:14:00Z", TimeProblem.UNREADABLE),
    ],
)
def test_what_is_no_time(text: str | None, problem: TimeProblem) -> None:
    """Refused with a reason, and the message does not quote it."""
    with pytest.raises(BadTime) as caught:
        read_time(text, None)
    assert caught.value.problem is problem
    assert (text or "?") not in str(caught.value)


@pytest.mark.parametrize("layout", ["iso", "epoch_s", "epoch_ms", "epoch_us", "%d.%m.%Y"])
@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_is_a_time_or_refused(layout: str, text: str) -> None:
    """Nothing else is raised, whatever the format."""
    try:
        assert read_time(text, BERLIN, layout).tzinfo is UTC
    except BadTime:
        return


@settings(deadline=None)
@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001 - local on purpose
def test_local_times_go_out_and_come_back(local: datetime) -> None:
    """Except in the hour that is skipped, a local time read in its zone is that time again."""
    read = read_time(local.isoformat(), BERLIN).astimezone(BERLIN).replace(tzinfo=None)
    skipped = local.month == 3 and local.day >= 25 and local.hour == 2
    assert read == local or skipped


def test_the_finest_place_decides() -> None:
    """Facility before city before country before the source; no place and no default is none."""
    zones = Zones("UTC", {"CNSZXA": "Asia/Shanghai", "de": "Europe/Berlin"})
    assert zones.of("cnszxa", "DE") == ZoneInfo("Asia/Shanghai")
    assert zones.of(None, "DE") == BERLIN
    assert zones.of("elsewhere") == ZoneInfo("UTC")
    assert Zones(None, {}).of("DE") is None
