"""When customers are left in peace, by their own clocks."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from configs.limit_schema import QuietHours


def end_of_quiet(at: datetime, quiet: QuietHours | None, time_zone: str) -> datetime | None:
    """Return when the quiet hours around a moment end, None outside of them.

    The end is a time on the recipient's clock, so a night in which clocks change is an hour longer
    or shorter. A time that does not exist that day (clocks go forward over it) is as much later;
    of one that comes twice, the first ends the quiet, and at its second coming it is quiet no more.

    Examples
    --------
    >>> night = QuietHours(begin="22:00", end="08:00")
    >>> end_of_quiet(datetime(2026, 3, 28, 23, tzinfo=UTC), night, "Europe/Berlin").isoformat()
    '2026-03-29T06:00:00+00:00'
    """
    if quiet is None:
        return None
    zone = ZoneInfo(time_zone)
    local = at.astimezone(zone)
    begin, end = time.fromisoformat(quiet.begin), time.fromisoformat(quiet.end)
    clock = local.time()
    inside = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not inside:
        return None
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    ends = datetime.combine(day, end, tzinfo=zone).astimezone(UTC)
    # Inside a fold's second pass the clock reads as before the end that has already been.
    return ends if ends > at else None
