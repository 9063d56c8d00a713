"""Counts in CSV files, one bucket after the other.

Columns `series,bucket,count`, sorted by bucket. A series has a count in every bucket from its first
appearance on: what is missing is 0, also where a whole bucket is missing for all series.
"""

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from detectors.table import Floats
from pipeline.failures import Failure

COLUMNS: Final = ("series", "bucket", "count")
WIDTHS: Final = {"1h": 3600, "1d": 86_400, "1w": 604_800}
MAX_COUNT: Final = 1_000_000_000
MAX_SERIES: Final = 1_000_000
MAX_BUCKETS_MISSING: Final = 100_000
"""More empty buckets on end than this are taken for a wrong date."""


class BucketOfCounts(NamedTuple):
    """One bucket of all series that have appeared, in the order of their appearance."""

    text: str
    """As the file writes it."""
    seconds: int
    counts: Floats


class _Line(NamedTuple):
    number: int
    series: str
    text: str
    seconds: int
    value: int


class CountFile:
    """Reads a file of counts bucket by bucket; `names` are the series seen so far.

    Raises `Failure` with the number of the line that is wrong.
    """

    def __init__(self, path: Path, width_seconds: int, seen: Callable[[int], None]) -> None:
        self.path, self.width = path, width_seconds
        self.names: list[str] = []
        self.lines = 0
        self._seen = seen
        self._places: dict[str, int] = {}

    def __iter__(self) -> Iterator[BucketOfCounts]:
        """Yield buckets in order, empty ones between others included."""
        waiting: list[_Line] = []
        for line in self._read():
            if waiting and line.seconds != waiting[0].seconds:
                yield from self._close(waiting, line)
                waiting = []
            waiting.append(line)
        if waiting:
            yield from self._close(waiting, None)

    def _close(self, lines: list[_Line], following: _Line | None) -> Iterator[BucketOfCounts]:
        """Yield the bucket of some lines and the empty ones up to the line that follows."""
        first = lines[0]
        counts: dict[int, int] = {}
        for line in lines:
            place = self._places.setdefault(line.series, len(self.names))
            if place == len(self.names):
                if place >= MAX_SERIES:
                    raise self._wrong(line.number, f"more than {MAX_SERIES:,} series")
                self.names.append(line.series)
            if place in counts:
                raise self._wrong(line.number, f"{line.series!r} counts twice in {line.text}")
            counts[place] = line.value
        values = np.zeros(len(self.names))
        values[list(counts)] = list(counts.values())
        yield BucketOfCounts(first.text, first.seconds, values)
        if following is None:
            return
        apart, rest = divmod(following.seconds - first.seconds, self.width)
        if apart < 0 or (apart == 0 and rest < 0):
            raise self._wrong(
                following.number, f"{following.text} after {first.text}: sort the file by bucket"
            )
        if rest:
            raise self._wrong(
                following.number,
                f"{following.text} is no whole number of buckets after {first.text}",
            )
        if apart > MAX_BUCKETS_MISSING:
            raise self._wrong(following.number, f"{apart:,} empty buckets before {following.text}")
        for step in range(1, apart):
            seconds = first.seconds + step * self.width
            yield BucketOfCounts(
                _written_like(first.text, step * self.width), seconds, np.zeros(len(self.names))
            )

    def _read(self) -> Iterator[_Line]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.reader(file)
                places = self._header(next(rows, None))
                for row in rows:
                    if row:
                        self.lines += 1
                        if self.lines % 4096 == 0:
                            self._seen(self.lines)
                        yield self._line(rows.line_num, row, places)
        except UnicodeDecodeError as error:
            raise Failure(f"{self.path}: is not UTF-8 after line {self.lines + 1}") from error
        except csv.Error as error:
            raise Failure(f"{self.path}: after line {self.lines + 1}: {error}") from error

    def _header(self, row: list[str] | None) -> list[int]:
        names = [name.strip() for name in row or ()]
        missing = [column for column in COLUMNS if column not in names]
        if missing:
            raise self._wrong(
                1, f"no column {', '.join(missing)} in the header; need series,bucket,count"
            )
        return [names.index(column) for column in COLUMNS]

    def _line(self, number: int, row: list[str], places: list[int]) -> _Line:
        try:
            series, text, count = (row[place] for place in places)
        except IndexError:
            raise self._wrong(number, "too few columns") from None
        if not series:
            raise self._wrong(number, "a series has no name")
        try:
            seconds = self._seconds(text)
        except (ValueError, OverflowError):
            raise self._wrong(number, f"{text!r} is no date or time as ISO 8601 has it") from None
        try:
            value = int(count)
        except ValueError:
            raise self._wrong(number, f"{count!r} is no whole number") from None
        if not 0 <= value <= MAX_COUNT:
            raise self._wrong(number, f"a count lies between 0 and {MAX_COUNT:,}, not at {count}")
        return _Line(number, series, text, seconds, value)

    def _seconds(self, text: str) -> int:
        """Return where a bucket starts; days and weeks are those of the wall's calendar."""
        moment = datetime.fromisoformat(text.strip())
        if self.width >= WIDTHS["1d"] or moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())

    def _wrong(self, line: int, what: str) -> Failure:
        return Failure(f"{self.path}: line {line}: {what}")


def _written_like(text: str, later: int) -> str:
    """Return the bucket that starts so many seconds later, written as another is."""
    moment = datetime.fromisoformat(text.strip()) + timedelta(seconds=later)
    if "W" in text:
        year, week, _ = moment.isocalendar()
        return f"{year}-W{week:02d}"
    if len(text.strip()) <= len("2026-01-01"):
        return moment.date().isoformat()
    written = moment.isoformat(sep="T" if "T" in text else " ")
    return written.replace("+00:00", "Z") if text.rstrip().endswith("Z") else written
