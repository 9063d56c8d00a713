"""Times of RFC 3339 to seconds, a column at a time.

Producers write all of their times in one form. A column of equally long texts is a matrix of
bytes, and its digits become numbers in one multiplication; whatever is not of that form is left to
who can read any.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2099
_BASE: Final = 19
"""Characters of `2026-03-02T09:14:00`."""
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_MARKS: Final = (4, 7, 10, 13, 16)
_MARKED: Final = np.frombuffer(b"--T::", np.uint8)
_ZERO: Final = ord("0")
_MOST_FRACTION: Final = 6
"""Digits of a second's fraction: microseconds are what an event's time holds."""

Seconds = NDArray[np.float64]
Bytes = NDArray[np.uint8]


def _weights() -> NDArray[np.float64]:
    """Return what turns 14 digits into year, month, day, hour, minute, second."""
    weights = np.zeros((14, 6))
    weights[0:4, 0] = (1000, 100, 10, 1)
    for number in range(5):
        weights[4 + 2 * number : 6 + 2 * number, number + 1] = (10, 1)
    return weights


def _months() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the day since 1970 each month begins on, and how many days it has."""
    firsts = [
        date(year, month, 1).toordinal()
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
        for month in range(1, 13)
    ]
    begins = np.array([*firsts, date(LAST_YEAR + 1, 1, 1).toordinal()])
    return begins[:-1] - date(1970, 1, 1).toordinal(), np.diff(begins)


_WEIGHTS: Final = _weights()
_BEGINS, _DAYS = _months()


def seconds_of(texts: Sequence[str]) -> Seconds | None:
    """Return times as seconds since the epoch, shape (n,), as exact as `datetime.timestamp`.

    None where they are not all of one form: `2026-03-02T09:14:00`, up to six digits of a fraction,
    `Z` or an offset like `+08:00`, each as long as the others, between 2000 and 2099. None says
    nothing about whether they are times.

    Examples
    --------
    >>> seconds_of(["1970-01-01T00:00:00Z"]) is None
    True
    >>> seconds_of(["2026-03-02T08:00:00+08:00", "2026-03-02T00:00:01+00:00"]).tolist()
    [1772409600.0, 1772409601.0]
    """
    if not texts:
        return np.zeros(0)
    length = len(texts[0])
    if set(map(len, texts)) != {length}:
        return None
    joined = "".join(texts)
    if length <= _BASE or not joined.isascii():
        return None
    raw = np.frombuffer(joined.encode(), np.uint8).reshape(-1, length)
    whole, zone = _whole(raw), _zone(raw)
    if whole is None or zone is None:
        return None
    offset, end = zone
    fraction = _fraction(raw[:, _BASE:end])
    if fraction is None:
        return None
    # Microseconds as whole numbers, then one division: as datetime does it.
    return ((whole - offset) * 1e6 + fraction) / 1e6


def _whole(raw: Bytes) -> Seconds | None:
    """Return the seconds of the first 19 characters, as if they were UTC."""
    digits = raw[:, _DIGITS] - np.uint8(_ZERO)
    if np.count_nonzero(raw[:, _MARKS] != _MARKED) or digits.max() > 9:
        return None
    year, month, day, hour, minute, second = (digits @ _WEIGHTS).T
    place = ((year - FIRST_YEAR) * 12 + month - 1).astype(np.int64)
    fine = (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (month >= 1) & (month <= 12)
    fine &= (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    if not fine.all() or np.count_nonzero(day > _DAYS[place]):
        return None
    seconds: Seconds = (_BEGINS[place] + day - 1) * 86_400.0 + hour * 3600 + minute * 60 + second
    return seconds


def _zone(raw: Bytes) -> tuple[Seconds | float, int] | None:
    """Return the offset from UTC in seconds and where it begins."""
    last = raw[:, -1]
    if not np.count_nonzero(last != ord("Z")):
        return 0.0, raw.shape[1] - 1
    zone = raw[:, -6:]
    digits = zone[:, [1, 2, 4, 5]] - np.uint8(_ZERO)
    plus, minus = zone[:, 0] == ord("+"), zone[:, 0] == ord("-")
    if raw.shape[1] < _BASE + 6 or digits.max() > 9:
        return None
    if not (plus | minus).all() or np.count_nonzero(zone[:, 3] != ord(":")):
        return None
    hours, minutes = (digits @ np.array([[10.0, 0], [1, 0], [0, 10], [0, 1]])).T
    if hours.max() > 23 or minutes.max() > 59:
        return None
    return np.where(minus, -1.0, 1.0) * (hours * 3600 + minutes * 60), raw.shape[1] - 6


def _fraction(raw: Bytes) -> Seconds | float | None:
    """Return microseconds: what stands between the second and the zone."""
    count = raw.shape[1] - 1
    if count < 0:
        return 0.0
    digits = raw[:, 1:] - np.uint8(_ZERO)
    if not 1 <= count <= _MOST_FRACTION or np.count_nonzero(raw[:, 0] != ord(".")):
        return None
    if digits.max() > 9:
        return None
    microseconds: Seconds = digits @ 10.0 ** (_MOST_FRACTION - 1 - np.arange(count))
    return microseconds
