"""A producer that writes scans at a steady rate, some of which are known to cause a decision.

    python -m benchmarks.pacing --brokers HOST:PORT --topic NAME --rate 50000 --seconds 30 \
        --output stamps.json

Parcels that will be delivered where they were not addressed to (`signoff.abnormal` at once) are
labelled and picked up first; then ordinary scans are written evenly, and at even distances among
them the deliveries. The output says for each of these when the broker wrote it (the topic stamps
records itself), milliseconds since the epoch, and how fast it all was.
"""

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.bench import hand_over
from benchmarks.in_flight import Population
from benchmarks.traffic import (
    STEPS,
    Block,
    Columns,
    Ints,
    attributes,
    misdelivered,
    render,
)

CAUSES_PER_SECOND: Final = 200
SLICE_SECONDS: Final = 0.005
_ASIDE: Final = 5_000_000_000
"""Parcels with such numbers are nobody else's."""
_LIFE: Final = timedelta(hours=40)


class Paced(msgspec.Struct, frozen=True):
    """What was written."""

    written_ms: dict[str, int]
    """By parcel id: when the broker wrote the delivery."""
    events: int
    seconds: float


class Stamps:
    """Collects when the broker wrote each delivery."""

    def __init__(self) -> None:
        self.written_ms: dict[str, int] = {}
        self.failed: list[str] = []

    def take(self, error: KafkaError | None, message: Message) -> None:
        """Take note of one acknowledgement."""
        key = message.key()
        if error is not None or key is None:
            self.failed.append(str(error))
        else:
            self.written_ms[key.decode().rpartition("/")[2]] = message.timestamp()[1]


def condemned(number: int) -> Ints:
    """Return parcels between two regions that will be delivered in a wrong one."""
    numbers = _ASIDE + np.arange(number * 1000)
    _, origin, destination = attributes(numbers)
    found: Ints = numbers[misdelivered(numbers) & (origin != destination)]
    return found[:number]


def prepare(parcels: Ints, now: datetime) -> Iterator[Block]:
    """Yield labels and pick-ups of parcels, some days ago."""
    for step, ago in ((0, 2 * _LIFE), (1, _LIFE)):
        yield _step(parcels, step, now - ago)


def pace(producer: Producer, topic: str, rate: int, seconds: float, now: datetime) -> Paced:
    """Write evenly; return the stamps. Raises `RuntimeError` when the broker refused any."""
    events = int(rate * seconds)
    causes = condemned(int(CAUSES_PER_SECOND * seconds))
    for block in prepare(causes, now):
        _send(producer, topic, block)
    deliveries = _step(causes, len(STEPS) - 1, now)
    ordinary = list(_ordinary(events - len(causes), rate, now))
    producer.flush()
    stamps, every = Stamps(), max(1, events // len(causes))
    began = time.monotonic()
    for slot, (key, value) in enumerate(ordinary):
        if slot % every == 0 and slot // every < len(causes):
            place = slot // every
            producer.produce(
                topic, deliveries.values[place], deliveries.keys[place], on_delivery=stamps.take
            )
        hand_over(producer, topic, key, value)
        done = slot + 1
        if done % max(1, int(rate * SLICE_SECONDS)) == 0:
            _wait(producer, began + done / (rate * len(ordinary) / events))
    took = time.monotonic() - began
    if producer.flush(60) or stamps.failed:
        raise RuntimeError(f"not everything was written: {stamps.failed[:1]}")
    return Paced(stamps.written_ms, events, took)


def _wait(producer: Producer, until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        producer.poll(0)
        time.sleep(min(left, SLICE_SECONDS))
    producer.poll(0)


def _ordinary(events: int, rate: int, now: datetime) -> Iterator[tuple[bytes, bytes]]:
    population = Population(max(10_000, rate * 4), events_per_hour=rate * 3600, start=now, seed=9)
    for block in population.scans(events):
        yield from zip(block.keys, block.values, strict=True)


def _step(parcels: Ints, step: int, at: datetime) -> Block:
    occurred = np.full(len(parcels), int(at.timestamp()))
    return render(Columns(parcels, np.full(len(parcels), step), occurred), step * 10_000_000)


def _send(producer: Producer, topic: str, block: Block) -> None:
    for key, value in zip(block.keys, block.values, strict=True):
        hand_over(producer, topic, key, value)


def main() -> None:
    """Prepare, write, and say when."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    producer = Producer(
        {
            "bootstrap.servers": options.brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 2,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    # What is written is stamped later than it says it occurred, never earlier.
    now = datetime.now(UTC) - timedelta(minutes=5) - timedelta(seconds=options.seconds)
    paced = pace(producer, options.topic, options.rate, options.seconds, now)
    options.output.write_bytes(msgspec.json.encode(paced))


if __name__ == "__main__":
    main()
