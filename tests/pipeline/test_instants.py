"""Times a column at a time: exactly those that datetime reads, or no answer."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instants import seconds_of

_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59, 59))  # noqa: DTZ001
_ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@given(st.lists(st.tuples(_TIMES, _ZONES), min_size=1, max_size=20), st.integers(0, 6))
def test_seconds_are_those_of_datetime(drawn: list[tuple[datetime, int]], digits: int) -> None:
    """Any offset, any number of digits of a fraction, leap years: the very same floats."""
    times = [
        each.replace(
            microsecond=each.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits),
            tzinfo=timezone(timedelta(minutes=zone)),
        )
        for each, zone in drawn
    ]
    texts = [f"{at:%Y-%m-%dT%H:%M:%S}{_fraction(at, digits)}{_zone(at)}" for at in times]
    found = seconds_of(texts)
    assert found is not None
    assert found.tolist() == [at.timestamp() for at in times]


@given(st.lists(_TIMES, min_size=1, max_size=20))
def test_utc_is_written_as_z(drawn: list[datetime]) -> None:
    """The shortest form."""
    times = [each.replace(microsecond=0, tzinfo=UTC) for each in drawn]
    found = seconds_of([f"{at:%Y-%m-%dT%H:%M:%S}Z" for at in times])
    assert found is not None
    assert found.tolist() == [at.timestamp() for at in times]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "2026-03-02",
        "2026-03-02T09:14:00",
        "2026-03-02T09:14Z",
        "2026-03-02t09:14:00Z",
        "2026-03-02 09:14:00Z",
        "2026-02-29T09:14:00Z",
        "2026-00-02T09:14:00Z",
        "2026-13-02T09:14:00Z",
        "2026-03-00T09:14:00Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T09:60:00Z",
        "2026-03-02T09:14:60Z",
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "2026-03-02T09:14:00.Z",
        "2026-03-02T09:14:00.1234567Z",
        "2026-03-02T09:14:00,5Z",
        "2026-03-02T09:14:00+24:00",
        "2026-03-02T09:14:00+08:60",
        "2026-03-02T09:14:00+0800",
        "2026-03-02T09:14:00*08:00",
        "2026-03-02T09:14:0aZ",
        "2026-03-02T09:14:0\u0660Z",
    ],
)
def test_another_form_is_no_answer(text: str) -> None:
    """Who can read any form reads it, alone or beside good ones of its length."""
    assert seconds_of([text]) is None
    assert seconds_of(["2026-03-02T09:14:00Z", text]) is None


def test_texts_of_different_lengths_are_no_answer() -> None:
    """Even if together they are as long as two good ones."""
    good = "2026-03-02T09:14:00Z"
    assert seconds_of([good + good[:5], good[5:]]) is None


def test_no_texts_are_no_seconds() -> None:
    """An empty column stays one."""
    found = seconds_of([])
    assert found is not None
    assert found.shape == (0,)
    assert found.dtype == np.float64


def _fraction(at: datetime, digits: int) -> str:
    return f".{at.microsecond:06d}"[: digits + 1] if digits else ""


def _zone(at: datetime) -> str:
    zone = at.strftime("%z")
    return f"{zone[:3]}:{zone[3:5]}"
