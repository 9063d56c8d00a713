"""One process with so many parcels in flight: its memory, and what an event costs there.

    python -m benchmarks.population --in-flight 1000000 [--events 200000]

Prints one JSON object. A process of its own, since memory can only be told from an empty start.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.bench import Bench
from benchmarks.feeding import Chunk, Feed
from benchmarks.in_flight import Population
from benchmarks.watching import peak_bytes, resident_bytes
from pipeline.processes import Child

BLOCK: Final = 10_000
"""Scans made at once: the generator's own memory must not show."""
_PARCELS_A_TASK: Final = 1_250_000
"""A core remembers at most two million."""
_WARM_SHARE: Final = 0.25
_PARTS: Final = 5
_PATIENCE_SECONDS: Final = 3600.0


class Found(msgspec.Struct, frozen=True):
    """What one process showed."""

    in_flight: int
    empty_bytes: int
    """Resident before the first parcel, everything imported and built."""
    full_bytes: int
    """Resident with all parcels in flight, after all scans."""
    peak_bytes: int
    core_us: list[float]
    """CPU microseconds an event, decoding and judging; one a fifth of the scans."""
    record_us: list[float]
    """CPU microseconds an event, making the state record."""
    record_bytes: float
    """Bytes of state record an event, compressed."""


def found(bench: Bench, in_flight: int, events: int) -> Found:
    """Return what a process with so many parcels shows; measured once a run."""
    name = f"population-{in_flight}"
    if name not in bench.kept:
        bench.kept[name] = _run(bench.folder / f"{name}.json", in_flight, events)
    kept = bench.kept[name]
    assert isinstance(kept, Found)
    return kept


def _run(output: Path, in_flight: int, events: int) -> Found:
    argv = [sys.executable, "-m", "benchmarks.population", "--in-flight", str(in_flight)]
    argv += ["--events", str(events), "--output", str(output)]
    log = output.with_suffix(".log")
    with Child(f"{in_flight:,} parcels in flight", argv, log=log) as child:
        code = child.wait(_PATIENCE_SECONDS)
        if code:
            raise RuntimeError(f"{child.name} ended with {code}: {child.log_tail()}")
    return msgspec.json.decode(output.read_bytes(), type=Found)


def measure(in_flight: int, events: int) -> Found:
    """Fill a process with parcels, then scan random ones of them."""
    feed = Feed(-(-in_flight // _PARCELS_A_TASK))
    population = Population(in_flight, block=BLOCK)
    gc.collect()
    empty = resident_bytes()
    for chunk in feed.chunks(population.labels()):
        feed.absorb(chunk)
        feed.record(chunk)
    for chunk in feed.chunks(population.scans(int(events * _WARM_SHARE))):
        feed.absorb(chunk)
        feed.record(chunk)
    core, record, size = [], [], 0.0
    for _ in range(_PARTS):
        costs = _cost(feed, feed.chunks(population.scans(events // _PARTS)))
        core.append(costs[0])
        record.append(costs[1])
        size += costs[2] / _PARTS
    gc.collect()
    return Found(in_flight, empty, resident_bytes(), peak_bytes(), core, record, size)


def _cost(feed: Feed, chunks: Iterable[Chunk]) -> tuple[float, float, float]:
    """Return CPU microseconds of core and record, and bytes of record, an event."""
    core = record = 0.0
    events = size = 0
    for chunk in chunks:
        began = time.process_time()
        feed.absorb(chunk)
        judged = time.process_time()
        size += feed.record(chunk)
        record += time.process_time() - judged
        core += judged - began
        events += len(chunk.records)
    return core / events * 1e6, record / events * 1e6, size / events


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    result = msgspec.json.encode(measure(options.in_flight, options.events))
    if options.output:
        options.output.write_bytes(result)
    else:
        print(result.decode())


if __name__ == "__main__":
    main()
