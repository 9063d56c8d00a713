"""From the moment the broker wrote a scan to the moment the decision it caused can be read.

A producer of its own writes steadily; two hundred scans a second are deliveries in a wrong region,
each of which causes one decision at once (`benchmarks.pacing`). A consumer that reads committed
records notes when each decision arrives; both times are the same machine's. The first seconds are
left out.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from confluent_kafka import Consumer, TopicPartition

from benchmarks.bench import Bench
from benchmarks.pacing import Paced
from benchmarks.results import Bound, Chart, Curve, Goal, Measurement, Series, quantile
from benchmarks.standing import wait
from benchmarks.watching import scrape
from pipeline.processes import Child
from pipeline.settings import Kafka

RATES: Final = (5_000, 50_000)
SHARES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
WARM_SECONDS: Final = 5.0
_AFTER_SECONDS: Final = 45.0
_QUIET_SECONDS: Final = 5.0
UNIT: Final = "ms"


class _Head(msgspec.Struct):
    parcel_id: str = ""


@dataclass(slots=True)
class _Latencies:
    """Of one run."""

    all_ms: list[float]
    missing: int
    """Decisions that had not come when the reader gave up."""
    rate: float
    """Events a second that were really written."""


def run(bench: Bench) -> Measurement:
    """Measure each rate, one after the other, each with a worker of its own."""
    seconds = float(bench.size(short=20, full=60)) if bench.cut == 1 else 10.0
    found: dict[int, _Latencies] = {}
    series, curves, notes = [], [], []
    for rate in RATES:
        found[rate] = latencies = _measure(bench, rate, seconds)
        figures = {name: quantile(latencies.all_ms, share) for name, share in SHARES.items()}
        bench.say(f"{rate:,}/s: " + ", ".join(f"{n} {v:.0f} ms" for n, v in figures.items()))
        series += [Series(f"{n} at {rate:,}/s", UNIT, [v]) for n, v in figures.items()]
        curves.append(_distribution(f"{rate:,} events/s", latencies.all_ms))
        notes.append(_note(rate, latencies))
    fast = found[RATES[-1]]
    title = (
        f"Half of the decisions can be read within {quantile(fast.all_ms, 0.5):.0f} ms "
        f"at {RATES[-1]:,} events/s"
    )
    return Measurement(
        row="latency",
        what="scan written until its decision is readable, at a steady rate",
        goals=[
            Goal(f"p50 at {RATES[-1]:,}/s", Bound.AT_MOST, 75.0),
            Goal(f"p99 at {RATES[-1]:,}/s", Bound.AT_MOST, 250.0),
        ],
        series=series,
        curves=curves,
        charts=[
            Chart(
                name="latency",
                title=title,
                y_label="share of decisions readable, %",
                curves=[curve.name for curve in curves],
                x_label="ms after the scan was written",
                x_log=True,
            )
        ],
        notes=[*notes, "broker, producer, worker and reader share the cores"],
    )


def _note(rate: int, latencies: _Latencies) -> str:
    text = f"{latencies.rate:,.0f} of {rate:,} events/s were written"
    if latencies.missing:
        text += (
            f"; {latencies.missing:,} decisions came later than {_AFTER_SECONDS:.0f} s after the "
            "last scan: the worker did not keep up"
        )
    return text


def _measure(bench: Bench, rate: int, seconds: float) -> _Latencies:
    kafka = bench.kafka("latency")
    worker = bench.worker(kafka, environment={"FOREWARN_CLOCK": "broker"})
    output = bench.folder / f"{kafka.prefix}-stamps.json"
    argv = [sys.executable, "-m", "benchmarks.pacing", "--brokers", kafka.brokers]
    argv += ["--topic", kafka.topic("tracking"), "--rate", str(rate)]
    argv += ["--seconds", str(seconds), "--output", str(output)]
    log = bench.folder / f"{kafka.prefix}-pacing.log"
    with worker.child:
        wait(
            worker,
            lambda: scrape(worker.port).total("forewarn_recovered_partitions") == kafka.partitions,
            "join",
        )
        with Child("producer", argv, log=log) as producer:
            read_ms = _read(kafka, producer)
            if producer.wait(60):
                raise RuntimeError(f"the producer failed: {producer.log_tail()}")
    paced = msgspec.json.decode(output.read_bytes(), type=Paced)
    return _latencies(paced, read_ms)


def _read(kafka: Kafka, producer: Child) -> dict[str, float]:
    """Return when each parcel's decision could be read, ms since the epoch.

    Ends some seconds after the producer when nothing comes any more, or after a while anyhow.
    """
    found: dict[str, float] = {}
    decode = msgspec.json.Decoder(_Head).decode
    reader = _reader(kafka)
    ended = heard = time.monotonic()
    try:
        while heard - ended < _AFTER_SECONDS and time.monotonic() - heard < _QUIET_SECONDS:
            for message in reader.consume(500, 0.005):
                at, value = time.time() * 1000, message.value()
                if message.error() is None and value is not None:
                    found.setdefault(decode(value).parcel_id, at)
                    heard = time.monotonic()
            if producer.running:
                ended = heard = time.monotonic()
    finally:
        reader.close()
    return found


def _reader(kafka: Kafka) -> Consumer:
    reader = Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "group.id": f"{kafka.group}-reader",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 5,
        }
    )
    topic = kafka.topic("decisions")
    reader.assign([TopicPartition(topic, number, 0) for number in range(kafka.partitions)])
    return reader


def _latencies(paced: Paced, read_ms: Mapping[str, float]) -> _Latencies:
    """Pair writes with reads; what was never read counts as later than anything."""
    if not paced.written_ms:
        raise RuntimeError("the producer wrote nothing that causes a decision")
    first = min(paced.written_ms.values()) + WARM_SECONDS * 1000
    pairs = {p: at for p, at in paced.written_ms.items() if at >= first}
    missing = sum(parcel not in read_ms for parcel in pairs)
    found = [read_ms[parcel] - at for parcel, at in pairs.items() if parcel in read_ms]
    late = max([_AFTER_SECONDS * 1000, *found])
    return _Latencies(found + [late] * missing, missing, paced.events / paced.seconds)


def _distribution(name: str, values: list[float]) -> Curve:
    """Return the share of values, in percent, that are no larger; a hundred points suffice."""
    shares = [share / 1000 for share in (*range(5, 990, 15), *range(990, 1001))]
    return Curve(name, [quantile(values, share) for share in shares], [100 * s for s in shares])
