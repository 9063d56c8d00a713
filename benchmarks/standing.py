"""A worker's world with many parcels under way: topics and state that several rows start from."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from benchmarks.bench import Bench, Worker, fill
from benchmarks.in_flight import Population
from benchmarks.watching import NotDone, scrape, tracking_done
from pipeline.settings import Kafka

SESSION_SECONDS: Final = 6.0
_PATIENCE_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.05


@dataclass(slots=True)
class Standing:
    """All parcels are labelled, in the topic and in the state; no worker runs."""

    kafka: Kafka
    population: Population
    parcels: int

    @property
    def topic(self) -> str:
        """The topic of scans."""
        return self.kafka.topic("tracking")


def standing(bench: Bench) -> Standing:
    """Make it, once a run."""
    if "standing" not in bench.kept:
        bench.kept["standing"] = _make(bench)
    kept = bench.kept["standing"]
    assert isinstance(kept, Standing)
    return kept


def _make(bench: Bench) -> Standing:
    parcels = bench.size(short=200_000, full=1_000_000)
    population = Population(parcels)
    kafka = bench.kafka("standing", session_seconds=SESSION_SECONDS)
    _keep_whole(kafka)
    fill(kafka.brokers, kafka.topic("tracking"), population.labels())
    worker = bench.worker(kafka)
    with worker.child:
        wait(worker, lambda: tracking_done(worker.port) >= parcels, "take the labels in")
    return Standing(kafka, population, parcels)


def _keep_whole(kafka: Kafka) -> None:
    """Let nobody compact the state topic for an hour: `state_log` reads all that was written."""
    client = AdminClient({"bootstrap.servers": kafka.brokers})
    topic = kafka.topic("state")
    entry = ConfigEntry(
        "min.compaction.lag.ms", "3600000", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for future in client.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


def wait(
    worker: Worker, done: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS
) -> float:
    """Wait until something is so; return the time of the monotonic clock. Raises `NotDone`."""
    until = time.monotonic() + seconds
    while not done():
        if not worker.child.running or time.monotonic() > until:
            raise NotDone(f"the worker did not {what}: {worker.child.log_tail()}")
        time.sleep(_LOOK_SECONDS)
    return time.monotonic()


@contextmanager
def joined_and_frozen(workers: Sequence[Worker], partitions: int) -> Iterator[None]:
    """Wait until workers share the partitions, freeze them for the block, and wake them up.

    So neither joining nor what the block does is in what is measured afterwards.
    """
    share = partitions / len(workers)
    for worker in workers:
        wait(worker, partial(_has, worker, share), "join")
    for worker in workers:
        worker.child.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            worker.child.send(signal.SIGCONT)


def _has(worker: Worker, partitions: float) -> bool:
    return scrape(worker.port).total("forewarn_recovered_partitions") == partitions


def caught_up(worker: Worker) -> bool:
    """Tell whether nothing is left to read, by the worker's own account."""
    metrics = scrape(worker.port)
    recovered = metrics.total("forewarn_recovered_partitions")
    return recovered > 0 and metrics.total("forewarn_input_lag_records", input="tracking") == 0
