"""How long partitions stand still while workers are restarted, one after the other, under load.

Two workers share the partitions and a producer writes at a steady rate. Each worker in turn is
stopped (SIGTERM) or killed (SIGKILL) and started again at once. A partition's pause is the longest
time between two of its committed chunks, read from the timestamps of the state topic. Measured in
turn without a worker's name (each stop and start is a rebalance) and with it (`kafka.instance`).

    python -m benchmarks.rolling [--parcels 60000] [--rate 1000] [--brokers HOST:PORT]
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.chaos import own_kafka
from benchmarks.reading import committed
from pipeline import topics
from pipeline.processes import Child, answers, free_port
from pipeline.producer import Outgoing, RecordProducer
from pipeline.settings import Kafka
from simulator.simulation import simulate

SESSION_SECONDS: Final = 15.0
WORKER: Final = [sys.executable, "-m", "pipeline.cli", "worker"]
GOAL_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 15.0
FEED_SECONDS: Final = 0.25
DEEDS: Final = ("stop", "kill")
Scan = tuple[bytes, bytes, int]
"""Key, value, arrival in milliseconds."""
_console = Console(width=100)


def main() -> int:
    """Measure and print; 0 when the pauses of a graceful restart meet the goal."""
    options = _options()
    rows: list[tuple[str, str, dict[int, float]]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forewarn-rolling-")))
        brokers = options.brokers or stack.enter_context(own_kafka(folder))
        # Made before anything is timed: it takes a while.
        scans = _scans(options.parcels)
        for named in (False, True):
            name = f"rolling-{'named' if named else 'nameless'}-{time.time_ns()}"
            kafka = Kafka(brokers=brokers, prefix=name, group=name)
            windows = _roll(kafka, folder, scans, options.rate, named=named)
            pauses = _pauses(kafka, windows)
            rows += [("named" if named else "nameless", deed, pauses[deed]) for deed in DEEDS]
    return _report(rows)


def _roll(
    kafka: Kafka, folder: Path, scans: Sequence[Scan], rate: int, *, named: bool
) -> dict[str, tuple[float, float]]:
    """Run the load and the restarts; return when each kind of restart began and was over."""
    topics.create(kafka)
    done = threading.Event()
    feeder = threading.Thread(target=_feed, args=(kafka, scans, rate, done))
    windows = {}
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(kafka, n, folder, named=named)) for n in "AB"]
        feeder.start()
        stack.callback(feeder.join)
        stack.callback(done.set)
        time.sleep(2 * SETTLE_SECONDS)
        for deed in DEEDS:
            began = time.time()
            for worker in workers:
                worker.kill() if deed == "kill" else worker.stop()
                worker.start()
                time.sleep(SETTLE_SECONDS + (SESSION_SECONDS if deed == "kill" else 0))
            windows[deed] = (began, time.time())
    return windows


def _worker(kafka: Kafka, name: str, folder: Path, *, named: bool) -> Child:
    port = free_port()
    environment = {
        "FOREWARN_KAFKA__BROKERS": kafka.brokers,
        "FOREWARN_KAFKA__PREFIX": kafka.prefix,
        "FOREWARN_KAFKA__GROUP": kafka.group,
        "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        "FOREWARN_CLOCK": "data",
        "FOREWARN_METRICS__PORT": str(port),
        "FOREWARN_LOG__FORMAT": "json",
    }
    if named:
        environment["FOREWARN_KAFKA__INSTANCE"] = name
    log = folder / f"{kafka.prefix}-{name}.log"
    ready = lambda: answers(port)  # noqa: E731
    return Child(name, WORKER, log=log, environment=environment, ready=ready, stop_seconds=40)


def _feed(kafka: Kafka, scans: Sequence[Scan], rate: int, done: threading.Event) -> None:
    """Write scans at a steady rate until told to stop."""
    producer = RecordProducer(kafka.brokers)
    topic = kafka.topic("tracking")
    size = max(1, int(rate * FEED_SECONDS))
    for start in range(0, len(scans), size):
        began = time.monotonic()
        producer.send(Outgoing(topic, *scan) for scan in scans[start : start + size])
        if done.wait(max(0.0, FEED_SECONDS - (time.monotonic() - began))):
            return
    _console.print("the scans ran out: more --parcels, or a lower --rate; the pauses are too long")


def _scans(parcels: int) -> list[Scan]:
    records = simulate(parcels, 5, 1).records()
    return [record for stream, record in records if stream == "tracking"]


def _pauses(kafka: Kafka, windows: dict[str, tuple[float, float]]) -> dict[str, dict[int, float]]:
    """Return the longest pause of each partition in each window, in seconds."""
    written: dict[int, list[float]] = {number: [] for number in range(kafka.partitions)}
    for message in committed(kafka.brokers, kafka.topic("state"), kafka.partitions):
        written[message.partition() or 0].append(message.timestamp()[1] / 1000)
    return {
        deed: {
            partition: max((b - a for a, b in _within(times, window)), default=float("inf"))
            for partition, times in written.items()
        }
        for deed, window in windows.items()
    }


def _within(times: list[float], window: tuple[float, float]) -> list[tuple[float, float]]:
    begin, end = window
    return list(pairwise([begin, *(at for at in times if begin <= at <= end), end]))


def _report(rows: list[tuple[str, str, dict[int, float]]]) -> int:
    table = Table("workers", "restart by", "longest pause of each partition, s", "longest, s")
    for workers, deed, pauses in rows:
        each = "  ".join(f"{pauses[partition]:.1f}" for partition in sorted(pauses))
        table.add_row(workers, deed, each, f"{max(pauses.values()):.1f}")
    _console.print(table)
    wanted = [pauses for workers, deed, pauses in rows if (workers, deed) == ("nameless", "stop")]
    return int(max(wanted[0].values()) > GOAL_SECONDS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pauses of a rolling restart.")
    parser.add_argument("--parcels", type=int, default=60_000)
    parser.add_argument("--rate", type=int, default=1_000, help="scans a second")
    parser.add_argument("--brokers", help="a Kafka that runs already")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
