"""Event logs of any process as columns: which stages a case went through, and how long each took.

CSV with the columns CaseID, ActivityID and CompleteTimestamp, plain or gzip. A dwell is the time
from one event of a case to its next one; the last event of a case has none.
"""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

COLUMNS: Final = ("CaseID", "ActivityID", "CompleteTimestamp")
MOST_BAD: Final = 0.1
"""Share of rows that may be unreadable; with more the file is something else."""
LEAST_EVENTS: Final = 50
NONE: Final = -1


class BadFileError(Exception):
    """A file that is not what it was given for; the message says why."""


class Log(NamedTuple):
    """Events in order of time, shape (n,); a dwell begins with each."""

    began: Floats
    """Seconds since 1970; times without an offset are taken as UTC."""
    ended: Floats
    """When the next event of the case came; infinite where none did."""
    case: Index
    stage: Index
    """Numbers of `names`."""
    before: Index
    """The stage before, and the one before that; NONE where there was none."""
    earlier: Index
    names: list[str]
    skipped: int
    """Rows that could not be read."""

    @property
    def seconds(self) -> Floats:
        """How long each dwell took."""
        return self.ended - self.began

    @property
    def judged(self) -> Mask:
        """Dwells that began after the first 30 % of events and ended."""
        late: Mask = np.arange(len(self.began)) >= 0.3 * len(self.began)
        return late & np.isfinite(self.ended)


def lines_of(path: Path) -> Iterator[dict[str, str]]:
    """Yield rows of a CSV file, also a gzipped one; raises `BadFileError` for an unreadable one."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as raw:
            text = TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            yield from csv.DictReader(text)
    except (OSError, EOFError, csv.Error) as error:
        raise BadFileError(f"{path}: cannot be read: {error}") from error


def seconds_of(text: str | None) -> float | None:
    """Return seconds since 1970 of a time in ISO 8601 or with slashes; None for anything else."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace("/", "-"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def read_log(path: Path) -> Log:
    """Return a log's events; raises `BadFileError` when it is none or too short."""
    cases: dict[str, int] = {}
    stages: dict[str, int] = {}
    events: list[tuple[float, int, int]] = []
    skipped = 0
    for row in lines_of(path):
        if not events and not skipped and (missing := set(COLUMNS) - row.keys()):
            raise BadFileError(f"{path}: has no column {', '.join(sorted(missing))}")
        case, stage, when = (row[column] for column in COLUMNS)
        seconds = seconds_of(when)
        if not case or not stage or seconds is None:
            skipped += 1
            continue
        events.append(
            (seconds, cases.setdefault(case, len(cases)), stages.setdefault(stage, len(stages)))
        )
    if skipped > MOST_BAD * (len(events) + skipped):
        raise BadFileError(f"{path}: {skipped} of {len(events) + skipped} rows cannot be read")
    if len(events) < LEAST_EVENTS:
        raise BadFileError(f"{path}: {len(events)} events; at least {LEAST_EVENTS} are needed")
    events.sort(key=lambda event: event[0])
    return _log(events, list(stages), skipped)


def _log(events: list[tuple[float, int, int]], names: list[str], skipped: int) -> Log:
    columns = [np.array(column) for column in zip(*events, strict=True)]
    began, case, stage = columns[0], columns[1].astype(np.int64), columns[2].astype(np.int64)
    ended = np.full(len(began), np.inf)
    before, earlier = np.full(len(began), NONE), np.full(len(began), NONE)
    last: dict[int, int] = {}
    for place, number in enumerate(case.tolist()):
        previous = last.get(number)
        if previous is not None:
            ended[previous] = began[place]
            before[place], earlier[place] = stage[previous], before[previous]
        last[number] = place
    return Log(began, ended, case, stage, before, earlier, names, skipped)
