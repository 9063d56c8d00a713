"""The state log: bytes written an event, and bytes kept beside bytes of state.

Written is what a worker added to the state topic, keys and compressed values, while it worked off
scans of random parcels at full speed (the topic is kept from compacting meanwhile). Kept is the
last record of every key, which is what a compacted topic comes to. State is every task recovered
from it, its pages compressed alike.
"""

from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Bench, fill
from benchmarks.feeding import state_bytes
from benchmarks.reading import committed
from benchmarks.results import Bound, Goal, Measurement, Series
from benchmarks.standing import Standing, standing, wait
from benchmarks.watching import tracking_done
from pipeline import topics
from pipeline.settings import Kafka

WRITTEN: Final = "state log written"
KEPT: Final = "kept after compaction / state"


def run(bench: Bench) -> Measurement:
    """Let a worker work and look at its log."""
    world = standing(bench)
    events = bench.size(short=100_000, full=1_000_000)
    log = _worked(bench, world, events)
    rows, size = state_bytes(world.kafka)
    written, kept = log.written_bytes / events, log.kept_bytes
    mib = kept / 2**20, size / 2**20
    bench.say(f"{written:.0f} bytes an event; {mib[0]:.1f} MiB kept, {mib[1]:.1f} of state")
    return Measurement(
        row="state_log",
        what=f"bytes of the state log with {world.parcels:,} parcels",
        goals=[Goal(WRITTEN, Bound.AT_MOST, 300.0), Goal(KEPT, Bound.AT_MOST, 3.0)],
        series=[
            Series(WRITTEN, "bytes/event", [written]),
            Series("events a state record", "events", [events / log.records]),
            Series(KEPT, "times", [kept / size]),
            Series("kept after compaction", "MiB", [mib[0]]),
            Series("state, compressed", "MiB", [mib[1]]),
        ],
        notes=[f"{rows:,} rows of state; a chunk writes one page and what it changed"],
    )


@dataclass(slots=True)
class _Log:
    """What was found in the state topic."""

    written_bytes: int = 0
    records: int = 0
    kept_bytes: int = 0


def _worked(bench: Bench, world: Standing, events: int) -> _Log:
    starts = topics.ends(world.kafka, "state")
    fill(world.kafka.brokers, world.topic, world.population.scans(events))
    worker = bench.worker(world.kafka, "writer")
    with worker.child:
        wait(worker, lambda: tracking_done(worker.port) >= events, "work off the scans")
    return _read(world.kafka, starts)


def _read(kafka: Kafka, starts: list[int]) -> _Log:
    """Read the whole state topic; `starts` are where the work began."""
    found, last = _Log(), dict[tuple[int, bytes], int]()
    for message in committed(kafka.brokers, kafka.topic("state"), kafka.partitions):
        key, value, partition = message.key() or b"", message.value(), message.partition() or 0
        size = len(key) + len(value or b"")
        last[partition, key] = 0 if value is None else size
        if (message.offset() or 0) >= starts[partition]:
            found.written_bytes += size
            found.records += value is not None
    found.kept_bytes = sum(last.values())
    return found
