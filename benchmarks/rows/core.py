"""The parcels core alone, decoding included: CPU microseconds an event, by size of chunk.

Whole lives of parcels in one partition, the first quarter to warm models and rows. Sizes take
turns, so that all see the same state and a slow moment of the machine hurts all.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from benchmarks.bench import Bench
from benchmarks.feeding import Chunk, Feed
from benchmarks.results import Bound, Chart, Goal, Measurement, Series, spread
from benchmarks.traffic import traffic

SIZES: Final = (200, 1000, 4000)
UNIT: Final = "CPU µs/event"
_TURN: Final = 4000
"""Events of each size in a turn."""


def run(bench: Bench) -> Measurement:
    """Feed one task."""
    events = bench.size(short=400_000, full=2_000_000)
    feed = Feed(1)
    turns = [
        {size: _cost(feed, part, size) for size, part in zip(SIZES, _thirds(chunk), strict=True)}
        for chunk in feed.chunks(traffic(events), _TURN * len(SIZES))
        if len(chunk.records) == _TURN * len(SIZES)
    ]
    costs = _by_part(turns[len(turns) // 4 :], bench.rounds(short=3, full=5))
    series = [Series(f"chunks of {size:,}", UNIT, costs[size]) for size in SIZES]
    found = spread(costs[1000]).median
    title = f"An event costs the parcels core {found:.1f} µs in chunks of 1,000, decoding included"
    return Measurement(
        row="core",
        what="parcels core alone, records decoded, by size of chunk",
        goals=[Goal("chunks of 1,000", Bound.AT_MOST, 4.0)],
        series=series,
        charts=[Chart(name="core", title=title, y_label=UNIT, unit=UNIT, goal=4.0)],
        notes=["no state record, no Kafka; one task, about 150,000 parcels in flight"],
    )


def _thirds(chunk: Chunk) -> Iterator[Chunk]:
    for start in range(0, len(chunk.records), _TURN):
        yield Chunk(chunk.partition, chunk.records[start : start + _TURN])


def _cost(feed: Feed, part: Chunk, size: int) -> float:
    """Return CPU microseconds an event."""
    pieces = [
        Chunk(part.partition, part.records[start : start + size])
        for start in range(0, len(part.records), size)
    ]
    began = time.process_time()
    for piece in pieces:
        feed.absorb(piece)
    spent = time.process_time() - began
    feed.record(part)  # untimed: what changed must not pile up
    return spent / len(part.records) * 1e6


def _by_part(turns: list[dict[int, float]], parts: int) -> dict[int, list[float]]:
    """Return the mean cost of each size in each of some parts of the run."""
    costs: dict[int, list[float]] = defaultdict(list)
    length = max(1, len(turns) // parts)
    for start in range(0, length * min(parts, len(turns)), length):
        part = turns[start : start + length]
        for size in SIZES:
            costs[size].append(sum(turn[size] for turn in part) / len(part))
    return costs
