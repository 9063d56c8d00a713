"""Quiet hours: by the recipient's clock, over midnight and over changes of the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.limit_schema import QuietHours
from pipeline.quiet import end_of_quiet

NIGHT = QuietHours(begin="22:00", end="08:00")
EARLY = QuietHours(begin="01:00", end="02:30")


@pytest.mark.parametrize(
    ("at", "quiet", "zone", "until"),
    [
        ("2026-03-02T13:59:59", NIGHT, "Asia/Shanghai", None),
        ("2026-03-02T14:00:00", NIGHT, "Asia/Shanghai", "2026-03-03T00:00:00"),
        ("2026-03-02T23:59:59", NIGHT, "Asia/Shanghai", "2026-03-03T00:00:00"),
        ("2026-03-03T00:00:00", NIGHT, "Asia/Shanghai", None),
        # The night before the clocks of Berlin go forward has nine hours, the one in autumn eleven.
        ("2026-03-28T21:00:00", NIGHT, "Europe/Berlin", "2026-03-29T06:00:00"),
        ("2026-10-24T20:00:00", NIGHT, "Europe/Berlin", "2026-10-25T07:00:00"),
        # 02:30 does not exist on 29 March: the quiet ends when the clock passes it, at 03:30.
        ("2026-03-29T00:30:00", EARLY, "Europe/Berlin", "2026-03-29T01:30:00"),
        # 02:30 comes twice on 25 October: the first ends the quiet, the second is none.
        ("2026-10-25T00:15:00", EARLY, "Europe/Berlin", "2026-10-25T00:30:00"),
        ("2026-10-25T01:15:00", EARLY, "Europe/Berlin", None),
    ],
)
def test_end_of_quiet(at: str, quiet: QuietHours, zone: str, until: str | None) -> None:
    """To the second, in UTC."""
    found = end_of_quiet(datetime.fromisoformat(f"{at}+00:00"), quiet, zone)
    assert found == (datetime.fromisoformat(f"{until}+00:00") if until else None)


TIMES = st.times().map(lambda time: time.strftime("%H:%M"))


@given(
    at=st.integers(1_577_836_800, 1_893_456_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    begin=TIMES,
    end=TIMES,
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/Sao_Paulo",
                          "Australia/Lord_Howe", "Pacific/Apia"]),
)  # fmt: skip
def test_a_hold_is_short_and_ends_outside(at: datetime, begin: str, end: str, zone: str) -> None:
    """Whatever the clocks do, a hold lies ahead, lasts about a day at most and is not renewed."""
    if begin == end:
        return
    quiet = QuietHours(begin=begin, end=end)
    until = end_of_quiet(at, quiet, zone)
    if until is None:
        return
    assert timedelta(0) < until - at <= timedelta(hours=26)
    assert end_of_quiet(until, quiet, zone) is None or _jumped_over(until, end, zone)


def _jumped_over(until: datetime, end: str, zone: str) -> bool:
    """The clock never shows the end on that day."""
    return until.astimezone(ZoneInfo(zone)).strftime("%H:%M") != end
