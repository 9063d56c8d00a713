"""How much of everything so many events a day need: the tables of docs/scaling.md.

    python -m benchmarks.scaling --json docs/performance/results.json

Everything between the two markers of the page is replaced: what was assumed, what was measured
(from a run of the suite; `NOT-MEASURED` where it has no figure), and each step of the arithmetic
with its formula.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import NoMarkers
from benchmarks.results import Results, read
from benchmarks.rows import state_log, throughput
from benchmarks.terminal import number

BEGIN: Final = "<!-- scaling: python -m benchmarks.scaling -->"
END: Final = "<!-- end of scaling -->"
PAGE: Final = Path("docs/scaling.md")
UNMEASURED: Final = "NOT-MEASURED"

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Given:
    """A figure that is put in."""

    name: str
    unit: str
    value: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Step:
    """A figure that follows from others."""

    name: str
    unit: str
    formula: str
    of: Callable[[Values], float]


ASSUMED: Final = (
    Given("events", "a day", 7e9, "a planet's parcels"),
    Given("peak", "times the mean", 4.0, "the busiest hour of a sale"),
    Given("scans", "a parcel", 11.0, "benchmarks/traffic.py"),
    Given("transit", "days", 7.0, "label to delivery"),
    Given("afterlife", "days", 3.0, "`retention_days`, shipped 45: set it to 3 at this size"),
    Given("event bytes", "bytes", 230.0, "JSON, not compressed; benchmarks/traffic.py"),
    Given("decisions", "an event", 0.01, "one scan in a hundred leads to one"),
    Given("decision bytes", "bytes", 1100.0, "a stall with its evidence"),
    Given("count bytes", "bytes", 60.0, "one record to a partition of flow"),
    Given("replicas", "copies", 3.0, "`kafka.replication`"),
    Given("retention", "days", 7.0, "`kafka.retention_days`"),
    Given("worker memory", "GiB", 48.0, "of a machine of 64 GiB and 8 cores"),
    Given("worker cores", "cores", 8.0, "the same"),
    Given("spare", "share", 0.5, "of processor time left for catching up and for a lost machine"),
    Given("state", "parcels a partition", 10e6, "bounds what one take-over has to read"),
    Given("broker writes", "MB/s", 150.0, "sustained, an SSD and 10 Gbit/s"),
)

STEPS: Final = (
    Step("mean", "events/s", "events / 86 400", lambda v: v["events"] / 86_400),
    Step("top", "events/s", "mean × peak", lambda v: v["mean"] * v["peak"]),
    Step("cores", "cores", "top / rate / (1 − spare)",
         lambda v: v["top"] / v["rate"] / (1 - v["spare"])),
    Step("parcels", "remembered", "events / scans × (transit + afterlife)",
         lambda v: v["events"] / v["scans"] * (v["transit"] + v["afterlife"])),
    Step("memory", "GiB", "parcels × parcel bytes / 2³⁰",
         lambda v: v["parcels"] * v["parcel bytes"] / 2**30),
    Step("partitions", "at least", "⌈parcels / state⌉",
         lambda v: math.ceil(v["parcels"] / v["state"])),
    Step("workers", "machines", "⌈max(memory / worker memory, cores / worker cores)⌉",
         lambda v: math.ceil(
             max(v["memory"] / v["worker memory"], v["cores"] / v["worker cores"]))),
    Step("state kept", "GiB on disk", "memory × kept × replicas",
         lambda v: v["memory"] * v["kept"] * v["replicas"]),
    Step("input", "MB/s", "top × event bytes", lambda v: v["top"] * v["event bytes"] / 1e6),
    Step("state log", "MB/s", "top × log bytes", lambda v: v["top"] * v["log bytes"] / 1e6),
    Step("decided", "MB/s", "top × decisions × decision bytes",
         lambda v: v["top"] * v["decisions"] * v["decision bytes"] / 1e6),
    Step("counts", "MB/s", "partitions² × 2 cores of a task × count bytes / 60 s",
         lambda v: v["partitions"] ** 2 * 2 * v["count bytes"] / 60 / 1e6),
    Step("written", "MB/s on all brokers", "(input + state log + decided + counts) × replicas",
         lambda v: sum(v[n] for n in ("input", "state log", "decided", "counts")) * v["replicas"]),
    Step("brokers", "machines", "max(replicas, ⌈written / broker writes⌉)",
         lambda v: max(v["replicas"], math.ceil(v["written"] / v["broker writes"]))),
    Step("input kept", "TB on disk", "mean × event bytes × retention × replicas",
         lambda v: v["mean"] * v["event bytes"] * v["retention"] * 86_400 * v["replicas"] / 1e12),
    Step("read", "MB/s", "input + decided + counts: each is read once",
         lambda v: v["input"] + v["decided"] + v["counts"]),
    Step("take-over", "s a lost worker", "partitions / workers × state / 10⁶ × load, two at a time",
         lambda v: v["partitions"] / v["workers"] * v["state"] / 1e6 * v["load"] / 2),
)  # fmt: skip
"""In this order; each may use what stands above it."""


def measured(results: Results | None) -> list[Given]:
    """Return what a run says; None for what it does not."""
    found = [] if results is None else results.rows

    def median(row: str, series: Callable[[str], bool], divided_by: float = 1.0) -> float | None:
        values = [
            statistics.median(each.values)
            for measurement in found
            if measurement.row == row
            for each in measurement.series
            if each.values and series(each.name)
        ]
        return values[-1] / divided_by if values else None

    ours = f"{throughput.OURS}, {throughput.CPU}"
    loading = "reading and loading a partition"
    return [
        Given("rate", "events a CPU second of a worker", median("throughput", ours.__eq__),
              "row throughput"),
        Given("parcel bytes", "bytes a parcel in flight",
              median("memory", lambda name: name.endswith("in flight")),
              "row memory, the largest"),
        Given("log bytes", "bytes an event, to the state topic",
              median("state_log", state_log.WRITTEN.__eq__), "row state_log"),
        Given("kept", "times the state", median("state_log", state_log.KEPT.__eq__),
              "row state_log, after compaction"),
        Given("load", "s a million parcels", median("recovery", loading.__eq__, 0.25),
              "row recovery: a partition of a quarter of a million, times 4"),
    ]  # fmt: skip


def rendered(results: Results | None) -> str:
    """Return the tables as Markdown."""
    givens = [*ASSUMED, *measured(results)]
    values = {given.name: given.value for given in givens if given.value is not None}
    return "\n".join([*_inputs(givens), "", *_steps(values)])


def _inputs(givens: list[Given]) -> Iterator[str]:
    yield "| put in | | unit | from |"
    yield "|---|---|---|---|"
    for given in givens:
        value = UNMEASURED if given.value is None else _plain(given.value)
        yield f"| {given.name} | {value} | {given.unit} | {given.source} |"


def _steps(values: dict[str, float]) -> Iterator[str]:
    yield "| follows | | unit | how |"
    yield "|---|---|---|---|"
    for step in STEPS:
        try:
            values[step.name] = step.of(values)
        except KeyError:
            yield f"| {step.name} | {UNMEASURED} | {step.unit} | {step.formula} |"
        else:
            yield f"| {step.name} | {_plain(values[step.name])} | {step.unit} | {step.formula} |"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else number(value)


def replaced(page: str, results: Results | None) -> str:
    """Return the page with these tables between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarkers(f"the page needs two lines: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{rendered(results)}\n\n{END}{after}"


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Put a run's figures into docs/scaling.md.")
    parser.add_argument("--json", type=Path, help="of `python -m benchmarks --json`")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    results = None if options.json is None else read(options.json)
    options.page.write_text(replaced(options.page.read_text("utf-8"), results), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
