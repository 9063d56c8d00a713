"""What is slow slows down only what it must: a hot partition, a stopped broker.

*Hot partition.* Three partitions have some backlog, the fourth ten times as much. How long until
the three are through, beside the same three with an empty fourth, in turn. All share one process,
so a fourth partition at work costs them up to a third; being held up behind it would cost more.

*Stopped broker.* In the midst of a backlog the broker is frozen (SIGSTOP) for some seconds and
goes on. The worker must survive, hold no more memory than before, and take every scan in.
"""

import signal
import time
from typing import Final

from confluent_kafka import Producer

from benchmarks.bench import Bench, Worker
from benchmarks.results import Bound, Chart, Curve, Goal, Measurement, Series, ratios, spread
from benchmarks.standing import joined_and_frozen, wait
from benchmarks.traffic import traffic
from benchmarks.watching import resident_bytes, scrape, tracking_done
from pipeline.partition import partition_of
from pipeline.settings import Kafka

HOT: Final = 0
TIMES: Final = 10
FROZEN_SECONDS: Final = 8.0
BESIDE: Final = "others beside a hot partition"
ALONE: Final = "others alone"
_MIB: Final = 2**20


def run(bench: Bench) -> Measurement:
    """Make one partition hot, then stop the broker."""
    cold = bench.size(short=20_000, full=100_000)
    beside, alone, lags = [], [], list[Curve]()
    for _ in range(bench.rounds(short=1, full=3)):
        seconds, lags = _others_through(bench, cold, TIMES)
        beside.append(seconds)
        alone.append(_others_through(bench, cold, 0)[0])
        bench.say(f"others through in {beside[-1]:.1f} s, alone in {alone[-1]:.1f} s")
    frozen = _frozen(bench, bench.size(short=200_000, full=1_000_000))
    pair = Series(BESIDE, "s", beside), Series(ALONE, "s", alone)
    times = spread(ratios(*pair)).median
    title = (
        f"Beside a partition of {TIMES} times their load the others take {times:.2f} times as long"
    )
    return Measurement(
        row="fairness",
        what="a hot partition and a stopped broker hold up only what they must",
        goals=[
            Goal(BESIDE, Bound.AT_MOST, 1.5, over=ALONE),
            Goal("scans lost while the broker stood", Bound.AT_MOST, 0.0),
            Goal("memory won while the broker stood", Bound.AT_MOST, 128.0),
        ],
        series=[*pair, *frozen],
        curves=lags,
        charts=[
            Chart(
                name="fairness",
                title=title,
                y_label="records behind",
                curves=[curve.name for curve in lags],
                x_label="seconds since the worker began",
            )
        ],
        notes=[f"{cold:,} scans in each of three partitions; SIGSTOP for {FROZEN_SECONDS:.0f} s"],
    )


def _others_through(bench: Bench, cold: int, times: int) -> tuple[float, list[Curve]]:
    """Return seconds until the cold partitions are through, and the lags."""
    kafka = bench.kafka("hot")
    sizes = [cold * times if p == HOT else cold for p in range(kafka.partitions)]
    worker = bench.worker(kafka)
    curves = [Curve(f"partition {p}", [], []) for p in range(kafka.partitions)]
    with worker.child:
        with joined_and_frozen([worker], kafka.partitions):
            _fill_unevenly(kafka, sizes)
        began = time.monotonic()

        def through() -> bool:
            lags = _lags(worker, kafka.partitions, sizes)
            for curve, lag in zip(curves, lags, strict=True):
                curve.x.append(time.monotonic() - began)
                curve.y.append(lag)
            return all(lag == 0 for p, lag in enumerate(lags) if p != HOT)

        ended = wait(worker, through, "work the others off")
    return ended - began, curves


def _lags(worker: Worker, partitions: int, sizes: list[int]) -> list[float]:
    """Return records behind, by partition; before its first chunk a partition is all behind."""
    metrics = scrape(worker.port)
    lags = []
    for partition in range(partitions):
        label = str(partition)
        begun = metrics.total("forewarn_state_rows", partition=label) > 0
        lag = metrics.total("forewarn_input_lag_records", input="tracking", partition=label)
        lags.append(lag if begun else float(sizes[partition]))
    return lags


def _fill_unevenly(kafka: Kafka, sizes: list[int]) -> None:
    """Write scans until each partition has its number."""
    producer = Producer(
        {
            "bootstrap.servers": kafka.brokers,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    left = list(sizes)
    for block in traffic(max(sizes) * (len(sizes) + 1)):
        for key, value in zip(block.keys, block.values, strict=True):
            partition = partition_of(key, len(sizes))
            if left[partition]:
                left[partition] -= 1
                producer.produce(kafka.topic("tracking"), value, key, partition=partition)
        producer.poll(0)
        if not any(left):
            break
    if producer.flush(60) or any(left):
        raise RuntimeError(f"partitions lack {left} records")


def _frozen(bench: Bench, events: int) -> list[Series]:
    """Freeze the broker while a worker works; return what became of it."""
    kafka = bench.kafka("frozen")
    _fill_unevenly(kafka, [events // kafka.partitions] * kafka.partitions)
    total = events // kafka.partitions * kafka.partitions
    worker = bench.worker(kafka)
    with worker.child:
        wait(worker, lambda: tracking_done(worker.port) > total * 0.3, "work")
        before = resident_bytes(worker.child.pid)
        bench.broker.child.send(signal.SIGSTOP)
        try:
            time.sleep(FROZEN_SECONDS)
            after = resident_bytes(worker.child.pid)
        finally:
            bench.broker.child.send(signal.SIGCONT)
        woken, at = tracking_done(worker.port), time.monotonic()
        ended = wait(worker, lambda: tracking_done(worker.port) >= total, "go on")
        done = tracking_done(worker.port)
    bench.say(f"after a stopped broker: {done:,} of {total:,}")
    return [
        Series("scans lost while the broker stood", "scans", [float(total - done)]),
        Series("memory won while the broker stood", "MiB", [max(0, after - before) / _MIB]),
        Series("rate after the broker went on", "events/s", [(total - woken) / (ended - at)]),
    ]
