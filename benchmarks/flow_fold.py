"""What flow costs a series and bucket: `python -m benchmarks.flow_fold [--series N --buckets N]`.

For each of complaints (hours), scans (quarters) and backlog (hours), a core of its own takes the
partial counts of several sources, six records a bucket each, and closes the buckets. Of the
complaints one in twenty comes three hours late and is corrected. CPU time, each in a process of
its own, so that what it holds in memory is its own too.
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from resource import getpagesize
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import Batch, Cell, Counts, Metric
from detectors.flow import FlowCore

START = 1_772_409_600
HOUR, QUARTER = 3600, 900
PARTS = 6
"""Records a source sends for each bucket."""
LATE_SHARE = 0.05
CATEGORIES = ("logistics", "order", "product", "service")

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Counts).decode


class Load(NamedTuple):
    """What is measured."""

    name: str
    metrics: tuple[Metric, ...]
    bucket_seconds: int
    series: int
    buckets: int
    sources: int
    mean: float


class Cost(NamedTuple):
    """What it costs."""

    close_us: float
    """CPU µs a series and bucket: everything of `observe`."""
    decode_us: float
    """The same for reading the records' JSON."""
    cells: float
    """Cells a series and bucket."""
    memory: float
    """Bytes of the process a series; what waits is part of it."""
    state: float
    """Bytes of state a series."""
    changes: float
    """Bytes of changes a series and bucket."""


def names_of(load: Load) -> list[str]:
    """Return series' names as long as real ones."""
    if load.metrics == (Metric.COMPLAINTS,):
        return [f"R{n // 4:06d}\x1f{CATEGORIES[n % 4]}" for n in range(load.series)]
    return [f"R{n:06d}-north" for n in range(load.series)]


def records(load: Load, chance: np.random.Generator) -> Iterator[list[bytes]]:
    """Yield the records of each bucket, all sources' in turn."""
    names = names_of(load)
    level = chance.lognormal(np.log(load.mean) - 0.5, 1.0, load.series)
    for bucket in range(load.buckets):
        start = START + bucket * load.bucket_seconds
        said: list[bytes] = []
        for part in range(PARTS):
            through = start + load.bucket_seconds * (part + 1) // PARTS // 60 * 60
            for source in range(load.sources):
                cells: list[Cell] = []
                for metric in load.metrics:
                    counts = chance.poisson(level / PARTS / load.sources)
                    cells += cells_of(metric, names, start, counts, chance)
                name = f"complaints/{source}"
                record = Counts(source=name, through=through, cells=tuple(cells))
                said.append(_encode(record))
        yield said


def cells_of(  # one metric of one record
    metric: Metric, names: list[str], start: int, counts: NDArray[np.int64],
    chance: np.random.Generator,
) -> list[Cell]:  # fmt: skip
    """Return a record's cells; of the complaints some are late."""
    places = np.flatnonzero(counts)
    late = np.zeros(len(places), bool)
    if metric is Metric.COMPLAINTS:
        late = chance.random(len(places)) < LATE_SHARE
    return [
        Cell(metric, names[place], start - 3 * HOUR * was_late, count, start * was_late)
        for place, count, was_late in zip(
            places.tolist(), counts[places].tolist(), late.tolist(), strict=True
        )
    ]


def measure(load: Load) -> Cost:
    """Feed a core and return what it cost."""
    sources = [f"complaints/{n}" for n in range(load.sources)]
    core = FlowCore(
        sources=sources, config_version="benchmark", min_days=0.5, max_series=load.series
    )
    observe = decode = changes = 0.0
    cells = 0
    before = resident()
    for place, said in enumerate(records(load, np.random.default_rng(1))):
        began = time.process_time()
        batch = [_decode(record) for record in said]
        decoded = time.process_time()
        core.observe(Batch(batch, np.zeros(len(batch))))
        observe += time.process_time() - decoded
        decode += decoded - began
        cells += sum(len(record.cells) for record in batch)
        changed = len(core.changes())
        changes += changed if place >= load.buckets // 2 else 0
    memory = resident() - before
    state = sum(len(core.dump(page, 64)) for page in range(64))
    whole = load.series * load.buckets
    return Cost(
        observe / whole * 1e6, decode / whole * 1e6, cells / whole, memory / load.series,
        state / load.series, changes / (load.series * (load.buckets - load.buckets // 2)),
    )  # fmt: skip


def resident() -> int:
    """Return the bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * getpagesize()


def main() -> None:
    """Print a row for each kind of series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--buckets", type=int, default=48)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--mean", type=float, default=1.0, help="Counts a series and bucket.")
    parser.add_argument("--only", choices=("complaints", "scans", "backlog"))
    given = parser.parse_args()
    size = (given.series, given.buckets, given.sources, given.mean)
    loads = (
        Load("complaints", (Metric.COMPLAINTS,), HOUR, *size),
        Load("scans", (Metric.SCANS,), QUARTER, *size),
        Load("backlog", (Metric.ENTERED, Metric.LEFT), HOUR, *size),
    )
    columns = ("µs a bucket", "decode µs", "cells", "memory B", "state B", "changes B")
    print(f"{'a series':<12}" + "".join(f"{column:>13}" for column in columns))
    for load in loads:
        if given.only in (None, load.name):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                cost = pool.apply(measure, (load,))
            print(f"{load.name:<12}" + "".join(f"{value:>13.2f}" for value in cost))


if __name__ == "__main__":
    main()
