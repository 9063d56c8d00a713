"""What a benchmark found, as plain data: everything a table or a plot needs, and nothing else.

Figures are kept as they were measured, one a repetition; minimum, median, maximum and ratios are
made from them when somebody asks. Repetitions of one run were interleaved, so the ratio of two
series is that of their values side by side.
"""

import statistics
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

FORMAT: Final = 1


class Bound(StrEnum):
    """On which side of its value a goal lies."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Verdict(StrEnum):
    """What became of a goal in this run."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured"
    """The series the goal is about has no values."""


class Whose(StrEnum):
    """Whose figures a series holds."""

    OURS = "ours"
    PEER = "peer"
    """Of what people would pick instead."""
    LIMIT = "limit"
    """Of what nobody can beat here: only reading and decoding, the disk."""


class Goal(msgspec.Struct, frozen=True):
    """What the median of a series should reach."""

    series: str
    bound: Bound
    value: float
    over: str | None = None
    """Name of another series: the goal is about the median of the ratio to it."""


class Series(msgspec.Struct, frozen=True):
    """One figure, measured again and again."""

    name: str
    unit: str
    values: list[float]
    whose: Whose = Whose.OURS
    absent: str | None = None
    """Why there are no values."""


class Curve(msgspec.Struct, frozen=True):
    """One line of a plot."""

    name: str
    x: list[float]
    y: list[float]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A plot: bars of all series of one unit, or the curves of the measurement."""

    name: str
    """Of its file, without `.svg`."""
    title: str
    """What it shows, in words: the finding."""
    y_label: str
    unit: str | None = None
    """For bars: the unit whose series are drawn."""
    curves: list[str] | None = None
    """For lines: names of curves."""
    x_label: str = ""
    x_log: bool = False
    goal: float | None = None


class Measurement(msgspec.Struct, kw_only=True):
    """One row of the suite."""

    row: str
    what: str
    goals: list[Goal] = []
    series: list[Series] = []
    curves: list[Curve] = []
    charts: list[Chart] = []
    notes: list[str] = []
    text: str | None = None
    """What another benchmark printed, as it is."""
    failed: str | None = None
    """What went wrong, if there is nothing else."""
    absent: str | None = None
    """What is not installed, if there is nothing else."""
    seconds: float = 0.0
    """How long the row took."""
    load: float = 0.0
    """Of the machine, averaged over the minute before the row began."""

    def named(self, name: str) -> Series | None:
        """Return a series by its name."""
        return next((each for each in self.series if each.name == name), None)

    def verdict(self, goal: Goal) -> tuple[Verdict, float | None]:
        """Say whether a goal is met, and the median it is about."""
        values = self._about(goal)
        if not values:
            return Verdict.NOT_MEASURED, None
        found = statistics.median(values)
        met = found >= goal.value if goal.bound is Bound.AT_LEAST else found <= goal.value
        return (Verdict.MET if met else Verdict.MISSED), found

    def _about(self, goal: Goal) -> Sequence[float]:
        series = self.named(goal.series)
        other = None if goal.over is None else self.named(goal.over)
        if series is None or (goal.over is not None and other is None):
            return ()
        return series.values if other is None else ratios(series, other)


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured, and with which versions."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    versions: dict[str, str]
    commit: str


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the suite."""

    format: int
    began_at: str
    """RFC 3339."""
    form: str
    """`short` or `full`, and by how much it was cut."""
    machine: Machine
    rows: list[Measurement]
    note: str | None = None
    """What a reader must know of this run."""


class Spread(NamedTuple):
    """Of a series."""

    least: float
    median: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Return minimum, median and maximum; raises `ValueError` for no values."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(min(values), statistics.median(values), max(values))


def ratios(ours: Series, theirs: Series) -> list[float]:
    """Return how many times theirs ours is, repetition by repetition.

    Raises `ValueError` when the units differ or the repetitions were not the same.
    """
    if ours.unit != theirs.unit:
        raise ValueError(f"{ours.unit} is not compared with {theirs.unit}")
    if not ours.values or not theirs.values:
        return []
    if len(ours.values) != len(theirs.values):
        raise ValueError(f"{ours.name} and {theirs.name} were not measured in turn")
    return [mine / other for mine, other in zip(ours.values, theirs.values, strict=True)]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    Examples
    --------
    >>> quantile([3.0, 1.0, 2.0], 0.5), quantile([1.0, 2.0], 1.0)
    (2.0, 2.0)
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    place = max(0, -(-int(share * len(ordered) * 1_000_000) // 1_000_000) - 1)
    return ordered[min(place, len(ordered) - 1)]


def write(results: Results, path: Path) -> None:
    """Write a run as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(path: Path) -> Results:
    """Read a run; raises `ValueError` for another format and `msgspec.DecodeError` for no run."""
    results = msgspec.json.decode(path.read_bytes(), type=Results)
    if results.format != FORMAT:
        raise ValueError(f"{path} has format {results.format}, known is {FORMAT}")
    return results
